"""``smallyes train``: learn from a log, judge, register."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from training.cli.context import Session, common_options, examples
from training.cli.logs import left_out, log_options, read_arrivals, tell_left_out


@click.command(
    "train",
    epilog=examples(
        "smallyes train --log log.parquet",
        "smallyes train --log logs/ --learner cautious --seed 2",
        "smallyes train --log march.csv --map map.yaml --json",
    ),
)
@log_options
@click.option(
    "--learner",
    help="planned (looks ahead; the default), cautious (leaves what is live only for a large gain), behavior (what "
    "followed in the log), or your own as module:Class [default: planned, unless another is better beyond doubt].",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Same log and seed, same policy.")
@click.option("--threads", type=click.IntRange(1, 64), default=2, show_default=True, help="How much runs side by side.")
@common_options
def command(  # noqa: PLR0913, PLR0917 - one argument an option
    session: Session,
    logs: Sequence[str],
    mapping: Path | None,
    now_text: str | None,
    learner: str | None,
    seed: int,
    threads: int,
) -> None:
    """Learn what to ask next, judge it off-policy, and register it as the challenger.

    The visitors who came first teach, later ones choose among learners, the last ones judge. The gate answers better,
    worse, or not enough evidence; whatever it says, the version is registered, and nothing goes live by itself.
    """
    workspace = session.workspace()
    catalog = session.catalog(workspace)
    from policy.registry import Registry
    from training.job_view import render_job
    from training.jobs import run_job
    from training.learners.registry import learner as find_learner
    from training.sources import source_of_log
    from training.training import TrainingOptions

    if learner is not None:
        find_learner(learner)
    registry = Registry.create(workspace)
    log, arrivals = read_arrivals(logs, catalog, mapping, now_text)
    tell_left_out(log, arrivals, catalog)
    source = source_of_log(log, arrivals, catalog, ", ".join(logs))
    with session.progress("Learning", None) as progress:
        options = TrainingOptions(seed=seed, threads=threads, progress=lambda done, _total: progress(done))
        if learner is not None:
            options = TrainingOptions((learner,), seed, threads, options.progress)
        job = run_job(registry, catalog, source, options)
    session.answer({**job.to_json(), "left_out": left_out(log, arrivals)}, lambda console: render_job(job, console))
