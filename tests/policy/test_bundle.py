"""Bundles: what is saved is what is loaded, bit for bit, and what was touched is refused by name."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from data.domain import Exploration
from data.errors import BadBundle, BadInput
from features.spec import spec_of
from policy.bundle import load_bundle, save_bundle
from policy.candidates import Candidates
from policy.explorers import InverseGap
from policy.policies import Model
from policy.scorers import ConstantScorer
from tests.policy.guardrail_cases import a_catalog, an_ask

CATALOG = replace(
    a_catalog(*(an_ask(f"ask-{i}", effort=i % 5) for i in range(12))), exploration=Exploration(floor=0.05, loss=0.3)
)
SCORER = ConstantScorer(
    tuple(ask.id for ask in CATALOG.asks),
    values={ask.id: 1 / (7 + 3 * i % 11) for i, ask in enumerate(CATALOG.asks)},
    p_accepts={"ask-0": 1 / 3},
    default_value=0.1,
)
EXPLORER = InverseGap(loss=0.3, steps=3, floor=0.05)
EVERY_ASK = Candidates(np.array([0, 5, 12]), np.arange(12), np.array([0, 5]), np.array([-1, 11]))


def save(folder: Path, **changes: Any) -> Path:
    save_bundle(
        folder,
        **{
            "scorer": SCORER,
            "explorer": EXPLORER,
            "catalog": CATALOG,
            "spec": None,
            "info": {"version": "7", "learner": "by hand"},
            **changes,
        },
    )
    return folder


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save(tmp_path / "bundle")


def rewrite(folder: Path, name: str, change: Callable[[Any], Any]) -> None:
    """Changes a JSON file and the manifest with it, as somebody would who can compute a sha256."""
    content = json.dumps(change(json.loads((folder / name).read_bytes()))).encode()
    (folder / name).write_bytes(content)
    if name != "manifest.json":
        digest = hashlib.sha256(content).hexdigest()
        rewrite(folder, "manifest.json", lambda manifest: {**manifest, "files": {**manifest["files"], name: digest}})


def hexadecimal(model: Model) -> str:
    return model.distribution(EVERY_ASK).probabilities.tobytes().hex()


def test_a_bundle_is_four_kinds_of_plain_files(saved: Path) -> None:
    assert sorted(path.name for path in saved.iterdir()) == [
        "catalog.yaml",
        "constants.json",
        "manifest.json",
        "policy.json",
    ]


def test_what_was_saved_is_loaded(saved: Path) -> None:
    bundle = load_bundle(saved)
    assert bundle.policy == Model(SCORER, EXPLORER)
    assert [ask.id for ask in bundle.catalog.asks] == [ask.id for ask in CATALOG.asks]
    assert bundle.feature_spec is None
    assert bundle.info == {"version": "7", "learner": "by hand"}


def test_the_digest_is_that_of_the_manifest_and_the_version_the_label_given(saved: Path) -> None:
    bundle = load_bundle(saved)
    assert bundle.digest == hashlib.sha256((saved / "manifest.json").read_bytes()).hexdigest()
    assert bundle.version == "7"
    unnamed = load_bundle(save(saved.parent / "unnamed", info={}))
    assert unnamed.version == unnamed.digest[:12]


def test_the_same_content_has_the_same_digest(tmp_path: Path) -> None:
    digests = {load_bundle(save(tmp_path / name)).digest for name in ("one", "two")}
    assert len(digests) == 1
    assert load_bundle(save(tmp_path / "three", explorer=replace(EXPLORER, steps=9))).digest not in digests


def test_probabilities_are_bit_identical_after_loading(saved: Path) -> None:
    assert hexadecimal(load_bundle(saved).policy) == hexadecimal(Model(SCORER, EXPLORER))


def test_probabilities_are_bit_identical_in_another_process(saved: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.policy.test_bundle import hexadecimal;"
        "from policy.bundle import load_bundle; print(hexadecimal(load_bundle(Path(sys.argv[1])).policy))"
    )
    root = Path(__file__).parents[2]
    told = subprocess.run(
        [sys.executable, "-c", program, str(saved)], cwd=root, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == hexadecimal(Model(SCORER, EXPLORER))


def test_under_another_catalog_asks_keep_their_values_and_new_ones_get_the_default(saved: Path) -> None:
    edited = replace(CATALOG, asks=(an_ask("new"), *CATALOG.asks[::-1]))
    for bundle in (load_bundle(saved, edited), load_bundle(saved).for_catalog(edited)):
        assert bundle.catalog is edited
        values = bundle.policy.scorer.score(Candidates(np.array([0, 3]), np.array([0, 1, 12]), *[np.array([-1])] * 2))
        assert values.values.tolist() == [0.1, SCORER.values["ask-11"], SCORER.values["ask-0"]]


def test_a_catalog_of_another_journey_is_refused(saved: Path) -> None:
    other = replace(CATALOG, journey="haircare")
    with pytest.raises(BadBundle, match="of journey 'skincare'; received a catalog of journey 'haircare'"):
        load_bundle(saved, other)
    with pytest.raises(BadBundle, match="haircare"):
        load_bundle(saved).for_catalog(other)


@pytest.mark.parametrize("name", ["catalog.yaml", "constants.json", "policy.json"])
def test_a_changed_byte_is_refused_with_both_digests(saved: Path, name: str) -> None:
    expected = hashlib.sha256((saved / name).read_bytes()).hexdigest()
    content = bytearray((saved / name).read_bytes())
    content[len(content) // 2] ^= 1
    (saved / name).write_bytes(content)
    found = hashlib.sha256(content).hexdigest()
    with pytest.raises(BadBundle, match=rf"{name}: .*expected sha256 {expected}, found sha256 {found}"):
        load_bundle(saved)


@pytest.mark.parametrize("name", ["catalog.yaml", "constants.json", "policy.json", "manifest.json"])
def test_a_missing_file_is_refused_by_name(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(BadBundle, match=f"{name}: is missing"):
        load_bundle(saved)


def test_an_extra_file_is_refused_by_name(saved: Path) -> None:
    (saved / "model.pkl").write_bytes(b"boo")
    with pytest.raises(BadBundle, match=rf"model.pkl: is not in manifest.json; found sha256 {'[0-9a-f]' * 64}"):
        load_bundle(saved)


def test_a_folder_in_a_bundle_is_refused(saved: Path) -> None:
    (saved / "more").mkdir()
    with pytest.raises(BadBundle, match="more: is no plain file"):
        load_bundle(saved)


@pytest.mark.parametrize("name", ["constants.json", "manifest.json"])
def test_a_link_in_a_bundle_is_refused_whatever_it_leads_to(saved: Path, name: str) -> None:
    (saved / name).rename(saved.parent / name)
    (saved / name).symlink_to(saved.parent / name)
    with pytest.raises(BadBundle, match=f"{name}: is no plain file"):
        load_bundle(saved)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/b", "..", ".hidden", "", "manifest.json", "a\x00b"])
def test_a_manifest_that_leads_out_of_the_folder_is_refused(saved: Path, name: str) -> None:
    rewrite(saved, "manifest.json", lambda manifest: {**manifest, "files": {**manifest["files"], name: "0" * 64}})
    with pytest.raises(BadBundle, match="a file cannot be called"):
        load_bundle(saved)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"\xff", b"null", b"[]", b"[" * 100_000, b'{"a": NaN}'),
        *(b'{"format": 1}', b'{"format": 1, "files": []}', b'{"format": 1, "format": 1, "files": {}}'),
        b'{"format": 1, "files": {"policy.json": 5}}',
        b'{"format": 1, "files": {"policy.json": "%s"}}' % (b"0" * 64),
    ],
)
def test_a_manifest_that_is_none_is_refused(saved: Path, content: bytes) -> None:
    (saved / "manifest.json").write_bytes(content)
    with pytest.raises(BadBundle, match=r"manifest\.json: "):
        load_bundle(saved)


@pytest.mark.parametrize("name", ["manifest.json", "policy.json"])
@pytest.mark.parametrize("number", [2, 0, "1", None, True])
def test_another_format_is_refused(saved: Path, name: str, number: object) -> None:
    rewrite(saved, name, lambda content: {**content, "format": number})
    with pytest.raises(BadBundle, match=rf"{name}: format {number!r} is not one this version reads; allowed: 1"):
        load_bundle(saved)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"scorer": "pickle"}, "unknown scorer; received 'pickle'; allowed: constant"),
        ({"scorer": None}, "scorer a name"),
        ({"explorer": {"name": "boltzmann"}}, "unknown explorer; received 'boltzmann'"),
        ({"explorer": "greedy"}, "explorer must be an object"),
        ({"explorer": {"name": "greedy", "floor": 7}}, "floor must be from 0 to 1"),
        ({"journey": "haircare"}, "journey is 'haircare'"),
        ({"info": None}, "info must be an object"),
        ({"surprise": 1}, "must hold"),
        ({"features": "0" * 64}, "features.json"),
    ],
)
def test_a_policy_that_cannot_be_is_refused_though_its_digest_is_right(
    saved: Path, change: dict[str, object], told: str
) -> None:
    rewrite(saved, "policy.json", lambda policy: {**policy, **change})
    with pytest.raises(BadBundle, match=told):
        load_bundle(saved)


@pytest.mark.parametrize("constants", [{"values": {"a": 1e999}}, {"values": "many"}, {"values": {"a": 10**400}}])
def test_constants_that_cannot_be_are_refused_though_their_digest_is_right(saved: Path, constants: object) -> None:
    rewrite(saved, "constants.json", lambda _: constants)
    with pytest.raises(BadBundle):
        load_bundle(saved)


def test_a_catalog_that_is_none_is_refused(saved: Path) -> None:
    rewrite(saved, "manifest.json", lambda manifest: manifest)
    (saved / "catalog.yaml").write_bytes(b"journey: 3")
    digest = hashlib.sha256(b"journey: 3").hexdigest()
    rewrite(
        saved, "manifest.json", lambda manifest: {**manifest, "files": {**manifest["files"], "catalog.yaml": digest}}
    )
    with pytest.raises(BadBundle, match=r"catalog\.yaml: is no catalog"):
        load_bundle(saved)


def test_a_scorers_file_that_the_manifest_leaves_out_is_named(saved: Path) -> None:
    (saved / "constants.json").unlink()
    rewrite(
        saved,
        "manifest.json",
        lambda manifest: {**manifest, "files": {k: v for k, v in manifest["files"].items() if k != "constants.json"}},
    )
    with pytest.raises(BadBundle, match=r"scorer constant needs the file 'constants\.json'"):
        load_bundle(saved)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadBundle, match="nowhere: is no folder that can be read"):
        load_bundle(tmp_path / "nowhere")


def test_a_bundle_never_replaces_what_is_there(saved: Path) -> None:
    before = sorted(path.read_bytes() for path in saved.iterdir())
    with pytest.raises(BadInput, match="exists already; allowed: a new or empty folder"):
        save(saved, info={})
    assert sorted(path.read_bytes() for path in saved.iterdir()) == before


def test_an_empty_folder_may_become_a_bundle(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert load_bundle(save(tmp_path / "empty")).version == "7"


def test_a_failed_save_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../escape", "policy.json", "manifest.json", "a/b", ".hidden"])
def test_a_scorers_file_cannot_have_a_name_of_its_bundles_or_lead_elsewhere(tmp_path: Path, name: str) -> None:
    class Sly(ConstantScorer):
        def to_files(self) -> dict[str, bytes]:
            return {name: b"{}"}

    with pytest.raises(ValueError, match="cannot have a file called"):
        save(tmp_path / "bundle", scorer=Sly(()))
    assert list(tmp_path.iterdir()) == []


def test_what_json_has_no_word_for_is_refused_at_saving(tmp_path: Path) -> None:
    for info in ({"value": float("nan")}, {"at": object()}):
        with pytest.raises(ValueError, match="JSON"):
            save(tmp_path / "bundle", info=info)


@pytest.fixture
def with_features(tmp_path: Path) -> Path:
    return save(tmp_path / "featured", spec=spec_of(CATALOG))


def test_a_feature_spec_comes_back(with_features: Path) -> None:
    assert load_bundle(with_features).feature_spec == spec_of(CATALOG)


def test_features_of_another_fingerprint_are_refused_though_their_digest_is_right(with_features: Path) -> None:
    other = spec_of(replace(CATALOG, signals=("page_view",)))
    rewrite(with_features, "features.json", lambda _: json.loads(other.to_json()))
    expected, found = spec_of(CATALOG).fingerprint, other.fingerprint
    with pytest.raises(BadBundle, match=rf"features\.json: .*expected {expected}, found {found}"):
        load_bundle(with_features)


@pytest.mark.parametrize("content", [{}, {"names": 3}, [], None, "spec"])
def test_features_that_are_none_are_refused(with_features: Path, content: object) -> None:
    rewrite(with_features, "features.json", lambda _: content)
    with pytest.raises(BadBundle, match=r"features\.json: is no feature spec"):
        load_bundle(with_features)


def test_a_scorer_that_uses_features_is_not_saved_without_their_spec(tmp_path: Path) -> None:
    hungry = SimpleNamespace(name="hungry", uses_features=True)
    with pytest.raises(ValueError, match="uses features: it cannot be saved without their spec"):
        save(tmp_path / "bundle", scorer=hungry)


def test_a_scorer_that_uses_features_is_not_loaded_without_their_spec(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ConstantScorer, "uses_features", True)
    with pytest.raises(BadBundle, match=r"features\.json: is missing, but the scorer constant uses features"):
        load_bundle(saved)
