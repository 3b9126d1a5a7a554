"""How good a response model is on rows it has not seen: does it rank, does it beat the base rate, is it calibrated.

Rows of one visitor are alike, so intervals are by visitor: the AUC's is DeLong's, in Obuchowski's form for clustered
rows; the gain's is a normal one over visitors' sums. Rates of bins have Wilson intervals, which treat rows as
independent. What cannot be estimated has no value but a reason; nothing here returns NaN.

References:
    E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson (1988), Comparing the areas under two or more correlated receiver
        operating characteristic curves. Biometrics 44.
    N. A. Obuchowski (1997), Nonparametric analysis of clustered ROC curve data. Biometrics 53.
    M. S. Pepe (2003), The Statistical Evaluation of Medical Tests, section 5.2: the interval on the logit scale.
    M. P. Naeini, G. F. Cooper, M. Hauskrecht (2015), Obtaining well calibrated probabilities using Bayesian binning.
        AAAI: the expected calibration error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from features.columns import FloatArray
from features.summary import IntArray
from training.intervals import LEVEL, Interval, wilson

if TYPE_CHECKING:
    from rich.console import Console

_SMALLEST: Final = 1e-15
"""Predictions are held this far from 0 and 1, so that one wrong certainty does not cost infinitely much."""
_FEWEST_VISITORS: Final = 2
ONE_KIND: Final = "all rows came out the same"


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows with predictions from ``low`` to ``high``; ``is_off`` where the rate's interval excludes their mean."""

    low: float
    high: float
    mean_predicted: float
    rate: Interval

    @property
    def is_off(self) -> bool:
        """Whether the predictions of this bin contradict what happened."""
        rate = self.rate
        return rate.low is not None and rate.high is not None and not rate.low <= self.mean_predicted <= rate.high

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        bounds = {"low": self.low, "high": self.high, "mean_predicted": self.mean_predicted}
        return {**bounds, "rate": self.rate.to_json(), "is_off": self.is_off}


@dataclass(frozen=True, slots=True)
class Quality:
    """The quality of predicted probabilities on held-out rows.

    Attributes:
        n: rows.
        n_visitors: visitors, whose rows may be alike.
        rate: how often it happened.
        mean_predicted: what was predicted on average; ``None`` without rows.
        auc: the probability that a row where it happened has a higher prediction than one where it did not; a tie
            counts half.
        log_loss: mean of ``-log`` of the probability given to what happened, in nats; ``None`` without rows.
        log_loss_of_rate: the same for a model that always predicts ``rate``, which no model without features beats.
        gain: ``log_loss_of_rate - log_loss``; above 0 the features help.
        bins: from the smallest predictions to the largest, about the same number of rows in each.
        calibration_error: expected calibration error, ``sum n_b / n |rate_b - mean predicted_b|``; it is positive
            even for a perfect model, the more so the fewer rows a bin has; ``None`` without rows.
    """

    n: int
    n_visitors: int
    rate: Interval
    mean_predicted: float | None
    auc: Interval
    log_loss: float | None
    log_loss_of_rate: float | None
    gain: Interval
    bins: tuple[Bin, ...]
    calibration_error: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``json.dumps``: what has no value is null with a ``reason``."""
        return {
            "n": self.n,
            "n_visitors": self.n_visitors,
            "rate": self.rate.to_json(),
            "mean_predicted": self.mean_predicted,
            "auc": self.auc.to_json(),
            "log_loss": self.log_loss,
            "log_loss_of_rate": self.log_loss_of_rate,
            "gain": self.gain.to_json(),
            "bins": [each.to_json() for each in self.bins],
            "calibration_error": self.calibration_error,
            "level": LEVEL,
        }

    def render(self, console: Console) -> None:
        """Prints the quality as text and a table."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        from training.funnel_view import rate_text

        for line in self._lines():
            console.print(line, markup=False)
        if not self.bins:
            return
        table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
        for name in ("predicted", "mean", "rows", "happened (95 %)", ""):
            table.add_column(name, justify="right")
        for each in self.bins:
            span = f"{100 * each.low:.1f} to {100 * each.high:.1f} %"
            verdict = "off" if each.is_off else ""
            table.add_row(span, f"{100 * each.mean_predicted:.1f} %", str(each.rate.n), rate_text(each.rate), verdict)
        console.print(table)

    def _lines(self) -> tuple[str, ...]:
        from training.funnel_view import rate_text

        rows = f"{self.n} rows of {self.n_visitors} visitors; it happened in {rate_text(self.rate)}"
        if self.mean_predicted is None or self.log_loss is None or self.calibration_error is None:
            return (f"{rows}.",)
        return (
            f"{rows}, predicted were {100 * self.mean_predicted:.1f} %.",
            f"AUC: {number_text(self.auc, 3)}.",
            f"Log loss: {self.log_loss:.4f} against {self.log_loss_of_rate:.4f} of always predicting the rate; "
            f"gain {number_text(self.gain, 4)}.",
            f"Expected calibration error: {100 * self.calibration_error:.1f} points.",
        )


def quality(
    predicted: FloatArray, happened: npt.NDArray[np.bool_], visitors: IntArray | None = None, *, n_bins: int = 10
) -> Quality:
    """The quality of predictions on held-out rows.

    Args:
        predicted: shape (n,); probabilities.
        happened: shape (n,); whether it did.
        visitors: shape (n,); whose row it is. Default: each row is somebody else's.
        n_bins: most bins; fewer where predictions are equal.

    Raises:
        ValueError: shapes differ, a prediction is no probability, or ``n_bins`` is below 1.

    Example:
        >>> chances = np.linspace(0.02, 0.6, 300)
        >>> found = quality(chances, np.random.default_rng(1).random(300) < chances, n_bins=3)
        >>> found.auc.low < 0.75 < found.auc.high, [bin.is_off for bin in found.bins]
        (True, [False, False, False])
    """
    owners = np.arange(len(predicted)) if visitors is None else visitors
    _check(predicted, happened, owners, n_bins)
    n, n_yes = len(predicted), int(happened.sum())
    n_visitors = len(np.unique(owners))
    rate = wilson(n_yes, n, empty="no rows")
    area = auc(predicted, happened, owners)
    if n == 0:
        gain = Interval(None, None, None, 0, reason="no rows")
        return Quality(0, 0, rate, None, area, None, None, gain, (), None)
    losses, plain = _losses(predicted, happened), _losses(np.full(n, n_yes / n), happened)
    bins = _bins(predicted, happened, n_bins)
    return Quality(
        n=n,
        n_visitors=n_visitors,
        rate=rate,
        mean_predicted=float(predicted.mean()),
        auc=area,
        log_loss=float(losses.mean()),
        log_loss_of_rate=float(plain.mean()),
        gain=_clustered_mean(plain - losses, owners),
        bins=bins,
        calibration_error=sum(each.rate.n / n * abs(_value(each.rate) - each.mean_predicted) for each in bins),
    )


def auc(predicted: FloatArray, happened: npt.NDArray[np.bool_], visitors: IntArray, level: float = LEVEL) -> Interval:
    """Area under the ROC curve with DeLong's interval for rows clustered by visitor.

    With ``X_i`` the share of negatives that positive ``i`` outranks and ``Y_j`` the share of positives that outrank
    negative ``j`` (ties: half), ``A = mean X = mean Y``. Sums over visitors of ``X - A`` and ``Y - A`` give the
    variance (Obuchowski 1997); where each visitor has one row it is DeLong's. Bounds are normal on the logit scale.

    Args:
        predicted: shape (n,); any scores.
        happened: shape (n,); whether it did.
        visitors: shape (n,); whose row it is.
        level: the coverage, between 0 and 1.

    Example:
        >>> found = auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True]), np.arange(4))
        >>> found.value, round(found.low, 2), round(found.high, 2)
        (0.75, 0.07, 0.99)
    """
    n, n_yes = len(predicted), int(happened.sum())
    if n_yes in (0, n):
        return Interval(None, None, None, n, level, "no rows" if n == 0 else ONE_KIND)
    yes, no = predicted[happened], predicted[~happened]
    above, below = _placed(yes, no), 1.0 - _placed(no, yes)
    area = float(above.mean())
    names, who = np.unique(visitors, return_inverse=True)
    sums_yes = np.bincount(who[happened], above - area, len(names))
    sums_no = np.bincount(who[~happened], below - area, len(names))
    k_yes, k_no = len(np.unique(who[happened])), len(np.unique(who[~happened]))
    if min(k_yes, k_no) < _FEWEST_VISITORS:
        return Interval(area, None, None, n, level, "one visitor has all the rows of one kind")
    n_no, k = n - n_yes, len(names)
    variance = (
        k_yes / (k_yes - 1) * float(sums_yes @ sums_yes) / n_yes**2
        + k_no / (k_no - 1) * float(sums_no @ sums_no) / n_no**2
        + 2 * k / (k - 1) * float(sums_yes @ sums_no) / (n_yes * n_no)
    )
    if not 0.0 < area < 1.0 or variance <= 0.0:
        return Interval(area, None, None, n, level, "too few rows overlap for an interval")
    logit = math.log(area / (1 - area))
    half = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt(variance) / (area * (1 - area))
    return Interval(area, _logistic(logit - half), _logistic(logit + half), n, level)


def number_text(interval: Interval, places: int) -> str:
    """A number with its interval, or why there is none.

    Example:
        >>> number_text(Interval(0.7931, 0.7604, 0.8176, 2662), 3)
        '0.793 (0.760 to 0.818)'
    """
    if interval.value is None:
        return f"none: {interval.reason}"
    if interval.low is None or interval.high is None:
        return f"{interval.value:.{places}f} ({interval.reason})"
    return f"{interval.value:.{places}f} ({interval.low:.{places}f} to {interval.high:.{places}f})"


def _placed(scores: FloatArray, others: FloatArray) -> FloatArray:
    """The share of the others that each score outranks, a tie counting half."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")
    placed: FloatArray = below / (2 * len(ordered))
    return placed


def _logistic(x: float) -> float:
    return 0.5 * (1.0 + math.tanh(0.5 * x))


def _losses(predicted: FloatArray, happened: npt.NDArray[np.bool_]) -> FloatArray:
    held = np.clip(predicted, _SMALLEST, 1 - _SMALLEST)
    losses: FloatArray = -np.log(np.where(happened, held, 1 - held))
    return losses


def _clustered_mean(values: FloatArray, visitors: IntArray) -> Interval:
    """The mean over rows, with a normal interval by visitor."""
    n, mean = len(values), float(values.mean())
    names, who = np.unique(visitors, return_inverse=True)
    k = len(names)
    if k < _FEWEST_VISITORS:
        return Interval(mean, None, None, n, reason="all rows are of one visitor")
    sums = np.bincount(who, values - mean, k)
    half = NormalDist().inv_cdf((1 + LEVEL) / 2) * math.sqrt(k / (k - 1) * float(sums @ sums)) / n
    return Interval(mean, mean - half, mean + half, n)


def _bins(predicted: FloatArray, happened: npt.NDArray[np.bool_], n_bins: int) -> tuple[Bin, ...]:
    """Bins between quantiles; equal predictions are never parted."""
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, n_bins + 1)[1:-1]))
    place = np.searchsorted(edges, predicted, side="left")
    rows = (place == number for number in range(len(edges) + 1))
    return tuple(
        Bin(
            low=float(predicted[ours].min()),
            high=float(predicted[ours].max()),
            mean_predicted=float(predicted[ours].mean()),
            rate=wilson(int(happened[ours].sum()), int(ours.sum())),
        )
        for ours in rows
        if ours.any()
    )


def _value(interval: Interval) -> float:
    return 0.0 if interval.value is None else interval.value


def _check(predicted: FloatArray, happened: npt.NDArray[np.bool_], visitors: IntArray, n_bins: int) -> None:
    if not predicted.shape == happened.shape == visitors.shape or predicted.ndim != 1:
        shapes = f"{predicted.shape}, {happened.shape} and {visitors.shape}"
        raise ValueError(f"predicted, happened and visitors must have one row each, got shapes {shapes}")
    if happened.dtype != np.bool_:
        raise ValueError(f"happened must be boolean, got {happened.dtype}")
    is_chance = (predicted >= 0) & (predicted <= 1)
    if not is_chance.all():
        raise ValueError(f"predictions must be from 0 to 1, got {predicted[~is_chance][0]}")
    if n_bins < 1:
        raise ValueError(f"n_bins must be at least 1, got {n_bins}")
