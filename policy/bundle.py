"""A policy as a folder of plain files: no pickle, no code, every byte accounted for.

::

    policy.json     which scorer and explorer, for which journey, with which features, and where it comes from
    features.json   the feature spec; absent for a scorer that uses no features
    catalog.yaml    the catalog it was made under
    manifest.json   the SHA-256 of every other file
    ...             the scorer's own files

What is read is checked first and parsed from the very bytes that were checked. A folder that is not exactly what its
manifest says is refused whole.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from data.catalog import dump_catalog, parse_catalog
from data.domain import Catalog
from data.errors import BadBundle, BadInput
from policy.explorers import Explorer
from policy.explorers import from_json as explorer_from_json
from policy.explorers import to_json as explorer_to_json
from policy.policies import Model
from policy.scorers import Scorer, load_scorer
from policy.strict_json import dump_object, parse_object

if TYPE_CHECKING:
    from features.spec import FeatureSpec

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
POLICY: Final = "policy.json"
FEATURES: Final = "features.json"
CATALOG: Final = "catalog.yaml"

_RESERVED: Final = frozenset({MANIFEST, POLICY, FEATURES, CATALOG})
_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_MANIFEST_KEYS: Final = frozenset({"format", "files"})
_POLICY_KEYS: Final = frozenset({"format", "journey", "scorer", "explorer", "features", "info"})


@dataclass(frozen=True)
class Bundle:
    """A policy that can be served.

    Attributes:
        policy: the model.
        catalog: the catalog in force: the one given at loading, else the one it was made under.
        feature_spec: the features that the scorer wants, ``None`` where it wants none.
        version: the label of ``info["version"]``, else the beginning of the digest.
        digest: SHA-256 of the manifest, and so of everything.
        info: where the policy comes from: plain values, as given when it was saved.
    """

    policy: Model
    catalog: Catalog
    feature_spec: FeatureSpec | None
    version: str
    digest: str
    info: Mapping[str, object]

    def for_catalog(self, catalog: Catalog) -> Bundle:
        """The same policy under another catalog of the same journey."""
        _check_journey(self.catalog.journey, catalog)
        return replace(self, catalog=catalog, policy=self.policy.for_catalog(catalog))


def save_bundle(
    folder: Path,
    *,
    scorer: Scorer,
    explorer: Explorer,
    catalog: Catalog,
    spec: FeatureSpec | None,
    info: Mapping[str, object],
) -> str:
    """Writes a bundle, whole or not at all; the same content is always the same bytes. Returns its digest.

    Raises:
        BadInput: the folder exists and is not empty.
        ValueError: the scorer uses features and no spec is given, or something cannot be written as plain files.
    """
    if scorer.uses_features and spec is None:
        raise ValueError(f"the scorer {scorer.name} uses features: it cannot be saved without their spec")
    files = dict(scorer.to_files())
    for name in files:
        if name in _RESERVED or _NAME.fullmatch(name) is None:
            raise ValueError(f"the scorer {scorer.name} cannot have a file called {name!r}")
    description = {
        "format": FORMAT,
        "journey": catalog.journey,
        "scorer": scorer.name,
        "explorer": explorer_to_json(explorer),
        "features": None if spec is None else spec.fingerprint,
        "info": dict(info),
    }
    files[POLICY] = dump_object(description)
    files[CATALOG] = dump_catalog(catalog).encode()
    if spec is not None:
        files[FEATURES] = spec.to_json().encode()
    manifest = dump_object({"format": FORMAT, "files": {name: _sha256(files[name]) for name in sorted(files)}})
    _write(Path(folder), {**files, MANIFEST: manifest})
    return _sha256(manifest)


def load_bundle(folder: Path, catalog: Catalog | None = None) -> Bundle:
    """The policy in a folder, under its own catalog or another one of the same journey.

    Asks that the scorer has never seen get what it keeps for unknown ones.

    Raises:
        BadBundle: the folder is no bundle, or a damaged one, or one of another format or journey; names the file.
    """
    folder = Path(folder)
    files, digest = _verified(folder)
    path = folder / POLICY
    description = _parsed(files, folder, POLICY)
    _check_format(path, description)
    _check_keys(path, description, _POLICY_KEYS)
    own_catalog = _catalog(files, folder)
    if description["journey"] != own_catalog.journey:
        raise BadBundle(f"{path}: journey is {description['journey']!r}, but {CATALOG} is of {own_catalog.journey!r}")
    chosen = own_catalog if catalog is None else catalog
    _check_journey(own_catalog.journey, chosen)
    spec = _feature_spec(files, folder, description["features"])
    policy = _model(files, path, description, chosen)
    if policy.scorer.uses_features and spec is None:
        raise BadBundle(f"{folder / FEATURES}: is missing, but the scorer {policy.scorer.name} uses features")
    info = description["info"]
    if not isinstance(info, dict):
        raise BadBundle(f"{path}: info must be an object; received {info!r}")
    return Bundle(policy, chosen, spec, str(info.get("version", digest[:12])), digest, info)


def _verified(folder: Path) -> tuple[dict[str, bytes], str]:
    """Every file of the bundle but the manifest, checked against it, and the manifest's digest."""
    found = _names(folder)
    if MANIFEST not in found:
        raise BadBundle(f"{folder / MANIFEST}: is missing; a bundle is a folder that holds one")
    content = _read(folder / MANIFEST)
    expected = _manifest(folder / MANIFEST, content)
    for name in sorted(expected.keys() - found):
        raise BadBundle(f"{folder / name}: is missing; expected sha256 {expected[name]}")
    for name in sorted(found - expected.keys() - {MANIFEST}):
        raise BadBundle(f"{folder / name}: is not in {MANIFEST}; found sha256 {_sha256(_read(folder / name))}")
    files = {}
    for name, digest in expected.items():
        files[name] = _read(folder / name)
        if _sha256(files[name]) != digest:
            raise BadBundle(
                f"{folder / name}: has changed since it was written; "
                f"expected sha256 {digest}, found sha256 {_sha256(files[name])}"
            )
    return files, _sha256(content)


def _names(folder: Path) -> frozenset[str]:
    """The files in the folder; anything that is no plain file is refused."""
    try:
        with os.scandir(folder) as entries:
            found = {entry.name: entry.is_file(follow_symlinks=False) for entry in entries}
    except OSError as error:
        raise BadBundle(f"{folder}: is no folder that can be read: {error.strerror}") from None
    for name, is_plain in sorted(found.items()):
        if not is_plain:
            raise BadBundle(f"{folder / name}: is no plain file; a bundle holds no folders and no links")
    return frozenset(found)


def _manifest(path: Path, content: bytes) -> dict[str, str]:
    """SHA-256 by file name."""
    try:
        manifest = parse_object(content)
    except ValueError as error:
        raise BadBundle(f"{path}: is no manifest: {error}") from None
    _check_format(path, manifest)
    _check_keys(path, manifest, _MANIFEST_KEYS)
    files = manifest["files"]
    if not isinstance(files, dict):
        raise BadBundle(f"{path}: files must be an object; received {files!r}")
    for name, digest in files.items():
        if _NAME.fullmatch(name) is None or name == MANIFEST:
            raise BadBundle(f"{path}: a file cannot be called {name!r}; allowed: plain names, no folders")
        if not isinstance(digest, str) or _SHA256.fullmatch(digest) is None:
            raise BadBundle(f"{path}: {name} needs a sha256 of 64 hexadecimal digits; received {digest!r}")
    for name in (POLICY, CATALOG):
        if name not in files:
            raise BadBundle(f"{path}: {name} is missing from the files; every bundle has one")
    return cast(dict[str, str], files)


def _model(files: Mapping[str, bytes], path: Path, description: Mapping[str, object], catalog: Catalog) -> Model:
    explorer, scorer = description["explorer"], description["scorer"]
    try:
        if not isinstance(explorer, dict) or not isinstance(scorer, str):
            raise ValueError(f"explorer must be an object and scorer a name; received {explorer!r} and {scorer!r}")
        return Model(load_scorer(scorer, files, catalog), explorer_from_json(explorer).under(catalog.exploration))
    except KeyError as error:
        raise BadBundle(f"{path.parent}: the scorer {scorer} needs the file {error}") from error
    except (ValueError, ArithmeticError) as error:
        raise BadBundle(f"{path}: {error}") from error


def _feature_spec(files: Mapping[str, bytes], folder: Path, fingerprint: object) -> FeatureSpec | None:
    if (fingerprint is None) != (FEATURES not in files):
        raise BadBundle(
            f"{folder / FEATURES}: {POLICY} names features {fingerprint!r}; the file must be there just then"
        )
    if fingerprint is None:
        return None
    from features.spec import FeatureSpec

    try:
        spec = FeatureSpec.from_json(files[FEATURES])
    except (BadInput, ValueError, TypeError, LookupError, RecursionError) as error:
        raise BadBundle(f"{folder / FEATURES}: is no feature spec: {error}") from error
    if spec.fingerprint != fingerprint:
        raise BadBundle(
            f"{folder / FEATURES}: its fingerprint is not the one in {POLICY}; "
            f"expected {fingerprint}, found {spec.fingerprint}"
        )
    return spec


def _catalog(files: Mapping[str, bytes], folder: Path) -> Catalog:
    path = folder / CATALOG
    try:
        return parse_catalog(files[CATALOG].decode(), str(path))
    except UnicodeDecodeError as error:
        raise BadBundle(f"{path}: is no text in UTF-8: {error}") from None
    except BadInput as error:
        raise BadBundle(f"{path}: is no catalog:\n{error}") from error


def _check_journey(journey: str, catalog: Catalog) -> None:
    if catalog.journey != journey:
        raise BadBundle(f"the policy is of journey {journey!r}; received a catalog of journey {catalog.journey!r}")


def _parsed(files: Mapping[str, bytes], folder: Path, name: str) -> dict[str, object]:
    try:
        return parse_object(files[name])
    except ValueError as error:
        raise BadBundle(f"{folder / name}: is no JSON that can be used: {error}") from None


def _check_keys(path: Path, content: Mapping[str, object], keys: frozenset[str]) -> None:
    if content.keys() != keys:
        raise BadBundle(f"{path}: must hold {', '.join(sorted(keys))}; received {', '.join(sorted(content))}")


def _check_format(path: Path, content: Mapping[str, object]) -> None:
    received = content.get("format")
    if isinstance(received, bool) or received != FORMAT:
        raise BadBundle(f"{path}: format {received!r} is not one this version reads; allowed: {FORMAT}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadBundle(f"{path}: cannot be read: {error.strerror}") from None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Puts the files into a folder beside the wanted one, then gives it its name: nobody sees half a bundle."""
    folder = folder.resolve()
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise BadInput(f"{folder}: exists already; allowed: a new or empty folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as beside:
        draft = Path(beside) / folder.name  # of its own, for the permissions that new folders have here
        draft.mkdir()
        for name, content in files.items():
            with (draft / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        draft.rename(folder)
