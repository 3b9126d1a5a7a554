"""The console script: finds the command, runs it, and turns every error into one paragraph and an exit code.

Exit codes: 0 done, 1 the answer is no, 2 wrong use or bad input, 3 a part is unavailable.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final

import click

from data.errors import BadInput, SmallyesError, Unavailable

DONE: Final = 0
NO: Final = 1
WRONG_USE: Final = 2
UNAVAILABLE: Final = 3
INTERRUPTED: Final = 130

COMMANDS: Final = {
    "init": "training.cli.init",
    "demo": "training.cli.demo",
    "validate": "training.cli.validate",
    "funnel": "training.cli.funnel",
    "train": "training.cli.train",
    "evaluate": "training.cli.evaluate",
    "promote": "training.cli.promote",
    "rollback": "training.cli.rollback",
    "retrain": "training.cli.retrain",
    "pull": "training.cli.pull",
    "import": "training.cli.importing",
    "export": "training.cli.exporting",
    "simulate": "training.cli.simulate",
    "serve": "training.cli.serve",
    "keys": "training.cli.keys",
    "ope": "training.cli.ope",
}
"""Where each command lives; it is imported only when it is used, so that ``--help`` is quick."""


class NoError(SmallyesError):
    """Not an error: the answer of a command is no (exit code 1)."""


class ReaderGoneError(SmallyesError):
    """Not an error: whoever read our output has seen enough, as in ``smallyes ... | head``."""


class LazyGroup(click.Group):
    """A group that imports a command when it is asked for."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; a closed pipe is taken here, as click would end the process with exit code 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise ReaderGoneError from None

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Names in the order in which a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name."""
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = import_module(module).command
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="smallyes", prog_name="smallyes")
def cli() -> None:
    """Learns from past step sequences which small ask to make next, and answers over HTTP."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and ends the process with its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    code = run(given)
    _let_go_of_output()
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Runs a command line; returns its exit code."""
    try:
        cli.main(args=list(arguments), prog_name="smallyes", standalone_mode=False)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except ReaderGoneError:
        return DONE
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return WRONG_USE
    except click.ClickException as error:
        click.echo(_usage_text(error), err=True)
        return WRONG_USE
    except NoError as answer:
        if str(answer):
            click.echo(f"smallyes: {answer}", err=True)
        return NO
    except Exception as error:
        if "--debug" in arguments:
            traceback.print_exc()
        return _explain(error)
    return DONE


def _usage_text(error: click.ClickException) -> str:
    """What is wrong with a command line, in one paragraph, and where to read how it is used."""
    context = getattr(error, "ctx", None)
    name = "smallyes" if context is None else context.command_path
    problem = error.format_message().rstrip(".").replace("\n", " ")
    return f"{name}: {problem}. How it is used: {name} --help"


def _let_go_of_output() -> None:
    """Writes out what waits; where nobody takes it any more, Python must not complain about that at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            try:
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            except (OSError, io.UnsupportedOperation):
                continue


def _explain(error: Exception) -> int:
    """Prints one paragraph about an error; returns the exit code it stands for."""
    if isinstance(error, Unavailable):
        click.echo(f"smallyes: {error}", err=True)
        return UNAVAILABLE
    if isinstance(error, BadInput):
        click.echo(f"smallyes: {error}", err=True)
        return WRONG_USE
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"smallyes: {where}{error.strerror or error}", err=True)
        return UNAVAILABLE
    click.echo(
        f"smallyes: this is a fault of smallyes itself ({type(error).__name__}: {error}); "
        "run the command again with --debug to see where, and please report it.",
        err=True,
    )
    return UNAVAILABLE
