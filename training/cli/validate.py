"""``smallyes validate``: every fault of catalogs and logs, in plain words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click

from data.domain import Catalog
from data.errors import BadCatalog, BadInput, BadLog, Fault
from training.cli.app import NoError
from training.cli.context import Session, common_options, examples

CATALOG_ENDINGS = (".yaml", ".yml")


@dataclass
class Finding:
    """What is to be said of one file."""

    file: str
    faults: list[Fault] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    summary: str = ""


@click.command("validate", epilog=examples("smallyes validate", "smallyes validate journeys/skincare.yaml march.csv"))
@click.argument("files", nargs=-1, metavar="FILE...", type=click.Path(path_type=Path))
@click.option("--map", "mapping", type=click.Path(path_type=Path), help="How to read a log of another system.")
@common_options
def command(session: Session, files: Sequence[Path], mapping: Path | None) -> None:
    """Check catalogs (.yaml) and event logs (.parquet .csv .ndjson); without FILE: the workspace's catalogs."""
    targets = list(files) or _workspace_catalogs(session)
    findings = []
    catalogs: dict[str, Catalog] = {}
    for file in sorted(targets, key=lambda target: target.suffix not in CATALOG_ENDINGS):
        if file.suffix in CATALOG_ENDINGS:
            findings.append(_check_catalog(file, catalogs))
        else:
            findings.append(_check_log(session, file, mapping, catalogs))
    n_faults = sum(len(finding.faults) for finding in findings)
    session.answer(_as_json(findings, n_faults), "\n".join(_lines(findings)))
    if n_faults:
        raise NoError


def _workspace_catalogs(session: Session) -> list[Path]:
    from data.catalog.loading import catalog_files

    workspace = session.workspace()
    files = catalog_files(workspace.journeys)
    if not files:
        raise BadInput(f"{workspace.journeys}: has no catalog (*.yaml); name the files to check")
    return files


def _check_catalog(file: Path, catalogs: dict[str, Catalog]) -> Finding:
    from data.catalog import check_catalog

    try:
        catalog, warnings = check_catalog(file)
    except BadCatalog as error:
        return Finding(str(file), list(error.faults))
    catalogs[catalog.journey] = catalog
    summary = f"journey {catalog.journey}: {len(catalog.asks)} asks, goal {catalog.goal}"
    return Finding(str(file), [], [_without_file(fault) for fault in warnings], summary)


def _check_log(session: Session, file: Path, mapping: Path | None, catalogs: dict[str, Catalog]) -> Finding:
    from data.log import read_log, unknown_asks

    try:
        log = read_log(file, journey=session.journey, mapping=mapping, quarantine_to=False)
    except BadLog as error:
        return Finding(str(file), list(error.faults))
    faults = [
        Fault(str(file), "", f"{_rows(n)} refused: {reason}") for reason, n in _reasons(log.quarantined["reason"])
    ]
    warnings = list(log.notes)
    catalog = catalogs.get(log.journey)
    for ask_id, n in (unknown_asks(log.frame, catalog) if catalog is not None else {}).items():
        warnings.append(f"{_rows(n)} name the ask {ask_id!r}, which the catalog {log.journey} does not have")
    journey = f" of journey {log.journey}" if log.journey else ""
    return Finding(str(file), faults, warnings, f"{len(log.frame)} good rows{journey} of {log.n_read}")


def _reasons(reasons: Iterable[str]) -> list[tuple[str, int]]:
    """Refused rows by reason, the most frequent first."""
    return Counter(reasons).most_common(50)


def _rows(n: int) -> str:
    return "1 row" if n == 1 else f"{n} rows"


def _without_file(fault: Fault) -> str:
    return str(Fault(fault.path or "catalog", "", fault.problem, fault.received, fault.allowed))


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
