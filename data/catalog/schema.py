"""The shape of a catalog file: which fields there are, which are required, what each may hold.

What concerns several fields at once is in ``data.catalog.references``.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, ValidationError, model_validator
from pydantic_core import ErrorDetails

from data.catalog import values as v
from data.catalog.findings import Finding, Path, closest, listed, received, shortened
from data.domain import CHANNELS

T = TypeVar("T")
H = TypeVar("H", bound=Hashable)


def _distinct(items: list[H]) -> list[H]:
    seen: set[H] = set()
    for item in items:
        if item in seen:
            raise v.BadValueError(f"names {shortened(str(item))} twice", "every one once")
        seen.add(item)
    return items


def _at_least_one(items: list[T]) -> list[T]:
    if not items:
        raise v.BadValueError("is an empty list", "at least one; leave the field out where there is no restriction")
    return items


def _at_most(n: int) -> AfterValidator:
    def check(items: list[T]) -> list[T]:
        if len(items) > n:
            raise v.BadValueError(f"has too many entries: {len(items):,}", f"at most {n:,}")
        return items

    return AfterValidator(check)


def _format(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value != 1:
        raise v.BadValueError("is a format that this version does not read", "1")
    return value


Distinct: Final = AfterValidator(_distinct)
AtLeastOne: Final = AfterValidator(_at_least_one)
Names = Annotated[list[v.Name], Distinct]
Identifiers = Annotated[list[v.Identifier], Distinct]


def field_names(part: type[BaseModel]) -> tuple[str, ...]:
    """The names that a part's fields have in the file."""
    return tuple(field.alias or name for name, field in part.model_fields.items())


class Part(BaseModel):
    """A group of fields. One that is left empty counts as left out; one that is unknown is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        known = field_names(cls)
        return {name: value for name, value in given.items() if value is not None or name not in known}


class ExplorationFile(Part):
    """``exploration``."""

    day_zero: v.Share = 0.5
    floor: v.Share = 0.05
    loss: v.Share = 0.05


class HoldoutFile(Part):
    """An entry of ``holdout``."""

    share: v.Share = Field(description="a share like 0.05")
    policy: v.HoldoutPolicy = Field(description="baseline, direct, random or none")


class FeatureFile(Part):
    """A feature under ``context`` or ``answers``."""

    type: Annotated[str, PlainValidator(v.one_of(("category", "number", "boolean")))] = Field(
        description="category, number or boolean"
    )
    values: Annotated[list[v.Identifier], Distinct, AtLeastOne] | None = None
    minimum: v.Number | None = Field(None, alias="min")
    maximum: v.Number | None = Field(None, alias="max")


class LimitsFile(Part):
    """``limits``."""

    max_asks_per_session: v.Count | None = None
    max_asks_per_day: v.DailyCount | None = None
    min_gap: v.Duration | None = None
    cooldown_after_decline: v.Duration | None = None
    stop_after_declines: v.Count | None = None
    max_effort_step: v.Effort | None = None
    max_effort_gap: v.EffortGap | None = None
    step_down_after_decline: v.Flag = False
    direct_ask: v.Flag = False


class ActiveFile(Part):
    """``active`` of an ask."""

    start: v.Instant | None = Field(None, alias="from")
    until: v.Instant | None = None


class AskFile(Part):
    """An entry of ``asks``."""

    id: v.Name = Field(description="a name like skin_quiz")
    title: v.Prose = Field(description="text for the visitor")
    kind: v.Kind = Field(description="a kind like quiz")
    effort: v.Effort = Field(description="a number from 0 to 10")
    gives: v.Effort = 0
    stage: v.Stage | None = None
    channels: Annotated[list[v.Channel], Distinct, AtLeastOne] = list(CHANNELS)
    devices: Annotated[list[v.Identifier], Distinct, AtLeastOne] | None = None
    requires: Names = []
    excludes: Names = []
    collects: Identifiers = []
    audience: dict[v.Identifier, Any] = {}
    cost: v.Cost = 0.0
    sensitive: v.Flag = False
    repeatable: v.Repeatable = None
    max_shows: v.Count | None = None
    after_decline: v.Duration | None = None
    consent: v.Identifier | None = None
    active: ActiveFile = Field(default_factory=ActiveFile)
    why: v.Prose | None = None
    payload: v.Payload = {}


class CatalogFile(Part):
    """The whole file."""

    format: Annotated[Literal[1], PlainValidator(_format)] = Field(description="format: 1")
    journey: v.Name = Field(description="a name like skincare")
    goal: v.Name = Field(description="the id of an ask")
    baseline: Annotated[list[v.Name], AtLeastOne] = Field(description="a list of ids of asks that ends with the goal")
    asks: Annotated[list[AskFile], AtLeastOne, _at_most(v.MAX_ASKS)] = Field(description="a list of asks")
    title: v.Prose | None = None
    conversion_window: v.Period = 7 * 86_400
    session_gap: v.Period = 1_800
    allow_nothing: v.Flag = False
    reward: Annotated[Literal["conversion", "value"], PlainValidator(v.one_of(("conversion", "value")))] = "conversion"
    settles: Annotated[Literal["window", "left"], PlainValidator(v.one_of(("window", "left")))] = "window"
    reuse_open: v.Duration = 0
    exploration: ExplorationFile = Field(default_factory=ExplorationFile)
    holdout: list[HoldoutFile] = []
    context: dict[v.Identifier, FeatureFile] = {}
    answers: dict[v.Identifier, FeatureFile] = {}
    signals: Annotated[Names, _at_most(v.MAX_SIGNALS)] = []
    limits: LimitsFile = Field(default_factory=LimitsFile)


_PLACES: Final[Mapping[str, type[Part]]] = {
    "": CatalogFile,
    "asks": AskFile,
    "limits": LimitsFile,
    "exploration": ExplorationFile,
    "holdout": HoldoutFile,
    "active": ActiveFile,
    "context": FeatureFile,
    "answers": FeatureFile,
}


def check_shape(tree: Mapping[str, Any]) -> tuple[CatalogFile | None, list[Finding]]:
    """The file as a model, or all that is wrong with its fields, each taken by itself."""
    try:
        return CatalogFile.model_validate(tree), []
    except ValidationError as error:
        return None, [_finding(detail) for detail in error.errors(include_url=False)]


def _finding(detail: ErrorDetails) -> Finding:
    path: Path = tuple(part for part in detail["loc"] if part != "[key]")
    given, kind = detail["input"], detail["type"]
    if kind == "missing":
        return Finding(path, "is missing", "", _field_description(path))
    if kind == "extra_forbidden":
        return _unknown_field(path, given)
    if kind == "list_type":
        example = f"a list like [{shortened(given)}]" if isinstance(given, str) else "a list"
        return Finding(path, "is not a list", received(given), example)
    if kind in ("dict_type", "model_type", "model_attributes_type"):
        place = _place(path)
        return Finding(path, "has no fields", received(given), f"fields: {listed(field_names(place))}" if place else "")
    refusal = detail.get("ctx", {}).get("error")
    if isinstance(refusal, v.BadValueError):
        return Finding(path, refusal.problem, received(given), refusal.allowed)
    return Finding(path, detail["msg"], received(given))


def _unknown_field(path: Path, given: Any) -> Finding:
    name = str(path[-1])
    place = _place(path[:-1])
    known = field_names(place) if place else ()
    hint = closest(name, known)
    if not hint:
        homes = [home for home, part in _PLACES.items() if name in field_names(part)]
        hint = f"; it belongs {'at the top' if not homes[0] else f'under {homes[0]}'}" if homes else ""
    return Finding(path, f"is an unknown field{hint}", received(given), listed(known))


def _field_description(path: Path) -> str:
    place = _place(path[:-1])
    for name, field in place.model_fields.items() if place else ():
        if path[-1] == (field.alias or name):
            return field.description or ""
    return ""


def _place(path: Sequence[str | int]) -> type[Part] | None:
    """The part whose fields are at a path, if there is one."""
    match path:
        case []:
            return CatalogFile
        case ["asks", int(), "active"]:
            return ActiveFile
        case ["limits" | "exploration" as name]:
            return _PLACES[name]
        case ["asks" | "holdout" as name, int()] | ["context" | "answers" as name, str()]:
            return _PLACES[name]
        case _:
            return None
