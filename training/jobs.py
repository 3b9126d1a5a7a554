"""A training from rows to a registered version: what ``smallyes train`` and the retraining loop both do."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from data.domain import Catalog
from data.errors import Unavailable
from policy.bundle import load_bundle, save_bundle
from policy.registry import CHALLENGER, CHAMPION, DAY_ZERO, RegisteredModel, RegisteredVersion, Registry
from policy.syncing import SHARE_TAG, trial_share
from training.incumbent import Incumbent, champion, day_zero
from training.judging import Judged, can_tell, doubts_about, fixed_target, judge_policy
from training.sources import Source
from training.table import Table
from training.tracking import LogSource, Tracking, log_digest
from training.training import Trained, TrainingOptions, train

YARDSTICKS: Final = ("baseline", "direct", "random")
"""Fixed policies that every training is shown beside."""
JUDGED_AGAINST: Final = "judged_against"


@dataclass(frozen=True, eq=False)
class Job:
    """What became of a training.

    Attributes:
        trained: policy, estimates, verdict.
        others: fixed policies on the judging episodes, by name.
        source: where the rows came from.
        log_digest: of the rows, whatever their order.
        version: what was registered; ``None``: it is the incumbent again.
        is_challenger: whether the version is the challenger now; not while another one is on trial.
        notes: what the reader should know.
    """

    trained: Trained
    others: Mapping[str, Judged]
    source: Source
    log_digest: str
    version: RegisteredVersion | None
    is_challenger: bool
    notes: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        trained, verdict = self.trained, self.trained.verdict
        judged = trained.judged
        return {
            "version": None if self.version is None else self.version.version,
            "learner": trained.candidate.name,
            "gate": verdict.answer,
            "gate_reason": verdict.text,
            "value": verdict.candidate.to_json(),
            "incumbent": verdict.incumbent.to_json(),
            "difference": verdict.difference.to_json(),
            "trial": None if verdict.trial is None else verdict.trial.to_json(),
            "policies": {name: other.value.to_json() for name, other in self.others.items()},
            "estimates": {} if judged is None else {name: one.to_json() for name, one in judged.estimates.items()},
            "effective_sample_size": None if judged is None else judged.diagnostics.effective_sample_size,
            "effective_conversions": None if judged is None else judged.diagnostics.effective_conversions,
            "max_weight": None if judged is None else judged.diagnostics.max_weight,
            "removed_mass": None if judged is None else judged.removed_mass,
            "episodes": {
                "fit": int(trained.splits.fit.sum()),
                "select": int(trained.splits.select.sum()),
                "judge": int(trained.splits.judge.sum()),
                "young": int(trained.splits.young.sum()),
            },
            "selection": dict(trained.selection),
            "facts": dict(trained.candidate.facts),
            "log": {"name": self.source.name, "digest": self.log_digest, "rows": self.source.n_rows},
            "is_challenger": self.is_challenger,
            "notes": list(self.notes),
        }


def incumbent_of(registry: Registry, catalog: Catalog) -> Incumbent:
    """What is live by the registry: the champion under today's catalog, or day zero.

    Raises:
        BadBundle: the champion's bundle is damaged.
        Unavailable: the registry is away.
    """
    model = registry.model(catalog.journey)
    number = None if model is None else model.aliases.get(CHAMPION)
    look = _next_look(registry, model, catalog.journey, DAY_ZERO if number is None else str(number))
    if number is None:
        return day_zero(catalog, look)
    version = registry.version(catalog.journey, number)
    with tempfile.TemporaryDirectory(prefix="smallyes-") as scratch:
        registry.download(version, Path(scratch) / "champion")
        bundle = load_bundle(Path(scratch) / "champion", catalog)
    return champion(bundle, str(number), look)


def run_job(registry: Registry, catalog: Catalog, source: Source, options: TrainingOptions) -> Job:
    """Trains, judges and registers; the version becomes the challenger unless another one is on trial.

    Raises:
        BadLog: there is nothing to learn from; nothing was registered.
        Unavailable: the registry is away, busy or full; nothing was registered.
    """
    incumbent = incumbent_of(registry, catalog)
    table = source.table(catalog, options.threads)
    trained = train(table, incumbent, options)
    others = _yardsticks(table, trained)
    doubts = doubts_about(table, trained.splits.judge)
    if doubts:
        source = replace(source, notes=(*source.notes, f"the logged propensities contradict themselves: {doubts}"))
    digest = log_digest(source.arrivals.frame)
    with tempfile.TemporaryDirectory(prefix="smallyes-") as scratch:
        folder = Path(scratch) / "bundle"
        made = save_bundle(
            folder,
            scorer=trained.candidate.scorer,
            explorer=trained.candidate.explorer,
            catalog=catalog,
            spec=trained.spec,
            info={"learner": trained.candidate.name, "seed": options.seed, "log_digest": digest},
        )
        if made == incumbent.digest:
            note = "this log and seed give the champion again; nothing was registered"
            return Job(trained, others, source, digest, None, False, (*source.notes, note))
        what = _Registration(folder, source, digest, incumbent, others, options.seed)
        version, troubles = _registered(registry, table, trained, what)
    is_challenger, notes = _as_challenger(registry, version)
    return Job(trained, others, source, digest, version, is_challenger, (*source.notes, *troubles, *notes))


@dataclass(frozen=True, eq=False)
class _Registration:
    folder: Path
    source: Source
    digest: str
    incumbent: Incumbent
    others: Mapping[str, Judged]
    seed: int


def _registered(
    registry: Registry, table: Table, trained: Trained, what: _Registration
) -> tuple[RegisteredVersion, tuple[str, ...]]:
    verdict = trained.verdict
    tags = {
        **verdict.to_tags(),
        "log_digest": what.digest,
        SHARE_TAG: "0",
        JUDGED_AGAINST: what.incumbent.version,
        "learner": trained.candidate.name,
        "n_episodes": str(int(table.is_mature.sum())),
        "source": what.source.name,
    }
    log = LogSource(what.source.name, what.digest, what.source.n_rows)
    journey = table.catalog.journey
    with Tracking(registry).run(journey, f"train {trained.candidate.name}") as run:
        run.log_training(table, trained, source=log, others=what.others, seed=what.seed)
        version = registry.register(journey, what.folder, tags, verdict.text, run_id=run.run_id)
        try:
            run.tie(version, trained)
        except Unavailable as error:
            # The version is whole; only its page lacks numbers that its run has.
            return version, (f"version {version.version} is registered, but not its metrics: {error}",)
    return version, ()


def _as_challenger(registry: Registry, version: RegisteredVersion) -> tuple[bool, tuple[str, ...]]:
    """Makes a version the challenger, unless that would end a trial without a verdict."""
    old = registry.at_alias(version.journey, CHALLENGER)
    if old is not None and trial_share(old) > 0.0:
        note = (
            f"version {old.version} is on trial and stays the challenger; after the trial: "
            f"smallyes promote --version {version.version}"
        )
        return False, (note,)
    registry.set_alias(version.journey, CHALLENGER, version.version)
    return True, ()


def _next_look(registry: Registry, model: RegisteredModel | None, journey: str, live: str) -> int:
    """The number of the gate's next look: one more than versions judged against what is live now."""
    if model is None:
        return 1
    return 1 + sum(version.tags.get(JUDGED_AGAINST) == live for version in registry.versions(journey))


def _yardsticks(table: Table, trained: Trained) -> dict[str, Judged]:
    episodes = trained.splits.judge
    if not can_tell(table, episodes).any():
        return {}
    return {name: judge_policy(table, episodes, fixed_target(name, table.catalog)) for name in YARDSTICKS}
