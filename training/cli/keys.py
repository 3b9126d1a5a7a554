"""``smallyes keys``: API keys are shown once and stored as hashes."""

from __future__ import annotations

import re
import secrets
from hashlib import sha256

import click

from data.clock import now, to_iso
from data.errors import BadInput
from data.stores.protocol import KeyRecord
from training.cli.app import NoError
from training.cli.context import Session, common_options, examples, opened_store

_ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?")
ROLES = ("site", "server", "read", "admin")


@click.group(
    "keys", epilog=examples("smallyes keys add --role server", "smallyes keys list", "smallyes keys revoke 3f9c01ab")
)
def command() -> None:
    """Make, list and revoke API keys. A running service follows within seconds."""


@command.command("add", epilog=examples("smallyes keys add --role site --origin https://shop.example"))
@click.option("--role", required=True, type=click.Choice(ROLES), help="What the key may do; `site` keys are public.")
@click.option("--origin", help="Origin whose pages may use a site key.")
@common_options
def add(session: Session, role: str, origin: str | None) -> None:
    """Make a key and show it, this once."""
    if origin is not None and not is_origin(origin):
        raise BadInput(
            f"--origin: is no origin; received {origin!r}; allowed: scheme and host, like https://shop.example"
        )
    key = f"sy_{role}_{secrets.token_urlsafe(32)}"
    record = KeyRecord(secrets.token_hex(4), role, sha256(key.encode()).hexdigest(), now(), origin)  # type: ignore[arg-type]
    with opened_store(session.workspace()) as store:
        store.add_key(record)
    session.answer(
        {"key_id": record.key_id, "role": role, "origin": origin, "key": key},
        f"{key}\nThis is the only time the key is shown. Its id is {record.key_id}. "
        "Send it in the header: Authorization: Bearer KEY",
    )


def is_origin(text: str) -> bool:
    """Whether a text is what a browser sends as the origin of a page.

    Example:
        >>> is_origin("https://shop.example"), is_origin("http://localhost:8000"), is_origin("https://shop.example/cart")
        (True, True, False)
    """
    return _ORIGIN.fullmatch(text) is not None


@command.command("list", epilog=examples("smallyes keys list", "smallyes keys list --json"))
@common_options
def list_keys(session: Session) -> None:
    """List keys, without the keys themselves."""
    with opened_store(session.workspace()) as store:
        records = store.keys()
    rows = [
        {
            "key_id": record.key_id,
            "role": record.role,
            "origin": record.origin,
            "created_at": to_iso(record.created_at),
            "revoked_at": to_iso(record.revoked_at) if record.revoked_at else None,
        }
        for record in records
    ]
    lines = [
        f"{row['key_id']}  {row['role']:<6}  made {row['created_at'][:16]}"  # type: ignore[index]
        + (f"  for {row['origin']}" if row["origin"] else "")
        + (f"  revoked {row['revoked_at'][:16]}" if row["revoked_at"] else "")
        for row in rows
    ]
    session.answer({"keys": rows}, "\n".join(lines) or "No keys: the service answers on this machine only.")


@command.command("revoke", epilog=examples("smallyes keys revoke 3f9c01ab"))
@click.argument("key_id", metavar="ID")
@common_options
def revoke(session: Session, key_id: str) -> None:
    """Revoke a key by its id."""
    with opened_store(session.workspace()) as store:
        is_revoked = store.revoke_key(key_id, now())
    if not is_revoked:
        raise NoError(f"there is no valid key with the id {key_id!r}; see: smallyes keys list")
    session.answer({"key_id": key_id, "revoked": True}, f"Revoked the key {key_id}.")
