"""``smallyes init``: a new workspace with a journey to start from."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from shlex import quote

import click

from data.errors import BadInput
from data.settings import load_settings, setting_names
from data.workspace import SETTINGS_FILE, Workspace
from training.cli.context import Session, common_options, examples, opened_store

_INTRODUCTION = """\
# Settings of this smallyes workspace. Everything here has a default; what is commented out shows it.
# Each can also be set in the environment, as SMALLYES_ and its name: SMALLYES_STORE_URL, SMALLYES_SERVE_PORT.
"""
_IGNORED = "var/"
"""State and secret of a workspace do not belong into version control."""


@click.command(
    "init",
    epilog=examples("smallyes init shop && cd shop && smallyes serve", "smallyes init simulated --world skincare"),
)
@click.argument("target", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--world", help="Start from the catalog of this simulated site (see: smallyes simulate).")
@common_options
def command(session: Session, target: Path, world: str | None) -> None:
    """Make a workspace: smallyes.toml, journeys/ with a journey to start from, var/ with an empty store and registry.

    What is in the folder already stays as it is.
    """
    if (target / SETTINGS_FILE).exists():
        raise BadInput(f"{target}: is a workspace already (it has a {SETTINGS_FILE}); nothing was changed")
    written = _write_journey(target / "journeys", *_first_journey(world))
    _ignore_state(target / ".gitignore")
    workspace = Workspace(target.resolve(), load_settings(None, os.environ, {}))
    workspace.var.mkdir(parents=True, exist_ok=True)
    workspace.secret()
    with opened_store(workspace) as store:
        store.check()
    if workspace.mlflow_file is not None:
        from policy.registry import Registry

        Registry.create(workspace)
    # Last, so that an attempt that failed halfway can be repeated.
    (target / SETTINGS_FILE).write_text(default_settings_text(), encoding="utf-8")
    journeys = [str(path) for path in written]
    session.answer({"workspace": str(workspace.root), "journeys": journeys}, _next_steps(target, journeys))


def default_settings_text() -> str:
    """A settings file in which every setting stands with its meaning, commented out, at its default.

    Example:
        >>> "[store]" in default_settings_text()
        True
    """
    lines = [_INTRODUCTION]
    section = ""
    ordered = sorted(setting_names(), key=lambda item: "." in item[0])
    for name, default, description in ordered:
        head, _, last = name.rpartition(".")
        if head != section:
            section = head
            lines.append(f"\n[{section}]")
        lines.append(f"# {description}\n# {last} = {toml_value(default)}")
    return "\n".join(lines) + "\n"


def toml_value(value: object) -> str:
    """A setting's value as it is written in ``smallyes.toml``.

    Example:
        >>> toml_value("400d"), toml_value(()), toml_value(2.0)
        ('"400d"', '[]', '2.0')
    """
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _first_journey(world: str | None) -> tuple[str, str]:
    """Name and text of the catalog file that a workspace starts with."""
    if world is None:
        file = next(file for file in (resources.files("data") / "starter").iterdir() if file.name.endswith(".yaml"))
        return file.name, file.read_text(encoding="utf-8")
    from data.catalog import dump_catalog
    from data.simulator.worlds import world as find_world

    catalog = find_world(world).catalog
    return f"{catalog.journey}.yaml", dump_catalog(catalog)


def _write_journey(journeys: Path, name: str, text: str) -> list[Path]:
    """The first journey's file, unless there are journeys already."""
    journeys.mkdir(parents=True, exist_ok=True)
    if any(file.suffix in (".yaml", ".yml") for file in journeys.iterdir()):
        return []
    file = journeys / name
    file.write_text(text, encoding="utf-8")
    return [file]


def _ignore_state(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    if not {_IGNORED, f"/{_IGNORED}", _IGNORED.rstrip("/")} & set(lines):
        file.write_text("\n".join([*lines, _IGNORED]) + "\n", encoding="utf-8")


def _next_steps(folder: Path, journeys: list[str]) -> str:
    start = f" It starts with the journey in {journeys[0]}: make it yours." if journeys else ""
    return (
        f"Made the workspace {folder}.{start}\n"
        f"Next: cd {quote(str(folder))} && smallyes serve\n"
        "Then, in another terminal: curl -s localhost:3000/v1/next-ask -H 'Content-Type: application/json' "
        """-d '{"visitor_id": "v-17"}'"""
    )
