"""From the registry to the disk: the bundles that aliases name, and the pointer that makes services follow.

Who calls this may be one poller per host and any number of commands: bundles get their names whole, pointers are
replaced whole, and all of them want the same thing.
"""

from __future__ import annotations

import math
import os
import re
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from data.errors import BadBundle, BadInput
from policy.bundle import load_bundle
from policy.following import Pointed, Pointer, publish_pointer, read_pointer
from policy.registry import CHALLENGER, CHAMPION, RegisteredVersion, Registry

SHARE_TAG: Final = "trial_share"
GRACE_S: Final = 3_600.0
"""How long a bundle that nothing names any more is kept."""
N_KEPT: Final = 5
"""How many of the newest bundles of a journey are kept whatever names them."""
_NAMED: Final = re.compile(r"(\d+)-[0-9a-f]{12}")
_DIGEST_LETTERS: Final = 12


class Syncing:
    """Keeps the pointers and bundles of a folder as the registry says; remembers which bundles were checked.

    Args:
        registry: what is asked.
        policies: folder of pointers and bundles.

    Attributes:
        registry: what is asked.
    """

    def __init__(self, registry: Registry, policies: Path) -> None:
        self.registry = registry
        self._policies = policies
        self._checked: dict[Path, object] = {}

    def sync(self, journey: str) -> bool:
        """Brings one journey up to date; whether its pointer changed.

        A journey of which nothing was ever registered is left alone. Without a champion the pointer names none, which
        is day zero.

        Raises:
            BadBundle: a bundle is not what was registered; the pointer stays.
            Unavailable: the registry cannot be asked; the pointer stays.
        """
        model = self.registry.model(journey)
        if model is None:
            return False
        named = {
            alias: self.registry.version(journey, model.aliases[alias])
            for alias in (CHAMPION, CHALLENGER)
            if alias in model.aliases
        }
        share = 0.0 if CHALLENGER not in named else trial_share(named[CHALLENGER])
        wanted = Pointer(
            self._pointed(named.get(CHAMPION), 0.0),
            self._pointed(named.get(CHALLENGER), share) if share > 0.0 else None,
        )
        is_changed = not self._is_published(journey, wanted)
        if is_changed:
            publish_pointer(self._policies, journey, champion=wanted.champion, challenger=wanted.challenger)
        self._tidy(journey, wanted)
        return is_changed

    def _is_published(self, journey: str, wanted: Pointer) -> bool:
        try:
            return read_pointer(self._policies, journey) == wanted and (self._policies / f"{journey}.json").exists()
        except BadInput:
            return False

    def _pointed(self, version: RegisteredVersion | None, share: float) -> Pointed | None:
        if version is None:
            return None
        return Pointed(str(version.version), self.fetch(version), version.digest, share)

    def fetch(self, version: RegisteredVersion) -> str:
        """Makes sure that a version's bundle lies on the disk, whole; its folder, relative to the policies'.

        Raises:
            BadBundle: it is not what was registered.
            Unavailable: it cannot be had now.
        """
        name = f"{version.journey}/{version.version}-{version.digest[:_DIGEST_LETTERS]}"
        self._ensure(version, self._policies / name)
        return name

    def _ensure(self, version: RegisteredVersion, folder: Path) -> None:
        stamp = _stamp(folder)
        if stamp is not None and self._checked.get(folder) == stamp:
            return
        if stamp is None or not _holds(folder, version.digest):
            folder.parent.mkdir(parents=True, exist_ok=True)
            draft = folder.with_name(f".{folder.name}-{os.getpid()}-{secrets.token_hex(4)}")
            try:
                self.registry.download(version, draft)
                _put(draft, folder, version.digest)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        self._checked[folder] = _stamp(folder)

    def _tidy(self, journey: str, wanted: Pointer) -> None:
        """Removes bundles that nothing has named for a while, and what processes that were killed left behind."""
        now = time.time()
        used = {one.folder for one in (wanted.champion, wanted.challenger) if one is not None}
        folders = sorted((self._policies / journey).glob("*"), key=_number, reverse=True)
        n_kept = 0
        for folder in folders:
            with suppress(OSError):
                age_s = now - folder.stat().st_mtime
                if f"{journey}/{folder.name}" in used:
                    if age_s > GRACE_S / 2:
                        os.utime(folder)  # the grace begins when a bundle is named no more
                elif folder.name.startswith("."):
                    if age_s > GRACE_S:
                        shutil.rmtree(folder, ignore_errors=True)
                elif _NAMED.fullmatch(folder.name):
                    n_kept += 1
                    if n_kept > N_KEPT and age_s > GRACE_S:
                        shutil.rmtree(folder, ignore_errors=True)
                        self._checked.pop(folder, None)


def sync(registry: Registry, policies: Path, journey: str) -> bool:
    """Brings one journey's pointer and bundles up to date, once; see ``Syncing.sync``."""
    return Syncing(registry, policies).sync(journey)


def trial_share(version: RegisteredVersion) -> float:
    """The sticky share of visitors that a challenger serves; 0: there is no trial.

    Raises:
        BadBundle: the tag is no share.
    """
    text = version.tags.get(SHARE_TAG) or "0"
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0.0 <= share <= 1.0:
        raise BadBundle(
            f"version {version.version} of {version.journey}: the tag {SHARE_TAG} must be a number from 0 to 1; "
            f"received {text!r}"
        )
    return share


def _put(draft: Path, folder: Path, digest: str) -> None:
    """Gives a checked bundle its name; where another process was first, its bundle is as good."""
    try:
        draft.rename(folder)
    except OSError:
        if _holds(folder, digest):
            return
        damaged = folder.with_name(f".{folder.name}-damaged-{secrets.token_hex(4)}")
        with suppress(OSError):
            folder.rename(damaged)
        shutil.rmtree(damaged, ignore_errors=True)
        draft.rename(folder)


def _holds(folder: Path, digest: str) -> bool:
    try:
        return load_bundle(folder).digest == digest
    except BadInput:
        return False


def _number(folder: Path) -> int:
    found = _NAMED.fullmatch(folder.name)
    return int(found[1]) if found else -1


def _stamp(folder: Path) -> object:
    """What changes when the files of a folder do."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry.name, entry.stat().st_mtime_ns, entry.stat().st_size) for entry in entries)
    except OSError:
        return None
