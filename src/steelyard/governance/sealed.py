"""Sealed: upstreams' keys at rest, each encrypted by itself under the studio's master key.

The file names what it holds, and says nothing else to who has no master key: AES-256-GCM, its key
from scrypt over the master key and the file's own salt, the secret's name bound to what it seals.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Generator
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

FILE = "secrets.sealed"
MASTER_VARIABLE = "STEELYARD_MASTER_KEY"
"""The environment variable that holds the master key."""

MASTER_CHARS_MIN = 16
SECRET_CHARS_MAX = 8192
SECRETS_MAX = 1000
FILE_BYTES_MAX = 16 << 20

SALT_BYTES = 16
NONCE_BYTES = 12
_KEY_BYTES = 32
_SCRYPT = {"n": 1 << 15, "r": 8, "p": 1}
"""32 MiB and a twentieth of a second for each guess. Source: RFC 7914, OWASP."""


class Trouble(Enum):
    """Why a secret can't be had or kept; the value is the sentence, ``{name}`` what it is about."""

    SHORT = f"{MASTER_VARIABLE} is shorter than {MASTER_CHARS_MIN}; `openssl rand -base64 32` helps"
    NO_MASTER = f"{MASTER_VARIABLE} is not set; it seals and opens secrets"
    NO_KEY = "a secret is one line of ASCII without spaces around it"
    FULL = f"there are {SECRETS_MAX} secrets already"
    MISSING = 'there is no secret "{name}"; `steelyard secrets set {name}` takes it'
    OTHER_MASTER = f'"{{name}}" was sealed under another {MASTER_VARIABLE}, or {FILE} is damaged'
    UNREADABLE = f"{FILE} can't be read: {{name}}"
    DAMAGED = f"{FILE} is damaged: {{name}}"


class SealedError(Exception):
    """A secret can't be had or kept; the text says nothing of it but its name."""

    def __init__(self, trouble: Trouble, name: str = "") -> None:
        super().__init__(trouble.value.format(name=name))
        self.trouble = trouble


class Box(msgspec.Struct, frozen=True):
    """One secret. Unit: ``set_us`` µs since 1970 UTC."""

    nonce: bytes
    sealed: bytes
    set_us: int


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """All secrets of a studio, by name."""

    format: Literal[1] = 1
    salt: bytes
    secrets: dict[str, Box] = {}


@lru_cache(maxsize=4)
def derive(master: str, salt: bytes) -> bytes:
    """The key under which secrets are sealed. Raises: SealedError, when the master key is short."""
    if len(master) < MASTER_CHARS_MIN:
        raise SealedError(Trouble.SHORT)
    return Scrypt(salt=salt, length=_KEY_BYTES, **_SCRYPT).derive(master.encode())


def put(held: Sealed, key: bytes, name: str, secret: str, box: tuple[bytes, int]) -> Sealed:
    """Seal one secret more, or anew; ``box`` is a nonce never used before, and the time in µs.

    Raises: SealedError when another master key has sealed the others, or there is no room.
    """
    nonce, at_us = box
    if not fits(secret):
        raise SealedError(Trouble.NO_KEY)
    if len(held.secrets) >= SECRETS_MAX and name not in held.secrets:
        raise SealedError(Trouble.FULL)
    if held.secrets:
        take(held, key, next(iter(held.secrets)))
    sealed = AESGCM(key).encrypt(nonce, secret.encode(), _bound(name))
    return Sealed(salt=held.salt, secrets=held.secrets | {name: Box(nonce, sealed, at_us)})


def take(held: Sealed, key: bytes, name: str) -> str:
    """A secret, opened. Raises: SealedError when it isn't there, or was not sealed by this key."""
    box = held.secrets.get(name)
    if box is None:
        raise SealedError(Trouble.MISSING, name)
    try:
        return AESGCM(key).decrypt(box.nonce, box.sealed, _bound(name)).decode()
    except InvalidTag as exc:
        raise SealedError(Trouble.OTHER_MASTER, name) from exc


def open_one(folder: Path, master: str | None, name: str) -> str:
    """A secret of a studio, opened. Raises: SealedError."""
    held = read(folder)
    if held is None:
        raise SealedError(Trouble.MISSING, name)
    if not master:
        raise SealedError(Trouble.NO_MASTER)
    return take(held, derive(master, held.salt), name)


def without(held: Sealed, name: str) -> Sealed:
    """All secrets but one."""
    rest = {each: box for each, box in held.secrets.items() if each != name}
    return Sealed(salt=held.salt, secrets=rest)


def read(folder: Path) -> Sealed | None:
    """What a studio holds; None when nothing was ever sealed. Raises: SealedError."""
    try:
        with (folder / FILE).open("rb") as file:
            data = file.read(FILE_BYTES_MAX)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise SealedError(Trouble.UNREADABLE, str(exc.strerror)) from exc
    try:
        return msgspec.json.decode(data, type=Sealed)
    except msgspec.DecodeError as exc:
        raise SealedError(Trouble.DAMAGED, str(exc)) from exc


def write(folder: Path, held: Sealed) -> None:
    """Put a file in place of the old one, whole or not at all, for its owner alone."""
    data = msgspec.json.format(msgspec.json.encode(held, order="deterministic"))
    path = folder / f".{FILE}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - opened for its owner alone
        file.write(data + b"\n")
        file.flush()
        os.fsync(descriptor)
    path.replace(folder / FILE)


@contextlib.contextmanager
def changing(folder: Path) -> Generator[None]:
    """One at a time changes the file of a studio."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def fits(secret: str) -> bool:
    """Whether a header can carry a key, and only as it is."""
    plain = secret.isascii() and secret.isprintable() and secret == secret.strip()
    return plain and 0 < len(secret) <= SECRET_CHARS_MAX


def _bound(name: str) -> bytes:
    return b"steelyard.secret.1:" + name.encode()
