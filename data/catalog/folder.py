"""The catalogs of a folder while people edit them: what is good is taken at once, what is bad changes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeAlias

from data.catalog.findings import report
from data.catalog.loading import catalog_files, parse_catalog, same_journey, unreadable
from data.catalog.reachability import dead_ends
from data.domain import Catalog
from data.errors import BadCatalog, Fault

_Stamp: TypeAlias = tuple[int, int, int, int]
_NO_CATALOGS: Final[Mapping[str, Catalog]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class _File:
    """A file as last read: ``catalog`` is its last good one, ``faults`` are those of its present text."""

    stamp: _Stamp | None
    digest: bytes = b""
    catalog: Catalog | None = None
    faults: tuple[Fault, ...] = ()
    warnings: tuple[Fault, ...] = ()


class CatalogFolder:
    """Follows the ``*.yaml`` and ``*.yml`` files of a folder; call ``refresh`` as often as changes should be noticed.

    A file that turns bad keeps its last good catalog; a deleted file takes its journey with it; of two files of one
    journey the one that was there first counts. Unreadable folders change nothing. A catalog that says the same as
    before stays the same object. Not for use from several threads; ``catalogs`` may be read from any.

    Attributes:
        catalogs: the catalogs in force, by journey; replaced as a whole, never changed.
        faults: what is wrong with the present files.
        warnings: baselines in force that cannot convert.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.catalogs: Mapping[str, Catalog] = _NO_CATALOGS
        self.faults: tuple[Fault, ...] = ()
        self.warnings: tuple[Fault, ...] = ()
        self._files: dict[str, _File] = {}
        self._owners: dict[str, str] = {}
        self.refresh()

    def refresh(self) -> bool:
        """Reads what changed; whether ``catalogs`` or ``faults`` did."""
        try:
            paths = catalog_files(self.path)
        except BadCatalog as error:
            return self._publish(self.catalogs, tuple(replace(fault, file=self.path.name) for fault in error.faults))
        read = ((path.name, self._read(path)) for path in paths)
        self._files = {name: file for name, file in read if file is not None}
        faults = [fault for file in self._files.values() for fault in file.faults]
        catalogs: dict[str, Catalog] = {}
        for journey, names in self._names_by_journey().items():
            owner = self._owner(journey, names)
            catalogs[journey] = self._catalog(owner)
            faults += [same_journey(self._label(name), journey, self._label(owner)) for name in names if name != owner]
            self._owners[journey] = owner
        self._owners = {journey: owner for journey, owner in self._owners.items() if journey in catalogs}
        self.warnings = tuple(fault for name in self._owners.values() for fault in self._files[name].warnings)
        return self._publish(catalogs, tuple(faults))

    def _publish(self, catalogs: Mapping[str, Catalog], faults: tuple[Fault, ...]) -> bool:
        is_same = catalogs.keys() == self.catalogs.keys() and all(
            catalogs[journey] is self.catalogs[journey] for journey in catalogs
        )
        if is_same and faults == self.faults:
            return False
        if not is_same:
            self.catalogs = MappingProxyType(dict(catalogs))
        self.faults = faults
        return True

    def _names_by_journey(self) -> Mapping[str, list[str]]:
        names: dict[str, list[str]] = {}
        for name, file in self._files.items():
            if file.catalog is not None:
                names.setdefault(file.catalog.journey, []).append(name)
        return names

    def _owner(self, journey: str, names: list[str]) -> str:
        """The file that counts: the one that did before, else one that is named like the journey, else the first."""
        before = self._owners.get(journey)
        if before in names:
            return before
        return next((name for name in names if Path(name).stem == journey), names[0])

    def _catalog(self, name: str) -> Catalog:
        catalog = self._files[name].catalog
        if catalog is None:
            raise ValueError(f"{name} has no catalog")
        return catalog

    def _label(self, name: str) -> str:
        """What reports call a file: without the folders above, which are nobody's business."""
        return (Path(self.path.name) / name).as_posix()

    def _read(self, path: Path) -> _File | None:
        """The file as it is now; ``None`` when it was deleted meanwhile."""
        known = self._files.get(path.name, _File(None))
        label = self._label(path.name)
        try:
            found = path.stat()
            # A file may be replaced within a tick of the clock by one of the same size: the inode tells.
            stamp = (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)
            if stamp == known.stamp:
                return known
            text = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            return replace(known, stamp=None, digest=b"", faults=unreadable(label, error, "a catalog file").faults)
        digest = hashlib.sha256(text).digest()
        if digest == known.digest:
            return replace(known, stamp=stamp)
        try:
            catalog = parse_catalog(text, label)
        except BadCatalog as error:
            return replace(known, stamp=stamp, digest=digest, faults=error.faults)
        if known.catalog is not None and known.catalog.digest == catalog.digest:
            catalog = known.catalog
        return _File(stamp, digest, catalog, (), tuple(report(dead_ends(catalog), {}, label)))
