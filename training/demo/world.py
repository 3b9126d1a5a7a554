"""The skin care shop in a hurry: the same visitors and the same answers, but a week passes within half a minute.

Only durations differ from ``data.simulator.worlds.skincare``: pages and pauses last some hundredths of a second,
visitors come back after a few seconds, and a conversion counts until half a minute after the first ask. What a visitor
does depends on none of them, so that the true value of every policy is that of the shop in ordinary time.

The driver plays its visitors in whole seconds. It is therefore given a world ``STRETCH`` times slower than the demo,
and the site a clock so many times slower than the driver's: what the site sees are the durations of `quick_world`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Final

from data.catalog import dump_catalog, parse_catalog
from data.domain import DAY, SECOND, Catalog, Holdout
from data.simulator.clock import SimulatedClock
from data.simulator.world import Timing, World
from data.simulator.worlds.skincare import skincare

STRETCH: Final = 100
"""Seconds of the driver in a second of the demo."""
SESSION_GAP_S: Final = 2
WINDOW_S: Final = 30
"""The conversion window: longer than three visits, the pauses between them, and a late conversion."""
HOLDOUT: Final = 0.1
"""Share of visitors that stay with the baseline, and share that is always asked directly."""
PAST_PER_S: Final = 50.0
"""Past visitors in a second of the demo; the same rate as live ones have, or nearly so."""
N_STREAMS: Final = 16
"""Groups of visitors that one seed can make, none of them alike."""
LIVE_STREAM: Final = 8
"""The first group of live ones; the past ones have those before."""
_TIMING: Final = Timing(
    visitors_per_day=PAST_PER_S * DAY / SECOND,
    night=0.0,
    page_s=(0.01, 0.05),
    think_s=(0.01, 0.05),
    back_s=(4.0, 8.0),
    late_s=(0.5, 4.0),
    report_s=(0.1, 1.0),
)


@lru_cache(maxsize=1)
def quick_world() -> World:
    """The world of the demo.

    Example:
        >>> quick_world().catalog.conversion_window_s, [one.policy for one in quick_world().catalog.holdout]
        (30, ['baseline', 'direct'])
    """
    usual = skincare()
    return replace(
        usual,
        catalog=_catalog(usual.catalog),
        timing=_TIMING,
        observation=replace(usual.observation, late_signals=0.0),
    )


def catalog_text() -> str:
    """The journey's file."""
    return dump_catalog(quick_world().catalog)


def driven_world() -> World:
    """`quick_world` as the driver plays it: ``STRETCH`` times slower."""
    world = quick_world()
    timing = world.timing
    return replace(
        world,
        timing=replace(
            timing,
            visitors_per_day=timing.visitors_per_day / STRETCH,
            page_s=_stretched(timing.page_s),
            think_s=_stretched(timing.think_s),
            back_s=_stretched(timing.back_s),
            late_s=_stretched(timing.late_s),
            report_s=_stretched(timing.report_s),
        ),
    )


def site_clock(driver: SimulatedClock, driven_from: int, began_at: int) -> Callable[[], int]:
    """The clock of a site whose visitors a driver sends.

    Args:
        driver: the driver's clock.
        driven_from: its first instant, microseconds.
        began_at: the same instant for the site, microseconds UTC.

    Example:
        >>> driver = SimulatedClock(0)
        >>> clock = site_clock(driver, 0, 1_000)
        >>> driver.at = 100 * 7
        >>> clock()
        1007
    """
    return lambda: began_at + (driver.at - driven_from) // STRETCH


def stream_seed(seed: int, stream: int) -> int:
    """The seed of one group of visitors.

    Example:
        >>> stream_seed(0, 1), stream_seed(1, 1)
        (1, 17)
    """
    return seed * N_STREAMS + stream


def past_s(n_visitors: int) -> float:
    """Seconds over which past visitors first come.

    Example:
        >>> past_s(20_000)
        400.0
    """
    return n_visitors / PAST_PER_S


def _catalog(usual: Catalog) -> Catalog:
    """Laid out as a file and read again, so that it has the digest of what it says."""
    hurried = replace(
        usual,
        conversion_window_s=WINDOW_S,
        session_gap_s=SESSION_GAP_S,
        limits=replace(usual.limits, max_asks_per_day=None),
        holdout=(Holdout(HOLDOUT, "baseline"), Holdout(HOLDOUT, "direct")),
    )
    return parse_catalog(dump_catalog(hurried).encode(), "skincare.yaml")


def _stretched(ends: tuple[float, float]) -> tuple[float, float]:
    return ends[0] * STRETCH, ends[1] * STRETCH
