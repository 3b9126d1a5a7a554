"""What must hold between the fields of a catalog: every name refers to something, no two rules contradict each other.

The checks read the file as it is, not the checked model, so that they can report their findings together with those
about single fields: whatever has the wrong shape is passed over here, because its shape is reported already.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal, cast

from data.catalog.audience import read_condition
from data.catalog.findings import Finding, closest, listed, received, shortened
from data.catalog.values import BadValueError, instant_of, is_number
from data.domain import Feature

_ROUNDING: Final = 1e-9


@dataclass(frozen=True)
class Outline:
    """What of a file has the right shape, by its place in it."""

    tree: Mapping[str, Any]

    @cached_property
    def asks(self) -> Sequence[tuple[int, Mapping[str, Any]]]:
        """The asks that have fields, with their index."""
        return [(i, ask) for i, ask in enumerate(_items(self.tree.get("asks"))) if isinstance(ask, dict)]

    @cached_property
    def ask_ids(self) -> Mapping[str, int]:
        """The index of the first ask of each id."""
        ids: dict[str, int] = {}
        for i, ask in self.asks:
            if isinstance(ask.get("id"), str):
                ids.setdefault(ask["id"], i)
        return ids

    @cached_property
    def context(self) -> Mapping[str, Feature | None]:
        """Declared context features by name; ``None`` where the declaration is wrong."""
        return _features(self.tree.get("context"))

    @cached_property
    def answers(self) -> Mapping[str, Feature | None]:
        """Declared answers by name; ``None`` where the declaration is wrong."""
        return _features(self.tree.get("answers"))


def check_references(tree: Mapping[str, Any]) -> list[Finding]:
    """All that is wrong between fields of the file."""
    outline = Outline(tree)
    return [finding for check in _CHECKS for finding in check(outline)]


def _repeated_ids(outline: Outline) -> Iterator[Finding]:
    for i, ask in outline.asks:
        first = outline.ask_ids.get(ask["id"]) if isinstance(ask.get("id"), str) else None
        if first is not None and first != i:
            yield Finding(("asks", i, "id"), f"is the id of asks[{first}] too", received(ask["id"]), "an id of its own")


def _goal(outline: Outline) -> Iterator[Finding]:
    goal, ids = outline.tree.get("goal"), outline.ask_ids
    if isinstance(goal, str) and ids and goal not in ids:
        yield Finding(("goal",), f"is no ask of this catalog{closest(goal, ids)}", received(goal), listed(ids))


def _baseline(outline: Outline) -> Iterator[Finding]:
    goal, names = outline.tree.get("goal"), _texts(outline.tree.get("baseline"))
    yield from _unknown_asks(("baseline",), names, outline.ask_ids)
    seen: set[str] = set()
    for i, name in names:
        if name in seen:
            yield Finding(("baseline", i), "comes a second time", received(name), "every ask once")
        seen.add(name)
    if not names or not isinstance(goal, str):
        return
    if goal not in seen:
        yield Finding(
            ("baseline",), "does not contain the goal", listed([name for _, name in names]), f"{goal} at the end"
        )


def _requires_and_excludes(outline: Outline) -> Iterator[Finding]:
    for i, ask in outline.asks:
        requires, excludes = _texts(ask.get("requires")), _texts(ask.get("excludes"))
        yield from _unknown_asks(("asks", i, "requires"), requires, outline.ask_ids)
        yield from _unknown_asks(("asks", i, "excludes"), excludes, outline.ask_ids)
        required = {name for _, name in requires}
        for j, name in excludes:
            if name in required:
                problem = "is required by the same ask, which can therefore never be asked"
                yield Finding(("asks", i, "excludes", j), problem, received(name), "one of the two")


def _circles(outline: Outline) -> Iterator[Finding]:
    """Asks that require each other, so that none of them can come first; each circle is reported once."""
    requires = {
        ask["id"]: [name for _, name in _texts(ask.get("requires")) if name in outline.ask_ids]
        for i, ask in outline.asks
        if isinstance(ask.get("id"), str) and outline.ask_ids[ask["id"]] == i
    }
    done: set[str] = set()
    for start, names in requires.items():
        trail: dict[str, Iterator[str]] = {} if start in done else {start: iter(names)}
        while trail:
            last = next(reversed(trail))
            name = next(trail[last], None)
            if name is None:
                done.add(last)
                del trail[last]
            elif name in trail:
                visited = list(trail)
                circle = [*visited[visited.index(name) :], name]
                words = ", which requires ".join(shortened(item) for item in circle)
                path = ("asks", outline.ask_ids[name], "requires")
                yield Finding(path, f"goes in a circle: {words}", "", "requirements that can come first")
            elif name not in done:
                trail[name] = iter(requires[name])


def _collects(outline: Outline) -> Iterator[Finding]:
    for i, ask in outline.asks:
        for j, name in _texts(ask.get("collects")):
            if name not in outline.answers:
                problem = f"is not declared under answers{closest(name, outline.answers)}"
                yield Finding(("asks", i, "collects", j), problem, received(name), listed(outline.answers))


def _audiences(outline: Outline) -> Iterator[Finding]:
    declared = {**outline.answers, **outline.context}
    for i, ask in outline.asks:
        for name, condition in _fields(ask.get("audience")).items():
            path = ("asks", i, "audience", name)
            if name not in declared:
                problem = f"is declared neither under context nor under answers{closest(name, declared)}"
                yield Finding(path, problem, received(condition), listed(declared))
                continue
            feature = declared[name]
            try:
                if feature is not None:
                    read_condition(feature, condition)
            except BadValueError as refusal:
                yield Finding(path, refusal.problem, _condition(condition), refusal.allowed)


def _condition(value: Any) -> str:
    return shortened(str(value)) if isinstance(value, list) else received(value)


def _devices(outline: Outline) -> Iterator[Finding]:
    feature = outline.context.get("device")
    if feature is None:
        return
    for i, ask in outline.asks:
        devices = _texts(ask.get("devices"))
        if devices and feature.type != "category":
            problem = f"cannot be told, as context.device is a {feature.type}"
            yield Finding(("asks", i, "devices"), problem, "", "context.device as a category")
        elif feature.values is not None:
            for j, name in devices:
                if name not in feature.values:
                    problem = f"is no value of context.device{closest(name, feature.values)}"
                    yield Finding(("asks", i, "devices", j), problem, received(name), listed(feature.values))


def _declarations(outline: Outline) -> Iterator[Finding]:
    for place in ("context", "answers"):
        for name, fields in _fields(outline.tree.get(place)).items():
            if not isinstance(fields, dict):
                continue
            kind = fields.get("type")
            for field, owner in (("values", "category"), ("min", "number"), ("max", "number")):
                if fields.get(field) is not None and kind in ("category", "number", "boolean") and kind != owner:
                    problem = f"is set, but {shortened(name)} is a {kind}"
                    yield Finding((place, name, field), problem, received(fields[field]), f"only for a {owner}")
            low, high = fields.get("min"), fields.get("max")
            if is_number(low) and is_number(high) and cast(float, low) > cast(float, high):
                yield Finding((place, name, "max"), "is below min", received(high), f"at least {received(low)}")


def _holdouts(outline: Outline) -> Iterator[Finding]:
    arms = [(i, arm) for i, arm in enumerate(_items(outline.tree.get("holdout"))) if isinstance(arm, dict)]
    seen: dict[str, int] = {}
    for i, arm in arms:
        policy = arm.get("policy")
        if isinstance(policy, str) and seen.setdefault(policy, i) != i:
            problem = f"is the policy of holdout[{seen[policy]}] too"
            yield Finding(
                ("holdout", i, "policy"), problem, received(policy), "one entry a policy, with its whole share"
            )
    total = sum(arm["share"] for _, arm in arms if is_number(arm.get("share")) and 0 <= arm["share"] <= 1)
    if total > 1 + _ROUNDING:
        yield Finding(("holdout",), "has shares that add up to more than everybody", f"{total:g}", "at most 1 in all")


def _consents(outline: Outline) -> Iterator[Finding]:
    for i, ask in outline.asks:
        if ask.get("sensitive") is True and ask.get("consent") is None:
            problem = "is missing, and the ask is sensitive"
            yield Finding(("asks", i, "consent"), problem, "", "the name of the consent it needs, like email_marketing")


def _periods(outline: Outline) -> Iterator[Finding]:
    for i, ask in outline.asks:
        active = _fields(ask.get("active"))
        try:
            start, until = instant_of(active.get("from")), instant_of(active.get("until"))
        except BadValueError:
            continue
        if until <= start:
            problem = "is not after from, so the ask would never be active"
            yield Finding(("asks", i, "active", "until"), problem, received(active["until"]), "a later time")


_CHECKS: Final[Sequence[Callable[[Outline], Iterator[Finding]]]] = (
    _repeated_ids,
    _goal,
    _baseline,
    _requires_and_excludes,
    _circles,
    _collects,
    _audiences,
    _devices,
    _declarations,
    _holdouts,
    _consents,
    _periods,
)


def _unknown_asks(
    path: tuple[str | int, ...], names: Sequence[tuple[int, str]], ids: Collection[str]
) -> Iterator[Finding]:
    for j, name in names:
        if ids and name not in ids:
            yield Finding((*path, j), f"is no ask of this catalog{closest(name, ids)}", received(name), listed(ids))


def _features(declared: Any) -> Mapping[str, Feature | None]:
    return {name: _feature(name, fields) for name, fields in _fields(declared).items()}


def _feature(name: str, fields: Any) -> Feature | None:
    kind = fields.get("type") if isinstance(fields, dict) else None
    if kind not in ("category", "number", "boolean"):
        return None
    values = tuple(text for _, text in _texts(fields.get("values"))) or None
    low, high = fields.get("min"), fields.get("max")
    if is_number(low) and is_number(high) and low > high:
        low, high = None, None  # reported already, and every condition would seem impossible
    return Feature(
        name,
        cast(Literal["category", "number", "boolean"], kind),
        values if kind == "category" else None,
        low if is_number(low) else None,
        high if is_number(high) else None,
    )


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _fields(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _texts(value: Any) -> Sequence[tuple[int, str]]:
    return [(i, item) for i, item in enumerate(_items(value)) if isinstance(item, str)]
