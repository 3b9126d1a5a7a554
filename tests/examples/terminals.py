"""An example's folder as a reader has it, and a shell in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.documents import ROOT


def copy_of(example: str, target: Path) -> Path:
    """The example's folder at a place of its own, without what earlier runs left in it."""
    left = shutil.ignore_patterns("var", "__pycache__")
    return Path(shutil.copytree(ROOT / "examples" / example, target / example, ignore=left))


def typed(text: str, folder: Path) -> str:
    """What lines say on standard output when they are typed in a folder, without spaces at the ends of lines."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONWARNINGS": "error", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    return without_ends(done.stdout)


def without_ends(text: str) -> str:
    """Text without spaces at the ends of its lines and empty lines around it."""
    return "\n".join(line.rstrip() for line in text.strip().splitlines())
