"""Runs in MLflow: what a training was made from, what it found, and its figures. Nothing else logs runs.

Everything goes through the registry's own client; MLflow's global state (tracking URI, active run) is never touched.
No row of the log and nothing about a single visitor is stored: only its digest, its columns' names, and counts.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from data.catalog import digest_of, dump_catalog
from data.clock import now
from data.log.schema import COLUMNS, PREFIXES
from policy.mlflow_trouble import explained
from policy.registry import RegisteredVersion, Registry
from training.figures import figures_of, opinions_of, png_of
from training.intervals import Interval
from training.judging import ESTIMATOR, Judged

if TYPE_CHECKING:
    from training.table import Table
    from training.training import Trained

CANDIDATE: Final = "candidate"
INCUMBENT: Final = "incumbent"
_PROMISED: Final = "dm"
"""The estimator that believes the model: what the policy promises of itself."""
_DATASET_DIGEST: Final = 36
"""MLflow keeps no longer digest of a dataset."""
_LONGEST_VALUE: Final = 500
_SLICE: Final = 50_000
_NAME: Final = re.compile(r"[^\w. /-]", re.ASCII)


@dataclass(frozen=True, slots=True)
class LogSource:
    """The log of a training.

    Attributes:
        name: what people know it by, like its path.
        digest: its ``log_digest``.
        n_rows: how many rows it has.
    """

    name: str
    digest: str
    n_rows: int


class Tracking:
    """Makes runs in a registry's MLflow."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @contextmanager
    def run(self, journey: str, name: str) -> Iterator[TrainingRun]:
        """A run that is ``FINISHED`` at the end of the block, or ``FAILED`` when anything is raised in it.

        Args:
            journey: whose training it is.
            name: the run's name on MLflow's pages.

        Raises:
            Unavailable: MLflow is away, busy or full; a version that was registered in the block stays registered.
                What is raised in the block leaves as it is.
        """
        registry = self._registry
        registry.check()
        tags = {"journey": journey, "mlflow.source.name": "smallyes", "mlflow.source.type": "LOCAL"}
        experiment = registry.experiment_id
        with explained(registry.uri, "starting a run"):
            run_id = str(registry.client.create_run(experiment, run_name=name, tags=tags).info.run_id)
        try:
            yield TrainingRun(registry, run_id)
        except BaseException:
            # Where this fails as well, the first error is the one to tell.
            with suppress(Exception):
                self._end(run_id, "FAILED")
            raise
        self._end(run_id, "FINISHED")

    def _end(self, run_id: str, status: str) -> None:
        self._registry.check()
        with explained(self._registry.uri, "ending a run"):
            self._registry.client.set_terminated(run_id, status)


class TrainingRun:
    """One run of MLflow that is going on; ``Tracking.run`` makes it.

    Attributes:
        run_id: MLflow's id of it.
    """

    def __init__(self, registry: Registry, run_id: str) -> None:
        self.run_id = run_id
        self._registry = registry
        self._logged: tuple[LogSource, int] | None = None

    def log_training(
        self,
        table: Table,
        trained: Trained,
        *,
        source: LogSource,
        others: Mapping[str, Judged] | None = None,
        seed: int | None = None,
    ) -> None:
        """Logs parameters, estimates, the data set's digest, texts and figures.

        Args:
            table: the log that was learned from.
            trained: what came out.
            source: which log it was.
            others: further policies judged on the same episodes, by the name to be shown.
            seed: of the training.

        Raises:
            Unavailable: MLflow is away, busy or full.
        """
        policies = _policies(trained, others or {})
        texts, pictures = _texts_and_pictures(table, trained, source, others or {})
        at = now() // 1_000
        numbers = _numbers_of_gap(trained.verdict.difference)
        for name, judged in policies.items():
            numbers |= _numbers_of(name, judged)
        params = _params(table, trained, source) | ({} if seed is None else {"seed": str(seed)})
        tags = {
            "learner": trained.candidate.name,
            "gate": trained.verdict.answer,
            "mlflow.note.content": trained.verdict.text,
        }
        from mlflow.entities import Metric, Param, RunTag

        with self._writing("logging a run") as client:
            client.log_batch(
                self.run_id,
                metrics=[Metric(key, value, at, 0) for key, value in numbers.items()],
                params=[Param(key, value) for key, value in params.items()],
                tags=[RunTag(key, value) for key, value in tags.items()],
            )
            client.log_inputs(self.run_id, [_dataset(table, source)])
        self._log_files({**texts, **pictures})
        self._logged = source, at

    def tie(self, version: RegisteredVersion, trained: Trained) -> None:
        """Ties the estimates to the registered model and to the data set that they come from.

        Args:
            version: what the run registered.
            trained: the same as was logged.

        Raises:
            ValueError: nothing was logged yet.
            Unavailable: MLflow is away, busy or full.
        """
        if self._logged is None:
            raise ValueError("log_training comes before tie: the estimates have no data set yet")
        from mlflow.entities import Metric, RunTag

        source, at = self._logged
        model_id = version.tags.get("model_id")
        numbers = {**_numbers_of(CANDIDATE, trained.judged), **_numbers_of_gap(trained.verdict.difference)}
        # The same instant and step as in log_training: the run's own charts keep one point each.
        metrics = [
            Metric(
                key,
                value,
                at,
                0,
                model_id=model_id,
                dataset_name=_dataset_name(source),
                dataset_digest=source.digest[:_DATASET_DIGEST],
            )
            for key, value in numbers.items()
        ]
        with self._writing("tying a run to its model") as client:
            client.log_batch(
                self.run_id,
                metrics=metrics if model_id else [],
                tags=[RunTag("version", str(version.version))],
            )

    def _log_files(self, contents: Mapping[str, bytes]) -> None:
        with self._writing("logging a run's files") as client, tempfile.TemporaryDirectory(prefix="smallyes-") as place:
            for name, content in contents.items():
                file = Path(place) / name
                file.parent.mkdir(exist_ok=True)
                file.write_bytes(content)
            client.log_artifacts(self.run_id, place)

    @contextmanager
    def _writing(self, doing: str) -> Iterator[Any]:
        # MLflow would make an empty database in the place of a lost one.
        self._registry.check()
        with explained(self._registry.uri, doing):
            yield self._registry.client


def log_digest(frame: pl.DataFrame) -> str:
    """SHA-256 of a log's rows, whatever their order and that of their columns.

    Every column of a log counts, and every feature; columns that are empty throughout do not, nor those that are no
    part of a log. Each row is written in one way, hashed, and the hashes are added up modulo 2^256: that needs no
    sorting, and little memory.

    Reference:
        M. Bellare, D. Micciancio (1997), A new paradigm for collision-free hashing: incrementality at reduced cost.
        EUROCRYPT: AdHash.

    Args:
        frame: rows with the columns of ``data.log.schema``.

    Example:
        >>> rows = pl.DataFrame({"visitor_id": ["a", "b"], "type": ["shown", "left"], "value": [None, 2.0]})
        >>> log_digest(rows) == log_digest(rows.reverse())
        True
        >>> log_digest(rows) == log_digest(rows.with_columns(value=pl.lit(1.0)))
        False
    """
    names = [name for name in frame.columns if name in COLUMNS or name.startswith(PREFIXES)]
    names = sorted(name for name in names if frame[name].null_count() < frame.height)
    total = 0
    for start in range(0, frame.height if names else 0, _SLICE):
        part = frame[start : start + _SLICE]
        rows = part.select(pl.concat_str([_netstring(part[name]) for name in names])).to_series()
        for row in rows.to_list():
            total += int.from_bytes(hashlib.sha256(row.encode()).digest(), "big")
    head = json.dumps([frame.height, names, f"{total % 2**256:064x}"])
    return hashlib.sha256(head.encode()).hexdigest()


def _netstring(column: pl.Series) -> pl.Series:
    """Every cell with its length before it, so that cells joined cannot be taken for others; null is ``-``."""
    text = _text(column)
    known = pl.DataFrame({"text": text}).select(
        pl.when(pl.col("text").is_null())
        .then(pl.lit("-"))
        .otherwise(pl.concat_str(pl.col("text").str.len_bytes().cast(pl.String), pl.lit(":"), pl.col("text")))
    )
    return known.to_series().alias(column.name)


def _text(column: pl.Series) -> pl.Series:
    """A cell as text that no version writes in another way: numbers as the bits of a float, times as microseconds."""
    dtype = column.dtype
    if dtype.is_numeric():
        numbers = column.cast(pl.Float64)
        bits = pl.Series(column.name, (numbers.fill_null(0.0).to_numpy() + 0.0).view("int64")).cast(pl.String)
        return bits.set(numbers.is_null(), None)
    if isinstance(dtype, pl.Datetime):
        return column.dt.timestamp("us").cast(pl.String)
    if dtype == pl.List(pl.String):
        return column.list.eval(pl.element().fill_null("")).list.join("\x1f")
    return column.cast(pl.String)


def _texts_and_pictures(
    table: Table, trained: Trained, source: LogSource, others: Mapping[str, Judged]
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Contents of the run's files by path."""
    said = opinions_of(table, trained)
    numbers = {
        "verdict": trained.verdict.to_json(),
        "selection": dict(trained.selection),
        "facts": dict(trained.candidate.facts),
        "episodes": _counts(trained),
        "policies": {name: _plain_judged(one) for name, one in _policies(trained, others).items()},
        "acceptance": said.quality().to_json(),
        "log": {"name": source.name, "digest": source.digest, "n_rows": source.n_rows},
    }
    texts = {
        "verdict.txt": f"{trained.verdict.text}\n",
        "selection.txt": "".join(f"{name}: {words}\n" for name, words in trained.selection.items()),
        "catalog.yaml": dump_catalog(table.catalog),
        "evaluation.json": json.dumps(_without_nan(numbers), allow_nan=False, indent=2) + "\n",
    }
    drawn = figures_of(table, trained, others, said)
    pictures = {f"figures/{name}.png": png_of(figure) for name, figure in drawn.items()}
    return {name: text.encode() for name, text in texts.items()}, pictures


def _policies(trained: Trained, others: Mapping[str, Judged]) -> dict[str, Judged]:
    """The policies that were judged, by the name their metrics begin with."""
    first = {CANDIDATE: trained.judged, INCUMBENT: trained.incumbent}
    known = {name: judged for name, judged in first.items() if judged is not None}
    return {**{_NAME.sub("_", name): judged for name, judged in others.items()}, **known}


def _numbers_of(name: str, judged: Judged | None) -> dict[str, float]:
    """The metrics of a policy: what is no finite number is left out."""
    if judged is None:
        return {}
    numbers: dict[str, float | None] = {}
    for estimator, found in judged.estimates.items():
        numbers |= {estimator: found.value, f"{estimator}_low": found.low, f"{estimator}_high": found.high}
    diagnostics = judged.diagnostics
    numbers |= {
        "effective_sample_size": diagnostics.effective_sample_size,
        "effective_conversions": diagnostics.effective_conversions,
        "max_weight": diagnostics.max_weight,
        "mean_weight": diagnostics.mean_weight,
        "n_episodes": diagnostics.n_episodes,
        "removed_mass": judged.removed_mass,
    }
    promised, likely = _number(numbers.get(_PROMISED)), _number(judged.value.value)
    if name == CANDIDATE and promised is not None:
        numbers["promised_value"] = promised
        if likely is not None and likely > 0:
            numbers["optimism"] = promised / likely
    finite = {key: _number(value) for key, value in numbers.items()}
    return {f"{name}/{key}": value for key, value in finite.items() if value is not None}


def _numbers_of_gap(gap: Interval) -> dict[str, float]:
    numbers = {"value": gap.value, "low": gap.low, "high": gap.high, "level": gap.level}
    finite = {key: _number(value) for key, value in numbers.items()}
    return {f"difference/{key}": value for key, value in finite.items() if value is not None and gap.value is not None}


def _number(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _plain_judged(judged: Judged) -> dict[str, Any]:
    return {
        "policy": judged.target.name,
        "speaks": ESTIMATOR,
        "estimates": {
            name: {**found.to_json(), "level": found.level} for name, found in sorted(judged.estimates.items())
        },
        "effective_sample_size": judged.diagnostics.effective_sample_size,
        "effective_conversions": judged.diagnostics.effective_conversions,
        "max_weight": judged.diagnostics.max_weight,
        "mean_weight": judged.diagnostics.mean_weight,
        "n_episodes": judged.diagnostics.n_episodes,
        "removed_mass": judged.removed_mass,
    }


def _params(table: Table, trained: Trained, source: LogSource) -> dict[str, str]:
    explorer, catalog = trained.candidate.explorer, table.catalog
    live = "day zero" if trained.incumbent is None else trained.incumbent.target.name
    params: dict[str, object] = {
        "learner": trained.candidate.name,
        "scorer": trained.candidate.scorer.name,
        "explorer": explorer.name,
        **{f"explorer.{name}": getattr(explorer, name) for name in explorer.__dataclass_fields__},
        "features": trained.spec.fingerprint,
        "catalog_digest": catalog.digest or digest_of(catalog),
        "reward": catalog.reward,
        "log": source.name,
        "log_digest": source.digest,
        "n_rows": source.n_rows,
        "n_episodes": table.n_episodes,
        "n_steps": len(table),
        **{f"episodes.{name}": count for name, count in _counts(trained).items()},
        "look": trained.verdict.look,
        **({} if trained.incumbent is None else {"incumbent": live}),
        **{f"fact.{_NAME.sub('_', name)}": value for name, value in trained.candidate.facts.items()},
    }
    return {name: _param(value) for name, value in params.items()}


def _param(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else "unknown"
    return str(value)[:_LONGEST_VALUE]


def _counts(trained: Trained) -> dict[str, int]:
    """How many episodes did what."""
    splits = trained.splits
    parts = {"fit": splits.fit, "young": splits.young, "select": splits.select, "judge": splits.judge}
    return {name: int(part.sum()) for name, part in parts.items()}


def _dataset(table: Table, source: LogSource) -> Any:
    """The log as an input of a run: its digest, columns and size, none of its rows."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(
        name=_dataset_name(source),
        digest=source.digest[:_DATASET_DIGEST],
        source_type="code",
        source=json.dumps({"tags": {"log": source.name[:_LONGEST_VALUE], "sha256": source.digest}}),
        schema=json.dumps({"mlflow_colspec": _columns(table)}),
        profile=json.dumps({"num_rows": source.n_rows}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])


def _columns(table: Table) -> list[dict[str, Any]]:
    """The log's columns for MLflow: names and types."""
    frame = table.decisions
    named = ((name, frame.schema[name]) for name in frame.columns if name in COLUMNS or name.startswith(PREFIXES))
    return [{"type": _mlflow_type(dtype), "name": name, "required": False} for name, dtype in named]


def _mlflow_type(dtype: pl.DataType) -> str:
    if dtype == pl.Boolean:
        return "boolean"
    if dtype.is_numeric():
        return "double"
    return "datetime" if dtype.is_temporal() else "string"


def _dataset_name(source: LogSource) -> str:
    return source.name[:_LONGEST_VALUE] or "log"


def _without_nan(value: Any) -> Any:
    """Plain values in which every number is one."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _without_nan(one) for key, one in value.items()}
    return [_without_nan(one) for one in value] if isinstance(value, list | tuple) else value
