"""``smallyes pull``: a registered policy as a folder of plain files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from data.errors import BadInput
from training.cli.context import Session, common_options, examples

if TYPE_CHECKING:
    from policy.registry import RegisteredVersion, Registry

ALIASES: Final = ("champion", "challenger", "previous")


@click.command(
    "pull",
    epilog=examples("smallyes pull --out policy", "smallyes pull --version 7 --out policy-7"),
)
@click.option(
    "--version", "wanted", default="champion", metavar="V|champion|challenger", help="Version [default: champion]."
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new or empty folder.")
@common_options
def command(session: Session, wanted: str, out: Path) -> None:
    """Fetch a policy out of the registry: catalog, features, model and manifest, checked, as a folder.

    policy.load(FOLDER) decides with it, without the service.
    """
    workspace = session.workspace()
    journey = session.catalog(workspace).journey
    from policy.registry import Registry

    registry = Registry.open(workspace)
    version = named_version(registry, journey, wanted)
    bundle = registry.download(version, out)
    result = {"journey": journey, "version": version.version, "digest": bundle.digest, "folder": str(out.resolve())}
    session.answer(
        result,
        f"Version {version.version} of {journey} is in {out} (sha256 {bundle.digest[:12]}...).\n"
        f"Next, in Python: policy.load({str(out)!r}).next_ask({{'visitor_id': 'v', 'history': []}})",
    )


def named_version(registry: Registry, journey: str, wanted: str) -> RegisteredVersion:
    """The version that a number or an alias names.

    Raises:
        BadInput: it names none.
    """
    if wanted.isdecimal():
        return registry.version(journey, int(wanted))
    if wanted not in ALIASES:
        raise BadInput(f"--version: must be a number or one of {', '.join(ALIASES)}; received {wanted!r}")
    version = registry.at_alias(journey, wanted)
    if version is None:
        known = ", ".join(str(one.version) for one in registry.versions(journey)) or "none"
        raise BadInput(f"--version: journey {journey} has no {wanted} now; versions: {known}")
    return version
