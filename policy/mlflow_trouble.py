"""What MLflow throws, as sentences: what is wrong, where, and what to do."""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from data.errors import SmallyesError, Unavailable
from policy.mlflow_file import told

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_AWAY: Final = ("Max retries exceeded", "Connection refused", "ConnectionError", "timed out", "NameResolutionError")
_DATABASE: Final = (
    "database is locked",
    "disk is full",
    "disk I/O error",
    "not a database",
    "malformed",
    "no such table",
)
_ENVIRONMENT: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # 7 by default, which are minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def prepare(uri: str) -> None:
    """Tells MLflow, before it is imported, to be quiet, to give up soon, and to leave no file open between calls."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if uri.startswith("sqlite:"):
        # A pooled connection would go on reading a database that was moved away.
        os.environ.setdefault("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")


def hush() -> None:
    """Quietens the logs of MLflow, which hold tracebacks of what we say in a sentence."""
    if "MLFLOW_LOGGING_LEVEL" not in os.environ:
        logging.getLogger("mlflow").setLevel(logging.CRITICAL)
        logging.getLogger("alembic").setLevel(logging.WARNING)


@contextmanager
def explained(uri: str, doing: str) -> Iterator[None]:
    """Whatever goes wrong with MLflow inside leaves as ``Unavailable``; its warnings concern nobody here.

    Args:
        uri: the registry's, for the message.
        doing: what fails, like ``"registering a version"``.

    Raises:
        Unavailable: something went wrong.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (SmallyesError, KeyboardInterrupt, SystemExit):
            raise
        except ModuleNotFoundError as error:
            raise Unavailable(f"{doing}: {error.name} is not installed; install smallyes whole, with mlflow") from None
        except Exception as error:
            raise Unavailable(explanation(error, uri, doing)) from error


def explanation(error: BaseException, uri: str, doing: str) -> str:
    """One paragraph about an error of MLflow, of the database below it, or of the disk.

    Example:
        >>> explanation(OSError(28, "No space left on device"), "sqlite:////shop/var/mlflow.db", "registering")
        'registering: the disk is full (sqlite:////shop/var/mlflow.db); make room and try again'
    """
    chain = list(_chain(error))
    texts = " ".join(str(one) for one in chain)
    is_full = any(isinstance(one, OSError) and one.errno in _FULL for one in chain)
    # Where many files are copied, Python keeps of their errors the texts alone.
    if is_full or any(f"[Errno {number}]" in texts for number in _FULL):
        return f"{doing}: the disk is full ({uri}); make room and try again"
    if uri.startswith("sqlite:") and any(mark in texts for mark in _DATABASE):
        found = next(mark for mark in _DATABASE if mark in texts)
        return f"{doing}: {told(Path(uri.removeprefix('sqlite:///')), sqlite3.OperationalError(found))}"
    if any(mark in texts for mark in _AWAY):
        return f"{doing}: the MLflow server at {uri} cannot be reached; is it running, and is mlflow.uri right?"
    for one in chain:
        if isinstance(one, OSError) and one.strerror:
            where = f"{one.filename}: " if one.filename else ""
            return f"{doing}: {where}{one.strerror}"
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return f"{doing}: MLflow ({uri}) says: {first}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__
