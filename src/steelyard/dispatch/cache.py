"""The response cache: answers given again to equal requests, where a rule of the studio says so.

An answer is found by its customer and by everything in the request that can alter it. What acts,
looks something up elsewhere, or is to be kept by the provider is always asked anew.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from fnmatch import fnmatchcase

import msgspec
from msgspec import Raw

from steelyard.dispatch.calls import Ask
from steelyard.governance.keys import Key
from steelyard.metering.streams import StreamWeigher
from steelyard.values.usage import UsageRecord

ANSWER_BYTES_MAX = 1 << 20
"""A longer answer is not kept."""

AROUND_BYTES = 1500
"""What an entry takes beside its answer. Source: measured on CPython 3.11."""

DONE = b"data: [DONE]\n\n"

HEADER = "x-steelyard-cache"
"""The header in which a caller says what it wishes, and is told that its answer was kept."""

HIT = f"{HEADER}: hit\r\n"

WISHES = ("", "no-cache", "no-store")
"""What a caller may wish: nothing; a new answer, which is kept; a new answer that is not."""

_WITHOUT_EFFECT = frozenset(
    {
        "model",
        "stream",
        "stream_options",
        "user",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
    }
)
"""Fields that don't alter an answer's words, or stand in its name by themselves.

Source: OpenAI's OpenAPI description, CreateChatCompletionRequest.
"""

_ACTING = ("web_search_options", "enable_search", "store", "background")
"""Fields of requests that do more than answer. Source: the same, and Bailian's documentation."""

_OFF = frozenset({b"null", b"false"})

# Numbers stay as they were written: two that differ in a digit are two requests.
_ANY = msgspec.json.Decoder(float_hook=lambda digits: Raw(digits.encode()))
_CANONICAL = msgspec.json.Encoder(order="deterministic")
_OPTIONS = msgspec.json.Decoder(dict[str, object] | None)


class _Tool(msgspec.Struct):
    type: object = None


_TOOLS = msgspec.json.Decoder(list[_Tool] | None)


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Whose answers are kept, for how long, in how much memory. Unit: seconds, bytes.

    ``models`` and ``keys`` are shell patterns; a call that matches both is cached.
    """

    models: tuple[str, ...]
    keys: tuple[str, ...]
    ttl_s: int
    bytes_max: int


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer as its deployment gave it, and its record. Unit: ``until_us`` monotonic µs."""

    body: bytes
    original: UsageRecord
    until_us: int


class Shelf:
    """The answers kept under one rule, the least recently used first to go."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.bytes = 0
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()

    def find(self, name: bytes, now_us: int) -> Kept | None:
        """The answer of that name, unless its time is over."""
        kept = self._kept.get(name)
        if kept is None:
            return None
        if kept.until_us <= now_us:
            self._drop(name)
            return None
        self._kept.move_to_end(name)
        return kept

    def keep(self, name: bytes, kept: Kept) -> None:
        """Keep an answer, in place of the one of its name and of those used least recently."""
        if name in self._kept:
            self._drop(name)
        if len(kept.body) > ANSWER_BYTES_MAX:
            return
        self._kept[name] = kept
        self.bytes += _size(kept)
        while self.bytes > self.rule.bytes_max:
            self._drop(next(iter(self._kept)))

    def _drop(self, name: bytes) -> None:
        self.bytes -= _size(self._kept.pop(name))


class Slot(msgspec.Struct, frozen=True):
    """Where the answer to one request is kept, or will be."""

    shelf: Shelf
    name: bytes

    def find(self, now_us: int) -> Kept | None:
        """The answer kept, should there be one."""
        return self.shelf.find(self.name, now_us)

    def keep(self, body: bytes | None, original: UsageRecord, now_us: int) -> None:
        """Keep an answer that was given whole, by the model that was asked."""
        if body is None or original.asked is not None or original.outcome != "completed":
            return
        until_us = now_us + self.shelf.rule.ttl_s * 1_000_000
        self.shelf.keep(self.name, Kept(body=body, original=original, until_us=until_us))


class Cache:
    """The response cache of one worker: a shelf for each rule; the first that fits holds."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self.shelves = tuple(Shelf(rule) for rule in rules)

    def slot(self, key: Key, ask: Ask, wish: str) -> Slot | None:
        """The place of a request's answer; None when it is not cached."""
        if wish == "no-store":
            return None
        for shelf in self.shelves:
            rule = shelf.rule
            if _matches(ask.model, rule.models) and _matches(key.id, rule.keys):
                name = name_of(key.customer, ask)
                return None if name is None else Slot(shelf, name)
        return None


class Copy:
    """A copy of a stream as it comes, given up once it is too long to be kept."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._bytes = 0

    def take(self, data: bytes) -> None:
        """Take what came."""
        self._bytes += len(data)
        if self._bytes > ANSWER_BYTES_MAX:
            self._parts.clear()
        else:
            self._parts.append(data)

    def whole(self) -> bytes | None:
        """All that came; None when it was too long."""
        return b"".join(self._parts) if self._bytes <= ANSWER_BYTES_MAX else None


def name_of(customer: str, ask: Ask) -> bytes | None:
    """The name of a request's answer: equal for requests that ask the same for one customer.

    Whitespace, the order of fields and how characters are escaped don't matter; numbers count as
    written. None for a request that acts, or whose fields can't be read.
    """
    fields = ask.fields
    if any(bytes(fields[name]) not in _OFF for name in _ACTING if name in fields):
        return None
    try:
        if "tools" in fields and not _functions_only(fields["tools"]):
            return None
        told = {
            name: _ANY.decode(value)
            for name, value in fields.items()
            if name not in _WITHOUT_EFFECT and name not in _ACTING
        }
        options: dict[str, object] = _OPTIONS.decode(fields.get("stream_options", b"null")) or {}
        for ours in ("include_usage", "include_cost"):
            options.pop(ours, None)
        whole = (customer, ask.kind, ask.model, ask.streamed, options, told)
        return hashlib.sha256(_CANONICAL.encode(whole)).digest()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError):
        return None


def replayed(kept: Kept, ask: Ask) -> bytes:
    """The answer as this caller asked for it: a stream's events as they came, usage on request."""
    if not ask.streamed:
        return kept.body
    weigher = StreamWeigher(include_usage=ask.include_usage)
    events = weigher.feed(kept.body) + weigher.finish()
    return events if weigher.reading().done else events + DONE


def _functions_only(tools: Raw) -> bool:
    """Whether the caller runs all tools itself."""
    return all(tool.type == "function" for tool in _TOOLS.decode(tools) or ())


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _size(kept: Kept) -> int:
    return len(kept.body) + AROUND_BYTES
