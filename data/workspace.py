"""A workspace: the folder with ``smallyes.toml``, ``journeys/`` and ``var/`` in which a site keeps its smallyes."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from data.errors import BadInput
from data.settings import Settings, load_settings

SETTINGS_FILE: Final = "smallyes.toml"
_SQLITE: Final = "sqlite:///"


@dataclass(frozen=True)
class Workspace:
    """Paths and settings of one workspace."""

    root: Path
    settings: Settings

    @property
    def journeys(self) -> Path:
        """Folder of the catalogs."""
        return self.root / "journeys"

    @property
    def var(self) -> Path:
        """Folder of everything made at run time."""
        return self.root / "var"

    @property
    def policies(self) -> Path:
        """Folder of the live policies' pointer files and bundles."""
        return self.var / "policies"

    @property
    def store_url(self) -> str:
        """The store's URL with a relative SQLite path made absolute."""
        return self._absolute(self.settings.store.url)

    @property
    def mlflow_uri(self) -> str:
        """The URI of the model registry with a relative SQLite path made absolute; default: ``var/mlflow.db``."""
        return self._absolute(self.settings.mlflow.uri or f"{_SQLITE}{self.var / 'mlflow.db'}")

    @property
    def mlflow_file(self) -> Path | None:
        """The model registry's database where that is a file, ``None`` where it is a server."""
        uri = self.mlflow_uri
        return Path(uri.removeprefix(_SQLITE)) if uri.startswith(_SQLITE) else None

    @property
    def mlflow_artifacts(self) -> Path | None:
        """Folder of the registry's artifacts, beside its database; ``None`` where a server decides."""
        file = self.mlflow_file
        return None if file is None else file.parent / "mlflow-artifacts"

    def _absolute(self, url: str) -> str:
        path = url.removeprefix(_SQLITE)
        names_no_file = not path or path.endswith("/") or path == ":memory:"  # left for the store to refuse
        if not url.startswith(_SQLITE) or names_no_file or Path(path).is_absolute():
            return url
        return f"{_SQLITE}{(self.root / path).resolve()}"

    def secret(self) -> bytes:
        """The key of draws, arms and tokens; a random one is made at the first call where none is set.

        Raises:
            BadInput: the secret's file cannot be read or written.
        """
        if self.settings.secret:
            return self.settings.secret.encode()
        path = self.var / "secret"
        try:
            return _read_or_make_secret(path)
        except OSError as error:
            raise BadInput(f"{path}: the workspace's secret cannot be read or made: {error.strerror}") from None


def _read_or_make_secret(path: Path) -> bytes:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".secret-{os.getpid()}-{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            # A link fails where another process was first: both then read the same secret, whole.
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    secret = path.read_text().strip().encode()
    if not secret:
        raise BadInput(f"{path}: the workspace's secret is empty; restore it, or delete the file to make a new one")
    return secret


def find_workspace(
    start: Path, environment: Mapping[str, str], flags: Mapping[str, object], *, explicit: Path | None = None
) -> Workspace:
    """The workspace at ``explicit``, else in the nearest folder at or above ``start`` that has a ``smallyes.toml``.

    Raises:
        BadInput: there is none, or its settings are wrong.
    """
    if explicit is not None:
        if not (explicit / SETTINGS_FILE).is_file():
            raise BadInput(
                f"{explicit}: is no workspace (it has no {SETTINGS_FILE}); make one with: smallyes init {explicit}"
            )
        return open_workspace(explicit, environment, flags)
    for folder in (start, *start.parents):
        if (folder / SETTINGS_FILE).is_file():
            return open_workspace(folder, environment, flags)
    raise BadInput(
        f"{start}: no {SETTINGS_FILE} here or in a folder above; make a workspace with: smallyes init shop && cd shop"
    )


def open_workspace(root: Path, environment: Mapping[str, str], flags: Mapping[str, object]) -> Workspace:
    """The workspace in a folder that has a ``smallyes.toml``.

    Raises:
        BadInput: its settings are wrong.
    """
    root = root.resolve()
    return Workspace(root, load_settings(root / SETTINGS_FILE, environment, flags))
