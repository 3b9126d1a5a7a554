"""``smallyes simulate``: a log of a simulated site whose truth is known."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import click

from data.clock import from_iso, now
from data.errors import BadInput, BadLog
from data.stores.protocol import Store
from training.cli.context import Session, common_options, examples

if TYPE_CHECKING:
    from data.simulator.world import World
    from policy.live import LiveJourney

STARTED_AT = "2026-01-05T00:00:00Z"
POLICIES = ("random", "baseline", "direct", "day-zero", "champion")
LARGE = 20_000


@dataclass(frozen=True)
class Plan:
    """What is to be simulated."""

    n_visitors: int
    policy: str
    seed: int
    out: Path
    world: str
    started_at: int


@click.command(
    "simulate",
    epilog=examples(
        "smallyes simulate --visitors 3000 --policy day-zero --seed 1 --out log.parquet",
        "smallyes simulate --visitors 500 --policy random --world no_effects --out nothing.csv",
    ),
)
@click.option("--visitors", type=click.IntRange(1, 10_000_000), required=True, help="How many visitors come.")
@click.option(
    "--policy", type=click.Choice(POLICIES), default="day-zero", show_default=True, help="Which policy decides."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same log.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File: .parquet, .csv or .ndjson.")
@click.option("--world", default="skincare", show_default=True, help="The simulated world.")
@click.option("--start", default=STARTED_AT, show_default=True, help="When the first visitor comes.")
@common_options
def command(session: Session, **options: Any) -> None:
    """Send simulated visitors through the real decision path and write what happened as a log.

    random, baseline and direct are fixed policies; day-zero is what a new workspace serves (the baseline with
    exploration); champion is the workspace's live policy.
    """
    plan = Plan(
        n_visitors=options["visitors"],
        policy=options["policy"],
        seed=options["seed"],
        out=options["out"],
        world=options["world"],
        started_at=_instant(options["start"]),
    )
    answer = _simulate(session, plan)
    conversion = answer["conversion"]
    session.answer(
        answer,
        f"Wrote {answer['rows']} rows of {plan.n_visitors} visitors to {plan.out}. "
        f"{100 * conversion['value']:.2f} % of them converted "
        f"(95 % interval {100 * conversion['low']:.2f} to {100 * conversion['high']:.2f} %).",
    )


def _instant(text: str) -> int:
    try:
        return from_iso(text)
    except ValueError:
        raise BadInput(f"--start: {text!r} is no time; allowed: like {STARTED_AT}") from None


def _simulate(session: Session, plan: Plan) -> dict[str, Any]:
    from data.log import write_log
    from data.log.files import format_of, unknown_format
    from data.simulator.clock import SimulatedClock
    from data.simulator.drive import DriveOptions, drive
    from data.simulator.worlds import world as find_world
    from policy.site import LocalSite
    from training.intervals import wilson

    if format_of(plan.out) is None:
        raise BadLog([unknown_format(plan.out)])
    world = find_world(plan.world)
    live = _live(session, plan.policy, world)
    clock = SimulatedClock(plan.started_at)
    with _store(plan) as store, session.progress("Visitors", plan.n_visitors) as progress:
        site = LocalSite(store, live, f"simulate-{plan.seed}".encode(), clock, Random(plan.seed).randbytes)  # noqa: S311 - a simulation is to be repeatable
        options = DriveOptions(clock=clock, progress=lambda done, _total: progress(done))
        truth = drive(
            world, site, n_visitors=plan.n_visitors, seed=plan.seed, started_at=plan.started_at, options=options
        )
        n_rows = write_log(plan.out, store.log(live.catalog.journey))
        counts = store.counts()
    interval = wilson(int(truth.is_converted.sum()), plan.n_visitors)
    return {
        "out": str(plan.out),
        "world": plan.world,
        "policy": plan.policy,
        "seed": plan.seed,
        "visitors": plan.n_visitors,
        "rows": n_rows,
        "decisions": counts["decisions"],
        "conversion": {"value": interval.value, "low": interval.low, "high": interval.high},
    }


def _live(session: Session, policy: str, world: World) -> LiveJourney:
    """What decides: a fixed policy in the world's catalog, or the workspace's champion."""
    from policy.live import LiveJourney
    from policy.site import all_to

    if policy == "day-zero":
        return LiveJourney(world.catalog)
    if policy != "champion":
        return LiveJourney(all_to(world.catalog, policy))
    from policy.following import Following

    workspace = session.workspace()
    following = Following(workspace.journeys, workspace.policies, now)
    live = following.live.get(world.catalog.journey)
    if live is None or live.champion is None:
        why = f": {live.trouble}" if live is not None and live.trouble else ""
        raise BadInput(f"--policy champion: {workspace.root} has no live champion for {world.catalog.journey!r}{why}")
    return live


@contextmanager
def _store(plan: Plan) -> Iterator[Store]:
    """In memory for small runs, in a file that goes away afterwards for large ones."""
    from data.stores.registry import open_store

    with tempfile.TemporaryDirectory(prefix="smallyes-") as folder:
        url = "memory:" if plan.n_visitors <= LARGE else f"sqlite:///{folder}/simulation.db"
        store = open_store(url)
        try:
            yield store
        finally:
            store.close()
