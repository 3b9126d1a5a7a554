"""Catalog files to catalogs: everything that is wrong in one report, or a catalog that can be relied on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

from data.catalog.audience import read_condition
from data.catalog.document import Document, read_document
from data.catalog.dumping import digest_of
from data.catalog.findings import Finding, report
from data.catalog.reachability import dead_ends, delays
from data.catalog.references import check_references
from data.catalog.schema import AskFile, CatalogFile, FeatureFile, LimitsFile, check_shape
from data.domain import Ask, AudienceRule, Catalog, Exploration, Feature, Holdout, Limits
from data.errors import BadCatalog, Fault


def load_catalog(path: Path | str) -> Catalog:
    """The catalog in a file.

    Raises:
        BadCatalog: the file cannot be read, or is no catalog; the report lists every fault.
    """
    return parse_catalog(read_file(Path(path)), str(path))


def parse_catalog(text: str | bytes, name: str = "catalog") -> Catalog:
    """The catalog that a YAML text describes; ``name`` is what the report calls the text.

    Raises:
        BadCatalog: it is no catalog; the report lists every fault.
    """
    return _catalog_of(read_document(text, name), name)


def catalog_from_tree(tree: Mapping[str, Any], name: str = "catalog") -> Catalog:
    """The catalog that plain values describe, laid out as in a file.

    Raises:
        BadCatalog: it is no catalog; the report lists every fault.
    """
    return _catalog_of(Document(tree), name)


def check_catalog(path: Path | str) -> tuple[Catalog, tuple[Fault, ...]]:
    """The catalog in a file if its baseline can convert, and what its author should know all the same.

    Raises:
        BadCatalog: it is no catalog, or its baseline, everything accepted, cannot reach the goal.
    """
    name = str(path)
    document = read_document(read_file(Path(path)), name)
    catalog = _catalog_of(document, name)
    obstacles = dead_ends(catalog)
    if obstacles:
        raise BadCatalog(report(obstacles, document.lines, name))
    return catalog, tuple(report([*delays(catalog), *_doubts(catalog)], document.lines, name))


def load_folder(path: Path | str) -> dict[str, Catalog]:
    """The catalogs in a folder's ``*.yaml`` and ``*.yml`` files, by journey.

    Raises:
        BadCatalog: the folder cannot be read, a file is no catalog, or two are of one journey; all faults of all files.
    """
    catalogs: dict[str, Catalog] = {}
    files: dict[str, Path] = {}
    faults: list[Fault] = []
    for file in catalog_files(Path(path)):
        try:
            catalog = load_catalog(file)
        except BadCatalog as error:
            faults += error.faults
            continue
        if catalog.journey in catalogs:
            faults.append(same_journey(str(file), catalog.journey, str(files[catalog.journey])))
            continue
        catalogs[catalog.journey], files[catalog.journey] = catalog, file
    if faults:
        raise BadCatalog(faults)
    return catalogs


def catalog_files(folder: Path) -> list[Path]:
    """The catalog files of a folder, sorted by name; hidden files are what editors leave behind.

    Raises:
        BadCatalog: the folder cannot be read.
    """
    try:
        return sorted(
            file
            for file in folder.iterdir()
            if file.suffix in (".yaml", ".yml") and not file.name.startswith(".") and not file.is_dir()
        )
    except OSError as error:
        raise unreadable(str(folder), error, "a folder of catalogs") from None


def read_file(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        BadCatalog: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(str(path), error, "a catalog file") from None


def same_journey(file: str, journey: str, other: str) -> Fault:
    """The fault of a second file of one journey."""
    return Fault(file, "journey", f"is the journey of {other} too", repr(journey), "one file a journey")


def unreadable(file: str, error: OSError, allowed: str) -> BadCatalog:
    """The error of a file or folder that the system does not let us read."""
    return BadCatalog([Fault(file, "", f"cannot be read: {error.strerror or error}", "", allowed)])


def _catalog_of(document: Document, name: str) -> Catalog:
    model, findings = check_shape(document.tree)
    findings = [*document.findings, *findings, *check_references(document.tree)]
    if findings or model is None:
        raise BadCatalog(report(findings, document.lines, name))
    catalog = _catalog(model)
    return replace(catalog, digest=digest_of(catalog))


def _catalog(file: CatalogFile) -> Catalog:
    context, answers = _features(file.context), _features(file.answers)
    # A name that is both means the context's feature, as it does for the audience guardrail.
    declared = {feature.name: feature for feature in (*answers, *context)}
    return Catalog(
        journey=file.journey,
        goal=file.goal,
        baseline=tuple(file.baseline),
        asks=tuple(_ask(ask, declared) for ask in file.asks),
        title=file.title,
        conversion_window_s=file.conversion_window,
        session_gap_s=file.session_gap,
        allow_nothing=file.allow_nothing,
        reward=file.reward,
        settles=file.settles,
        reuse_open_s=file.reuse_open,
        exploration=Exploration(file.exploration.day_zero, file.exploration.floor, file.exploration.loss),
        holdout=tuple(Holdout(arm.share, cast(Any, arm.policy)) for arm in file.holdout),
        context=context,
        answers=answers,
        signals=tuple(file.signals),
        limits=_limits(file.limits),
    )


def _features(declared: Mapping[str, FeatureFile]) -> tuple[Feature, ...]:
    """Sorted by name: the order of fields in a file means nothing, and may not change what is learned."""
    return tuple(
        Feature(
            name,
            cast(Literal["category", "number", "boolean"], feature.type),
            None if feature.values is None else tuple(feature.values),
            feature.minimum,
            feature.maximum,
        )
        for name, feature in sorted(declared.items())
    )


def _limits(limits: LimitsFile) -> Limits:
    return Limits(
        max_asks_per_session=limits.max_asks_per_session,
        max_asks_per_day=limits.max_asks_per_day,
        min_gap_s=limits.min_gap,
        cooldown_after_decline_s=limits.cooldown_after_decline,
        stop_after_declines=limits.stop_after_declines,
        max_effort_step=limits.max_effort_step,
        max_effort_gap=limits.max_effort_gap,
        step_down_after_decline=limits.step_down_after_decline,
        direct_ask=limits.direct_ask,
    )


def _ask(ask: AskFile, declared: Mapping[str, Feature]) -> Ask:
    return Ask(
        id=ask.id,
        title=ask.title,
        kind=ask.kind,
        effort=ask.effort,
        gives=ask.gives,
        stage=ask.stage,
        channels=tuple(ask.channels),
        devices=tuple(ask.devices or ()),
        requires=tuple(ask.requires),
        excludes=tuple(ask.excludes),
        collects=tuple(ask.collects),
        audience=_audience(ask.audience, declared),
        cost=ask.cost,
        sensitive=ask.sensitive,
        repeat_after_s=ask.repeatable,
        max_shows=ask.max_shows,
        after_decline_s=ask.after_decline,
        consent=ask.consent,
        active_from=ask.active.start,
        active_until=ask.active.until,
        why=ask.why,
        payload=ask.payload,
    )


def _audience(conditions: Mapping[str, Any], declared: Mapping[str, Feature]) -> tuple[AudienceRule, ...]:
    return tuple(
        rule for name, condition in sorted(conditions.items()) for rule in read_condition(declared[name], condition)
    )


def _doubts(catalog: Catalog) -> Iterable[Finding]:
    """What is allowed and yet may not be meant."""
    if catalog.baseline[-1] != catalog.goal:
        problem = "goes on after the goal; what follows is only asked of visitors who were asked for the goal already"
        yield Finding(("baseline",), problem, catalog.baseline[-1], f"{catalog.goal} at the end")
    if not any(feature.name == "device" for feature in catalog.context):
        for i, ask in enumerate(catalog.asks):
            if ask.devices:
                problem = "is a restriction, but context does not declare device; requests must send it all the same"
                yield Finding(("asks", i, "devices"), problem, "", "device: {type: category} under context")
    both = {feature.name for feature in catalog.context} & {feature.name for feature in catalog.answers}
    for i, ask in enumerate(catalog.asks):
        for name in sorted({rule.feature for rule in ask.audience} & both):
            problem = "is declared under context and under answers; the context's is used"
            yield Finding(("asks", i, "audience", name), problem)
