"""The loop that retrains itself: look at the running trial, learn from what came in since, decide, say why."""

from __future__ import annotations

import fcntl
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from data.clock import from_iso
from data.domain import Catalog
from data.episodes import episodes_of
from data.errors import Unavailable
from policy.registry import CHALLENGER, CHAMPION, RegisteredVersion, Registry
from policy.syncing import trial_share
from training.gate import SHARE_WITH_CHAMPION, SHARE_WITHOUT_CHAMPION
from training.jobs import Job, run_job
from training.promotion import Promotion
from training.sources import Source
from training.training import TrainingOptions
from training.trial import TRIAL_ALPHA, Horizon, TrialVerdict, judge_trial, trial_arms

NEWS: Final = 1.1
"""Nothing is learned anew before there are so many times the settled episodes of the last training."""
LOCK: Final = ".retrain.lock"


@dataclass(frozen=True, eq=False)
class Round:
    """What one round of the loop did.

    Attributes:
        decisions: what was decided and why, one sentence each, in order.
        trial: the running trial's verdict, where there was one.
        job: the training, where there was one.
        promoted: the version that went live in this round.
        on_trial: the version that is on trial after it.
    """

    decisions: tuple[str, ...]
    trial: TrialVerdict | None
    job: Job | None
    promoted: int | None
    on_trial: int | None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "decisions": list(self.decisions),
            "trial": None if self.trial is None else self.trial.to_json(),
            "training": None if self.job is None else self.job.to_json(),
            "promoted": self.promoted,
            "on_trial": self.on_trial,
        }


class Loop:
    """Retrains one journey.

    Args:
        registry: where versions are.
        promotion: what changes which version is live.
        catalog: the journey.
        options: of training.
    """

    def __init__(self, registry: Registry, promotion: Promotion, catalog: Catalog, options: TrainingOptions) -> None:
        self._registry, self._promotion = registry, promotion
        self._catalog, self._options = catalog, options

    def round(self, source: Source) -> Round:
        """One look at the trial and, when none is running then, one training.

        Raises:
            BadLog: there is nothing to learn from yet.
            Unavailable: the registry is away.
        """
        said: list[str] = []
        trial, promoted = self._look_at_trial(source, said)
        challenger = self._registry.at_alias(self._catalog.journey, CHALLENGER)
        if challenger is not None and trial_share(challenger) > 0.0:
            said.append("Nothing is learned anew while a trial is running.")
            return Round(tuple(said), trial, None, promoted, challenger.version)
        if not self._has_news(source):
            said.append("Too little is new since the last training: nothing was learned anew.")
            return Round(tuple(said), trial, None, promoted, None)
        job = run_job(self._registry, self._catalog, source, self._options)
        promoted, on_trial = self._act_on(job, promoted, said)
        return Round(tuple(said), trial, job, promoted, on_trial)

    def _look_at_trial(self, source: Source, said: list[str]) -> tuple[TrialVerdict | None, int | None]:
        journey = self._catalog.journey
        version = self._registry.at_alias(journey, CHALLENGER)
        if version is None or trial_share(version) == 0.0:
            return None, None
        live = self._registry.at_alias(journey, CHAMPION)
        if live is not None and live.version == version.version:
            said.append(f"Version {version.version} is the champion; its trial is over.")
            self._promotion.end_trial(version.version)
            return None, None
        verdict = self._judged(version, source)
        said.append(f"Trial of version {version.version}: {verdict.text}")
        if verdict.answer == "better":
            change = self._promotion.promote(version.version, is_forced=False, by="trial")
            said.append(change.text)
            return verdict, version.version if change.is_done else None
        if verdict.is_over:
            said.append(self._promotion.end_trial(version.version).text)
        return verdict, None

    def _judged(self, version: RegisteredVersion, source: Source) -> TrialVerdict:
        catalog = self._catalog
        episodes = episodes_of(source.arrivals, catalog, now=source.now)
        live = self._registry.at_alias(catalog.journey, CHAMPION)
        told = version.tags.get("trial_started_at")
        began = version.created_at if told is None else from_iso(told)
        arms = trial_arms(episodes, None if live is None else str(live.version), str(version.version), began)
        others = sum(holdout.share for holdout in catalog.holdout)
        share = min(0.999, trial_share(version) / max(1e-9, 1.0 - others))
        horizon = Horizon(visitors_per_day=arms.visitors_per_day)
        alpha = self._alpha_of(version)
        return judge_trial(
            arms.control, arms.challenger, share=share, alpha=alpha, reward=catalog.reward, horizon=horizon
        )

    def _alpha_of(self, version: RegisteredVersion) -> float:
        """What this trial may err: all trials against one champion together at most ``TRIAL_ALPHA``."""
        against = version.tags.get("judged_against")
        number = sum(
            one.version <= version.version
            and "trial_started_at" in one.tags
            and one.tags.get("judged_against") == against
            for one in self._registry.versions(version.journey)
        )
        return TRIAL_ALPHA * 6.0 / (math.pi * max(1, number)) ** 2

    def _has_news(self, source: Source) -> bool:
        versions = [
            one for one in self._registry.versions(self._catalog.journey) if one.tags.get("source") == source.name
        ]
        known = versions[0].tags.get("n_episodes", "0") if versions else "0"
        episodes = episodes_of(source.arrivals, self._catalog, now=source.now).episodes
        n_mature = int(episodes["is_mature"].sum())
        return not versions or n_mature >= NEWS * int(known)

    def _act_on(self, job: Job, promoted: int | None, said: list[str]) -> tuple[int | None, int | None]:
        """Promotes, starts a trial, or leaves it, by the gate's answer."""
        said.extend(job.notes)
        if job.version is None:
            return promoted, None
        number = job.version.version
        verdict = job.trained.verdict
        said.append(f"Version {number} ({job.trained.candidate.name}): {verdict.text}")
        if not job.is_challenger:
            return promoted, None
        if verdict.answer == "better":
            change = self._promotion.promote(number, is_forced=False)
            said.append(change.text)
            return (number, None) if change.is_done else (promoted, None)
        if verdict.answer == "worse":
            said.append("It is left alone.")
            return promoted, None
        live = self._registry.at_alias(self._catalog.journey, CHAMPION)
        share = SHARE_WITHOUT_CHAMPION if live is None else SHARE_WITH_CHAMPION
        said.append(self._promotion.start_trial(number, share).text)
        return promoted, number


@contextmanager
def alone(var: Path) -> Iterator[None]:
    """Keeps a second loop from deciding on the same journey at once.

    Raises:
        Unavailable: another one is at work.
    """
    var.mkdir(parents=True, exist_ok=True)
    with (var / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Unavailable("another retraining of this workspace is at work; let it finish") from None
        yield
