"""The error tree. Every message says what was wrong, where, the value received and what is allowed.

SmallyesError
  +-- BadInput             the caller's fault (exit code 2, HTTP 4xx)
  |     +-- BadCatalog     a catalog file; carries every fault found
  |     +-- BadLog           an event log
  |     +-- BadBundle      a policy artifact that is damaged or of another format
  |     +-- BadRequest     an HTTP request; carries field, received, allowed
  +-- Unavailable          a part is away (exit code 3, HTTP 503)
        +-- StoreUnavailable
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong in a file: where, what was received, what is allowed.

    Example:
        >>> print(Fault("skincare.yaml", "asks[2].effort", "is too large", "12", "a number from 0 to 10"))
        skincare.yaml: asks[2].effort: is too large; received 12; allowed: a number from 0 to 10
    """

    file: str
    path: str
    problem: str
    received: str = ""
    allowed: str = ""

    def __str__(self) -> str:
        text = f"{self.file}: {self.path}: {self.problem}" if self.path else f"{self.file}: {self.problem}"
        if self.received:
            text += f"; received {self.received}"
        if self.allowed:
            text += f"; allowed: {self.allowed}"
        return text


class SmallyesError(Exception):
    """Root of every error this project raises on purpose."""


class BadInput(SmallyesError):
    """What was given cannot be used."""


class BadCatalog(BadInput):
    """A catalog was refused; ``faults`` lists all of them."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class BadLog(BadInput):
    """An event log cannot be read; ``faults`` lists all of them."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class BadBundle(BadInput):
    """A policy artifact is damaged, incomplete or of a format this version does not read."""


class BadRequest(BadInput):
    """A request that cannot be answered; ``code`` and ``status`` go to the client as they are."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int = 422,
        field: str | None = None,
        received: object = None,
        allowed: object = None,
    ) -> None:
        self.code = code
        self.message = message
        self.status = status
        self.field = field
        self.received = received
        self.allowed = allowed
        super().__init__(message)


class Unavailable(SmallyesError):
    """A part the work depends on is away; trying again later may help."""


class StoreUnavailable(Unavailable):
    """The store cannot be read or written now."""
