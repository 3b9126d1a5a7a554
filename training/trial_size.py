"""How many visitors a trial takes, by the very rule that will end it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

from training.sequences import log_evidence

MOST_VISITORS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class TrialSize:
    """Visitors a trial needs, by arm."""

    control: int
    challenger: int

    @property
    def total(self) -> int:
        """Visitors of both arms."""
        return self.control + self.challenger

    def days(self, visitors_per_day: float | None) -> int | None:
        """Whole days until that many visitors have come.

        ``None`` where the traffic is not known, or so thin that it would take more than a million days.

        Example:
            >>> TrialSize(900, 100).days(300)
            4
        """
        if visitors_per_day is None or not visitors_per_day > 0 or not math.isfinite(visitors_per_day):
            return None
        days = self.total / visitors_per_day
        return math.ceil(days) if days <= 1e6 else None


def visitors_needed(
    p: float, relative_effect: float, share: float, power: float = 0.8, alpha: float = 0.05
) -> TrialSize | None:
    """Visitors after which a trial will have seen an effect with this probability.

    The smallest number at which ``sequences.log_evidence`` of the expected counts, the difference taken
    ``z_power`` standard errors too small, reaches ``log(1/alpha)``: the trial's own boundary, not a normal one.
    A trial that is looked at often ends earlier on average.

    Args:
        p: the control's conversion rate, between 0 and 1.
        relative_effect: challenger's rate / p - 1; not 0; negative for one that is worse.
        share: planned share of the challenger, between 0 and 1.
        power: probability of a decision by then, between 0.5 and 1.
        alpha: the trial's error.

    Returns:
        ``None`` where a billion visitors would not do.

    Raises:
        ValueError: an argument is outside its range.

    Example:
        >>> half, tenth = visitors_needed(0.03, 0.2, 0.5), visitors_needed(0.03, 0.2, 0.1)
        >>> 50_000 < half.total < 70_000 < tenth.total < 200_000
        True
    """
    for name, value in (("p", p), ("share", share), ("alpha", alpha)):
        if not 0 < value < 1:
            raise ValueError(f"{name} must lie between 0 and 1, got {value}")
    if not 0.5 <= power < 1:
        raise ValueError(f"power must be from 0.5 to below 1, got {power}")
    other = p * (1 + relative_effect)
    if relative_effect == 0 or not 0 <= other <= 1:
        raise ValueError(f"relative_effect must not be 0 and leave a rate from 0 to 1, got {relative_effect}")
    z = NormalDist().inv_cdf(power)

    def is_enough(total: float) -> bool:
        unlucky = _unlucky((p, other), (total * (1 - share), total * share), z)
        return unlucky is not None and log_evidence(*unlucky, share=share) >= -math.log(alpha)

    low, high = 1.0, 64.0
    while not is_enough(high):
        low, high = high, high * 2
        if high > MOST_VISITORS:
            return None
    while high / low > 1.002:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return TrialSize(math.ceil(high * (1 - share)), math.ceil(high * share))


def _unlucky(
    rates: tuple[float, float], visitors: tuple[float, float], z: float
) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """The counts whose difference is ``z`` standard errors nearer to 0; ``None`` where that is beyond it."""
    variances = [rate * (1 - rate) / n for rate, n in zip(rates, visitors, strict=True)]
    total = sum(variances)
    gap = rates[1] - rates[0]
    lost = z * math.sqrt(total)
    if lost >= abs(gap) or total == 0:
        return None
    step = math.copysign(lost, gap) / total
    moved = (rates[0] + step * variances[0], rates[1] - step * variances[1])
    control, challenger = ((min(max(rate, 0.0), 1.0) * n, n) for rate, n in zip(moved, visitors, strict=True))
    return control, challenger
