"""What looking again and again costs, and what it does not: ``python -m benchmarks.gates [--streams N] [--seed S]``.

Streams of live visitors are judged every 50 visitors until ``--visitors``. Counted is how many streams are *ever*
judged wrongly: by the trial's confidence sequence, and by the usual z test of two rates repeated at every look. Then
power: how often an effect has shown by the number of visitors that ``visitors_needed`` names, and when.
Every rate comes with its 95 % Wilson interval.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from training.gate import alpha_at
from training.intervals import wilson
from training.sequences import FEWEST_REWARDS, log_evidence, mean_difference, pair_log_evidence, rate_difference
from training.trial_size import visitors_needed

ALPHA = 0.05
EVERY = 50
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Looks:
    """Counts of one stream at every look: conversions and visitors, by arm."""

    control: Floats
    n_control: Floats
    challenger: Floats
    n_challenger: Floats

    def at(self, look: int) -> tuple[tuple[float, float], tuple[float, float]]:
        return (
            (float(self.control[look]), float(self.n_control[look])),
            (float(self.challenger[look]), float(self.n_challenger[look])),
        )

    @property
    def gap(self) -> Floats:
        n, n_too = np.maximum(self.n_control, 1), np.maximum(self.n_challenger, 1)
        return self.challenger / n_too - self.control / n


def stream(generator: np.random.Generator, rates: tuple[Floats, Floats], share: float) -> Looks:
    """Visitors assigned by chance; ``rates`` hold each visitor's chance to convert in either arm."""
    is_challenger = generator.random(len(rates[0])) < share
    converts = generator.random(len(rates[0])) < np.where(is_challenger, rates[1], rates[0])
    ends = slice(EVERY - 1, None, EVERY)
    return Looks(
        np.cumsum(converts & ~is_challenger)[ends].astype(float),
        np.cumsum(~is_challenger)[ends].astype(float),
        np.cumsum(converts & is_challenger)[ends].astype(float),
        np.cumsum(is_challenger)[ends].astype(float),
    )


def first_rejection(looks: Looks, share: float, difference: float = 0.0, alpha: float = ALPHA) -> int | None:
    """The first look at which the sequence excludes this difference.

    The evidence against any one pair is at least that against all pairs, so most looks are settled by one pair.
    """
    total = looks.control + looks.challenger - difference * looks.n_challenger
    pooled = np.clip(total / (looks.n_control + looks.n_challenger), max(0, -difference), min(1, 1 - difference))
    against = pair_log_evidence(
        (looks.control, looks.n_control),
        (looks.challenger, looks.n_challenger),
        (pooled, pooled + difference),
        share=share,
    )
    for look in np.flatnonzero(against >= -math.log(alpha)):
        if log_evidence(*looks.at(int(look)), share=share, difference=difference) >= -math.log(alpha):
            return int(look)
    return None


def naive_rejects(looks: Looks, alpha: float = ALPHA) -> bool:
    """Whether the pooled z test says "significant" at any look with at least 5 conversions."""
    n = looks.n_control + looks.n_challenger
    converted = looks.control + looks.challenger
    p = converted / n
    with np.errstate(divide="ignore", invalid="ignore"):
        z = looks.gap / np.sqrt(p * (1 - p) * (1 / looks.n_control + 1 / looks.n_challenger))
    is_judged = (converted >= 5) & np.isfinite(z)
    return bool((np.abs(z[is_judged]) > NormalDist().inv_cdf(1 - alpha / 2)).any())


def shown(hits: int, n: int) -> str:
    rate = wilson(hits, n)
    return f"{100 * hits / n:5.1f} % ({100 * (rate.low or 0):.1f} to {100 * (rate.high or 0):.1f})"


def no_effect(n_streams: int, n_visitors: int, seed: int) -> None:
    print(f"\nNo effect, {n_streams:,} streams of {n_visitors:,} visitors, a look every {EVERY}, alpha {ALPHA:.0%}")
    print(f"{'rate':>22} {'share':>6} {'ever rejected':>24} {'of it better':>24} {'repeated z test':>24}")
    weeks = 1 + 0.8 * np.sin(np.arange(n_visitors) / n_visitors * 6 * math.pi)
    cases: list[tuple[str, Floats]] = [(f"{rate:.1%}", np.full(n_visitors, rate)) for rate in (0.005, 0.03, 0.15)]
    cases.append(("3.0% drifting 0.6-5.4", 0.03 * weeks))
    for name, rates in cases:
        for share in (0.5, 0.1):
            generator = np.random.default_rng([seed, round(1e6 * rates[0]), round(10 * share)])
            rejected = better = naive = 0
            for _ in range(n_streams):
                looks = stream(generator, (rates, rates), share)
                look = first_rejection(looks, share)
                rejected += look is not None
                better += look is not None and looks.gap[look] > 0
                naive += naive_rejects(looks)
            print(
                f"{name:>22} {share:>6} {shown(rejected, n_streams):>24} {shown(better, n_streams):>24} "
                f"{shown(naive, n_streams):>24}"
            )


def coverage(n_streams: int, n_visitors: int, seed: int) -> None:
    print("\nA true difference: how often the interval ever misses it")
    for rates, share in (((0.03, 0.045), 0.5), ((0.03, 0.045), 0.1), ((0.026, 0.15), 0.5), ((0.005, 0.002), 0.5)):
        generator = np.random.default_rng([seed, 2, round(1e4 * rates[1]), round(10 * share)])
        every = tuple(np.full(n_visitors, rate) for rate in rates)
        missed = sum(
            first_rejection(stream(generator, (every[0], every[1]), share), share, rates[1] - rates[0]) is not None
            for _ in range(n_streams)
        )
        print(f"{rates[0]:>8.1%} to {rates[1]:.1%}, share {share}: {shown(missed, n_streams)}")


def power(n_streams: int, seed: int) -> None:
    print("\nPower: decided rightly by the number of visitors that visitors_needed names (planned: 80 %)")
    for p, effect, share in (
        (0.03, 0.2, 0.5),
        (0.03, 1.0, 0.5),
        (0.05, 0.5, 0.1),
        (0.026, 4.8, 0.5),
        (0.005, 1.0, 0.1),
    ):
        size = visitors_needed(p, effect, share)
        if size is None:
            continue
        generator = np.random.default_rng([seed, 3, round(1e4 * p), round(10 * effect)])
        n = -(-size.total // EVERY) * EVERY
        rates = np.full(n, p), np.full(n, p * (1 + effect))
        ended = []
        for _ in range(n_streams):
            looks = stream(generator, rates, share)
            look = first_rejection(looks, share)
            if look is not None and looks.gap[look] > 0:
                ended.append((look + 1) * EVERY)
        median = f"{np.median(ended):,.0f}" if ended else "-"
        print(
            f"{p:>6.1%} {effect:+.0%} share {share}: {size.total:>8,} visitors planned, "
            f"decided {shown(len(ended), n_streams)}, half of those by {median}"
        )


def values(n_streams: int, n_visitors: int, seed: int) -> None:
    print("\nValues (asymptotic sequence), no effect, 3 % buy: ever rejected")
    kinds: dict[str, Callable[[np.random.Generator, int], Floats]] = {
        "exponential": lambda generator, n: generator.exponential(1.0, n),
        "lognormal, sigma 1": lambda generator, n: generator.lognormal(0.0, 1.0, n),
        "lognormal, sigma 2": lambda generator, n: generator.lognormal(0.0, 2.0, n),
    }
    for number, (name, draw) in enumerate(kinds.items()):
        for share in (0.5, 0.1):
            generator = np.random.default_rng([seed, 4, number, round(10 * share)])
            rejected = 0
            for _ in range(n_streams):
                is_challenger = generator.random(n_visitors) < share
                buys = generator.random(n_visitors) < 0.03
                rewards = np.where(buys, draw(generator, n_visitors), 0.0)
                rejected += _value_rejects(rewards, is_challenger)
            print(f"{name:>20} share {share}: {shown(rejected, n_streams)}")


def _value_rejects(rewards: Floats, is_challenger: npt.NDArray[np.bool_]) -> bool:
    for end in range(10 * EVERY, len(rewards) + 1, 10 * EVERY):
        mine = is_challenger[:end]
        seen = rewards[:end]
        if np.count_nonzero(seen[mine]) < FEWEST_REWARDS:
            continue
        gap = mean_difference(seen[~mine], seen[mine], alpha=ALPHA)
        if gap.low is not None and gap.high is not None and (gap.low > 0 or gap.high < 0):
            return True
    return False


def speed() -> None:
    started = time.perf_counter()
    for _ in range(20):
        rate_difference((900, 30_000), (1_050, 30_000))
    print(f"\nOne interval of 60,000 visitors: {(time.perf_counter() - started) / 20 * 1e3:.1f} ms")
    print(f"The gate's error over 1,000 looks: {sum(alpha_at(look) for look in range(1, 1001)):.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--streams", type=int, default=2_000)
    parser.add_argument("--visitors", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=11)
    options = parser.parse_args()
    no_effect(options.streams, options.visitors, options.seed)
    coverage(options.streams, options.visitors, options.seed)
    power(max(200, options.streams // 4), options.seed)
    values(max(200, options.streams // 4), options.visitors, options.seed)
    speed()


if __name__ == "__main__":
    main()
