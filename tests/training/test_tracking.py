"""What MLflow's pages show of a training: the run, its numbers, its data set, its figures, its model; or why not."""

from __future__ import annotations

import json
import math
import resource
import shutil
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from data.arrivals import arrange
from data.errors import BadInput, Unavailable
from data.log import read_log, write_frames
from data.workspace import Workspace
from policy.bundle import save_bundle
from policy.registry import RegisteredVersion, Registry
from tests.policy.registries import registry_workspace
from tests.training.trainings import CATALOG, Case, case, without_evidence
from training.figures import NAMES
from training.tracking import LogSource, Tracking, TrainingRun, log_digest

JOURNEY = CATALOG.journey


@pytest.fixture(scope="module")
def known() -> Case:
    return case()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return registry_workspace(tmp_path_factory.mktemp("tracking"))


@pytest.fixture(scope="module")
def registry(place: Workspace) -> Registry:
    return Registry.open(place)


@pytest.fixture
def copied(place: Workspace, tmp_path: Path) -> Workspace:
    """A workspace of its own for tests that break it."""
    return registry_workspace(tmp_path / "own")


def source_of(known: Case) -> LogSource:
    return LogSource("logs/may.parquet", log_digest(known.frame), known.frame.height)


def run_and(registry: Registry, name: str, act: Callable[[TrainingRun], None]) -> None:
    with Tracking(registry).run(JOURNEY, name) as run:
        act(run)


def throw(error: BaseException, run: TrainingRun) -> None:
    raise error


def last_run(registry: Registry, name: str) -> Any:
    """The only run of that name, as MLflow lists it."""
    found = registry.client.search_runs([registry.experiment_id], f"attributes.run_name = '{name}'", max_results=1)
    return found[0].info


def bundle(folder: Path, known: Case) -> Path:
    made = known.trained.candidate
    save_bundle(folder, scorer=made.scorer, explorer=made.explorer, catalog=CATALOG, spec=known.trained.spec, info={})
    return folder


@pytest.fixture(scope="module")
def logged(
    known: Case, registry: Registry, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, RegisteredVersion, Path]:
    """The run as MLflow has it, the version, and the run's files."""
    scratch = tmp_path_factory.mktemp("logged")
    with Tracking(registry).run(JOURNEY, "train by hand") as run:
        run.log_training(known.table, known.trained, source=source_of(known), others=known.others, seed=7)
        folder = bundle(scratch / "bundle", known)
        version = registry.register(JOURNEY, folder, {"gate": "better"}, "by hand", run_id=run.run_id)
        run.tie(version, known.trained)
    (scratch / "files").mkdir()
    registry.client.download_artifacts(run.run_id, "", str(scratch / "files"))
    return registry.client.get_run(run.run_id), version, scratch / "files"


def test_the_run_says_what_was_learned_from_what_and_how(known: Case, logged: Any) -> None:
    run, version, _ = logged
    assert (run.info.status, run.info.run_name, version.run_id) == ("FINISHED", "train by hand", run.info.run_id)
    tags = run.data.tags
    assert (tags["learner"], tags["gate"], tags["journey"]) == ("by hand", known.trained.verdict.answer, JOURNEY)
    assert tags["mlflow.note.content"] == known.trained.verdict.text
    assert tags["version"] == str(version.version)
    params = run.data.params
    assert (params["learner"], params["seed"], params["explorer"], params["explorer.floor"]) == (
        ("by hand", "7", "greedy", "0.6")
    )
    assert params["catalog_digest"] == CATALOG.digest
    assert params["n_episodes"] == str(known.table.n_episodes)
    assert params["n_steps"] == params["fact.n_steps"] == str(len(known.table))
    assert params["episodes.judge"] == str(int(known.trained.splits.judge.sum()))
    assert params["fact.unlucky"] == "unknown"
    assert params["log_digest"] == log_digest(known.frame)


def test_metrics_are_the_estimates_and_none_is_nan(known: Case, logged: Any) -> None:
    metrics = logged[0].data.metrics
    assert metrics
    assert all(math.isfinite(value) for value in metrics.values())
    judged, live, gap = known.trained.judged, known.trained.incumbent, known.trained.verdict.difference
    assert judged is not None
    assert live is not None
    policies = {"candidate": judged, "incumbent": live, **known.others}
    for name, one in policies.items():
        for estimator, found in one.estimates.items():
            assert metrics.get(f"{name}/{estimator}") == found.value
            assert metrics.get(f"{name}/{estimator}_low") == found.low
            assert metrics.get(f"{name}/{estimator}_high") == found.high
        assert metrics[f"{name}/effective_sample_size"] == one.diagnostics.effective_sample_size
        assert metrics[f"{name}/max_weight"] == one.diagnostics.max_weight
        assert metrics[f"{name}/removed_mass"] == one.removed_mass
    assert metrics["difference/value"] == gap.value
    promised, value = judged.estimates["dm"].value, judged.value.value
    assert promised is not None
    assert value is not None
    assert metrics["candidate/promised_value"] == promised
    assert metrics["candidate/optimism"] == pytest.approx(promised / value)


def test_the_log_is_the_runs_data_set_without_its_rows(known: Case, logged: Any) -> None:
    (given,) = logged[0].inputs.dataset_inputs
    digest = log_digest(known.frame)
    assert (given.dataset.name, given.dataset.digest) == ("logs/may.parquet", digest[:36])
    assert json.loads(given.dataset.profile) == {"num_rows": known.frame.height}
    assert {tag.key: tag.value for tag in given.tags} == {"mlflow.data.context": "training"}
    assert json.loads(given.dataset.source)["tags"] == {"log": "logs/may.parquet", "sha256": digest}
    columns = {one["name"]: one["type"] for one in json.loads(given.dataset.schema)["mlflow_colspec"]}
    assert columns["propensity"] == "double"
    assert "context.device" in columns
    from mlflow.data import get_source

    assert get_source(given).to_dict()["tags"]["sha256"] == digest


def test_figures_and_texts_are_artifacts(known: Case, logged: Any) -> None:
    files = logged[2]
    pictures = sorted(path.name for path in (files / "figures").iterdir())
    assert pictures == sorted(f"{name}.png" for name in NAMES)
    assert all((files / "figures" / name).read_bytes().startswith(b"\x89PNG") for name in pictures)
    assert (files / "verdict.txt").read_text() == f"{known.trained.verdict.text}\n"
    assert (files / "selection.txt").read_text() == "by hand: the default\n"
    assert f"journey: {JOURNEY}" in (files / "catalog.yaml").read_text()
    found = json.loads((files / "evaluation.json").read_text(), parse_constant=pytest.fail)
    assert found["verdict"] == known.trained.verdict.to_json()
    assert found["policies"]["direct"]["estimates"]["dr"]["n"] == found["policies"]["direct"]["n_episodes"]
    assert found["facts"]["unlucky"] is None
    assert found["acceptance"]["bins"]


def test_estimates_are_tied_to_the_model_and_to_the_data_set(known: Case, registry: Registry, logged: Any) -> None:
    run, version, _ = logged
    model = registry.client.get_logged_model(version.tags["model_id"])
    tied = {metric.key: metric for metric in model.metrics}
    assert tied["candidate/dr"].value == run.data.metrics["candidate/dr"]
    assert {"candidate/effective_conversions", "difference/value"} <= set(tied)
    assert not any(key.startswith("incumbent/") for key in tied)
    assert {(one.dataset_name, one.dataset_digest) for one in tied.values()} == {
        ("logs/may.parquet", log_digest(known.frame)[:36])
    }
    assert {one.run_id for one in tied.values()} == {run.info.run_id}
    assert [one.model_id for one in run.outputs.model_outputs] == [model.model_id]
    found = registry.client.search_logged_models(
        [registry.experiment_id],
        filter_string="metrics.`candidate/dr` > 0",
        datasets=[{"dataset_name": "logs/may.parquet", "dataset_digest": log_digest(known.frame)[:36]}],
    )
    assert [one.model_id for one in found] == [model.model_id]
    assert len(registry.client.get_metric_history(run.info.run_id, "candidate/dr")) == 1


def test_nothing_about_a_visitor_leaves_the_log(known: Case, logged: Any, place: Workspace) -> None:
    visitors = known.frame["visitor_id"].unique().to_list()[:50]
    assert all(one.startswith("v3-") for one in visitors)
    assert place.mlflow_file is not None
    contents = [place.mlflow_file.read_bytes(), *(path.read_bytes() for path in logged[2].rglob("*") if path.is_file())]
    assert len(contents) > 8
    assert not any(one.encode() in content for one in visitors for content in contents)


def test_mlflows_global_state_is_left_alone(registry: Registry, logged: Any) -> None:
    import mlflow

    assert mlflow.get_tracking_uri() != registry.uri
    assert mlflow.last_active_run() is None
    with Tracking(registry).run(JOURNEY, "global"):
        assert mlflow.active_run() is None


def test_where_nothing_could_be_judged_there_are_reasons_instead_of_numbers(
    known: Case, registry: Registry, tmp_path: Path
) -> None:
    trained = without_evidence(known.trained)
    with Tracking(registry).run(JOURNEY, "blind") as run:
        run.log_training(known.table, trained, source=source_of(known))
        folder = bundle(tmp_path / "bundle", known)
        run.tie(registry.register(JOURNEY, folder, {}, run_id=run.run_id), trained)
    found = registry.client.get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert found.data.metrics == {}
    assert found.data.tags["gate"] == "not enough evidence"
    text = Path(registry.client.download_artifacts(run.run_id, "evaluation.json", str(tmp_path))).read_text()
    assert json.loads(text)["verdict"]["candidate"] == {
        "value": None, "low": None, "high": None, "n": 375, "reason": "no episode can tell",
    }  # fmt: skip


@pytest.mark.parametrize("error", [BadInput("nothing to learn"), KeyboardInterrupt(), SystemExit(3)])
def test_a_training_that_breaks_off_leaves_a_failed_run(registry: Registry, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        run_and(registry, "broken", partial(throw, error))
    assert caught.value is error
    info = last_run(registry, "broken")
    assert info.status == "FAILED"
    assert info.end_time >= info.start_time


def test_nothing_is_tied_before_it_is_logged(known: Case, registry: Registry, logged: Any) -> None:
    with pytest.raises(ValueError, match="log_training comes before tie"):
        run_and(registry, "early", lambda run: run.tie(logged[1], known.trained))


def test_several_trainings_log_side_by_side(known: Case, registry: Registry) -> None:
    done: list[str] = []

    def train() -> None:
        with Tracking(registry).run(JOURNEY, "beside") as run:
            run.log_training(known.table, known.trained, source=source_of(known))
        done.append(run.run_id)

    threads = [threading.Thread(target=train) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statuses = [registry.client.get_run(run_id).info.status for run_id in done]
    assert statuses == ["FINISHED"] * 2


def test_a_database_that_goes_away_meanwhile_is_an_error_and_no_new_one_appears(known: Case, copied: Workspace) -> None:
    file = copied.mlflow_file
    assert file is not None
    registry = Registry.open(copied)

    def lose(run: TrainingRun) -> None:
        file.unlink()
        run.log_training(known.table, known.trained, source=source_of(known))

    with pytest.raises(Unavailable, match=r"mlflow\.db"):
        run_and(registry, "lost", lose)
    assert not file.exists()
    with pytest.raises(Unavailable, match=r"mlflow\.db"):
        run_and(registry, "never begun", lose)
    assert not file.exists()


def test_artifacts_that_cannot_be_stored_fail_the_run(known: Case, copied: Workspace) -> None:
    registry = Registry.open(copied)
    assert copied.mlflow_artifacts is not None
    shutil.rmtree(copied.mlflow_artifacts)
    copied.mlflow_artifacts.write_text("not a folder")
    with pytest.raises(Unavailable, match="logging a run's files: "):
        run_and(
            registry,
            "no place",
            lambda run: run.log_training(known.table, known.trained, source=source_of(known)),
        )
    assert last_run(registry, "no place").status == "FAILED"


def test_a_full_disk_is_said_in_a_sentence(known: Case, copied: Workspace) -> None:
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)

    def log(run: TrainingRun) -> None:
        # Python ignores the signal: writing beyond 400 bytes of any file is an error, as on a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (400, unlimited[1]))
        try:
            run.log_training(known.table, known.trained, source=source_of(known))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)

    registry = Registry.open(copied)
    with pytest.raises(Unavailable, match=r"logging a run.*the disk is full"):
        run_and(registry, "full", log)
    assert last_run(registry, "full").status == "FAILED"


CHANGES: list[Callable[[pl.DataFrame], pl.DataFrame]] = [
    lambda frame: frame.head(frame.height - 1),
    lambda frame: pl.concat([frame, frame.head(1)]),
    lambda frame: frame.with_columns(propensity=pl.col("propensity") * (1 + 2**-52)),
    lambda frame: frame.with_columns(at=pl.col("at") + pl.duration(microseconds=1)),
    lambda frame: frame.with_columns(eligible=pl.col("eligible").list.head(1)),
    lambda frame: frame.with_columns(pl.col("context.device").fill_null("").str.to_uppercase()),
    lambda frame: frame.with_columns(learn=pl.lit(value=False)),
    lambda frame: frame.with_columns(order_id=pl.col("signal"), signal=pl.col("order_id")),
]


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_is_otherwise_in_a_log_changes_its_digest(
    known: Case, change: Callable[[pl.DataFrame], pl.DataFrame]
) -> None:
    assert log_digest(change(known.frame)) != log_digest(known.frame)


def test_order_columns_and_marks_of_arrival_do_not_change_the_digest(known: Case, tmp_path: Path) -> None:
    frame, digest = known.frame, log_digest(known.frame)
    assert len(digest) == 64
    assert log_digest(frame.sample(fraction=1.0, shuffle=True, seed=2)) == digest
    assert log_digest(frame.select(reversed(frame.columns))) == digest
    assert log_digest(frame.with_columns(pl.lit(None, dtype=pl.String).alias("context.new"))) == digest
    assert log_digest(arrange(frame, CATALOG).frame) == digest
    for name in ("log.parquet", "log.csv"):
        write_frames(tmp_path / name, iter([frame]))
        assert log_digest(read_log(tmp_path / name, quarantine_to=False).frame) == digest, name


def test_cells_that_are_joined_are_not_taken_for_others() -> None:
    def of(visitor: str | None, ask: str | None) -> str:
        rows = [{"visitor_id": visitor, "ask_id": ask}, {"visitor_id": "w", "ask_id": "q"}]
        return log_digest(pl.DataFrame(rows, schema={"visitor_id": pl.String, "ask_id": pl.String}))

    cells = [("ab", "c"), ("a", "bc"), ("a", None), (None, "a"), ("a", "-"), ("a", ""), ("1:a", "b"), (None, None)]
    assert len({of(*pair) for pair in cells}) == len(cells)
    assert log_digest(pl.DataFrame()) != log_digest(pl.DataFrame({"ask_id": ["a"]}))
