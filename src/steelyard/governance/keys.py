"""Keys: a caller's secret, what it opens, and who keeps the issued ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from enum import Enum
from fnmatch import fnmatchcase
from typing import Protocol

import msgspec

SECRET_PREFIX = "sk-sy-"  # noqa: S105 - how a secret begins is no secret
SECRET_BYTES = 32
"""Random bytes in a secret: 256 bits, so that a plain hash of it can't be searched."""

SECRET_DIGITS = 43
"""Digits of base 62 that hold 256 bits."""

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_HINT_CHARS = 4


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A caller's key, without its secret. Unit: ``*_us`` µs since 1970-01-01 UTC.

    ``models`` are shell patterns of the models that it may call, ``regions`` of where they may
    compute. ``routing`` says that it may choose deployments itself. ``sha256`` is the hex digest
    of the secret. ``hint`` is what people may see of the secret.
    """

    id: str
    customer: str
    contract: str
    models: tuple[str, ...] = ("*",)
    regions: tuple[str, ...] = ("*",)
    routing: bool = False
    sha256: str
    name: str = ""
    hint: str = ""
    created_us: int = 0
    """0 for a key declared in the studio's file."""
    revoked_us: int | None = None
    workspace: str = ""
    """A part of the customer that has limits of its own."""
    project: str = ""
    """What its calls are for: a label by which budgets can count."""
    priority: int = 0
    """Whose call goes first where calls wait: the higher."""


CHANGEABLE = ("name", "models", "regions", "routing", "workspace", "project", "priority")
"""What of an issued key may be changed; for another payer, contract or secret make another key."""

PRIORITY_MAX = 9


class Refusal(Enum):
    """Why a key does not open; checked in this order."""

    MISSING = "key_missing"
    UNKNOWN = "key_unknown"
    REVOKED = "key_revoked"
    MODEL = "model_not_allowed"


class KeyStore(Protocol):
    """Where issued keys are kept. An id and a digest are each there at most once."""

    def add(self, key: Key) -> None:
        """Keep a new key. Raises: ValueError when its id or its digest is there already."""
        ...

    def all(self) -> tuple[Key, ...]:
        """Every key ever issued, oldest first, revoked ones included."""
        ...

    def change(self, key: Key) -> bool:
        """Have the key of this id whatever is CHANGEABLE of this one. False: there is none."""
        ...

    def revoke(self, key_id: str, at_us: int) -> bool:
        """Revoke a key from ``at_us`` on; the first time counts. False: there is no such key."""
        ...


def new_secret(random: bytes) -> str:
    """A secret of 32 random bytes: ``sk-sy-`` and 43 digits of base 62."""
    assert len(random) == SECRET_BYTES
    number = int.from_bytes(random, "big")
    digits: list[str] = []
    for _ in range(SECRET_DIGITS):
        number, rest = divmod(number, len(_BASE62))
        digits.append(_BASE62[rest])
    assert number == 0
    return SECRET_PREFIX + "".join(reversed(digits))


def digest(secret: str) -> str:
    """What is kept of a secret: the hex SHA-256 of its UTF-8 bytes."""
    return hashlib.sha256(secret.encode()).hexdigest()


def hint(secret: str) -> str:
    """What people may see of a secret: its beginning and its last four characters."""
    start = SECRET_PREFIX if secret.startswith(SECRET_PREFIX) else ""
    return f"{start}…{secret[-_HINT_CHARS:]}"


def by_digest(keys: Iterable[Key]) -> dict[str, Key]:
    """Keys by the digest of their secret; of two with one digest, the first."""
    found: dict[str, Key] = {}
    for key in keys:
        found.setdefault(key.sha256, key)
    return found


def recognise(keys: Mapping[str, Key], secret: str | None, at_us: int) -> Key | Refusal:
    """The key that a secret belongs to, or why there is none.

    Refuses: missing, unknown, revoked.
    """
    if not secret:
        return Refusal.MISSING
    key = keys.get(digest(secret))
    if key is None:
        return Refusal.UNKNOWN
    if key.revoked_us is not None and key.revoked_us <= at_us:
        return Refusal.REVOKED
    return key


def opens(key: Key, model: str) -> bool:
    """Whether a key may call a model."""
    return any(fnmatchcase(model, pattern) for pattern in key.models)
