"""``smallyes evaluate``: what a policy would have earned on a log."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from data.errors import BadInput
from training.cli.context import Session, common_options, examples
from training.cli.logs import left_out, log_options, read_arrivals, tell_left_out

if TYPE_CHECKING:
    from data.domain import Catalog
    from data.workspace import Workspace
    from training.judging import Target

FIXED = ("baseline", "direct", "random")


@click.command(
    "evaluate",
    epilog=examples(
        "smallyes evaluate --log log.parquet --policy champion", "smallyes evaluate --log log.parquet --policy direct"
    ),
)
@log_options
@click.option("--policy", required=True, help="champion, challenger, baseline, direct, random, or a version's number.")
@common_options
def command(session: Session, logs: Sequence[str], mapping: Path | None, now_text: str | None, policy: str) -> None:
    """Estimate off-policy what a policy would earn an episode, with intervals, and how much the log can say of it.

    All settled episodes that drew their asks by chance are used. A log that trained a policy flatters it.
    """
    workspace = session.workspace()
    catalog = session.catalog(workspace)
    target, trained_on = _target(workspace, catalog, policy)
    log, arrivals = read_arrivals(logs, catalog, mapping, now_text)
    tell_left_out(log, arrivals, catalog)
    from training.evaluation import evaluate, render_evaluation
    from training.sources import source_of_log
    from training.tracking import log_digest

    source = source_of_log(log, arrivals, catalog, ", ".join(logs))
    notes = list(source.notes)
    if trained_on and trained_on == log_digest(arrivals.frame):
        notes.append("this very log trained the policy: what it says here flatters it; judge on later visitors")
    result = evaluate(source.table(catalog, 2), target, tuple(notes))
    answer = {**result.to_json(), "left_out": left_out(log, arrivals)}
    session.answer(answer, lambda console: render_evaluation(result, console))


def _target(workspace: Workspace, catalog: Catalog, name: str) -> tuple[Target, str]:
    """The policy, and the digest of the log it was trained on."""
    from training.judging import Target, fixed_target

    if name in FIXED:
        return fixed_target(name, catalog), ""
    from policy.bundle import load_bundle
    from policy.registry import CHALLENGER, CHAMPION, Registry

    registry = Registry.open(workspace)
    if name in (CHAMPION, CHALLENGER):
        version = registry.at_alias(catalog.journey, name)
        if version is None:
            raise BadInput(
                f"--policy {name}: the journey {catalog.journey!r} has no {name}; see: smallyes train --help"
            )
    elif name.isdecimal():
        version = registry.version(catalog.journey, int(name))
    else:
        raise BadInput(f"--policy: received {name!r}; allowed: champion, challenger, {', '.join(FIXED)}, or a version")
    with tempfile.TemporaryDirectory(prefix="smallyes-") as scratch:
        registry.download(version, Path(scratch) / "bundle")
        bundle = load_bundle(Path(scratch) / "bundle", catalog)
    label = f"{name} (version {version.version})" if name in (CHAMPION, CHALLENGER) else f"version {version.version}"
    return Target(label, bundle.policy, bundle.feature_spec), version.tags.get("log_digest", "")
