"""``smallyes keys``: shown once, stored as hashes, revoked by id."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import pytest

from data.stores.registry import open_store
from data.workspace import Workspace
from tests.conftest import Answer

Smallyes = Callable[..., Answer]
pytestmark = pytest.mark.usefixtures("workspace")


def test_without_keys_the_list_says_what_that_means(smallyes: Smallyes) -> None:
    assert smallyes("keys", "list").out == "No keys: the service answers on this machine only.\n"


@pytest.mark.parametrize("role", ["site", "server", "read", "admin"])
def test_a_key_is_shown_once_and_its_hash_is_stored(workspace: Workspace, smallyes: Smallyes, role: str) -> None:
    made = smallyes("keys", "add", "--role", role, "--json").json
    (record,) = open_store(workspace.store_url).keys()
    assert made["key"].startswith(f"sy_{role}_")
    assert (record.key_id, record.role, record.digest) == (
        made["key_id"],
        role,
        sha256(made["key"].encode()).hexdigest(),
    )
    assert made["key"] not in smallyes("keys", "list").out
    assert made["key"].encode() not in b"".join(file.read_bytes() for file in workspace.var.iterdir() if file.is_file())


def test_keys_never_repeat(smallyes: Smallyes) -> None:
    keys = {smallyes("keys", "add", "--role", "read", "--json").json["key"] for _ in range(5)}
    assert len(keys) == 5


def test_people_see_the_key_first_and_then_how_to_use_it(smallyes: Smallyes) -> None:
    key, explanation = smallyes("keys", "add", "--role", "server").out.splitlines()
    assert key.startswith("sy_server_")
    assert "only time" in explanation
    assert "Authorization: Bearer" in explanation


def test_the_life_of_a_key(smallyes: Smallyes) -> None:
    key_id = smallyes("keys", "add", "--role", "site", "--origin", "https://shop.example", "--json").json["key_id"]
    listed = smallyes("keys", "list").out
    assert all(part in listed for part in (key_id, "site", "for https://shop.example"))
    assert "revoked" not in listed
    assert smallyes("keys", "revoke", key_id).out == f"Revoked the key {key_id}.\n"
    assert "revoked" in smallyes("keys", "list").out
    (record,) = smallyes("keys", "list", "--json").json["keys"]
    assert set(record) == {"key_id", "role", "origin", "created_at", "revoked_at"}
    assert record["revoked_at"] >= record["created_at"]


def test_what_cannot_be_revoked_is_a_no(smallyes: Smallyes) -> None:
    key_id = smallyes("keys", "add", "--role", "read", "--json").json["key_id"]
    smallyes("keys", "revoke", key_id)
    for unknown in (key_id, "nothing"):
        answer = smallyes("keys", "revoke", unknown)
        assert (answer.code, answer.out) == (1, "")
        assert answer.err == f"smallyes: there is no valid key with the id {unknown!r}; see: smallyes keys list\n"


@pytest.mark.parametrize(
    "origin",
    ["shop.example", "https://shop.example/cart", "ftp://x", "https://a b", "https://x:y", "https://Shop.example"],
)
def test_what_is_no_origin_is_refused(smallyes: Smallyes, origin: str) -> None:
    answer = smallyes("keys", "add", "--role", "site", "--origin", origin)
    assert answer.code == 2
    assert "allowed: scheme and host, like https://shop.example" in answer.err
    assert smallyes("keys", "list", "--json").json == {"keys": []}
