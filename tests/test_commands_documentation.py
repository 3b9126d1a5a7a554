"""The page of commands names every command and option there is, with its default, and no other."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from tests.documents import ROOT, blocks, section, tables
from training.cli.app import COMMANDS, cli

PAGE = ROOT / "docs" / "commands.md"
COMMON = ("--workspace", "--journey", "--json", "--debug")
LOGS = ("--log", "--map", "--now")
TEXT = PAGE.read_text(encoding="utf-8")
TITLES = re.findall(r"^### (.+)$", TEXT, re.MULTILINE)


def real_commands() -> dict[str, click.Command]:
    """Every command by its full name, subcommands included."""
    found: dict[str, click.Command] = {}
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        inner = command.commands if isinstance(command, click.Group) else {}
        found |= {f"{name} {one}": inner[one] for one in inner} or {name: command}
    return found


REAL = real_commands()


def options_of(command: click.Command) -> dict[str, click.Option]:
    return {option.opts[0]: option for option in command.params if isinstance(option, click.Option)}


def rows_between(start: int, stop: int) -> dict[str, tuple[str, str]]:
    """Options described in these lines of the page: default and meaning by name."""
    lines = TEXT.splitlines()[start - 1 : stop - 1]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `--")]
    return {name.strip("`"): (default, meaning) for name, default, meaning in cells}


def described(title: str) -> dict[str, tuple[str, str]]:
    """What a command's section and the shared tables that it refers to say of options."""
    lines = section(PAGE, title)
    own = rows_between(lines.start, lines.stop)
    text = " ".join(TEXT.splitlines()[lines.start - 1 : lines.stop - 1])
    takes_logs = re.search(r"[Tt]akes? the options for logs|[Tt]akes the\s+options for logs", text) is not None
    head = TEXT[: TEXT.index("## A workspace")].count("\n")
    shared = rows_between(1, head)
    return {name: shared[name] for name in (*COMMON, *(LOGS if takes_logs else ()))} | own


def test_every_command_has_its_section() -> None:
    assert sorted(TITLES) == sorted(REAL)


@pytest.mark.parametrize("title", sorted(REAL))
def test_every_option_is_described_and_no_other(title: str) -> None:
    assert sorted(described(title)) == sorted(options_of(REAL[title]))


@pytest.mark.parametrize("title", sorted(REAL))
def test_every_default_is_the_real_one(title: str) -> None:
    command = REAL[title]
    context = click.Context(command, parent=click.Context(cli, help_option_names=["-h", "--help"]))
    options = options_of(command)
    for name, (said, _) in described(title).items():
        option = options[name]
        assert (said == "required") == option.required, name
        assert (said == "off") == bool(option.is_flag), name
        exact = re.fullmatch(r"`([^`]+)`", said)
        if exact is not None:
            in_help = re.search(r"\[default: ([^\]]+?)(?: or next)?\]", option.help or "")
            real = in_help[1] if in_help else option.get_default(context)
            assert str(real) == exact[1], name
        elif not option.required and not option.is_flag:
            # Said in words: it depends on the log, the workspace or other options.
            assert not isinstance(option.get_default(context), str | int | float), name


@pytest.mark.parametrize("title", sorted(REAL))
def test_choices_and_arguments_are_named(title: str) -> None:
    lines = section(PAGE, title)
    text = "\n".join(TEXT.splitlines()[lines.start - 1 : lines.stop - 1])
    for parameter in REAL[title].params:
        if isinstance(parameter.type, click.Choice):
            assert [choice for choice in parameter.type.choices if f"`{choice}`" not in text] == []
        if isinstance(parameter, click.Argument):
            metavar = (parameter.metavar or parameter.name or "").strip("[]. ")
            assert f"`{metavar.upper()}`" in text


@pytest.mark.parametrize("title", sorted(REAL))
def test_the_example_is_a_command_line_that_is_understood(title: str) -> None:
    (example,) = (block for block in blocks(PAGE, "sh") if block.line in section(PAGE, title))
    typed = shlex.split(example.text)
    n_words = 1 + len(title.split())
    assert typed[:n_words] == ["smallyes", *title.split()]
    # Under the group, as for a user: a command keeps the names of its help option from its first context.
    whole = click.Context(cli, help_option_names=["-h", "--help"])
    REAL[title].make_context(title, typed[n_words:], parent=whole)


def test_exit_codes_are_the_real_ones() -> None:
    from training.cli import app

    codes = [int(code) for code, _ in tables(PAGE)["code|means"]]
    assert codes == [app.DONE, app.NO, app.WRONG_USE, app.UNAVAILABLE]
