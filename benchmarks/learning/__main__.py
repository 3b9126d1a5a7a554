"""What learning is worth to invented visitors whose truth is exact: ``python -m benchmarks.learning planned|zero|all``.

``planned``: the whole training on the demonstration's day-zero log, and planned Q from few visitors against Q of the
behavior from many. ``zero``: how often a training promotes where nothing has any effect.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

import numpy as np

from benchmarks.learning.logs import played_log
from benchmarks.learning.play import bundle_decider, play
from data.arrivals import arrange
from data.domain import DAY
from data.simulator.search import best_sequence
from data.simulator.truth import clairvoyant_value, value_of_random, value_of_sequence
from data.simulator.world import World
from data.simulator.worlds import WORLDS
from data.simulator.worlds import world as world_of
from features.frames import learn_spec
from features.spec import FeatureSpec
from policy.explorers import Explorer, Greedy
from policy.policies import DayZero, Model, Policy, Uniform
from policy.scorers import Scorer
from training.incumbent import day_zero
from training.learners.protocol import Lessons
from training.learners.registry import learn
from training.splits import split
from training.table import Table, table_of
from training.training import Trained, TrainingOptions, train

N_TRUE = 40_000
"""Visitors that a policy's true value is counted over."""


def logged(world: World, policy: Policy, n: int, seed: int) -> Table:
    """The learning table of a log of ``n`` visitors, all of them old enough."""
    frame = played_log(world, policy, n, seed, label="baseline")
    latest = int(frame["at"].to_physical().max())  # type: ignore[arg-type]
    return table_of(arrange(frame, world.catalog), world.catalog, now=latest + 30 * DAY, threads=2)


def true_value(world: World, scorer: Scorer, explorer: Explorer, spec: FeatureSpec, seed: int) -> float:
    """Share of fresh visitors that a policy converts; the standard error is below .0025."""
    return play(world, bundle_decider(Model(scorer, explorer), spec), N_TRUE, seed).rate[0]


def whole(n: int, seeds: int) -> Iterator[str]:
    """The demonstration: what ``train`` makes of the day-zero log."""
    world = world_of("skincare")
    catalog = world.catalog
    clairvoyant = clairvoyant_value(world)
    _, best = best_sequence(world, 6)
    yield (
        f"skincare: random {value_of_random(world):.4f}, baseline {value_of_sequence(world, catalog.baseline):.4f}, "
        f"best fixed list {best:.4f}, clairvoyant {clairvoyant:.4f}"
    )
    for seed in range(1, seeds + 1):
        table = logged(world, DayZero(catalog.exploration.day_zero), n, seed)
        began = time.perf_counter()
        trained = train(table, day_zero(catalog), TrainingOptions(seed=seed, threads=2))
        took = time.perf_counter() - began
        chosen = trained.candidate
        greedy = true_value(world, chosen.scorer, Greedy(), trained.spec, 100 + seed)
        served = true_value(world, chosen.scorer, chosen.explorer, trained.spec, 200 + seed)
        yield (
            f"  {n} day-zero visitors, seed {seed}: {chosen.name}, greedy {greedy:.4f} ({greedy / clairvoyant:.0%} of "
            f"the clairvoyant), as served {served:.4f} ({served / clairvoyant:.0%}); judged {_judged(trained)}; "
            f"{trained.verdict.to_tags()['gate']}; {took:.0f} s"
        )


def few_against_many(seeds: int) -> Iterator[str]:
    """Planned Q from 3,000 random visitors and Q of the behavior from 20,000, greedy, in every world."""
    for name in WORLDS:
        world = world_of(name)
        for seed in range(1, seeds + 1):
            words = []
            for learner, n in (("planned", 3_000), ("behavior", 20_000)):
                lessons = _lessons(logged(world, Uniform(), n, seed), seed)
                began = time.perf_counter()
                scorer = learn(learner, lessons).scorer
                took = time.perf_counter() - began
                value = true_value(world, scorer, Greedy(), lessons.spec, 100 + seed)
                words.append(f"{learner} from {n}: {value:.4f} ({took:.0f} s)")
            yield f"{name}, seed {seed}: " + ", ".join(words)


def promotions(runs: int, n: int) -> Iterator[str]:
    """How often a training on a log without effects promotes what it learned."""
    world = world_of("no_effects")
    catalog, gates = world.catalog, []
    for seed in range(runs):
        table = logged(world, DayZero(catalog.exploration.day_zero), n, 1_000 + seed)
        trained = train(table, day_zero(catalog), TrainingOptions(seed=seed, threads=2))
        gates.append(trained.verdict.to_tags()["gate"])
        if seed % 10 == 9 or seed == runs - 1:
            counts = {str(gate): int(count) for gate, count in zip(*np.unique(gates, return_counts=True), strict=True)}
            yield f"no_effects, {seed + 1} trainings on {n} visitors each: {counts}"


def _judged(trained: Trained) -> str:
    if trained.judged is None:
        return "by nothing"
    value = trained.judged.value
    if value.value is None or value.low is None or value.high is None:
        return "without an estimate"
    return f"{value.value:.4f} ({value.low:.4f} to {value.high:.4f})"


def _lessons(table: Table, seed: int) -> Lessons:
    parts = split(table, fit=1.0, select=0.0)
    spec = learn_spec(table.catalog, table.decisions)
    lessons = Lessons(table, parts.teaching(table), parts.fit, spec, None, seed)
    return replace(lessons, threads=2)


def main() -> None:
    """Prints one line a result as soon as there is one."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning", description=__doc__)
    parser.add_argument("what", choices=("planned", "zero", "all"))
    parser.add_argument("--visitors", type=int, default=20_000, help="of each day-zero log of the demonstration")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--runs", type=int, default=100, help="trainings in the world without effects")
    parser.add_argument("--visitors-zero", type=int, default=3_000, help="of each log of that world")
    chosen = parser.parse_args()
    if chosen.what in ("planned", "all"):
        for line in chain(whole(chosen.visitors, chosen.seeds), few_against_many(chosen.seeds)):
            print(line, flush=True)
    if chosen.what in ("zero", "all"):
        for line in promotions(chosen.runs, chosen.visitors_zero):
            print(line, flush=True)


if __name__ == "__main__":
    main()
