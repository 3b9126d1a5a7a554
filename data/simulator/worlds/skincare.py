"""The demonstration: a skin care shop whose visitors differ in what they like to be asked.

Four hidden types. *Watchers* like videos and saving things, *readers* guides, tools and newsletters, *players* quizzes
and free samples, *askers* want a person to talk to. What one type likes, the others mostly do not, and an ask
that misses costs patience. Nobody buys a set from a shop not yet trusted: most who are asked at once say no. So

- asking for the sale at once converts few;
- one ladder for everybody converts some, and loses those who do not like its rungs;
- a site that finds out whom it talks to converts several times as many. The referrer tells, and misleads in one
  visitor of four; the poll's answer tells more, at the price of an ask; every yes and no tells a little.

Finding out is possible, and it is a choice: the poll is one tap that nearly everybody gives, and its answer is honest
(94 %), but it uses up one of five asks and brings little trust. Whoever trusts the shop reads on and fills the cart, so
that pages tell when to ask for more. A miss costs trust and patience, and can be made good. A site that knew all of
this by heart and kept exact count of each visitor (Bayes' rule over the hidden state) would convert about nine tenths
of what a clairvoyant does, and about eight tenths while it goes on exploring as the catalog asks.

Newsletter and advice are worth more than their clicks: visitors who can be reached come back, and some buy later.
These visitors are invented: the world shows what a learner can find where there is something to find, and is no
evidence about real ones.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from importlib.resources import files
from typing import Final

from data.catalog import parse_catalog
from data.domain import Catalog
from data.simulator.world import (
    Dynamics,
    Leaving,
    Observation,
    Response,
    SignalRate,
    Timing,
    VisitorType,
    World,
)

_NEW = (0.70, 0.25, 0.05, 0.0, 0.0)
"""Trust on arrival: most have none."""


@lru_cache(maxsize=1)
def skincare() -> World:
    """The world; see the module docstring."""
    return World(
        name="skincare",
        title="Find your routine",
        catalog=_catalog(),
        types=_types(),
        response=_response(),
        dynamics=_dynamics(),
        leaving=_leaving(),
        observation=_observation(),
        timing=Timing(),
        marks={
            "reachable": ("email_tips", "advisor_chat"),
            "advised": ("skin_quiz", "ingredient_check", "advisor_chat"),
        },
    )


def _catalog() -> Catalog:
    """The journey that every new workspace starts with; who is held out is for whoever simulates to say."""
    text = files("data").joinpath("starter", "skincare.yaml").read_bytes()
    return replace(parse_catalog(text, "skincare.yaml"), holdout=())


_LIKES: Final = {
    "watcher": {
        "loves": ("video",),
        "likes": ("save",),
        "misses": ("signup",),
        "hates": ("quiz", "content", "tool", "contact"),
    },
    "reader": {
        "loves": ("content",),
        "likes": ("tool", "signup"),
        "misses": ("save", "contact"),
        "hates": ("video", "quiz"),
    },
    "player": {
        "loves": ("quiz",),
        "likes": ("trial",),
        "misses": ("video", "tool", "save", "signup"),
        "hates": ("content", "contact"),
    },
    "asker": {"loves": ("contact",), "misses": ("save", "signup"), "hates": ("video", "quiz", "content")},
}
"""What each type makes of each kind of ask; kinds that are not named leave it cold."""
_STRENGTH: Final = {"loves": 1.6, "likes": 1.0, "misses": -0.9, "hates": -1.7}


def _types() -> tuple[VisitorType, ...]:
    return (
        VisitorType("watcher", share=0.3, trust=_NEW, affinity=_affinity("watcher")),
        VisitorType("reader", share=0.3, trust=_NEW, patience=0.3, affinity=_affinity("reader")),
        VisitorType("player", share=0.3, trust=_NEW, affinity=_affinity("player")),
        VisitorType(
            "asker",
            share=0.1,
            trust=(0.4, 0.4, 0.2, 0.0, 0.0),
            patience=-0.2,
            readiness=0.4,
            affinity={**_affinity("asker"), "trial": 0.5, "tool": 0.5},
        ),
    )


def _affinity(name: str) -> dict[str, float]:
    return {kind: _STRENGTH[how] for how, kinds in _LIKES[name].items() for kind in kinds}


def _response() -> Response:
    return Response(
        appeal={
            "concern_poll": 2.0,
            "skin_quiz": 0.2,
            "routine_video": 0.2,
            "routine_guide": 0.2,
            "ingredient_check": 0.2,
            "wishlist": 1.2,
            "email_tips": 0.2,
            "advisor_chat": 0.2,
            "sample_set": 0.4,
            "purchase": 1.0,
        },
        comfort=(1.0, 2.5, 4.5, 6.5, 8.5),
        strain=1.2,
        fatigue=0.35,
        marks={"advised": 0.6},
        decline=-0.8,
        decline_strain=0.3,
    )


def _dynamics() -> Dynamics:
    return Dynamics(
        trust_up=0.0,
        trust_up_gives=0.5,
        trust_down=-2.5,
        trust_down_strain=0.35,
        silence=0.4,
        tire=-1.0,
        tire_effort=0.2,
        relief=1.5,
        rest=0.3,
        recovery=2,
        forget=0.15,
    )


def _leaving() -> Leaving:
    return Leaving(
        stay=2.0,
        stay_trust=0.35,
        stay_fatigue=0.5,
        stay_answer={"accepted": 0.8, "declined": -0.7, "ignored": -0.2, "nothing": -0.5},
        late=-6.5,
        late_trust=0.6,
        late_marks={"reachable": 1.2},
        back=-2.2,
        back_trust=0.3,
        back_fatigue=0.2,
        back_marks={"reachable": 1.2},
    )


def _observation() -> Observation:
    return Observation(
        hint="referrer",
        hints={"watcher": "video", "reader": "blog", "player": "social", "asker": "search"},
        misreport=0.25,
        devices={"desktop": 0.38, "mobile": 0.55, "tablet": 0.07},
        signals={
            "page_view": SignalRate(5.0),
            "scroll_75": SignalRate(-3.0, trust=1.8),
            "add_to_cart": SignalRate(-5.0, trust=1.8, readiness=0.5),
        },
        answers={
            "concern": {
                "watcher": {"glow": 0.94, "science": 0.02, "play": 0.02, "help": 0.02},
                "reader": {"glow": 0.02, "science": 0.94, "play": 0.02, "help": 0.02},
                "player": {"glow": 0.02, "science": 0.02, "play": 0.94, "help": 0.02},
                "asker": {"glow": 0.02, "science": 0.02, "play": 0.02, "help": 0.94},
            },
            "skin_type": {name: {"dry": 0.3, "oily": 0.3, "mixed": 0.4} for name in _NAMES},
        },
    )


_NAMES = ("watcher", "reader", "player", "asker")
