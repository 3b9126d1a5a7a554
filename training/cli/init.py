"""``smallyes init``: a new workspace with a journey to start from."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import click

from data.errors import BadInput
from data.settings import setting_names
from data.workspace import SETTINGS_FILE, open_workspace
from training.cli.context import Session, common_options, examples, opened_store

_INTRODUCTION = """\
# Settings of this smallyes workspace. Everything here has a default; what is commented out shows it.
# Each can also be set in the environment, as SMALLYES_ and its name: SMALLYES_STORE_URL, SMALLYES_SERVE_PORT.
"""


@click.command("init", epilog=examples("smallyes init shop && cd shop && smallyes serve"))
@click.argument("folder_to_make", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@common_options
def command(session: Session, folder_to_make: Path) -> None:
    """Make a workspace: smallyes.toml, journeys/ with a journey to start from, var/ with an empty store."""
    if (folder_to_make / SETTINGS_FILE).exists():
        raise BadInput(f"{folder_to_make}: is a workspace already (it has a {SETTINGS_FILE}); nothing was changed")
    journeys = folder_to_make / "journeys"
    journeys.mkdir(parents=True, exist_ok=True)
    written = []
    starter = resources.files("data") / "starter"
    for file in starter.iterdir():
        target = journeys / file.name
        if file.name.endswith(".yaml") and not target.exists():
            target.write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
            written.append(str(target))
    (folder_to_make / ".gitignore").write_text("var/\n", encoding="utf-8")
    settings = folder_to_make / SETTINGS_FILE
    settings.write_text(default_settings_text(), encoding="utf-8")
    workspace = open_workspace(folder_to_make, {}, {})
    workspace.secret()
    with opened_store(workspace) as store:
        store.check()
    session.answer(
        {"workspace": str(workspace.root), "journeys": written},
        f"Made the workspace {folder_to_make} with {', '.join(written)}.\nNext: cd {folder_to_make} && smallyes serve",
    )


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
        lines.append(f"# {description}\n# {last} = {_toml(default)}")
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)
