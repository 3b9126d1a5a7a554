"""A training for people: values with their uncertainty, the verdict, and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.intervals import Interval

if TYPE_CHECKING:
    from rich.console import Console

    from training.jobs import Job
    from training.judging import Judged


def render_job(job: Job, console: Console) -> None:
    """Prints a training."""
    trained = job.trained
    splits = trained.splits
    console.print(
        f"Learned from {int(splits.fit.sum()):,} settled episodes and the answers of {int(splits.young.sum()):,} young "
        f"ones, selected on {int(splits.select.sum()):,}, judged on the last {int(splits.judge.sum()):,}."
    )
    for name, words in trained.selection.items():
        console.print(f"  {name}: {words}")
    rows = {} if trained.incumbent is None else {"what is live": trained.incumbent}
    rows |= {name: judged for name, judged in job.others.items() if name not in rows}
    if trained.judged is not None:
        render_values({f"candidate ({trained.candidate.name})": trained.judged, **rows}, console)
    console.print(trained.verdict.text)
    for note in job.notes:
        console.print(f"note: {note}")
    if job.version is not None:
        console.print(next_step(job))


def render_values(rows: dict[str, Judged], console: Console) -> None:
    """A table of policies: value, interval, and how much of the log speaks of each."""
    from rich.table import Table as Grid

    grid = Grid(title="What each policy would have earned an episode, by this log")
    for column in ("policy", "value", "95 % interval", "worth episodes", "conversions", "largest weight"):
        grid.add_column(column, justify="left" if column == "policy" else "right")
    for name, judged in rows.items():
        found = judged.diagnostics
        grid.add_row(
            name,
            amount(judged.value.value),
            bounds(judged.value),
            f"{found.effective_sample_size:,.0f}",
            f"{found.effective_conversions:,.0f}",
            f"{found.max_weight:,.1f}",
        )
    console.print(grid)


def amount(value: float | None) -> str:
    """A value, or that there is none.

    Example:
        >>> amount(0.0745), amount(None)
        ('0.0745', 'no estimate')
    """
    return "no estimate" if value is None else f"{value:.4f}"


def bounds(interval: Interval) -> str:
    """The ends of an interval, or why there are none.

    Example:
        >>> bounds(Interval(0.05, 0.04, 0.06, 100))
        '0.0400 to 0.0600'
    """
    if interval.low is None or interval.high is None:
        return "none"
    return f"{interval.low:.4f} to {interval.high:.4f}"


def next_step(job: Job) -> str:
    """What to do with the version, in one sentence."""
    if job.version is None:
        return ""
    number, trial = job.version.version, job.trained.verdict.trial
    named = f"Registered as version {number}" + (", the challenger." if job.is_challenger else ".")
    if job.trained.verdict.answer == "better":
        return f"{named} Go live: smallyes promote"
    if trial is not None:
        return f"{named} Find out on visitors: smallyes promote --version {number} --trial {trial.share:g}"
    return f"{named} It is not to go live."
