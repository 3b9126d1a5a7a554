"""The table of ``docs/settings.md``, made from the settings themselves: ``python -m training.settings_page``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Final

from data.settings import environment_name, setting_names

FLAGS: Final[Mapping[str, str]] = {
    "serve.host": "serve --host",
    "serve.port": "serve --port",
    "serve.workers": "serve --workers",
}
"""Command and flag that set a setting for one run."""


def settings_table() -> str:
    """The table of all settings in Markdown.

    Example:
        >>> settings_table().splitlines()[0]
        '| in `smallyes.toml` | in the environment | flag | default | meaning |'
    """
    lines = [
        "| in `smallyes.toml` | in the environment | flag | default | meaning |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, default, description in setting_names():
        flag = f"`{FLAGS[name]}`" if name in FLAGS else ""
        cells = (f"`{name}`", f"`{environment_name(name)}`", flag, _default(default), description)
        lines.append(f"| {' | '.join(cells)} |".replace("|  |", "| |"))
    return "\n".join(lines) + "\n"


def _default(value: object) -> str:
    if value in ("", ()):
        return "(empty)"
    return f"`{value}`"


if __name__ == "__main__":
    sys.stdout.write(settings_table())
