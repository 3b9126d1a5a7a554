"""The model registry: the only door to MLflow's.

A journey's policies are the versions of the registered model ``smallyes-<journey>``. Aliases say what they are for
(``champion``, ``challenger``, ``previous``), tags what was judged. A version is registered whole or not at all: its
artifact is stored and checked first, and the version appears in one transaction with all of its tags.

MLflow is imported when something is asked of it, as that takes seconds and 200 MB.
"""

from __future__ import annotations

import importlib.metadata
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from data.errors import BadBundle, BadInput, Unavailable
from data.workspace import Workspace
from policy.bundle import Bundle, load_bundle
from policy.following import read_pointer
from policy.mlflow_file import EXPERIMENT, check, locked, relocate
from policy.mlflow_trouble import explained, hush, prepare

CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
PREVIOUS: Final = "previous"
DAY_ZERO: Final = "day zero"
"""Stands for a version where there is none: before the first champion."""
DIGEST_TAG: Final = "bundle_digest"
LOADER: Final = "policy.pyfunc"
_ABSENT: Final = "RESOURCE_DOES_NOT_EXIST"
_PRESENT: Final = "RESOURCE_ALREADY_EXISTS"
_BUNDLE: Final = "bundle"
_PAGE: Final = 200


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of a journey's policy, as it was when it was read.

    Attributes:
        tags: what is known of it; see ``docs/registry.md``.
        aliases: the names that point at it.
        digest: SHA-256 of its bundle's manifest; empty for a version that something else registered.
        run_id: the run that made it.
        created_at: when it was registered, microseconds UTC.
        source: where MLflow keeps its artifact.
    """

    journey: str
    version: int
    tags: Mapping[str, str]
    aliases: tuple[str, ...]
    digest: str
    run_id: str
    created_at: int
    source: str


@dataclass(frozen=True)
class RegisteredModel:
    """A journey's model: which version each alias names, and the tags of the model itself."""

    journey: str
    aliases: Mapping[str, int]
    tags: Mapping[str, str]


def model_name(journey: str) -> str:
    """The registered model of a journey.

    Example:
        >>> model_name("skincare")
        'smallyes-skincare'
    """
    return f"smallyes-{journey}"


class Registry:
    """See the module docstring; make one with ``open`` or ``create``.

    Every method raises ``Unavailable``, in a sentence that says what to do, where the registry is missing, busy,
    damaged, full or away.

    Attributes:
        uri: of tracking and registry, for MLflow.
    """

    def __init__(self, uri: str, file: Path | None, artifacts: Path | None) -> None:
        self.uri = uri
        self._file = file
        self._artifacts = artifacts

    @classmethod
    def open(cls, workspace: Workspace) -> Registry:
        """The registry of a workspace.

        Raises:
            Unavailable: its database is missing, locked or damaged (a server is only asked later).
        """
        registry = cls(workspace.mlflow_uri, workspace.mlflow_file, workspace.mlflow_artifacts)
        if registry._file is not None and registry._artifacts is not None:
            check(registry._file)
            relocate(registry._file, registry._artifacts)
        return registry

    @classmethod
    def create(cls, workspace: Workspace) -> Registry:
        """The registry of a workspace, made where there is none; the database appears whole or not at all.

        Raises:
            Unavailable: the database cannot be made or used, or it is missing although it was there once.
        """
        file, artifacts = workspace.mlflow_file, workspace.mlflow_artifacts
        if file is None or artifacts is None:
            registry = cls.open(workspace)
            _ = registry.experiment_id
            return registry
        with locked(file):
            if not file.exists():
                _refuse_if_live(workspace, file)
                _make_database(file, artifacts)
        return cls.open(workspace)

    def check(self) -> None:
        """Looks whether the database is there and whole; a server is not asked."""
        if self._file is not None:
            check(self._file)

    @cached_property
    def client(self) -> Any:
        """The ``MlflowClient``, for the logging of runs."""
        with explained(self.uri, "opening the model registry"):
            return _client(self.uri)

    @cached_property
    def experiment_id(self) -> str:
        """The experiment ``smallyes``, in which all runs and artifacts are; made where there is none."""
        with self._reading("opening the experiment"):
            found = self.client.get_experiment_by_name(EXPERIMENT)
            if found is None:
                location = None if self._artifacts is None else str(self._artifacts)
                return str(self.client.create_experiment(EXPERIMENT, artifact_location=location))
            if found.lifecycle_stage != "active":
                raise Unavailable(
                    f"the experiment {EXPERIMENT} was deleted in MLflow ({self.uri}); restore it with: "
                    f"mlflow experiments restore --experiment-id {found.experiment_id}"
                )
            return str(found.experiment_id)

    def model(self, journey: str) -> RegisteredModel | None:
        """Aliases and tags of a journey's model, read at one moment; ``None``: nothing was ever registered."""
        with self._reading("reading the registry"):
            try:
                found = self.client.get_registered_model(model_name(journey))
            except Exception as error:
                if _code(error) != _ABSENT:
                    raise
                return None
            aliases = {str(alias): int(version) for alias, version in found.aliases.items()}
            return RegisteredModel(journey, aliases, dict(found.tags))

    def versions(self, journey: str) -> tuple[RegisteredVersion, ...]:
        """Every version, the newest first."""
        model = self.model(journey)
        if model is None:
            return ()
        found: list[Any] = []
        with self._reading("reading the registry"):
            token = None
            while True:
                page = self.client.search_model_versions(
                    f"name = '{model_name(journey)}'", max_results=_PAGE, page_token=token
                )
                found += page
                token = page.token
                if not token:
                    break
        return tuple(sorted((_version(one, model) for one in found), key=lambda one: -one.version))

    def at_alias(self, journey: str, alias: str) -> RegisteredVersion | None:
        """The version that an alias names, ``None`` where it names none."""
        model = self.model(journey)
        if model is None or alias not in model.aliases:
            return None
        return self.version(journey, model.aliases[alias])

    def version(self, journey: str, number: int) -> RegisteredVersion:
        """A version by its number.

        Raises:
            BadInput: there is no such version.
        """
        model = self.model(journey)
        with self._reading("reading the registry"):
            try:
                found = None if model is None else self.client.get_model_version(model_name(journey), str(number))
            except Exception as error:
                if _code(error) != _ABSENT:
                    raise
                found = None
        if found is None or model is None:
            known = ", ".join(str(one.version) for one in self.versions(journey)) or "none"
            raise BadInput(f"version {number} of {model_name(journey)} is not in the registry; there are: {known}")
        return _version(found, model)

    def register(
        self,
        journey: str,
        folder: Path,
        tags: Mapping[str, str],
        description: str = "",
        run_id: str | None = None,
    ) -> RegisteredVersion:
        """Makes a bundle a new version, whole or not at all; it has no alias yet.

        Args:
            journey: whose policy it is.
            folder: the bundle.
            tags: the version's tags; its digest is added.
            description: a sentence for people who look at MLflow's pages.
            run_id: the run that made it; ``None``: a run of its own.

        Raises:
            BadBundle: the folder is no bundle of this journey.
            Unavailable: the registry is away, busy or full; nothing was registered.
        """
        with tempfile.TemporaryDirectory(prefix="smallyes-") as scratch, self._writing("registering a version"):
            draft = Path(scratch) / _BUNDLE
            shutil.copytree(folder, draft)
            bundle = load_bundle(draft)
            if bundle.catalog.journey != journey:
                raise BadBundle(f"{folder}: is of journey {bundle.catalog.journey!r}, not {journey!r}")
            run = run_id or self._own_run(journey)
            logged = self.client.create_logged_model(
                self.experiment_id, name=model_name(journey), source_run_id=run, tags=dict(tags)
            )
            try:
                self._store(logged, draft, bundle, Path(scratch))
                self._ensure_model(journey)
                source = str(logged.artifact_location) if self._file is not None else f"models:/{logged.model_id}"
                made = self.client.create_model_version(
                    model_name(journey),
                    source,
                    run,
                    tags={**tags, DIGEST_TAG: bundle.digest, "model_id": logged.model_id},
                    description=description or None,
                    model_id=logged.model_id,
                )
            except BaseException:
                self._discard(logged)
                raise
            finally:
                if run_id is None:
                    with suppress(Exception):
                        self.client.set_terminated(run)
        return self.version(journey, int(made.version))

    def set_alias(self, journey: str, alias: str, version: int) -> None:
        """Lets an alias name a version; it names one at any moment."""
        with self._writing(f"setting the alias {alias}"):
            self.client.set_registered_model_alias(model_name(journey), alias, str(version))

    def delete_alias(self, journey: str, alias: str) -> None:
        """Lets an alias name nothing."""
        with self._writing(f"deleting the alias {alias}"):
            self.client.delete_registered_model_alias(model_name(journey), alias)

    def set_tags(self, journey: str, version: int, tags: Mapping[str, str]) -> None:
        """Sets tags of a version, in their order."""
        with self._writing("setting tags"):
            for key, value in tags.items():
                self.client.set_model_version_tag(model_name(journey), str(version), key, value)

    def set_model_tag(self, journey: str, key: str, value: str | None) -> None:
        """Sets a tag of the model itself; ``None`` removes it."""
        with self._writing("setting tags"):
            if value is not None:
                self.client.set_registered_model_tag(model_name(journey), key, value)
            elif key in self.client.get_registered_model(model_name(journey)).tags:
                self.client.delete_registered_model_tag(model_name(journey), key)

    def download(self, version: RegisteredVersion, out: Path) -> Bundle:
        """The bundle of a version, checked, in a new folder, whole or not at all.

        Raises:
            BadInput: the folder exists and is not empty.
            BadBundle: the artifact is damaged, or not what was registered.
            Unavailable: the artifact is gone, or cannot be had now.
        """
        out = out.resolve()
        if out.exists() and not (out.is_dir() and not any(out.iterdir())):
            raise BadInput(f"{out}: exists already; allowed: a new or empty folder")
        label = f"version {version.version} of {model_name(version.journey)}"
        if not version.digest:
            raise BadBundle(f"{label}: has no tag {DIGEST_TAG}; smallyes did not register it")
        with explained(self.uri, f"downloading {label}"):
            out.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as beside:
                draft = Path(beside) / _BUNDLE
                self._fetch(version, label, draft)
                try:
                    bundle = load_bundle(draft)
                except BadBundle as error:
                    text = str(error).replace(f"{draft}{os.sep}", "").replace(str(draft), "the artifact")
                    raise BadBundle(f"{label}: its artifact is damaged ({version.source}): {text}") from None
                if bundle.digest != version.digest:
                    raise BadBundle(
                        f"{label}: its artifact is not what was registered ({version.source}); "
                        f"expected sha256 {version.digest}, found {bundle.digest}"
                    )
                draft.rename(out)
        return bundle

    def _fetch(self, version: RegisteredVersion, label: str, out: Path) -> None:
        location = version.source
        if location.startswith("models:/m-"):
            with self._reading(f"downloading {label}"):
                location = str(self.client.get_logged_model(location.removeprefix("models:/")).artifact_location)
        if "://" in location.removeprefix("file://") or location.startswith("mlflow-artifacts:"):
            import mlflow.artifacts

            place = mlflow.artifacts.download_artifacts(
                artifact_uri=f"{location.rstrip('/')}/data/{_BUNDLE}", dst_path=str(out.parent), tracking_uri=self.uri
            )
            if Path(place) != out:
                Path(place).rename(out)
            return
        folder = self._local(Path(location.removeprefix("file://"))) / "data" / _BUNDLE
        if not folder.is_dir():
            raise Unavailable(
                f"{label}: its artifact is gone ({folder}); restore it from a backup, or promote another version"
            )
        shutil.copytree(folder, out)

    def _local(self, location: Path) -> Path:
        """The folder of an artifact, also where the workspace was moved after it was written."""
        if self._artifacts is None or location.is_dir() or self._artifacts.name not in location.parts:
            return location
        parts = location.parts
        place = len(parts) - 1 - parts[::-1].index(self._artifacts.name)
        moved = self._artifacts.joinpath(*parts[place + 1 :])
        return moved if moved.is_dir() else location

    def _store(self, logged: Any, draft: Path, bundle: Bundle, scratch: Path) -> None:
        """Stores the artifact of a logged model and makes the model ready."""
        import mlflow.pyfunc
        from mlflow.entities import LoggedModelOutput
        from mlflow.models import Model

        from policy.pyfunc import signature

        described = Model(
            artifact_path=_BUNDLE,
            model_uuid=logged.model_id,
            run_id=logged.source_run_id,
            model_id=logged.model_id,
            metadata={"journey": bundle.catalog.journey, DIGEST_TAG: bundle.digest},
        )
        folder = scratch / "model"
        mlflow.pyfunc.save_model(
            str(folder),
            loader_module=LOADER,
            data_path=str(draft),
            mlflow_model=described,
            signature=signature(),
            pip_requirements=[_requirement()],
        )
        self.client.log_model_artifacts(logged.model_id, str(folder))
        self.client.finalize_logged_model(logged.model_id, "READY")
        self.client.log_outputs(logged.source_run_id, [LoggedModelOutput(logged.model_id, 0)])

    def _ensure_model(self, journey: str) -> None:
        try:
            self.client.create_registered_model(
                model_name(journey), description=f"What to ask next on the journey {journey}."
            )
        except Exception as error:
            if _code(error) != _PRESENT:
                raise

    def _discard(self, logged: Any) -> None:
        """Removes what a registration that failed left behind; what cannot be removed has no version and harms none."""
        with suppress(Exception):
            self.client.delete_logged_model(logged.model_id)
        if self._file is not None:
            shutil.rmtree(Path(logged.artifact_location).parent, ignore_errors=True)

    def _own_run(self, journey: str) -> str:
        run = self.client.create_run(self.experiment_id, run_name=f"register {journey}")
        return str(run.info.run_id)

    @contextmanager
    def _reading(self, doing: str) -> Iterator[None]:
        self.check()
        with explained(self.uri, doing):
            yield

    @contextmanager
    def _writing(self, doing: str) -> Iterator[None]:
        with nullcontext() if self._file is None else locked(self._file), explained(self.uri, doing):
            if self._file is not None:
                check(self._file, for_writing=True)
            yield


def _client(uri: str) -> Any:
    prepare(uri)
    from mlflow import MlflowClient

    hush()
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _make_database(file: Path, artifacts: Path) -> None:
    """Makes the database under another name, so that a process that dies meanwhile leaves no half of it."""
    draft = file.with_name(f".{file.name}-{os.getpid()}-{secrets.token_hex(4)}")
    uri = f"sqlite:///{draft}"
    try:
        with explained(uri, "making the model registry"):
            _client(uri).create_experiment(EXPERIMENT, artifact_location=str(artifacts))
            artifacts.mkdir(parents=True, exist_ok=True)
            draft.rename(file)
    finally:
        draft.unlink(missing_ok=True)


def _refuse_if_live(workspace: Workspace, file: Path) -> None:
    """An empty registry in the place of a lost one would take what is live away, and count versions from 1 again."""
    for path in sorted(workspace.policies.glob("*.json")):
        if path.name.startswith("."):
            continue
        pointer = read_pointer(workspace.policies, path.stem)
        if pointer.champion is not None:
            raise Unavailable(
                f"{file}: the MLflow database is missing, though version {pointer.champion.version} of {path.stem} "
                f"is live; restore the database from a backup, or delete {path} to begin anew"
            )


def _version(found: Any, model: RegisteredModel) -> RegisteredVersion:
    number = int(found.version)
    tags = {str(key): str(value) for key, value in found.tags.items()}
    return RegisteredVersion(
        journey=model.journey,
        version=number,
        tags=tags,
        aliases=tuple(sorted(alias for alias, version in model.aliases.items() if version == number)),
        digest=tags.get(DIGEST_TAG, ""),
        run_id=str(found.run_id or ""),
        created_at=int(found.creation_timestamp) * 1_000,
        source=str(found.source),
    )


def _code(error: Exception) -> str:
    return str(getattr(error, "error_code", ""))


def _requirement() -> str:
    try:
        return f"smallyes=={importlib.metadata.version('smallyes')}"
    except importlib.metadata.PackageNotFoundError:
        return "smallyes"
