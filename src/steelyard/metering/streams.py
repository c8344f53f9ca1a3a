"""Streams: server-sent events weighed as they pass, and handed on as the caller asked for them."""

from __future__ import annotations

import re

from steelyard.metering.alike import NO_USAGE, Alike, learn, text_alike
from steelyard.metering.answers import Mark, Reading, Texts, failed, find_texts, id_of, unescape
from steelyard.metering.events import is_one, is_tidy, is_whole, payload_of, special, usage_of

MORE_TOKENS = 64
"""What of an answer is no text: its end, the names of tools that it calls."""

EVENT_BYTES_MAX = 8 << 20
"""A larger event is handed on without being looked at."""

TEXT_BYTES_MAX = 4 << 20
"""How much of an answer's text is kept for counting; what is beyond is measured in bytes."""

PENDING_BYTES_MAX = 4096
"""How much may wait to have its text taken out, many events at once."""

LESSONS_MAX = 16
LEARNT_FROM = 4
"""How many events are looked at one by one, at the most, to see what the others are like."""

SHORT_BYTES_MAX = 64 << 10
"""What is left of an event that is longer than this is put together bit by bit."""

_EVENT_END = re.compile(rb"\n\r?\n")
_END_BYTES_MAX = 3
_FINISH = re.compile(rb'"finish_reason"\s*:\s*"')


class StreamWeigher:
    """Reads one upstream's stream, in whatever pieces it comes.

    ``include_usage`` says that the caller asked for usage; otherwise every trace of it is removed.
    """

    def __init__(self, *, include_usage: bool) -> None:
        self.error: bytes | None = None
        """The payload of the first error event, once there was one."""
        self._include_usage = include_usage
        self._buffer = bytearray()
        self._skipping = False
        self._usage: dict[str, object] = {}
        self._service_tier: str | None = None
        self._done = False
        self._finished = False
        self._upstream_id: str | None = None
        self._output = bytearray()
        self._reasoning = bytearray()
        self._more_bytes = 0
        self._chunks = 0
        self._alike: Alike | None = None
        self._lessons = 0
        self._pending = bytearray()
        """Plain events whose text is not taken out yet."""
        self._last = b""
        """Those of the last ``feed``: they may not have reached the caller."""
        self._before = self._mark()
        self._delivered: Mark | None = None

    @property
    def tokens_max(self) -> int:
        """No fewer tokens than the answer has so far: one a byte of text, a few around it."""
        if self._pending:
            waiting = bytes(self._pending)
            self._pending.clear()
            self._take_texts(waiting)
        texts = [text for found in find_texts(self._last, streamed=True) for text in found]
        size, chunks = sum(map(len, texts)), self._chunks + len(texts)
        return self._text_bytes() + self._more_bytes + size + chunks + MORE_TOKENS

    @property
    def chunks(self) -> int:
        """Texts, or events with any, so far."""
        self._digest()
        return self._chunks

    def feed(self, data: bytes) -> bytes:
        """Take what came; what to hand on comes back, whole events only."""
        if not self._buffer and not self._skipping:
            self._digest()
            before = self._mark()
            if (alike := self.take_alike(data)) is not None:
                self._before = before
                return alike
            if self._lessons < LESSONS_MAX and is_one(data) and len(data) <= EVENT_BYTES_MAX:
                self._before = before
                return self._event(data)
        if len(self._buffer) > SHORT_BYTES_MAX or self._skipping:
            return self._feed_events(data)
        data = bytes(self._buffer) + data if self._buffer else data
        self._buffer.clear()
        end = data.rfind(b"\n\n") + 2
        block = data if end == len(data) else data[:end]
        plain = self._plain(block) if end > 1 else None
        if plain is None:
            return self._feed_mixed(data)
        if end < len(data):
            self._buffer += data[end:]
        self._wait(block)
        if self._lessons < LESSONS_MAX:
            event = block[block.rfind(b"\n\n", 0, -2) + 2 :] if block.count(b"\n\n") > 1 else block
            self._learn(event, *find_texts(event, streamed=True))
        return plain

    def _feed_mixed(self, data: bytes) -> bytes:
        """Take events of which some say more than text: the others at once all the same."""
        self._digest()
        before = self._mark()
        begin, passed = 0, b""
        for _ in range(LEARNT_FROM):
            known = self._alike is not None and data.startswith(self._alike.before, begin)
            found = -1 if known else data.find(b"\n\n", begin)
            if found < 0:
                break
            event = data[begin : found + 2]
            tidy = is_one(event) and len(event) <= EVENT_BYTES_MAX
            passed += self._event(event) if tidy else self._feed_events(event)
            begin = found + 2
            if begin == len(data):
                self._before = before
                return passed
        end = self._plain_end(data, begin)
        block = data[begin:end]
        if not block or self._buffer:
            passed += self._feed_events(data[begin:])
        elif (alike := self.take_alike(block)) is not None:
            passed += alike + self._feed_events(data[end:])
        elif (plain := self._plain(block)) is not None:
            self._take_texts(block)
            passed += plain + self._feed_events(data[end:])
        else:
            passed += self._feed_events(data[begin:])
        self._before = before
        return passed

    def _plain_end(self, data: bytes, begin: int) -> int:
        """Where plain events end, as far as can be told soon."""
        if self._alike is not None and data.startswith(self._alike.before, begin):
            found = data.rfind(self._alike.after, begin)
            if found >= 0:
                return found + len(self._alike.after)
        return special(data, begin)

    def take_alike(self, data: bytes) -> bytes | None:
        """Take events that differ in nothing but their text, should these be such and whole.

        What to hand on comes back. Who calls this instead of ``feed`` hands it on at once, for
        ``hang_up`` won't know that it was the last.
        """
        alike = self._alike
        if alike is None or self._buffer or self._skipping:
            return None
        text = text_alike(alike, data)
        if text is None:
            return None
        count = 1
        if b'"' in text:  # then there are several
            texts = text.split(alike.between)
            text, count = b"".join(texts), len(texts) - texts.count(b"")
            if b'"' in text:
                return None
        elif not text:
            count = 0
        if len(text) > TEXT_BYTES_MAX - len(self._output) - len(self._reasoning):
            return None
        if self._last or self._pending:
            self._digest()
        self._chunks += count
        if alike.reasoning:
            self._reasoning += text
        else:
            self._output += text
        return data.replace(NO_USAGE, b"") if alike.strips else data

    def take_whole(self, data: bytes) -> bytes | None:
        """Take events whatever they say, should these be whole; as ``take_alike``, if they are."""
        if self._buffer or self._skipping or not is_tidy(data):
            return None
        return self.feed(data)

    def _learn(self, event: bytes, output: list[bytes], reasoning: list[bytes]) -> None:
        """Remember what an event is like that says one text and nothing else."""
        if self._lessons < LESSONS_MAX:
            self._lessons += 1
            found = learn(event, output, reasoning, include_usage=self._include_usage)
            self._alike = found or self._alike

    def _text_bytes(self) -> int:
        return len(self._output) + len(self._reasoning)

    def _plain(self, block: bytes) -> bytes | None:
        """What to hand on of whole events that say nothing but text; None when they may."""
        after_first = block.count(b"}\n\ndata: {")
        if (
            self._upstream_id is None
            or not block.startswith(b"data: {")
            or not block.endswith(b"}\n\n")
            or block.count(b"\n") != 2 * after_first + 2
            or block.count(b'"finish_reason"') != block.count(b'"finish_reason":null')
            or b'"error"' in block
            or b'"base_resp"' in block
        ):
            return None
        if b'"usage"' not in block:
            return block
        left = block.replace(NO_USAGE, b"")
        if b'"usage"' in left:
            return None
        return block if self._include_usage else left

    def _wait(self, block: bytes) -> None:
        """Keep plain events until their text is wanted, or there are many."""
        pending = self._pending
        pending += self._last
        self._last = block
        if len(pending) > PENDING_BYTES_MAX:
            self._take_texts(bytes(pending))
            pending.clear()

    def _digest(self) -> None:
        """Take the text out of whatever waits."""
        if self._pending or self._last:
            waiting = bytes(self._pending) + self._last
            self._pending.clear()
            self._last = b""
            self._take_texts(waiting)

    def _take_texts(self, block: bytes) -> None:
        """Take the text out of plain events: at once, where they have it under the usual names."""
        room = TEXT_BYTES_MAX - self._text_bytes()
        events = block.count(b"\n\n")
        usual = b'"reasoning"' not in block and b'"reasoning_details"' not in block
        if not usual or block.count(b'"delta"') != events or len(block) > room:
            for event in block.split(b"\n\n"):
                self._keep_texts(*find_texts(event, streamed=True))
            return
        output, reasoning = find_texts(block, streamed=True)
        self._chunks += len(output) + len(reasoning)
        self._output += b"".join(output)
        self._reasoning += b"".join(reasoning)

    def _feed_events(self, data: bytes) -> bytes:
        """Take what came, event by event."""
        self._digest()
        self._before = self._mark()
        buffer = self._buffer
        if not buffer and not self._skipping and is_tidy(data) and len(data) <= EVENT_BYTES_MAX:
            return b"".join([self._event(each + b"\n\n") for each in data[:-2].split(b"\n\n")])
        searched = max(0, len(buffer) - _END_BYTES_MAX + 1)
        buffer += data
        passed: list[bytes] = []
        start = 0
        while end := _EVENT_END.search(buffer, searched):
            event = bytes(buffer[start : end.end()])
            if self._skipping or len(event) > EVENT_BYTES_MAX:
                self._skipping = False
                passed.append(event)
            else:
                passed.append(self._event(event))
            start = searched = end.end()
        if start:
            del buffer[:start]
        if len(buffer) > EVENT_BYTES_MAX or (self._skipping and len(buffer) >= _END_BYTES_MAX):
            self._skipping = True
            passed.append(bytes(buffer[: -_END_BYTES_MAX + 1]))
            del buffer[: -_END_BYTES_MAX + 1]
        return b"".join(passed)

    def finish(self) -> bytes:
        """The upstream ended: take a last event without an end, should it be whole.

        Half of one would run into whatever the caller is told next.
        """
        self._digest()
        self._before = self._mark()
        event = bytes(self._buffer).rstrip(b"\r\n")
        self._buffer.clear()
        if self._skipping:
            return event + b"\n\n"
        return self._event(event + b"\n\n") if is_whole(payload_of(event)) else b""

    def hang_up(self, *, lost_last: bool) -> None:
        """The caller is gone; what comes from now on is produced, and not delivered.

        ``lost_last``: it did not get what the last ``feed`` gave.
        """
        if self._delivered is not None:
            return
        if lost_last and self._last:
            last, self._last = self._last, b""
            self._digest()
            self._before = self._mark()
            self._last = last
        self._digest()
        self._delivered = self._before if lost_last else self._mark()

    def reading(self) -> Reading:
        """What the stream said."""
        self._digest()
        now = self._mark()
        delivered = now if self._delivered is None else self._delivered
        cut = delivered != now
        counted = cut or self._usage.keys() <= _OF_PROMPT
        return Reading(
            usage=self._usage or None,
            done=self._done,
            finished=self._done or self._finished,
            error=self.error,
            chunks=delivered.chunks,
            upstream_id=self._upstream_id,
            produced=self._texts(now) if counted else None,
            delivered=self._texts(delivered) if cut else None,
            service_tier=self._service_tier,
        )

    def _mark(self) -> Mark:
        return Mark(len(self._output), len(self._reasoning), self._more_bytes, self._chunks)

    def _texts(self, mark: Mark) -> Texts:
        return Texts(
            unescape(bytes(memoryview(self._output)[: mark.output])),
            unescape(bytes(memoryview(self._reasoning)[: mark.reasoning])),
            mark.more_bytes,
        )

    def _event(self, event: bytes) -> bytes:
        """Weigh one event; what to hand on of it comes back."""
        payload = payload_of(event)
        if not payload:
            return event
        if payload == b"[DONE]":
            self._done = True
            return event
        is_first = self._upstream_id is None
        if is_first:
            self._upstream_id = id_of(payload)
        output, reasoning = find_texts(payload, streamed=True)
        self._keep_texts(output, reasoning)
        if (
            b'"finish_reason"' in payload
            and b'"finish_reason":null' not in payload
            and _FINISH.search(payload)
        ):
            self._finished = True
        if self.error is None and failed(payload):
            self.error = payload
        if not is_first and not self._finished and self.error is None:
            # The first is like no other: it says whose answer it is.
            self._learn(event, output, reasoning)
        if b'"usage"' not in payload:
            return event
        return self._usage_event(event, payload)

    def _keep_texts(self, output: list[bytes], reasoning: list[bytes]) -> None:
        if not output and not reasoning:
            return
        self._chunks += 1
        for kept, texts in ((self._output, output), (self._reasoning, reasoning)):
            for text in texts:
                if len(self._output) + len(self._reasoning) + len(text) <= TEXT_BYTES_MAX:
                    kept.extend(text)
                else:
                    self._more_bytes += len(text)

    def _usage_event(self, event: bytes, payload: bytes) -> bytes:
        """Keep the usage that an event tells; what to hand on of it comes back.

        Usage that comes again is cumulative: the later count holds, field by field.
        """
        told = usage_of(payload)
        left = told.left
        if told.service_tier is not None:
            self._service_tier = told.service_tier
        for usage in told.usage:
            self._usage |= {name: value for name, value in usage.items() if value is not None}
        if left is None and self._usage.keys() <= _OF_PROMPT:
            return b""  # its caller would take it for the whole
        if self._include_usage or left == payload:
            return event
        if left is None:
            return b""
        if payload in event:
            return event.replace(payload, left, 1)
        return b"data: " + left + b"\n\n"


_OF_PROMPT = {"prompt_tokens", "prompt_tokens_details"}
"""Usage that says nothing of the answer yet."""
