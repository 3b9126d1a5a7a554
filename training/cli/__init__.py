"""The ``smallyes`` command: one file per command, one line each in ``app.COMMANDS``."""

from training.cli.app import main

__all__ = ["main"]
