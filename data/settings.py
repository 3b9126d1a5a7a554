"""Every setting of smallyes, in one place: ``smallyes.toml`` < environment ``SMALLYES_*`` < command-line flags.

In the file, settings stand in sections (``[store] url = "..."``); in the environment, section and name are joined
(``SMALLYES_STORE_URL``). ``docs/settings.md`` lists them all and is checked against this module.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from data.clock import format_duration, parse_duration
from data.errors import BadInput, Fault

PREFIX: Final = "SMALLYES_"


def _split_list(value: object) -> object:
    """A comma-separated text (the environment has no lists) as a list."""
    if isinstance(value, str):
        return [item.strip() for item in value.split(",") if item.strip()]
    return value


def _seconds(value: object) -> object:
    """A duration text as whole seconds."""
    return parse_duration(value) if isinstance(value, str) else value


Texts = Annotated[tuple[str, ...], BeforeValidator(_split_list)]
Duration = Annotated[int, BeforeValidator(_seconds)]


class Section(BaseModel):
    """A section of the settings file; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class StoreSettings(Section):
    """Where visitors' state, decisions and events are kept."""

    url: str = Field("sqlite:///var/smallyes.db", description="Store URL; relative paths start at the workspace.")
    sync: Literal["normal", "full"] = Field(
        "normal", description="`normal` survives a killed process; `full` a power loss too, at the disk's speed."
    )


class ServeSettings(Section):
    """The HTTP service."""

    host: str = Field("127.0.0.1", description="Address to listen on; another than loopback needs at least one key.")
    port: int = Field(3000, ge=1, le=65535, description="Port to listen on.")
    workers: int = Field(1, ge=1, le=64, description="Worker processes.")
    cors_origins: Texts = Field((), description="Origins whose pages may call the service; `*` allows every one.")
    poll_seconds: float = Field(
        2.0, ge=0.05, le=10.0, description="How often catalogs, policies and keys are looked at for changes."
    )
    deadline_ms: int = Field(900, ge=10, le=60_000, description="A request not answered by then is answered with 503.")
    max_body_bytes: int = Field(1 << 20, ge=1_024, description="Largest request body.")
    max_batch_bytes: int = Field(8 << 20, ge=1_024, description="Largest body of `/v1/next-asks`.")


class MlflowSettings(Section):
    """The model registry."""

    uri: str = Field("", description="Tracking and registry URI; empty: a SQLite database in the workspace's `var/`.")
    poll_seconds: float = Field(
        5.0, ge=0.2, le=300.0, description="How often the service asks the registry which policies are to be live."
    )


class PrivacySettings(Section):
    """What is kept of visitors, and for how long."""

    retention: Duration = Field(
        400 * 86_400, ge=86_400, description="Events older than this may be deleted; a duration like `400d`."
    )


class Settings(Section):
    """All settings; see the module docstring for where they come from."""

    secret: str = Field(
        "", repr=False, description="Key of draws, arms and tokens; empty: a random one kept in `var/secret`."
    )
    store: StoreSettings = StoreSettings()
    serve: ServeSettings = ServeSettings()
    mlflow: MlflowSettings = MlflowSettings()
    privacy: PrivacySettings = PrivacySettings()


def setting_names() -> Iterator[tuple[str, Any, str]]:
    """Every setting as (dotted name, default as one would write it, description)."""
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, Section):
            for inner, inner_field in type(field.default).model_fields.items():
                yield f"{name}.{inner}", _default(inner_field), inner_field.description or ""
        else:
            yield name, _default(field), field.description or ""


def environment_name(setting: str) -> str:
    """The environment variable of a setting.

    Example:
        >>> environment_name("store.url")
        'SMALLYES_STORE_URL'
    """
    return PREFIX + setting.replace(".", "_").upper()


def load_settings(file: Path | None, environment: Mapping[str, str], flags: Mapping[str, object]) -> Settings:
    """Reads settings from file, environment and flags; later ones win.

    Args:
        file: the ``smallyes.toml``, or ``None``.
        environment: usually ``os.environ``.
        flags: dotted names to values; ``None`` values are left out.

    Raises:
        BadInput: a setting is unknown or has a value that is not allowed; the text names all of them.
    """
    tree = _read_file(file) if file is not None else {}
    origins: dict[str, str] = {}
    for name, _, _ in setting_names():
        text = environment.get(environment_name(name))
        if text is not None:
            _put(tree, name, text)
            origins[name] = environment_name(name)
    for name, value in flags.items():
        if value is not None:
            _put(tree, name, value)
            origins[name] = f"--{name.rpartition('.')[2].replace('_', '-')}"
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise BadInput("\n".join(str(fault) for fault in _faults(error, file, origins))) from None


def _read_file(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{file}: is not TOML: {error}") from None
    except UnicodeDecodeError:
        raise BadInput(f"{file}: is not UTF-8 text") from None
    except OSError as error:
        raise BadInput(f"{file}: cannot be read: {error.strerror or error}") from None


def _default(field: FieldInfo) -> Any:
    is_duration = any(isinstance(part, BeforeValidator) and part.func is _seconds for part in field.metadata)
    return format_duration(field.default) if is_duration else field.default


def _put(tree: dict[str, Any], name: str, value: object) -> None:
    *sections, last = name.split(".")
    place: Any = tree
    for section in sections:
        place = place.setdefault(section, {})
        if not isinstance(place, dict):
            return  # the file has a value where a section belongs; that is what will be reported
    place[last] = value


def _faults(error: ValidationError, file: Path | None, origins: Mapping[str, str]) -> Iterator[Fault]:
    from data.catalog.findings import closest

    known = [name for name, _, _ in setting_names()]
    for item in error.errors(include_url=False):
        parts = [str(part) for part in item["loc"]]
        name = ".".join(parts[:2] if parts[0] in Settings.model_fields else parts)
        problem, allowed = item["msg"].removeprefix("Value error, ").replace("Input should", "should"), ""
        if item["type"] == "extra_forbidden":
            section = f"{parts[0]}."
            problem = "is no setting" + closest(name, [*Settings.model_fields, *known])
            allowed = ", ".join([each for each in known if each.startswith(section)] or known)
        elif item["type"] == "model_type":
            problem = f"must be a section: [{name}]"
        received = "(not shown)" if "secret" in name else repr(item["input"])
        origin = origins.get(name)
        yield Fault(origin or str(file or "settings"), "" if origin else name, problem, received, allowed)
