"""The demonstration from the first simulated visitor to the second version, step by step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from data.clock import now
from data.domain import SECOND
from data.simulator.truth import value_of_direct, value_of_sequence
from data.stores.registry import open_store
from data.workspace import Workspace
from training.demo.live import PREFIX, LiveVisits, send_visitors
from training.demo.past import simulate_past
from training.demo.place import shown_path
from training.demo.report import Side, render_sides, sides_of
from training.demo.service import FOLLOWS_S, Service
from training.demo.takeover import Takeover, first_answer_of, watching
from training.demo.telling import render_funnel, tell_day_zero, tell_takeover
from training.demo.world import WINDOW_S, quick_world

if TYPE_CHECKING:
    from rich.console import Console

    from policy.registry import Registry
    from training.jobs import Job
    from training.loop import Round
    from training.promotion import Promotion
    from training.sources import Source
    from training.training import TrainingOptions

N_STEPS: Final = 7
FIRST: Final = 1
"""The version that live visitors meet."""
STORE_WAIT_S: Final = 10.0
SHARE: Final = 0.5
"""Of visitors, where a version must be shown that the gate would not let go live."""

Progress = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]


@dataclass(frozen=True)
class Cast:
    """How large the demo is.

    Attributes:
        n_past: visitors before it begins.
        n_live: visitors who come over HTTP.
        seed: of all of them, and of training.
        threads: how much of a training runs side by side.
    """

    n_past: int
    n_live: int
    seed: int
    threads: int = 2


class Story:
    """Tells the demo. Every step leaves what the next one needs; nothing is shown that did not happen.

    Args:
        workspace: a new one, made for the demo.
        cast: how large it is.
        console: where it is told.
        progress: shows how far a long step is.
    """

    def __init__(self, workspace: Workspace, cast: Cast, console: Console, progress: Progress) -> None:
        self._workspace, self._cast = workspace, cast
        self._console, self._progress = console, progress
        self._world = quick_world()
        self._catalog = self._world.catalog
        self._seconds: dict[str, float] = {}
        self._began = time.monotonic()

    def tell(self, start: Callable[[], Service]) -> dict[str, Any]:
        """Everything; the result for machines. The service that ``start`` gives is left running.

        Raises:
            Unavailable: a part failed; says which and why.
            BadLog: the visitors were too few to learn from.
        """
        self._prologue()
        with self._step(1, f"{self._cast.n_past:,} visitors come to a site that has learned nothing yet"):
            registry = self._past()
        with self._step(2, "Where they say yes, and where they leave"):
            source = self._source()
            self._funnel(source)
        with self._step(3, "Learning from them, and judging what was learned before anybody sees it"):
            service = start()
            first = self._learn_first(registry, source)
        del source
        with self._step(4, "The service starts and follows the registry"):
            self._go_live(service, registry, first)
        with self._step(5, f"{self._cast.n_live:,} new visitors come, over HTTP, in real time"):
            visits = self._live(service)
            source = self._settled()
        with self._step(6, "What the live visitors really did"):
            sides = self._compare(source)
        with self._step(7, "Learning again, now from the service's own store; a new version takes over"):
            second, takeover = self._learn_again(service, registry, source)
        return self._result(registry, (first, second), sides, visits, takeover)

    # --- the steps

    def _prologue(self) -> None:
        self._say(
            f"A simulated skin care shop, and everything else real: the store, MLflow, the service. Its workspace is "
            f"{shown_path(self._workspace.root)}."
        )
        self._say(
            "Here a day lasts a few seconds: visitors come back after 4 to 8 s, some buy only after their visit, and a "
            f"purchase counts until {WINDOW_S} s after a visitor's first ask. In a real shop that is a week."
        )

    def _past(self) -> Registry:
        with ThreadPoolExecutor(1) as pool:
            registry: Future[Registry] = pool.submit(_registry, self._workspace)  # MLflow takes seconds to import
            with self._progress("Visitors", self._cast.n_past) as progress:
                simulate_past(self._workspace, self._cast.n_past, self._cast.seed, progress)
            self._say(tell_day_zero(self._catalog))
            return registry.result()

    def _source(self) -> Source:
        from training.sources import source_of_store

        store = open_store(self._workspace.store_url, busy_timeout_s=STORE_WAIT_S)
        try:
            with self._progress("Reading the store", None):
                return source_of_store(store, self._catalog, now())
        finally:
            store.close()

    def _funnel(self, source: Source) -> None:
        from data.episodes import episodes_of
        from training.funnel import funnel

        episodes = episodes_of(source.arrivals, self._catalog, now=source.now)
        render_funnel(funnel(episodes, self._catalog), self._console)

    def _learn_first(self, registry: Registry, source: Source) -> Round:
        result = self._round(registry, source)
        if result.job is not None:
            self._show_job(result.job)
        return result

    def _go_live(self, service: Service, registry: Registry, first: Round) -> None:
        number = newest(registry, self._catalog.journey)
        role = "challenger" if first.promoted is None else "champion"
        if first.promoted is not None:
            self._say("The log alone was enough: version 1 is live for everybody who is not held out.")
        elif first.on_trial is not None:
            self._say(
                "The log alone was not enough to be sure, so version 1 goes on trial: it serves half of the visitors, "
                "and what they really do decides."
            )
        else:
            self._say(
                "The gate would not let version 1 go live, and in real life it would not. For the demonstration alone "
                "it is shown to half of the visitors all the same (a forced trial)."
            )
            self._promotion(registry).start_trial(number, SHARE, is_forced=True)
        service.wait_ready()
        service.wait_live(self._catalog.journey, role, number)
        self._say(f"http://127.0.0.1:{service.port} answers (process {service.pid}); version {number} is its {role}.")

    def _live(self, service: Service) -> LiveVisits:
        with self._progress("Live visitors", self._cast.n_live) as progress:
            visits = send_visitors(service, self._cast.n_live, self._cast.seed, progress)
        self._say(
            f"{visits.n_requests:,} requests and reports were answered, {visits.n_failed} failed. "
            f"{visits.n_converted} visitors bought, a part of them only after their visit."
        )
        if visits.n_failed or visits.lag_s > 1.0:
            self._say(f"This machine is busy: visitors were served up to {visits.lag_s:.1f} s late.")
        return visits

    def _settled(self) -> Source:
        """The store, as of when the last live visitor can convert no more."""
        source = self._source()
        settled_at = _last_first_ask(source) + WINDOW_S * SECOND
        wait_s = (settled_at - now()) / SECOND
        if wait_s > 0.0:
            self._say(
                f"Whoever has not bought may still do so until {WINDOW_S} s after their first ask. Counting earlier "
                f"would count them as lost: {wait_s:.0f} s to wait."
            )
            with self._progress("Waiting for the last ones (s)", max(1, int(wait_s))) as progress:
                while (left_s := (settled_at - now()) / SECOND) > 0.0:
                    progress(int(wait_s - left_s))
                    time.sleep(min(0.5, left_s))
        return replace(source, now=max(now(), source.now))

    def _compare(self, source: Source) -> tuple[Side, ...]:
        from data.episodes import episodes_of

        episodes = episodes_of(source.arrivals, self._catalog, now=source.now)
        sides = sides_of(episodes, self._catalog.goal, FIRST)
        render_sides(sides, FIRST, self._console)
        direct, baseline = self._truth()
        self._say(
            f"Because this shop is invented, the true values are known: asking at once {100 * direct:.1f} %, the fixed "
            f"sequence {100 * baseline:.1f} %. In your shop only the intervals are."
        )
        return sides

    def _learn_again(self, service: Service, registry: Registry, source: Source) -> tuple[Round, Takeover]:
        result = self._round(registry, source)
        for sentence in result.decisions:
            self._say(sentence)
        if result.job is not None:
            self._show_job(result.job, has_verdict=False)
        journey, promotion = self._catalog.journey, self._promotion(registry)
        is_forced = result.job is None or result.promoted != newest(registry, journey)
        if is_forced:
            self._tell_real_life(result)
        if result.job is None or result.job.version is None:
            self._learn_now(registry, source)
        before, number = service.process_ids, newest(registry, journey)
        with watching(service, journey) as watch:
            if is_forced:
                promotion.end_trial()
                promotion.promote(number, is_forced=True)
            service.wait_live(journey, "champion", number)
            witness = first_answer_of(service, journey, f"champion:{number}", FOLLOWS_S)
        if is_forced:
            self._say(
                f"Forced, for the demonstration alone (as with: smallyes promote --version {number} --force): "
                f"version {number} is the champion now."
            )
        takeover = Takeover(number, is_forced, watch, witness, (before, service.process_ids))
        self._say(tell_takeover(takeover))
        return result, takeover

    def _tell_real_life(self, result: Round) -> None:
        """What the loop would go on with, where version 2 has not earned its place."""
        if result.job is not None and result.on_trial is not None:
            self._say(
                f"In real life version {result.on_trial} would now serve a part of the visitors until the trial has "
                "decided, and nobody else would see it."
            )
        elif result.job is not None:
            self._say("In real life version 2 would be left alone.")
        elif result.on_trial is not None:
            self._say(f"In real life the loop would let the trial of version {FIRST} go on, and learn anew after it.")
        else:
            self._say("In real life the loop would not learn anew before a tenth more visitors are settled.")

    def _learn_now(self, registry: Registry, source: Source) -> None:
        """Version 2 before the loop would make it; if it were version 1 again, there is nothing to show."""
        from training.jobs import run_job

        self._say("For the demonstration alone, version 2 is learned at once.")
        with self._progress("Learning", None) as progress:
            job = run_job(registry, self._catalog, source, self._options(progress))
        self._show_job(job)

    # --- what the steps share

    def _round(self, registry: Registry, source: Source) -> Round:
        from training.loop import Loop, alone

        with alone(self._workspace.var), self._progress("Learning", None) as progress:
            return Loop(registry, self._promotion(registry), self._catalog, self._options(progress)).round(source)

    def _options(self, progress: Callable[[int], None]) -> TrainingOptions:
        from training.training import TrainingOptions

        return TrainingOptions(
            seed=self._cast.seed, threads=self._cast.threads, progress=lambda done, _total: progress(done)
        )

    def _promotion(self, registry: Registry) -> Promotion:
        from training.promotion import Promotion

        return Promotion(registry, self._workspace, self._catalog.journey)

    def _show_job(self, job: Job, *, has_verdict: bool = True) -> None:
        from training.job_view import render_values

        trained = job.trained
        if trained.judged is not None:
            rows = {f"learned ({trained.candidate.name})": trained.judged}
            if trained.incumbent is not None:
                rows["what is live"] = trained.incumbent
            render_values({**rows, **job.others}, self._console)
        if has_verdict:
            self._say(trained.verdict.text)
        if job.version is not None:
            self._say(f"Registered in MLflow as version {job.version.version} of {job.version.journey}.")

    def _truth(self) -> tuple[float, float]:
        return value_of_direct(self._world), value_of_sequence(self._world, self._catalog.baseline)

    def _result(
        self,
        registry: Registry,
        rounds: tuple[Round, Round],
        sides: tuple[Side, ...],
        visits: LiveVisits,
        takeover: Takeover,
    ) -> dict[str, Any]:
        direct, baseline = self._truth()
        first, second = rounds
        return {
            **{side.name: side.to_json() for side in sides},
            "versions": sorted(one.version for one in registry.versions(self._catalog.journey)),
            "truth": {"direct": direct, "baseline": baseline},
            "went_live": "promoted" if first.promoted is not None else "trial",
            "first_round": list(first.decisions),
            "second_round": list(second.decisions),
            "trial": None if second.trial is None else second.trial.to_json(),
            "live": asdict(visits),
            "takeover": takeover.to_json(),
            "workspace": str(self._workspace.root),
            "seconds": {name: round(seconds, 1) for name, seconds in self._seconds.items()},
        }

    @contextmanager
    def _step(self, number: int, title: str) -> Iterator[None]:
        self._console.print(f"\n{number}/{N_STEPS}  {title}", style="bold")
        began = time.monotonic()
        yield
        seconds = time.monotonic() - began
        self._seconds[str(number)] = seconds
        self._console.print(f"({seconds:.0f} s, {time.monotonic() - self._began:.0f} s in all)", style="dim")

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False)


def newest(registry: Registry, journey: str) -> int:
    """The number of the last version that was registered."""
    return max(one.version for one in registry.versions(journey))


def _registry(workspace: Workspace) -> Registry:
    from policy.registry import Registry

    return Registry.create(workspace)


def _last_first_ask(source: Source) -> int:
    """When the last live visitor was asked for the first time."""
    import polars as pl

    shown = source.arrivals.frame.filter(pl.col("type") == "shown", pl.col("visitor_id").str.starts_with(PREFIX))
    return int(shown.group_by("visitor_id").agg(pl.col("at").min())["at"].to_physical().max())  # type: ignore[arg-type]
