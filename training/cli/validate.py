"""``smallyes validate``: every fault of catalogs and logs, in plain words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from data.clock import now
from data.domain import Catalog
from data.errors import BadCatalog, BadInput, BadLog, Fault
from training.cli.app import NoError
from training.cli.context import Session, common_options, examples

if TYPE_CHECKING:
    import polars as pl

    from data.log import Log

CATALOG_ENDINGS: Final = (".yaml", ".yml")
MOST_REASONS: Final = 50


@dataclass
class Finding:
    """What is to be said of one file."""

    file: str
    faults: list[Fault] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    summary: str = ""


@click.command("validate", epilog=examples("smallyes validate", "smallyes validate journeys/skincare.yaml march.csv"))
@click.argument("files", nargs=-1, metavar="[FILE]...", type=click.Path(path_type=Path))
@click.option("--map", "mapping", type=click.Path(path_type=Path), help="How to read a log of another system.")
@common_options
def command(session: Session, files: Sequence[Path], mapping: Path | None) -> None:
    """Check catalogs (.yaml) and event logs (.parquet .csv .ndjson); without FILE: the workspace's catalogs."""
    targets = list(files) or _workspace_files(session)
    findings = []
    catalogs: dict[str, Catalog] = {}
    if any(file.suffix not in CATALOG_ENDINGS for file in targets):
        catalogs.update(_workspace_catalogs(session))
    owners: dict[tuple[Path, str], Path] = {}
    for file in sorted(targets, key=lambda target: target.suffix not in CATALOG_ENDINGS):
        if file.suffix in CATALOG_ENDINGS:
            findings.append(_check_catalog(file, catalogs, owners))
        else:
            findings.append(_check_log(session, file, mapping, catalogs))
    n_faults = sum(len(finding.faults) for finding in findings)
    session.answer(_as_json(findings, n_faults), "\n".join(_lines(findings)))
    if n_faults:
        raise NoError


def _workspace_files(session: Session) -> list[Path]:
    from data.catalog.loading import catalog_files

    workspace = session.workspace()
    files = catalog_files(workspace.journeys)
    if not files:
        raise BadInput(f"{workspace.journeys}: has no catalog (*.yaml); name the files to check")
    return files


def _check_catalog(file: Path, catalogs: dict[str, Catalog], owners: dict[tuple[Path, str], Path]) -> Finding:
    from data.catalog import check_catalog
    from data.catalog.loading import same_journey

    try:
        catalog, warnings = check_catalog(file)
    except BadCatalog as error:
        return Finding(str(file), list(error.faults))
    owner = owners.setdefault((file.resolve().parent, catalog.journey), file)
    if owner.resolve() != file.resolve():
        return Finding(str(file), [same_journey(str(file), catalog.journey, str(owner))])
    catalogs[catalog.journey] = catalog
    n_asks = len(catalog.asks)
    summary = f"journey {catalog.journey}: {n_asks} ask{'s' if n_asks != 1 else ''}, goal {catalog.goal}"
    return Finding(str(file), [], [_without_file(fault) for fault in warnings], summary)


def _check_log(session: Session, file: Path, mapping: Path | None, catalogs: Mapping[str, Catalog]) -> Finding:
    try:
        logs = _logs(file, session.journey, mapping)
    except BadLog as error:
        return Finding(str(file), list(error.faults))
    faults = list(_refused(file, logs[0].quarantined))
    warnings = list(dict.fromkeys(note for log in logs for note in log.notes))
    for log in logs:
        warnings += _unknown(log, catalogs.get(log.journey))
    names = ", ".join(log.journey for log in logs if log.journey)
    journeys = f" of journey{'s' if len(logs) > 1 else ''} {names}" if names else ""
    n_good = sum(len(log.frame) for log in logs)
    good = f"{n_good} good row{'s' if n_good != 1 else ''}"
    return Finding(str(file), faults, warnings, f"{good}{journeys} of {logs[0].n_read}")


def _unknown(log: Log, catalog: Catalog | None) -> Iterator[str]:
    from data.log import unknown_asks

    if catalog is None:
        return
    for ask_id, n in unknown_asks(log.frame, catalog).items():
        verb = "names" if n == 1 else "name"
        yield f"{_rows(n)} {verb} the ask {ask_id!r}, which the catalog {log.journey} does not have"


def _logs(file: Path, journey: str | None, mapping: Path | None) -> list[Log]:
    """The log, once for each journey in it."""
    from data.log import read_log

    read = partial(read_log, file, mapping=mapping, present=now(), quarantine_to=False)
    try:
        return [read(journey=journey)]
    except BadLog as error:
        (first, *_) = error.faults
        if journey is not None or first.path != "journey" or len(error.faults) > 1:
            raise
        names = first.received.split(", ")
    return [read(journey=name) for name in names]


def _refused(file: Path, quarantined: pl.DataFrame) -> Iterator[Fault]:
    """Refused rows by reason, the most frequent first, each with the first row it is about."""
    counts: dict[str, list[tuple[str, int]]] = {}
    for reason, name, row in quarantined.select("reason", "file", "row").iter_rows():
        counts.setdefault(reason, []).append((name, row))
    for reason, rows in sorted(counts.items(), key=lambda item: -len(item[1]))[:MOST_REASONS]:
        name, row = rows[0]
        more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
        yield Fault(name or str(file), f"row {row}{more}", f"refused: {reason}")
    if len(counts) > MOST_REASONS:
        yield Fault(str(file), "", f"has rows refused for {len(counts) - MOST_REASONS} more reasons")


def _workspace_catalogs(session: Session) -> Mapping[str, Catalog]:
    """The workspace's catalogs, to hold logs against; none where there is no workspace or they are faulty."""
    from data.catalog import load_folder

    try:
        return load_folder(session.workspace().journeys)
    except BadInput:
        return {}


def _rows(n: int) -> str:
    return "1 row" if n == 1 else f"{n} rows"


def _without_file(fault: Fault) -> str:
    return str(fault).removeprefix(f"{fault.file}: ")


def _as_json(findings: Sequence[Finding], n_faults: int) -> dict[str, Any]:
    return {"valid": n_faults == 0, "faults": n_faults, "files": [asdict(finding) for finding in findings]}


def _lines(findings: Sequence[Finding]) -> Iterable[str]:
    for finding in findings:
        if not finding.faults:
            yield f"{finding.file}: good ({finding.summary})"
        else:
            yield f"{finding.file}: {len(finding.faults)} fault{'s' if len(finding.faults) > 1 else ''}"
        for fault in finding.faults:
            yield f"  - {_without_file(fault) if fault.file == finding.file else fault}"
        for warning in finding.warnings:
            yield f"  - warning: {warning}"
