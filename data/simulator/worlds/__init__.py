"""The simulated sites, by name. A new world is one module here and one line in `WORLDS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from data.errors import BadInput
from data.simulator.world import World
from data.simulator.worlds.no_effects import no_effects
from data.simulator.worlds.skincare import skincare

WORLDS: Final[Mapping[str, Callable[[], World]]] = {
    "skincare": skincare,
    "no_effects": no_effects,
}


def world(name: str) -> World:
    """The world of that name.

    Raises:
        BadInput: there is none.

    Example:
        >>> world("skincare").catalog.goal
        'purchase'
    """
    if name not in WORLDS:
        raise BadInput(f"unknown world; received {name!r}; allowed: {', '.join(WORLDS)}")
    return WORLDS[name]()
