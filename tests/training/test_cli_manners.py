"""What every command has in common: help, exit codes, errors in one paragraph, quiet ends."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
import pytest

from data.errors import BadInput, StoreUnavailable
from data.workspace import Workspace
from tests.conftest import Answer, command_line
from training.cli import main
from training.cli.app import COMMANDS, NoError, cli, run

Smallyes = Callable[..., Answer]
WITH_WORKSPACE = [
    ("validate",),
    ("funnel", "--log", "x.csv"),
    ("import", "--log", "x.csv"),
    ("export", "--out", "x.csv"),
    ("serve",),
    ("keys", "list"),
    ("keys", "add", "--role", "read"),
    ("keys", "revoke", "x"),
    ("simulate", "--visitors", "1", "--policy", "champion", "--out", "x.csv"),
]


def commands() -> list[tuple[str, ...]]:
    """Every command, subcommands included."""
    found: list[tuple[str, ...]] = []
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        if isinstance(command, click.Group):
            found += [(name, inner) for inner in command.commands]
        else:
            found.append((name,))
    return found


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Lets ``smallyes keys list`` fail with an error."""

    def fail_with(error: BaseException) -> None:
        def fail(_store: object) -> Any:
            raise error

        monkeypatch.setattr("data.stores.sqlite.SqliteStore.keys", fail)

    return fail_with


# help


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_help_of_every_command_shows_examples(smallyes: Smallyes, command: tuple[str, ...]) -> None:
    answer = smallyes(*command, "--help")
    assert (answer.code, answer.err) == (0, "")
    example = answer.out.split("Examples:\n")[1].strip().splitlines()[0].strip()
    assert example.startswith("smallyes " + " ".join(command))


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_takes_the_common_options(smallyes: Smallyes, command: tuple[str, ...]) -> None:
    text = smallyes(*command, "-h").out
    assert all(option in text for option in ("--workspace", "--journey", "--json", "--debug", "--help"))


def test_help_lists_every_command_with_what_it_does(smallyes: Smallyes) -> None:
    answer = smallyes("--help")
    listed = [line.split()[0] for line in answer.out.split("Commands:\n")[1].splitlines()]
    assert listed == list(COMMANDS)


def test_the_version_is_told(smallyes: Smallyes) -> None:
    answer = smallyes("--version")
    assert answer.code == 0
    assert answer.out.startswith("smallyes, version ")


def test_no_command_at_all_shows_what_there_is(smallyes: Smallyes) -> None:
    answer = smallyes()
    assert answer.code == 2
    assert "Commands:" in answer.err


def test_the_console_script_is_this_command_line() -> None:
    (script,) = entry_points(group="console_scripts", name="smallyes")
    assert script.load() is main


# errors


@pytest.mark.parametrize(
    "arguments",
    [
        ("nothing",),
        ("funnel",),
        ("funnel", "--log"),
        ("funnel", "--nothing"),
        ("simulate", "--visitors", "0", "--out", "x.csv"),
        ("simulate", "--visitors", "many", "--out", "x.csv"),
        ("simulate", "--visitors", "5", "--out", "x.csv", "--policy", "best"),
        ("keys", "add", "--role", "king"),
        ("init",),
    ],
    ids=" ".join,
)
def test_wrong_use_ends_with_2_in_one_line_that_says_where_to_look(
    smallyes: Smallyes, arguments: tuple[str, ...]
) -> None:
    answer = smallyes(*arguments)
    assert (answer.code, answer.out) == (2, "")
    (line,) = answer.err.splitlines()
    assert line.startswith("smallyes")
    assert line.endswith("--help")


@pytest.mark.parametrize("arguments", WITH_WORKSPACE, ids=" ".join)
def test_without_a_workspace_commands_say_how_to_make_one(
    smallyes: Smallyes, arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = smallyes(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.count("\n") == 1
    assert "make a workspace with: smallyes init shop" in answer.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadInput("a wrong thing"), 2),
        (StoreUnavailable("the store is away"), 3),
        (NoError("there is none"), 1),
        (OSError(5, "Input/output error", "var/x"), 3),
        (RuntimeError("two and two"), 3),
        (KeyboardInterrupt(), 130),
    ],
    ids=lambda value: type(value).__name__,
)
def test_exit_codes_tell_what_kind_of_end_it_was(
    workspace: Workspace, smallyes: Smallyes, broken: Callable[[BaseException], None], error: BaseException, code: int
) -> None:
    broken(error)
    answer = smallyes("keys", "list")
    assert (answer.code, answer.out) == (code, "")
    assert str(error.args[-1] if error.args else "") in answer.err
    assert "Traceback" not in answer.err
    assert "\n\n" not in answer.err


def test_a_fault_of_ours_is_told_as_one(
    workspace: Workspace, smallyes: Smallyes, broken: Callable[[BaseException], None]
) -> None:
    broken(RuntimeError("two and two"))
    text = smallyes("keys", "list").err
    assert "a fault of smallyes itself (RuntimeError: two and two)" in text
    assert "--debug" in text


def test_debug_shows_the_traceback_and_keeps_the_exit_code(
    workspace: Workspace, smallyes: Smallyes, broken: Callable[[BaseException], None]
) -> None:
    broken(StoreUnavailable("the store is away"))
    answer = smallyes("keys", "list", "--debug")
    assert answer.code == 3
    assert answer.err.startswith("Traceback (most recent call last)")
    assert answer.err.endswith("smallyes: the store is away\n")


def test_json_leaves_standard_output_empty_when_it_fails(workspace: Workspace, smallyes: Smallyes) -> None:
    answer = smallyes("funnel", "--log", "missing.csv", "--json")
    assert (answer.code, answer.out) == (2, "")


# quiet ends


def _shell(line: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    smallyes = " ".join(f"'{part}'" for part in command_line())
    return subprocess.run(
        ["bash", "-c", f'set -o pipefail; smallyes() {{ {smallyes} "$@"; }}; {line}'],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _log_of(root: Path, n: int = 60) -> Path:
    rows = [f"v{i},2026-01-01T10:00:{i % 60:02d}Z,shown,skin_quiz" for i in range(n)]
    path = root / "log.csv"
    path.write_text("\n".join(["visitor_id,at,type,ask_id", *rows]) + "\n")
    return path


@pytest.mark.parametrize(
    "line", ["smallyes funnel --log log.csv", "smallyes --help", "smallyes funnel --log log.csv --json"]
)
def test_a_reader_that_stops_early_is_no_error(workspace: Workspace, line: str) -> None:
    _log_of(workspace.root)
    done = _shell(f"{line} | head -c 20", workspace.root)
    assert (done.returncode, done.stderr, len(done.stdout)) == (0, "", 20)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_output_that_cannot_be_written_ends_with_3(workspace: Workspace) -> None:
    _log_of(workspace.root)
    done = _shell("smallyes funnel --log log.csv > /dev/full", workspace.root)
    assert done.returncode == 3
    assert done.stderr == "smallyes: No space left on device\n"


def test_output_in_another_character_set_is_no_error(workspace: Workspace) -> None:
    _log_of(workspace.root)
    done = _shell("smallyes funnel --log log.csv", workspace.root, PYTHONIOENCODING="ascii", LC_ALL="C")
    assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c_ends_with_130_leaving_nothing_behind(
    tmp_path: Path, started: Callable[..., subprocess.Popen[str]]
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environment = {**os.environ, "TMPDIR": str(scratch)}
    process = started("simulate", "--visitors", "2000000", "--out", tmp_path / "log.csv", env=environment)
    while not list(scratch.iterdir()):  # it has begun when its store is there
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err.strip()) == (130, "")
    assert [path for path in tmp_path.rglob("*") if path != scratch] == []


def test_running_a_command_line_does_not_end_the_process() -> None:
    assert run(["--version"]) == 0
