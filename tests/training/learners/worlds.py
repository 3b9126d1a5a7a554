"""A small world whose best policy is known exactly, and logs of it."""

from dataclasses import replace
from functools import cache

from benchmarks.learning.logs import played_log
from data.arrivals import arrange
from data.domain import Ask, Catalog, Feature, Limits
from data.simulator.world import Dynamics, Leaving, Observation, Response, SignalRate, Timing, VisitorType, World
from features.frames import learn_spec
from policy.policies import Uniform
from training.learners.protocol import Lessons
from training.splits import split
from training.table import table_of

ASKS = (
    Ask("poll", "One question", "poll", effort=1, gives=2, collects=("taste",), max_shows=1),
    Ask("video", "A film", "video", effort=2, gives=4, max_shows=1),
    Ask("letter", "The newsletter", "signup", effort=3, gives=2, max_shows=1),
    Ask("order", "Order", "purchase", effort=6, gives=4, max_shows=2),
)
DAY_US = 86_400_000_000


def ladder(reward="conversion", **catalog):
    """Every yes brings trust, nothing takes it away, nobody tires: what is hidden follows from the answers.

    So the clairvoyant sees no more than the site does, and its exact value is that of the best policy.
    """
    likes = {"video": {"video": 1.5, "poll": -1.5}, "poll": {"video": -1.5, "poll": 1.5}}
    new = (1.0, 0.0, 0.0, 0.0, 0.0)
    return World(
        name="ladder",
        title="Ladder",
        catalog=Catalog(
            "ladder",
            "order",
            ("letter", "order"),
            ASKS,
            limits=Limits(max_asks_per_session=4),
            answers=(Feature("taste", "category", ("sweet", "sour")),),
            context=(Feature("referrer", "category", ("film", "quiz")),),
            signals=("scroll",),
            conversion_window_s=86_400 * 7,
            reward=reward,
            **catalog,
        ),
        types=tuple(VisitorType(name, 0.5, new, affinity=affinity) for name, affinity in likes.items()),
        response=Response(
            appeal={"poll": 0.5, "video": 0.5, "letter": 0.0, "order": 1.0},
            comfort=(1.0, 3.0, 5.0, 7.0, 8.0),
            strain=1.0,
        ),
        dynamics=Dynamics(trust_up=30.0, trust_down=-30.0, silence=0.0, tire=-30.0),
        leaving=Leaving(stay=1.5, late=-5.0, back=-2.0, max_steps=5, max_visits=2),
        observation=Observation(
            hint="referrer",
            hints={"video": "film", "poll": "quiz"},
            misreport=0.0,
            signals={"scroll": SignalRate(-2.0, trust=1.0)},
            answers={"taste": {name: {"sweet": 0.5, "sour": 0.5} for name in likes}},
        ),
        timing=Timing(visitors_per_day=1_000.0),
    )


@cache
def table(n=3_000, seed=1, reward="conversion", **catalog):
    """The learning table of visitors who met the random policy, long enough ago."""
    world = ladder(reward, **catalog)
    frame = played_log(world, Uniform(), n, seed, label="baseline")
    now = int(frame["at"].max().timestamp() * 1e6) + 30 * DAY_US
    return table_of(arrange(frame, world.catalog), world.catalog, now=now)


def lessons(of, seed=1, **changes):
    """Everything of a table may be learned from."""
    parts = split(of, fit=1.0, select=0.0)
    made = Lessons(
        table=of,
        steps=parts.teaching(of),
        episodes=parts.fit,
        spec=learn_spec(of.catalog, of.decisions),
        incumbent=None,
        seed=seed,
    )
    return replace(made, **changes)
