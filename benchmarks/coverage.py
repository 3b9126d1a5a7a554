"""How often the intervals of `training.ope` hold the truth, in a world small enough to know it.

    python benchmarks/coverage.py [--logs 1000] [--quick] [--processes 1] [--estimators sntis,dr,...] [--seed 1]

The world: visitors of two kinds, up to four asks of three possible ones, of which one is the goal; what was accepted
before makes the goal likelier; about 3 % convert. Its values are computed over all states, not simulated. Each setting
is a behavior policy, a target policy at some distance from it and a number of episodes; predictions `q` are wrong by up
to half. `gap` is the paired difference to a policy near the behavior policy (`dr`), `gap_tis` the same without `q`.

A row is a range of effective sample sizes and an estimator: how many intervals were given (`claims`), how many hold the
truth, the one-sided binomial p value of that number at a coverage of 95 %, the same among all logs with "no estimate"
taken as no error (`honest`), median width, mean distance between value and truth, and how often the lower and the upper
end was wrong. Rows from an effective sample size of 30 up with p < 0.01 are marked.
`--quick` is for trying it out: 60 logs a setting.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from time import perf_counter

import numpy as np
from scipy.stats import binomtest

from training.ope import LoggedSteps, diagnostics, difference, estimate
from training.ope.logged import FloatArray

STEPS, ASKS, KINDS = 4, 3, 2
GOAL = ASKS - 1
BUCKETS = (0, 30, 100, 300, 1_000, 3_000, 10_000)
NAMES = ("tis", "sntis", "pdis", "snpdis", "dr", "sndr", "gap", "gap_tis")
STATES = (STEPS, KINDS, STEPS + 1)
"""Step, kind of visitor, asks accepted so far."""


@dataclass(frozen=True)
class Setting:
    """A behavior policy, a target policy and a number of episodes."""

    n: int
    behavior: float
    """How strongly the behavior policy prefers its favorite; 0 is uniform."""
    target: float
    """How strongly the target policy prefers its own favorite; 0 is the behavior policy, 1 deterministic."""

    def __str__(self) -> str:
        return f"{self.n} episodes, behavior {self.behavior:g}, target {self.target:g}"


SETTINGS = (
    Setting(1_000, 0.0, 0.1),
    Setting(1_000, 0.0, 0.5),
    Setting(1_000, 0.0, 1.0),
    Setting(1_000, 0.6, 0.4),
    Setting(3_000, 0.0, 0.3),
    Setting(3_000, 0.0, 0.8),
    Setting(3_000, 0.0, 1.0),
    Setting(3_000, 0.6, 0.3),
    Setting(3_000, 0.8, 0.7),
    Setting(10_000, 0.0, 0.6),
    Setting(10_000, 0.8, 0.5),
    Setting(10_000, 0.0, 1.0),
    Setting(20_000, 0.0, 0.3),
    Setting(20_000, 0.6, 0.15),
)


@dataclass(frozen=True)
class World:
    """Probabilities of yes, of going on, and of a yes to the goal, by state and ask."""

    accept: FloatArray
    goes_on: float = 0.75

    def values(self, policy: FloatArray) -> tuple[FloatArray, FloatArray, float]:
        """Q (states x asks) and V (states) of a policy, and its value."""
        q, v = np.zeros((*STATES, ASKS)), np.zeros((STEPS + 1, KINDS, STEPS + 2))
        for t in range(STEPS - 1, -1, -1):
            stay = self.goes_on if t < STEPS - 1 else 0.0
            yes, no = v[t + 1, :, 1 : STEPS + 2, None], v[t + 1, :, : STEPS + 1, None]
            p = self.accept[t]
            q[t] = p * stay * yes + (1 - p) * stay * no
            q[t, :, :, GOAL] = p[..., GOAL] + (1 - p[..., GOAL]) * stay * no[..., 0]
            v[t, :, : STEPS + 1] = (policy[t] * q[t]).sum(axis=-1)
        return q, v[:STEPS, :, : STEPS + 1], float(v[0, :, 0].mean())


@cache
def world() -> World:
    accept = np.zeros((*STATES, ASKS))
    for kind in range(KINDS):
        for k in range(STEPS + 1):
            accept[:, kind, k, 0] = 0.5 if kind == 0 else 0.2
            accept[:, kind, k, 1] = 0.25 if kind == 0 else 0.45
            accept[:, kind, k, GOAL] = min(0.008 + 0.03 * k, 0.1) * (1.0 if kind == 0 else 1.5)
    return World(accept)


def policy_of(strength: float, favorites: tuple[int, ...], start: FloatArray | None = None) -> FloatArray:
    """A mixture of a start (default: uniform) and a policy that takes the favorite of each step and kind."""
    start = np.full((*STATES, ASKS), 1 / ASKS) if start is None else start
    favorite = np.zeros_like(start)
    for t in range(STEPS):
        for kind in range(KINDS):
            favorite[t, kind, :, favorites[t] if kind == 0 or favorites[t] == GOAL else 1 - favorites[t]] = 1.0
    mixed: FloatArray = (1 - strength) * start + strength * favorite
    return mixed


def policies(setting: Setting) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Behavior, target, and the policy the target is compared with."""
    behavior = policy_of(setting.behavior, (1, GOAL, 0, GOAL))
    target = policy_of(setting.target, (0, 0, GOAL, GOAL), behavior)
    return behavior, target, policy_of(0.15, (0, GOAL, 1, GOAL), behavior)


@dataclass(frozen=True)
class Walk:
    """A log as drawn: the state and ask of each row."""

    episode: np.ndarray
    step: np.ndarray
    kind: np.ndarray
    accepted: np.ndarray
    ask: np.ndarray
    reward: FloatArray


def draw(behavior: FloatArray, n: int, rng: np.random.Generator) -> Walk:
    """Episodes under a behavior policy."""
    kind, accepted = rng.integers(KINDS, size=n), np.zeros(n, dtype=np.int64)
    here, parts = np.arange(n), []
    for t in range(STEPS):
        p = behavior[t, kind[here], accepted[here]]
        ask = (rng.random((len(here), 1)) > np.cumsum(p, axis=1)[:, :-1]).sum(axis=1)
        is_yes = rng.random(len(here)) < world().accept[t, kind[here], accepted[here], ask]
        is_won = is_yes & (ask == GOAL)
        parts.append((here, np.full(len(here), t), kind[here], accepted[here], ask, is_won.astype(float)))
        accepted[here] += is_yes
        here = here[~is_won & (rng.random(len(here)) < world().goes_on)]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.lexsort((columns[1], columns[0]))
    return Walk(*(column[order] for column in columns))


def judged(walk: Walk, behavior: FloatArray, target: FloatArray) -> LoggedSteps:
    """The log with a target policy's probabilities, wrong predictions and the largest possible ratios."""
    at = (walk.step, walk.kind, walk.accepted)
    q = world().values(target)[0] * np.random.default_rng(5).uniform(0.5, 1.5, (*STATES, ASKS))
    return LoggedSteps(
        episode=walk.episode,
        step=walk.step,
        reward=walk.reward,
        propensity=behavior[at][np.arange(len(walk.ask)), walk.ask],
        target=target[at][np.arange(len(walk.ask)), walk.ask],
        q=q[at][np.arange(len(walk.ask)), walk.ask],
        v=(target * q).sum(axis=-1)[at],
    )


@dataclass(frozen=True)
class Outcome:
    """One interval beside the truth."""

    name: str
    sample_size: float
    value: float | None
    low: float | None
    high: float | None
    truth: float


def one_log(task: tuple[Setting, int, tuple[str, ...]]) -> list[Outcome]:
    setting, seed, names = task
    behavior, target, other = policies(setting)
    walk = draw(behavior, setting.n, np.random.default_rng(seed))
    a, b = judged(walk, behavior, target), judged(walk, behavior, other)
    size = diagnostics(a).effective_sample_size
    truth, truth_b = (world().values(policy)[2] for policy in (target, other))
    found = dict(estimate(a, [name for name in names if not name.startswith("gap")]))
    for name, base in (("gap", "dr"), ("gap_tis", "tis")):
        if name in names:
            found[name] = difference(a, b, base)
    return [
        Outcome(name, size, i.value, i.low, i.high, truth - truth_b * name.startswith("gap"))
        for name, i in found.items()
    ]


def outcomes(logs: int, names: tuple[str, ...], processes: int, seed: int) -> Iterator[tuple[Setting, list[Outcome]]]:
    with ProcessPoolExecutor(processes) as pool:
        for i, setting in enumerate(SETTINGS):
            tasks = [(setting, seed * 10**6 + i * 10**5 + k, names) for k in range(logs)]
            yield setting, [o for found in pool.map(one_log, tasks, chunksize=10) for o in found]


def show(found: list[Outcome]) -> bool:
    """Prints one table; says whether every row from 30 up holds."""
    rows: dict[tuple[int, str], list[Outcome]] = defaultdict(list)
    for outcome in found:
        bucket = max(edge for edge in BUCKETS if edge <= outcome.sample_size)
        rows[bucket, outcome.name].append(outcome)
    print(
        f"{'ESS from':>9} {'estimator':9} {'logs':>6} {'claims':>6} {'cover':>6} {'p':>7} {'honest':>6} "
        f"{'width':>7} {'error':>7} {'low>':>6} {'high<':>6}  truth"
    )
    is_honest = True
    for (bucket, name), group in sorted(rows.items(), key=lambda row: (row[0][0], NAMES.index(row[0][1]))):
        given = [o for o in group if o.value is not None and o.low is not None and o.high is not None]
        if not given:
            print(f"{bucket:>9} {name:9} {len(group):>6} {0:>6}")
            continue
        low, high, truth, value = (np.array([getattr(o, k) for o in given]) for k in ("low", "high", "truth", "value"))
        n_held = int(((low <= truth) & (truth <= high)).sum())
        p = binomtest(n_held + len(group) - len(given), len(group), 0.95, alternative="less").pvalue
        is_bad = bucket >= 30 and p < 0.01
        is_honest &= not is_bad
        honest = (n_held + len(group) - len(given)) / len(group)
        print(
            f"{bucket:>9} {name:9} {len(group):>6} {len(given):>6} {n_held / len(given):>6.3f} {p:>7.3f} "
            f"{honest:>6.3f} "
            f"{np.median(high - low):>7.4f} {np.abs(value - truth).mean():>7.4f} {(low > truth).mean():>6.3f} "
            f"{(high < truth).mean():>6.3f}  {truth.mean():.4f}{'  <- too low' if is_bad else ''}"
        )
    return is_honest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--logs", type=int, default=1_000, help="logs a setting")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--estimators", default=",".join(NAMES))
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    logs, names = (60 if arguments.quick else arguments.logs), tuple(arguments.estimators.split(","))
    everything, start, is_honest = [], perf_counter(), True
    for setting, found in outcomes(logs, names, arguments.processes, arguments.seed):
        everything += found
        behavior, target, _ = policies(setting)
        truth, earned = world().values(target)[2], world().values(behavior)[2]
        print(f"\n{setting}: true value {truth:.4f}, behavior {earned:.4f} ({perf_counter() - start:.0f} s)")
        is_honest &= show(found)
    print("\nAll settings")
    is_honest &= show(everything)
    print(f"\n{'Every row from an effective sample size of 30 up holds.' if is_honest else 'Some rows are too low.'}")


if __name__ == "__main__":
    main()
