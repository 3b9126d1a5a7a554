"""Settings: file < environment < flags; whatever is wrong is told with where it came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from data.errors import BadInput
from data.settings import Settings, environment_name, load_settings, setting_names

EVERY_ONE: dict[str, tuple[str, Any]] = {
    "secret": ("s3cret", "s3cret"),
    "store.url": ("memory:", "memory:"),
    "store.sync": ("full", "full"),
    "serve.host": ("0.0.0.0", "0.0.0.0"),
    "serve.port": ("8080", 8080),
    "serve.workers": ("2", 2),
    "serve.cors_origins": ("https://a.example, https://b.example", ("https://a.example", "https://b.example")),
    "serve.poll_seconds": ("0.5", 0.5),
    "serve.deadline_ms": ("300", 300),
    "serve.max_body_bytes": ("2048", 2_048),
    "serve.max_batch_bytes": ("4096", 4_096),
    "mlflow.uri": ("http://models.example", "http://models.example"),
    "mlflow.poll_seconds": ("0.5", 0.5),
    "privacy.retention": ("30d", 30 * 86_400),
}


def value_of(settings: Settings, name: str) -> Any:
    value: Any = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "smallyes.toml"
    file.write_text(text, encoding="utf-8")
    return file


def refusal(file: Path | None = None, environment: dict[str, str] | None = None, **flags: object) -> str:
    with pytest.raises(BadInput) as caught:
        load_settings(file, environment or {}, {name.replace("__", "."): value for name, value in flags.items()})
    return str(caught.value)


def test_without_anything_all_is_at_its_default() -> None:
    assert load_settings(None, {}, {}) == Settings()


def test_the_list_of_settings_is_complete() -> None:
    assert {name for name, _, _ in setting_names()} == set(EVERY_ONE)


def test_every_setting_has_a_meaning() -> None:
    assert [name for name, _, description in setting_names() if not description.endswith(".")] == []


@pytest.mark.parametrize("name", EVERY_ONE)
def test_every_setting_can_be_set_in_the_environment(name: str) -> None:
    text, value = EVERY_ONE[name]
    assert value_of(load_settings(None, {environment_name(name): text}, {}), name) == value


@pytest.mark.parametrize("name", EVERY_ONE)
def test_every_setting_can_be_set_in_the_file(tmp_path: Path, name: str) -> None:
    text, value = EVERY_ONE[name]
    section, _, last = name.rpartition(".")
    said = text if isinstance(value, int | float) and not text.endswith("d") else f'"{text}"'
    file = written(tmp_path, f"[{section}]\n{last} = {said}\n" if section else f"{last} = {said}\n")
    assert value_of(load_settings(file, {}, {}), name) == value


@pytest.mark.parametrize("name", EVERY_ONE)
def test_every_default_can_be_written_down(name: str) -> None:
    """What the list of settings shows as default is what one may write."""
    default = next(default for each, default, _ in setting_names() if each == name)
    text = ",".join(default) if isinstance(default, tuple) else str(default)
    assert load_settings(None, {environment_name(name): text}, {}) == Settings()


def test_the_environment_beats_the_file_and_flags_beat_both(tmp_path: Path) -> None:
    file = written(tmp_path, "[serve]\nport = 1111\nhost = '127.0.0.2'\nworkers = 3\n")
    settings = load_settings(file, {"SMALLYES_SERVE_PORT": "2222", "SMALLYES_SERVE_WORKERS": "4"}, {"serve.port": 3333})
    assert (settings.serve.host, settings.serve.port, settings.serve.workers) == ("127.0.0.2", 3333, 4)


def test_a_flag_that_was_not_given_changes_nothing() -> None:
    assert load_settings(None, {}, {"serve.port": None}) == Settings()


def test_lists_and_durations_of_the_file_are_plain(tmp_path: Path) -> None:
    file = written(tmp_path, '[serve]\ncors_origins = ["https://a.example"]\n[privacy]\nretention = 86400\n')
    settings = load_settings(file, {}, {})
    assert settings.serve.cors_origins == ("https://a.example",)
    assert settings.privacy.retention == 86_400


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    file = tmp_path / "smallyes.toml"
    file.write_bytes(b"\xef\xbb\xbf[serve]\nport = 8080\n")
    assert load_settings(file, {}, {}).serve.port == 8080


def test_other_variables_of_the_environment_are_nobodys_business() -> None:
    assert load_settings(None, {"SMALLYES_WORKSPACE": "x", "SMALLYES_NOTHING": "x", "PORT": "x"}, {}) == Settings()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[store]\nsnyc = 'full'\n", "store.snyc: is no setting; did you mean store.sync?; received 'full'"),
        ("[sotre]\nurl = 'x'\n", "sotre: is no setting; did you mean store?"),
        ("store = 'sqlite:///x'\n", "store: must be a section: [store]; received 'sqlite:///x'"),
        ("[store]\nurl = 5\n", "store.url: should be a valid string; received 5"),
        ("[serve]\nport = 70000\n", "serve.port: should be less than or equal to 65535; received 70000"),
        ("[serve]\npoll_seconds = nan\n", "serve.poll_seconds: "),
        ("[serve]\ncors_origins = [5]\n", "serve.cors_origins: should be a valid string; received 5"),
        ("[privacy]\nretention = 'long'\n", "not a duration: 'long'; allowed: a whole number and s, m, h or d"),
    ],
)
def test_a_faulty_file_is_told_with_place_and_remedy(tmp_path: Path, text: str, said: str) -> None:
    file = written(tmp_path, text)
    answer = refusal(file)
    assert answer.startswith(f"{file}: ")
    assert said in answer


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    file = written(tmp_path, "[serve]\nport = 0\nworkers = 0\n")
    assert len(refusal(file, {"SMALLYES_STORE_SYNC": "never"}).splitlines()) == 3


def test_faults_of_the_environment_and_of_flags_name_them(tmp_path: Path) -> None:
    file = written(tmp_path, "")
    answer = refusal(file, {"SMALLYES_SERVE_WORKERS": "many"}, serve__port=0)
    assert answer.splitlines() == [
        "--port: should be greater than or equal to 1; received 0",
        "SMALLYES_SERVE_WORKERS: should be a valid integer, unable to parse string as an integer; received 'many'",
    ]


def test_a_value_in_place_of_a_section_is_told_whatever_the_environment_says(tmp_path: Path) -> None:
    file = written(tmp_path, "store = 'sqlite:///x'\n")
    assert "must be a section: [store]" in refusal(file, {"SMALLYES_STORE_SYNC": "full"})


@pytest.mark.parametrize("text", ["secret = 12345\n", "[serve]\nsecret = 'hunter22'\n"])
def test_a_secret_is_never_shown(tmp_path: Path, text: str) -> None:
    answer = refusal(written(tmp_path, text))
    assert "(not shown)" in answer
    assert "12345" not in answer
    assert "hunter22" not in answer


def test_settings_do_not_print_the_secret() -> None:
    assert "hunter22" not in repr(load_settings(None, {"SMALLYES_SECRET": "hunter22"}, {}))


@pytest.mark.parametrize(
    ("content", "said"), [(b"[store", "is not TOML"), (b"\xff\xfe", "is not UTF-8 text"), (None, "cannot be read")]
)
def test_a_file_that_cannot_be_understood_is_told(tmp_path: Path, content: bytes | None, said: str) -> None:
    file = tmp_path / "smallyes.toml"
    file.mkdir() if content is None else file.write_bytes(content)
    assert refusal(file).startswith(f"{file}: {said}")
