"""Random valid catalogs: as trees, as YAML texts, as ``Catalog`` objects."""

from __future__ import annotations

import string
from typing import Any

import yaml
from hypothesis import strategies as st

from data.catalog import catalog_from_tree, walk_baseline
from data.domain import CHANNELS, HOLDOUT_POLICIES, KINDS, STAGES, Catalog

NAMES = st.text(string.ascii_lowercase + string.digits + "_-", min_size=1, max_size=12)
IDENTIFIERS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
PROSE = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t"), min_size=1, max_size=40
).filter(lambda text: bool(text.strip()))
SHARES = st.floats(0, 1) | st.sampled_from([0, 1])
EFFORTS = st.integers(0, 10) | st.floats(0, 10)
COUNTS = st.integers(1, 20)
DURATIONS = st.builds("{}{}".format, st.integers(0, 300), st.sampled_from("smhd"))
PERIODS = st.builds("{}{}".format, st.integers(1, 300), st.sampled_from("smhd"))
NUMBERS = st.integers(-1_000, 1_000) | st.floats(-1e9, 1e9)
PAYLOADS = st.dictionaries(
    IDENTIFIERS,
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | PROSE,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(IDENTIFIERS, inner, max_size=3),
        max_leaves=6,
    ),
    max_size=3,
)


@st.composite
def features(draw: st.DrawFn) -> dict[str, Any]:
    """A declaration under ``context`` or ``answers``."""
    kind = draw(st.sampled_from(["category", "number", "boolean"]))
    tree: dict[str, Any] = {"type": kind}
    if kind == "category" and draw(st.booleans()):
        tree["values"] = draw(st.lists(IDENTIFIERS, min_size=1, max_size=4, unique=True))
    if kind == "number":
        low, high = sorted(draw(st.tuples(NUMBERS, NUMBERS)))
        tree |= draw(st.sampled_from([{}, {"min": low}, {"max": high}, {"min": low, "max": high}]))
    return tree


@st.composite
def conditions(draw: st.DrawFn, feature: dict[str, Any]) -> Any:
    """A condition of an audience on a declared feature."""
    if feature["type"] == "boolean":
        return draw(st.booleans() | st.lists(st.booleans(), min_size=1, max_size=2, unique=True))
    if feature["type"] == "category":
        words = st.sampled_from(feature["values"]) if "values" in feature else NAMES
        return draw(words | st.lists(words, min_size=1, max_size=3, unique=True))
    low, high = feature.get("min", -1e6), feature.get("max", 1e6)
    if not low < high:
        return low if low <= high else [feature.get("min", feature.get("max"))]
    number = draw(st.floats(low, high, exclude_max=True))
    forms = [number, [number], f">={number!r}", f"<={number!r}", f"=={number!r}", f">={number!r} <{high!r}"]
    return draw(st.sampled_from(forms))


@st.composite
def asks(draw: st.DrawFn, ask_id: str, earlier: list[str], tree: dict[str, Any]) -> dict[str, Any]:
    """An ask that may require or exclude earlier ones and refer to what the catalog declares."""
    related = draw(st.lists(st.sampled_from(earlier), max_size=2, unique=True)) if earlier else []
    split = draw(st.integers(0, len(related)))
    declared = {**tree.get("answers", {}), **tree.get("context", {})}
    audience = draw(st.lists(st.sampled_from(sorted(declared)), max_size=2, unique=True)) if declared else []
    answers = sorted(tree.get("answers", {}))
    ask: dict[str, Any] = {
        "id": ask_id,
        "title": draw(PROSE),
        "kind": draw(st.sampled_from(KINDS)),
        "effort": draw(EFFORTS),
    }
    choices = {
        "gives": EFFORTS,
        "stage": st.sampled_from(STAGES) | st.none(),
        "channels": st.lists(st.sampled_from(CHANNELS), min_size=1, unique=True),
        "devices": _devices(tree),
        "requires": st.just(related[:split]),
        "excludes": st.just(related[split:]),
        "collects": st.lists(st.sampled_from(answers), max_size=2, unique=True) if answers else st.just([]),
        "audience": st.fixed_dictionaries({name: conditions(declared[name]) for name in audience}),
        "cost": st.integers(0, 50) | st.floats(0, 50),
        "repeatable": st.booleans() | DURATIONS,
        "max_shows": COUNTS,
        "after_decline": DURATIONS,
        "consent": IDENTIFIERS,
        "active": st.sampled_from([{"from": "2026-01-01"}, {"from": None, "until": "2030-06-01T12:00:00.5Z"}]),
        "why": PROSE,
        "payload": PAYLOADS,
    }
    ask |= draw(some_of(choices))
    if "consent" in ask and draw(st.booleans()):
        ask["sensitive"] = True
    return ask


def _devices(tree: dict[str, Any]) -> st.SearchStrategy[Any]:
    declared = tree.get("context", {}).get("device", {"type": "category"})
    if declared["type"] != "category":
        return st.none()
    values = st.sampled_from(declared["values"]) if "values" in declared else NAMES
    return st.lists(values, min_size=1, max_size=2, unique=True)


@st.composite
def some_of(draw: st.DrawFn, choices: dict[str, st.SearchStrategy[Any]]) -> dict[str, Any]:
    """Values for a few of the fields."""
    names = draw(st.lists(st.sampled_from(sorted(choices)), max_size=6, unique=True))
    return {name: draw(choices[name]) for name in names}


def limits() -> st.SearchStrategy[dict[str, Any]]:
    """Limits of a journey."""
    return some_of(
        {
            "max_asks_per_session": COUNTS,
            "max_asks_per_day": COUNTS,
            "min_gap": DURATIONS,
            "cooldown_after_decline": DURATIONS,
            "stop_after_declines": COUNTS,
            "max_effort_step": EFFORTS,
            "max_effort_gap": st.integers(-10, 10),
            "step_down_after_decline": st.booleans(),
            "direct_ask": st.booleans(),
        }
    )


@st.composite
def holdouts(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Disjoint arms that leave room for everybody else."""
    arms = draw(st.lists(st.sampled_from(HOLDOUT_POLICIES), max_size=3, unique=True))
    return [{"share": draw(st.floats(0, 1 / 3)), "policy": policy} for policy in arms]


@st.composite
def catalog_trees(draw: st.DrawFn, max_asks: int = 6) -> dict[str, Any]:
    """A valid catalog as plain values, laid out as in a file."""
    names = draw(st.lists(NAMES, min_size=1, max_size=max_asks, unique=True))
    goal = draw(st.sampled_from(names))
    first = draw(st.lists(st.sampled_from(names), unique=True))
    declared = st.dictionaries(IDENTIFIERS | st.just("device"), features(), max_size=3)
    tree: dict[str, Any] = {
        "format": 1,
        "journey": draw(NAMES),
        "goal": goal,
        "baseline": [*(name for name in first if name != goal), goal],
    }
    choices = {
        "title": PROSE,
        "conversion_window": PERIODS,
        "session_gap": PERIODS,
        "allow_nothing": st.booleans(),
        "reward": st.sampled_from(["conversion", "value"]),
        "settles": st.sampled_from(["window", "left"]),
        "reuse_open": DURATIONS,
        "exploration": some_of({"day_zero": SHARES, "floor": SHARES, "loss": SHARES}),
        "holdout": holdouts(),
        "context": declared,
        "answers": declared,
        "signals": st.lists(NAMES, max_size=4, unique=True),
        "limits": limits(),
    }
    for name, strategy in choices.items():
        if draw(st.sampled_from([False, True, True])):
            tree[name] = draw(strategy)
    tree["asks"] = [draw(asks(name, names[:i], tree)) for i, name in enumerate(names)]
    return tree


def catalogs(max_asks: int = 6, *, reachable: bool = False) -> st.SearchStrategy[Catalog]:
    """Valid catalogs; with ``reachable`` only those whose baseline, everything accepted, reaches the goal."""
    every = catalog_trees(max_asks).map(catalog_from_tree)
    return every.filter(lambda catalog: walk_baseline(catalog).is_converted) if reachable else every


@st.composite
def catalog_documents(draw: st.DrawFn, max_asks: int = 6) -> str:
    """Valid catalogs as YAML, in one of the layouts that say the same."""
    style, is_sorted = draw(st.sampled_from([None, True, False])), draw(st.booleans())
    tree = draw(catalog_trees(max_asks))
    text: str = yaml.safe_dump(tree, allow_unicode=True, default_flow_style=style, sort_keys=is_sorted)
    return text
