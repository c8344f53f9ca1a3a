"""Published: what the processes of one node serve by, in one file that ``up`` writes.

They all serve by the same, at once; a worker that is started again while somebody edits the
studio's files does not read them half done.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from steelyard.settings import GatewaySettings, Settings
from steelyard.studio import Studio

_FILE = Path("run") / "published.msgpack"

_OF_ALL_WORKERS = ("host", "port", "workers")
"""Settings of the gateway that are the supervisor's."""

_WORKERS_TABLES = ("cache", "journal", "telemetry")
_PROGRAMS = ("clerk", "console", "engine")


class Published(Struct, frozen=True):
    """A studio, and the number of its edition in the books."""

    edition: int
    studio: Studio


def file_of(root: Path) -> Path:
    """Where it is."""
    return root / _FILE


def publish(published: Published) -> None:
    """Write it, whole or not at all; nobody else may read which keys there are."""
    path = file_of(published.studio.root)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".next")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(msgspec.msgpack.encode(published, enc_hook=str))
    fresh.replace(path)


def read(root: Path) -> Published:
    """What was published last. Raises: OSError; msgspec.DecodeError for another version's."""

    def path_of(kind: type, value: str) -> Path:
        assert kind is Path
        return Path(value)

    return msgspec.msgpack.decode(file_of(root).read_bytes(), type=Published, dec_hook=path_of)


def at_restart(before: Settings, after: Settings) -> tuple[str, ...]:
    """Settings that changed and wait for new workers."""
    names = [each for each in GatewaySettings.__struct_fields__ if each not in _OF_ALL_WORKERS]
    found = [f"[gateway] {each}" for each in _changed(before.gateway, after.gateway, names)]
    return (*found, *(f"[{each}]" for each in _changed(before, after, _WORKERS_TABLES)))


def at_start(before: Settings, after: Settings) -> tuple[str, ...]:
    """Settings that changed and wait until everything is started anew."""
    found = [
        f"[gateway] {each}" for each in _changed(before.gateway, after.gateway, _OF_ALL_WORKERS)
    ]
    return (
        *found,
        *(f"[{each}]" for each in _changed(before, after, ("clerk", "console", "engine"))),
    )


def _changed(before: Struct, after: Struct, names: Sequence[str]) -> list[str]:
    return [name for name in names if getattr(before, name) != getattr(after, name)]
