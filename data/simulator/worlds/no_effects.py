"""The world in which asking changes nothing: whoever finds an effect here is wrong.

Same catalog, traffic and types of visitors as the demonstration, but

- every ask but the goal is accepted with one fixed probability, by everyone, always; the goal ask never is;
- after every step a visitor stays on with one fixed probability, whatever was asked and answered;
- after every visit a visitor converts with one fixed probability (reported as ``converted``), else comes back with
  another one.

Why every policy has the same value: the sequence "step, stays or not, converts, comes back or not" is drawn without
looking at the ask, the answer, the type, trust, fatigue or marks, because each of their weights is zero; and there is
no other way to convert. So the probability of converting is that of a Markov chain in which no policy occurs:
``p + (1 - p) b (p + (1 - p) b p)`` with p = converts after a visit, b = comes back, three visits at most.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from data.catalog import catalog_from_tree, tree_of
from data.simulator.world import Dynamics, Leaving, Response, SignalRate, World
from data.simulator.worlds.skincare import skincare


@lru_cache(maxsize=1)
def no_effects() -> World:
    """The world; see the module docstring."""
    like = skincare()
    catalog = catalog_from_tree({**tree_of(like.catalog), "journey": "no_effects"}, "no_effects")
    types = tuple(replace(visitor, patience=0.0, readiness=0.0, affinity={}) for visitor in like.types)
    rates = {signal: SignalRate(rate.base) for signal, rate in like.observation.signals.items()}
    return World(
        name="no_effects",
        title="Asking changes nothing",
        catalog=catalog,
        types=types,
        response=Response(
            appeal={ask.id: -0.6 for ask in catalog.asks},
            comfort=(0.0,) * len(like.response.comfort),
            never=(catalog.goal,),
        ),
        dynamics=Dynamics(),
        leaving=Leaving(stay=1.0, late=-3.5, back=-1.5),
        observation=replace(like.observation, signals=rates),
        timing=like.timing,
    )
