"""Confidence sequences: intervals that stay valid however often, and whenever, one looks at them.

**Conversions** (outcomes 0 or 1): exact at every sample size, from the first visitor on. For a pair of rates
``(p, p')`` of control and challenger and a bet ``l`` on the logarithm of their ratio, let ``s`` be the challenger's
planned share and

    ``a = 1 / (1 - s + s e^l) - 1,   b = e^l / (1 - s + s e^l) - 1``
    ``E_l(p, p') = prod_control (1 + a y) / (1 + a p) * prod_challenger (1 + b y) / (1 + b p')``.

At the true pair every factor has mean 1 given the past, so the mixture ``E = sum_l w_l E_l`` over a fixed grid of bets
is a nonnegative martingale that starts at 1; by Ville's inequality it ever reaches ``1/alpha`` with probability at most
``alpha``. So ``{(p, p'): E < 1/alpha}`` holds the true pair at all times together with probability ``1 - alpha``, and
so does its shadow ``{p' - p}``, the interval that is reported. The bets are those of Turner, Ly and Gruenwald (two
streams move away from a common rate against each other, in proportion to their shares), so the nuisance rate costs
nothing to first order; the shadow is Turner and Gruenwald's inversion, taken over all nuisance rates at once, which
makes it independent of blocks and of the order of visitors: it depends on four counts. ``log E`` is convex in both
rates, hence the region is convex and the shadow an interval.

Two more things follow, and matter on a site whose rates drift. (1) ``log(1 + a p)`` is concave in ``p``: with rates
that change from visitor to visitor the sequence covers the running averages of both arms. (2) ``(1 - s) a + s b = 0``:
when visitors are assigned by chance with share ``s``, "no difference" is rejected wrongly with probability at most
``alpha`` whatever each visitor's own chance to convert is. A wrong ``s`` costs width, and (2), but neither the
guarantee for constant rates nor (1).

**Values** (any real reward): an asymptotic confidence sequence, which says so in its ``reason``.

References:
    R. Turner, A. Ly, P. Gruenwald (2024), Generic E-variables for exact sequential k-sample tests that allow for
        optional stopping. Journal of Statistical Planning and Inference 230.
    R. Turner, P. Gruenwald (2023), Exact anytime-valid confidence intervals for contingency tables and beyond.
        Statistics and Probability Letters 198.
    H. Robbins (1970), Statistical methods related to the law of the iterated logarithm. Ann. Math. Statist. 41.
    I. Waudby-Smith, D. Arbour, R. Sinha, E. Kennedy, A. Ramdas (2024), Time-uniform central limit theory and
        asymptotic confidence sequences. Annals of Statistics 52.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from training.intervals import Interval

Floats = npt.NDArray[np.float64]

BET_SCALES: Final = (0.2, 0.8)
"""Standard deviations of the two halves of the mixture over the log ratio of rates: a fifth more, or twice as much."""

FEWEST_REWARDS: Final = 50
"""Visitors with a reward other than 0 that each arm needs before an asymptotic bound is given."""

ASYMPTOTIC: Final = "asymptotic: valid at any look only once rewards are many and none of them dominates the sum"

_WIDEST_BET: Final = 4.0
_N_BETS: Final = 96


@lru_cache(maxsize=1)
def _bets() -> tuple[Floats, Floats]:
    """The grid of log ratios, closer near 0, and the logarithms of its weights, which sum to 1."""
    u = (np.arange(_N_BETS) + 0.5) / _N_BETS * 2 - 1
    bets = _WIDEST_BET * np.sinh(5 * u) / math.sinh(5)
    spacing = np.cosh(5 * u)
    density = sum(np.exp(-0.5 * (bets / scale) ** 2) / scale for scale in BET_SCALES)
    weights = spacing * density
    return bets, np.log(weights / weights.sum())


def _stakes(share: float) -> tuple[Floats, Floats]:
    """``a`` and ``b`` of the module's formula, one per bet."""
    bets, _ = _bets()
    scale = 1 - share + share * np.exp(bets)
    return 1 / scale - 1, np.exp(bets) / scale - 1


def _log_mean_exp(exponents: Floats) -> Floats:
    """Logarithm of the weighted mean over the last axis, the weights being those of the bets."""
    total = exponents + _bets()[1]
    top = total.max(axis=-1, keepdims=True)
    mean: Floats = np.log(np.exp(total - top).sum(axis=-1)) + top[..., 0]
    return mean


def pair_log_evidence(
    control: tuple[npt.ArrayLike, npt.ArrayLike],
    challenger: tuple[npt.ArrayLike, npt.ArrayLike],
    rates: tuple[npt.ArrayLike, npt.ArrayLike],
    *,
    share: float,
) -> Floats:
    """``log E`` against one pair of rates: at the true pair ``E`` is a martingale that starts at 1.

    All arguments broadcast, so that a whole history of counts is judged in one call.

    Args:
        control: conversions and visitors of the control arm, numbers or arrays.
        challenger: the same of the challenger.
        rates: the two rates, control first, in [0, 1].
        share: planned share of the challenger among the visitors of both arms, between 0 and 1.

    Returns:
        Array of the broadcast shape.

    Example:
        >>> float(pair_log_evidence((0, 0), (0, 0), (0.03, 0.03), share=0.5))
        0.0
        >>> bool(pair_log_evidence((30, 1000), (90, 1000), (0.06, 0.06), share=0.5) > 10)
        True
    """
    _check_fraction("share", share)
    a, b = _stakes(share)
    converted, n = (np.asarray(part, dtype=np.float64)[..., None] for part in control)
    converted_too, n_too = (np.asarray(part, dtype=np.float64)[..., None] for part in challenger)
    p, p_too = (np.asarray(rate, dtype=np.float64)[..., None] for rate in rates)
    exponents = converted * np.log1p(a) - n * np.log1p(p * a)
    exponents = exponents + converted_too * np.log1p(b) - n_too * np.log1p(p_too * b)
    evidence = _log_mean_exp(exponents)
    return np.where(np.abs(evidence) < 1e-12, 0.0, evidence)


def log_evidence(
    control: tuple[float, float], challenger: tuple[float, float], *, share: float, difference: float = 0.0
) -> float:
    """``log E`` against every pair of rates with this difference: the smallest over the nuisance rate.

    The hypothesis "challenger - control = difference" may be rejected at any look at which this is at least
    ``log(1/alpha)``; in the long run of all looks together that happens wrongly with probability at most ``alpha``.

    Args:
        control: conversions and visitors of the control arm.
        challenger: the same of the challenger.
        share: planned share of the challenger among the visitors of both arms, between 0 and 1.
        difference: from -1 to 1.

    Raises:
        ValueError: counts, share or difference are impossible.

    Example:
        >>> log_evidence((30, 1000), (75, 1000), share=0.5) > math.log(20)
        True
    """
    _check_counts(control)
    _check_counts(challenger)
    if not -1 <= difference <= 1:
        raise ValueError(f"difference must lie from -1 to 1, got {difference}")

    def against(rates: Floats) -> Floats:
        return pair_log_evidence(control, challenger, (rates, rates + difference), share=share)

    return _least(against, max(0.0, -difference), min(1.0, 1.0 - difference))


def rate_difference(
    control: tuple[int, int], challenger: tuple[int, int], *, share: float = 0.5, alpha: float = 0.05
) -> Interval:
    """The confidence sequence of ``challenger's rate - control's rate``, at the present look.

    Exact (no large sample, no constant rates assumed) and valid at all looks together; see the module's docstring.

    Args:
        control: conversions and visitors of the control arm.
        challenger: the same of the challenger.
        share: planned share of the challenger among the visitors of both arms; fixed before the first look.
        alpha: probability that the interval ever misses.

    Raises:
        ValueError: counts, share or alpha are impossible.

    Example:
        >>> gap = rate_difference((90, 3000), (180, 3000))
        >>> round(gap.value, 3), 0 < gap.low < 0.03 < gap.high < 0.06
        (0.03, True)
        >>> rate_difference((0, 0), (1, 7)).reason
        'there is no visitor in the control arm yet'
    """
    _check_counts(control)
    _check_counts(challenger)
    _check_fraction("alpha", alpha)
    _check_fraction("share", share)
    n = control[1] + challenger[1]
    if control[1] == 0 or challenger[1] == 0:
        empty = "control" if control[1] == 0 else "challenger"
        return Interval(None, None, None, n, 1 - alpha, f"there is no visitor in the {empty} arm yet")
    value = challenger[0] / challenger[1] - control[0] / control[1]
    threshold = -math.log(alpha)

    def is_rejected(gap: float) -> bool:
        return log_evidence(control, challenger, share=share, difference=gap) >= threshold

    return Interval(value, _border(is_rejected, value, -1.0), _border(is_rejected, value, 1.0), n, 1 - alpha)


def rate(converted: int, n: int, *, alpha: float = 0.05) -> Interval:
    """The confidence sequence of one rate, by the same bets: exact, for the running average of rates that drift.

    Raises:
        ValueError: counts or alpha are impossible.

    Example:
        >>> seen = rate(30, 1000)
        >>> seen.value, 0.015 < seen.low < 0.022, 0.04 < seen.high < 0.06
        (0.03, True, True)
        >>> rate(0, 0).reason
        'there is no visitor yet'
    """
    _check_counts((converted, n))
    _check_fraction("alpha", alpha)
    if n == 0:
        return Interval(None, None, None, 0, 1 - alpha, "there is no visitor yet")
    bets, _ = _bets()
    threshold = -math.log(alpha)

    def is_rejected(p: float) -> bool:
        return float(_log_mean_exp(converted * bets - n * np.log1p(p * np.expm1(bets)))) >= threshold

    value = converted / n
    return Interval(value, _border(is_rejected, value, 0.0), _border(is_rejected, value, 1.0), n, 1 - alpha)


def mean_difference(control: npt.ArrayLike, challenger: npt.ArrayLike, *, alpha: float = 0.05) -> Interval:
    """The asymptotic confidence sequence of ``challenger's mean - control's mean`` of real rewards.

    Formula: ``d +- sqrt(V * 2 (1 + r) / r * log(sqrt(1 + r) / alpha))`` with ``V`` the estimated variance of the
    difference, ``r = n rho^2`` and ``rho`` chosen to be narrowest near ``n = 2,000`` (equation 7 of Waudby-Smith et
    al., for the influence values of a two-arm trial). Before each arm has ``FEWEST_REWARDS`` visitors with a reward
    other than 0 there are no bounds; afterwards the guarantee is asymptotic and ``reason`` says so: one reward that is
    as large as all others together can still mislead it.

    Args:
        control: one reward per visitor, shape (n_control,).
        challenger: the same, shape (n_challenger,).
        alpha: probability that the interval ever misses.

    Raises:
        ValueError: alpha is impossible or a reward is not finite.

    Example:
        >>> import numpy as np
        >>> generator = np.random.default_rng(3)
        >>> gap = mean_difference(generator.exponential(1, 4000), generator.exponential(1.3, 4000))
        >>> gap.low < 0.3 < gap.high, gap.low > 0, gap.reason == ASYMPTOTIC
        (True, True, True)
        >>> mean_difference([1.0], [2.0]).low is None
        True
    """
    _check_fraction("alpha", alpha)
    arms = [np.asarray(rewards, dtype=np.float64) for rewards in (control, challenger)]
    if not all(np.isfinite(rewards).all() for rewards in arms):
        raise ValueError("rewards must be finite")
    n = sum(len(rewards) for rewards in arms)
    if min(len(rewards) for rewards in arms) == 0:
        return Interval(None, None, None, n, 1 - alpha, "there is no visitor in one of the arms yet")
    with np.errstate(over="ignore", invalid="ignore"):
        value = float(arms[1].mean() - arms[0].mean())
        variances = [float(rewards.var(ddof=1)) if len(rewards) > 1 else 0.0 for rewards in arms]
    if not math.isfinite(value):
        return Interval(None, None, None, n, 1 - alpha, "rewards are too large to be added up")
    fewest = min(int(np.count_nonzero(rewards)) for rewards in arms)
    if fewest < FEWEST_REWARDS:
        reason = f"too few for an interval: {fewest} visitors with a reward in one arm, {FEWEST_REWARDS} are needed"
        return Interval(value, None, None, n, 1 - alpha, reason)
    variance = sum(spread / len(rewards) for spread, rewards in zip(variances, arms, strict=True))
    half = math.sqrt(variance) * _boundary(n, alpha) if math.isfinite(variance) else math.inf
    if not math.isfinite(value + half) or not math.isfinite(value - half):
        return Interval(value, None, None, n, 1 - alpha, "rewards vary too much for an interval")
    return Interval(value, value - half, value + half, n, 1 - alpha, ASYMPTOTIC)


def _boundary(n: int, alpha: float) -> float:
    """How many standard errors the Gaussian mixture's boundary is away, narrowest near 2,000 visitors."""
    log_term = -2 * math.log(alpha)
    r = n * (log_term + math.log(log_term + 1)) / 2_000
    return math.sqrt(2 * (1 + r) / r * math.log(math.sqrt(1 + r) / alpha))


def _least(function: Callable[[Floats], Floats], low: float, high: float) -> float:
    """The smallest value of a convex function of one variable, by a grid that closes in on it."""
    best = math.inf
    while True:
        grid = np.linspace(low, high, 33)
        values = function(grid)
        at = int(values.argmin())
        best = min(best, float(values[at]))
        if high - low < 1e-9:
            return best
        low, high = float(grid[max(at - 1, 0)]), float(grid[min(at + 1, 32)])


def _border(is_rejected: Callable[[float], bool], inside: float, outside: float) -> float:
    """Where rejection begins between a point that is not rejected and an end of the range."""
    if not is_rejected(outside):
        return outside
    for _ in range(36):
        middle = (inside + outside) / 2
        if is_rejected(middle):
            outside = middle
        else:
            inside = middle
    return outside


def _check_counts(counts: tuple[float, float]) -> None:
    converted, n = counts
    if not 0 <= converted <= n:
        raise ValueError(f"conversions must be from 0 to the number of visitors {n}, got {converted}")


def _check_fraction(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name} must lie between 0 and 1, got {value}")
