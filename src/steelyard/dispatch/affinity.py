"""Affinity: calls that share a prefix go where its cache is, and no deployment gets too many.

A call's prefix is named by its chunks, each name a hash of all before it. Of the deployments that
a worker has sent a prefix to, the one with the longest part of it has its cache. A prefix that is
new goes to one of a few that its name alone decides, so that workers which know nothing of each
other often agree.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence

from msgspec import Raw

CHUNK_BYTES = 2048
"""About 512 tokens of English: what an engine's cache keeps or drops together."""

CHUNKS_MAX = 64
"""How much of a prompt's beginning is looked at."""

KNOWN_MAX = 100_000
"""How many chunks a worker remembers, at some 180 bytes each."""

FACTOR_PERCENT = 125
"""How much more than its fair share of the calls in flight a deployment may get."""

GAIN_CHUNKS_MIN = 2
"""How much longer a known part has to be than the others' to decide where a prompt goes."""

CHOICES = 3
"""Among so many the load decides where a new prefix goes. Two keep 35.3 % of Mooncake's trace in
four caches, three 36.1 %, of 37.4 % in one."""

NAME_BYTES = 8
_WHOLE = 100


class Prefixes:
    """Which deployments have had which chunks, the least recently used forgotten first."""

    def __init__(self, known_max: int = KNOWN_MAX) -> None:
        self._known: OrderedDict[bytes, int] = OrderedDict()
        self._known_max = known_max
        self._bits: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._known)

    def had(self, chunks: Sequence[bytes], deployments: Sequence[str]) -> list[int]:
        """How many of the leading chunks each deployment has had."""
        left = {place: self._bit(name) for place, name in enumerate(deployments)}
        had = [0] * len(deployments)
        for depth, chunk in enumerate(chunks, start=1):
            bits = self._known.get(chunk, 0)
            left = {place: bit for place, bit in left.items() if bits & bit}
            if not left:
                break
            for place in left:
                had[place] = depth
        return had

    def remember(self, chunks: Sequence[bytes], deployment: str) -> None:
        """A deployment gets a prompt, and has its chunks from now on."""
        bit, known = self._bit(deployment), self._known
        for chunk in reversed(chunks):
            known[chunk] = known.get(chunk, 0) | bit
            known.move_to_end(chunk)
        while len(known) > self._known_max:
            known.popitem(last=False)

    def _bit(self, deployment: str) -> int:
        return self._bits.setdefault(deployment, 1 << len(self._bits))


def chunks_of(fields: Mapping[str, Raw], session: str | None, customer: str) -> list[bytes]:
    """The names of a call's leading chunks.

    A session, or else the caller's ``prompt_cache_key``, is the only chunk there is; it is the
    customer's own. Otherwise they are those of the messages, as they were written.
    """
    given = fields.get("prompt_cache_key")
    if session is None and given is not None and bytes(given) != b"null":
        session = bytes(given).decode()
    if session is not None:
        return [hashed(customer.encode() + b"\0" + session.encode())]
    said = bytes(fields.get("messages") or fields.get("input") or b"")[: CHUNKS_MAX * CHUNK_BYTES]
    running = hashlib.blake2b(bytes(fields.get("tools", b"")), digest_size=NAME_BYTES)
    names: list[bytes] = []
    for start in range(0, max(1, len(said) - CHUNK_BYTES + 1), CHUNK_BYTES):
        running.update(said[start : start + CHUNK_BYTES])
        names.append(running.copy().digest())
    return names


def by_name(name: bytes, deployments: Sequence[str]) -> list[int]:
    """The places of deployments in an order that only a name decides: rendezvous hashing.

    When a deployment goes away, only what was its own goes elsewhere.
    Source: Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998.
    """
    scores = [hashed(name + each.encode()) for each in deployments]
    return sorted(range(len(deployments)), key=scores.__getitem__, reverse=True)


def has_room(loads: Sequence[int], weights: Sequence[int], place: int) -> bool:
    """Whether one more call leaves a deployment within FACTOR_PERCENT of its fair share.

    Source: Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2016.
    """
    share = (sum(loads) + 1) * weights[place] * FACTOR_PERCENT
    bound = -(-share // (sum(weights) * _WHOLE))
    return loads[place] < bound


def order(
    prefixes: Prefixes,
    chunks: Sequence[bytes],
    deployments: Sequence[str],
    loads: Sequence[int],
    weights: Sequence[int],
) -> list[int]:
    """The places of deployments, the best for a prompt first; those without room come last.

    Best is who has had the longest part of it. Where that gains next to nothing, it is one of a few
    that the first chunk which not all have had names: the one with the least to do.
    Source of that: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001.
    """
    had = prefixes.had(chunks, deployments)
    least, most = min(had), max(had)
    named = by_name(chunks[min(most, len(chunks) - 1)], deployments)
    if most - least < min(GAIN_CHUNKS_MIN, len(chunks)):
        had = [0] * len(deployments)
        named[:CHOICES] = sorted(
            named[:CHOICES], key=lambda place: loads[place] * _WHOLE // weights[place]
        )
    return sorted(named, key=lambda place: (not has_room(loads, weights, place), -had[place]))


def hashed(data: bytes) -> bytes:
    """A short name of some bytes, the same in every process."""
    return hashlib.blake2b(data, digest_size=NAME_BYTES).digest()
