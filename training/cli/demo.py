"""``smallyes demo``: the whole loop on a simulated shop."""

from __future__ import annotations

import signal
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from data.errors import BadInput
from training.cli.context import FILE_WIDTH, Session, common_options, examples

if TYPE_CHECKING:
    from rich.console import Console

    from training.demo.service import Service

JOURNEY: Final = "skincare"
FEWEST_PAST: Final = 500
FEWEST_LIVE: Final = 50
_PAUSE_S: Final = 0.5


@click.command(
    "demo",
    epilog=examples(
        "smallyes demo", "smallyes demo --once --json", "smallyes demo --visitors 5000 --live 600 --port 8080"
    ),
)
@click.option("--once", is_flag=True, help="Stop the service and end when everything was shown.")
@click.option(
    "--visitors", type=click.IntRange(FEWEST_PAST), default=20_000, show_default=True, help="Who came before."
)
@click.option("--live", type=click.IntRange(FEWEST_LIVE), default=2_500, show_default=True, help="Who come over HTTP.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same visitors.")
@click.option("--port", type=click.IntRange(0, 65_535), help="Of the service; 0: any free one [default: 3000 or next].")
@click.option("--dir", "target", type=click.Path(path_type=Path), help="A new folder [default: var/demo-TIME here].")
@common_options
def command(  # noqa: PLR0913, PLR0917 - one argument an option
    session: Session, once: bool, visitors: int, live: int, seed: int, port: int | None, target: Path | None
) -> None:
    """Simulate a shop, learn, judge, go live, serve over HTTP, and learn again: everything real but the visitors.

    It takes about three minutes and makes a workspace of its own. Then the service runs on until Ctrl-C.
    """
    if session.folder is not None or session.journey not in (None, JOURNEY):
        raise BadInput(f"demo: makes a workspace of its own, with the journey {JOURNEY}; say where with --dir DIR")
    from training.demo.place import choose_port, default_folder, make_place
    from training.demo.service import Service
    from training.demo.story import Cast, Story
    from training.demo.telling import what_to_try

    console = _console(session)
    with _ended_by_signals(), ExitStack() as started:
        place = make_place(target or default_folder(Path.cwd()), choose_port(port), seed, visitors)
        services: list[Service] = []

        def start() -> Service:
            services.append(started.enter_context(Service(place)))
            return services[-1]

        story = Story(place, Cast(visitors, live, seed), console, session.progress)
        result = story.tell(start)
        if once:
            started.close()
            console.print("\nThe service was stopped. Everything is kept in the workspace.")
        else:
            console.print(f"\n{what_to_try(place, Path(sysconfig.get_path('scripts')))}", markup=False, soft_wrap=True)
            console.print("\nThe service runs on. Ctrl-C ends it.")
        if session.is_json:
            session.answer(result, "")
        if not once:
            sys.stdout.flush()
            _wait(services[-1], console)


def _wait(service: Service, console: Console) -> None:
    """Until Ctrl-C.

    Raises:
        Unavailable: the service ended.
    """
    try:
        while True:
            service.check()
            time.sleep(_PAUSE_S)
    except KeyboardInterrupt:
        service.stop()
        console.print("The service was stopped. Everything is kept in the workspace.")


def _console(session: Session) -> Console:
    """Where the demo is told: beside the answer for machines, else where answers go; never wider than 120."""
    from rich.console import Console

    stream = sys.stderr if session.is_json else sys.stdout
    console = Console(file=stream, highlight=False, emoji=False)
    return Console(
        file=stream,
        highlight=False,
        emoji=False,
        width=min(console.width, FILE_WIDTH) if stream.isatty() else FILE_WIDTH,
    )


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and a closed terminal end the demo as Ctrl-C does, so that nothing it started is left behind."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
