"""Following: what is live now, as catalogs are edited and policies are promoted, without a restart.

A *pointer* is a small file in the workspace, ``var/policies/<journey>.json``, that names the policies which are to be
live; bundles lie in folders beside it. Whoever promotes writes the bundle first and the pointer last.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from data.catalog import CatalogFolder
from data.domain import Catalog
from data.errors import BadBundle, BadInput, Fault
from policy.bundle import MANIFEST, Bundle, load_bundle
from policy.live import LiveJourney, LivePolicy

FORMAT: Final = 1
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_KEYS: Final = frozenset(("version", "folder", "digest"))


@dataclass(frozen=True, slots=True)
class Pointed:
    """One policy a pointer names: its version, its folder (relative to the pointer's) and its manifest's SHA-256.

    ``share`` is the sticky share of visitors that a challenger serves.
    """

    version: str
    folder: str
    digest: str
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class Pointer:
    """What is to be live for a journey; nothing at all is day zero."""

    champion: Pointed | None = None
    challenger: Pointed | None = None


def publish_pointer(
    policies: Path, journey: str, *, champion: Pointed | None = None, challenger: Pointed | None = None
) -> Path:
    """Makes these policies live, whole and at once; services follow within their poll time. Returns the file."""
    policies.mkdir(parents=True, exist_ok=True)
    path = pointer_path(policies, journey)
    content: dict[str, Any] = {"format": FORMAT, "champion": None, "challenger": None}
    if champion is not None:
        content["champion"] = _described(champion)
    if challenger is not None:
        content["challenger"] = {**_described(challenger), "share": challenger.share}
    draft = path.with_name(f".{path.name}-{os.getpid()}-{secrets.token_hex(4)}")
    with draft.open("w", encoding="utf-8") as file:
        file.write(json.dumps(content, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    return path


def pointer_path(policies: Path, journey: str) -> Path:
    """The pointer's file of a journey."""
    return policies / f"{journey}.json"


def read_pointer(policies: Path, journey: str) -> Pointer:
    """What is to be live for a journey; no file is day zero.

    Raises:
        BadInput: the file cannot be read, or is no pointer.
    """
    path = pointer_path(policies, journey)
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return Pointer()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror or error}") from None
    return parse_pointer(text, str(path))


def parse_pointer(text: bytes, name: str) -> Pointer:
    """The pointer that a file's bytes are; ``name`` is what errors call the file.

    Raises:
        BadInput: they are no pointer.

    Example:
        >>> parse_pointer(b'{"format": 1, "champion": null}', "skincare.json")
        Pointer(champion=None, challenger=None)
    """
    try:
        tree = json.loads(text)
    except ValueError as error:
        raise BadInput(f"{name}: is not JSON: {error}") from None
    if not isinstance(tree, dict) or tree.get("format") != FORMAT or tree.keys() - {"format", "champion", "challenger"}:
        raise BadInput(f"{name}: is no pointer; allowed: an object of format {FORMAT} with champion and challenger")
    champion, challenger = tree.get("champion"), tree.get("challenger")
    return Pointer(
        None if champion is None else _pointed(champion, f"{name}: champion", has_share=False),
        None if challenger is None else _pointed(challenger, f"{name}: challenger", has_share=True),
    )


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A policy that was loaded for a place in a pointer; ``wanted`` is what the pointer names there by now."""

    wanted: Pointed | None = None
    held: Pointed | None = None
    bundle: Bundle | None = None
    trouble: str | None = None
    stamp: object = None

    def live(self, catalog: Catalog) -> LivePolicy | None:
        """The policy for a catalog."""
        if self.bundle is None or self.held is None:
            return None
        return LivePolicy.of(self.bundle.for_catalog(catalog), self.held.version)


@dataclass(frozen=True, slots=True)
class _Followed:
    """A journey as last seen; ``pointer`` is the last one that could be read."""

    catalog: Catalog | None = None
    pointer: Pointer | None = None
    fault: str | None = None
    champion: _Loaded = _Loaded()
    challenger: _Loaded = _Loaded()
    live: LiveJourney | None = None


class Following:
    """Keeps ``live`` up to date; call ``refresh`` as often as changes should be noticed.

    Not for use from several threads; the attributes may be read from any, as they are replaced and never changed.

    Args:
        journeys: folder of the catalogs.
        policies: folder of pointers and bundles.
        clock: gives the present instant.

    Attributes:
        live: what is live, by journey.
        troubles: what is wrong with pointers and policies, by journey.
    """

    def __init__(self, journeys: Path, policies: Path, clock: Callable[[], int]) -> None:
        self._folder = CatalogFolder(journeys)
        self._policies = policies
        self._clock = clock
        self._followed: dict[str, _Followed] = {}
        self.live: Mapping[str, LiveJourney] = MappingProxyType({})
        self.troubles: Mapping[str, str] = MappingProxyType({})
        self._publish()

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What is wrong with catalog files; their last good content stays in force."""
        return self._folder.faults

    @property
    def warnings(self) -> tuple[Fault, ...]:
        """What is doubtful about catalogs in force."""
        return self._folder.warnings

    def refresh(self) -> bool:
        """Looks at catalogs and pointers, loads what is new; whether anything changed."""
        is_changed = self._folder.refresh()
        return self._publish() or is_changed

    def _publish(self) -> bool:
        followed = {
            journey: self._follow(self._followed.get(journey, _Followed()), catalog)
            for journey, catalog in self._folder.catalogs.items()
        }
        if followed.keys() == self._followed.keys() and all(one is self._followed[n] for n, one in followed.items()):
            return False
        self._followed = followed
        self.live = MappingProxyType({name: one.live for name, one in followed.items() if one.live is not None})
        self.troubles = MappingProxyType({name: text for name, one in followed.items() if (text := _trouble(one))})
        return True

    def _follow(self, known: _Followed, catalog: Catalog) -> _Followed:
        pointer, fault = self._pointer(known, catalog.journey)
        champion = self._load(known.champion, None if pointer is None else pointer.champion, catalog)
        challenger = self._load(known.challenger, None if pointer is None else pointer.challenger, catalog)
        if (
            known.catalog is catalog
            and (known.pointer, known.fault) == (pointer, fault)
            and known.champion is champion
            and known.challenger is challenger
        ):
            return known
        seen = _Followed(catalog, pointer, fault, champion, challenger)
        return replace(seen, live=self._live(seen, catalog))

    def _pointer(self, known: _Followed, journey: str) -> tuple[Pointer | None, str | None]:
        """The pointer; a file that is no pointer, perhaps half-written, changes nothing."""
        try:
            return read_pointer(self._policies, journey), None
        except BadInput as error:
            return known.pointer, str(error)

    def _load(self, known: _Loaded, wanted: Pointed | None, catalog: Catalog) -> _Loaded:
        """The policy that is wanted; where it cannot be loaded, the one held if it is no newer."""
        if wanted is None:
            return known if known == _Loaded() else _Loaded()
        stamp = _stamp(self._policies / wanted.folder)
        if known.wanted == wanted and (known.trouble is None or known.stamp == stamp):
            return known
        if known.bundle is not None and known.held is not None and known.held.digest == wanted.digest:
            return _Loaded(wanted, wanted, known.bundle)
        try:
            return _Loaded(wanted, wanted, _bundle(self._policies, wanted, catalog))
        except (BadInput, OSError, ImportError) as error:
            trouble = f"version {wanted.version} cannot be served: {error}"
            keeps = known.held is not None and _is_no_newer(known.held.version, wanted.version)
            return _Loaded(wanted, known.held if keeps else None, known.bundle if keeps else None, trouble, stamp)

    def _live(self, seen: _Followed, catalog: Catalog) -> LiveJourney:
        challenger = seen.challenger.live(catalog)
        share = seen.challenger.held.share if seen.challenger.held is not None else 0.0
        # Without any pointer read, nobody knows whether this is day zero.
        trouble = seen.fault if seen.pointer is None else seen.champion.trouble
        return LiveJourney(
            catalog,
            champion=seen.champion.live(catalog),
            challenger=challenger,
            challenger_share=share,
            trouble=trouble,
            loaded_at=self._clock(),
        )


def _bundle(policies: Path, wanted: Pointed, catalog: Catalog) -> Bundle:
    folder = (policies / wanted.folder).resolve()
    if not folder.is_relative_to(policies.resolve()):
        raise BadBundle(f"{wanted.folder}: lies outside {policies}")
    bundle = load_bundle(folder, catalog)
    if bundle.digest != wanted.digest:
        raise BadBundle(f"{folder / MANIFEST}: is not the one that was promoted; received sha256 {bundle.digest}")
    return bundle


def _trouble(followed: _Followed) -> str:
    parts = (
        followed.fault,
        followed.champion.trouble and f"champion: {followed.champion.trouble}",
        followed.challenger.trouble and f"challenger: {followed.challenger.trouble}",
    )
    return "; ".join(part for part in parts if part)


def _is_no_newer(held: str, wanted: str) -> bool:
    if held.isdecimal() and wanted.isdecimal():
        return int(held) <= int(wanted)
    return held == wanted


def _stamp(folder: Path) -> object:
    """What changes when the files of a folder do, so that a broken bundle is not read at every look."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry.name, entry.stat().st_mtime_ns, entry.stat().st_size) for entry in entries)
    except OSError:
        return None


def _described(pointed: Pointed) -> dict[str, Any]:
    return {"version": pointed.version, "folder": pointed.folder, "digest": pointed.digest}


def _pointed(tree: object, name: str, *, has_share: bool) -> Pointed:
    keys = _KEYS | {"share"} if has_share else _KEYS
    if not isinstance(tree, dict) or tree.keys() != keys:
        raise BadInput(f"{name}: must be an object with {', '.join(sorted(keys))}")
    for key in _KEYS:
        if not isinstance(tree[key], str) or not tree[key]:
            raise BadInput(f"{name}.{key}: must be a text; received {tree[key]!r}")
    if _SHA256.fullmatch(tree["digest"]) is None:
        raise BadInput(f"{name}.digest: must be a SHA-256 in hexadecimal digits; received {tree['digest']!r}")
    share = tree.get("share", 0.0)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0.0 <= share <= 1.0:
        raise BadInput(f"{name}.share: must be a number from 0 to 1; received {share!r}")
    return Pointed(tree["version"], tree["folder"], tree["digest"], float(share))
