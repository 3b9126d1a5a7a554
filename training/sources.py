"""Where a training's rows come from: a log on disk, or the store of the running service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.arrivals import Arrivals, arrange
from data.catalog import digest_of
from data.domain import Catalog
from data.errors import BadInput
from training.table import Table, table_of

if TYPE_CHECKING:
    from data.log import Log
    from data.stores.protocol import Store


@dataclass(frozen=True, eq=False)
class Source:
    """The rows of one journey, arranged.

    Attributes:
        name: what people know it by: the path of the log, or ``the store``.
        arrivals: the rows in order of arrival.
        now: the moment as of which they are read, microseconds UTC.
        notes: what the reader should know of them, one sentence each.
    """

    name: str
    arrivals: Arrivals
    now: int
    notes: tuple[str, ...] = ()

    @property
    def n_rows(self) -> int:
        """How many rows take part."""
        return int(self.arrivals.frame.height)

    def table(self, catalog: Catalog, threads: int) -> Table:
        """The learning table."""
        return table_of(self.arrivals, catalog, now=self.now, threads=threads)


def source_of_log(log: Log, arrivals: Arrivals, catalog: Catalog, name: str) -> Source:
    """A log that was read from files."""
    return Source(name, arrivals, log.now, _notes(arrivals, catalog))


def source_of_store(store: Store, catalog: Catalog, now: int | None = None) -> Source:
    """The store's past, as ``smallyes export`` would write it.

    Args:
        store: where decisions and events are.
        catalog: the journey.
        now: the moment as of which it is read; ``None``: the latest receipt.

    Raises:
        BadInput: the store has no rows of the journey.
    """
    import polars as pl

    from data.log.items import frame_of

    frames = [frame_of(list(batch)) for batch in store.log(catalog.journey)]
    frames = [frame for frame in frames if frame.height]
    if not frames:
        raise BadInput(f"the store has no decisions or events of the journey {catalog.journey!r} yet")
    frame = pl.concat(frames, how="diagonal_relaxed")
    arrivals = arrange(frame, catalog)
    latest = int(frame["received_at"].to_physical().max())  # type: ignore[arg-type]
    return Source("the store", arrivals, latest if now is None else now, _notes(arrivals, catalog))


def _notes(arrivals: Arrivals, catalog: Catalog) -> tuple[str, ...]:
    """Where the catalog and the rows do not fit."""
    notes = []
    shown = arrivals.frame.filter(arrivals.frame["type"] == "shown")
    if "catalog" in shown.columns:
        seen = {digest for digest in shown["catalog"].drop_nulls().unique() if digest}
        if seen - {catalog.digest or digest_of(catalog)}:
            notes.append("the catalog has changed since a part of these decisions; asks it does not have are left out")
    names = set(shown["ask_id"].drop_nulls().unique())
    gone = sorted(names - set(catalog.position))
    never = [ask.id for ask in catalog.asks if ask.id not in names]
    if gone:
        notes.append(f"shown, but not in the catalog: {', '.join(gone[:10])}")
    if never:
        notes.append(f"never shown, so judged by their likeness to others alone: {', '.join(never[:10])}")
    return tuple(notes)
