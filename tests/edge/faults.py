"""The table of an upstream's faults: what it does, what the caller gets, charge and cost."""

from __future__ import annotations

from typing import NamedTuple

from tests.edge import messages
from tests.edge.answers import (
    ANSWER_BYTES_MAX,
    BEGUN,
    BUSY,
    EVENTS,
    GUESSED,
    JSON,
    LAST,
    NOTHING,
    PROMPT,
    SSE,
    STOP,
    TEXT,
    TOLD,
    USAGE,
    chunk,
    failure,
    last,
    ok,
    usage,
    whole,
)
from tests.edge.rows import Row, cut, free, lost, sound
from tests.fixtures import upstreams
from tests.fixtures.gateway import UPSTREAM_SECRET
from tests.fixtures.upstreams import Script, answer, chunks, in_turn, raw, raw_then_reset, stream

USAGES = [
    sound("usage", "Usage as it should be.", ok(USAGE), TOLD),
    sound("usage-never", "No usage: it is counted here.", ok(None), GUESSED),
    sound(
        "usage-cached",
        "Cached tokens inside the prompt's count.",
        ok(usage(prompt_tokens_details={"cached_tokens": 4})),
        {"input_tokens": 8, "cached_input_tokens": 4, "output_tokens": 3},
    ),
    sound(
        "usage-cached-deepseek",
        "The same, as DeepSeek tells it.",
        ok(usage(prompt_cache_hit_tokens=4, prompt_cache_miss_tokens=8)),
        {"input_tokens": 8, "cached_input_tokens": 4, "output_tokens": 3},
    ),
    sound(
        "usage-cached-too-many",
        "More cached tokens than the prompt has.",
        ok(usage(prompt_tokens_details={"cached_tokens": 99})),
        {"input_tokens": 0, "cached_input_tokens": 12, "output_tokens": 3},
    ),
    sound(
        "usage-zero",
        "A zero that is told is a zero, not a count that is missing.",
        ok(usage(completion_tokens=0, total_tokens=12, prompt_cache_hit_tokens=0)),
        {"input_tokens": 12, "cached_input_tokens": 0, "output_tokens": 0},
    ),
    sound(
        "usage-reasoning-inside",
        "Reasoning inside the completion's count.",
        ok(usage(completion_tokens_details={"reasoning_tokens": 2})),
        {"input_tokens": 12, "output_tokens": 1, "reasoning_tokens": 2},
    ),
    sound(
        "usage-reasoning-beside",
        "Reasoning beside it, as the total says.",
        ok(usage(total_tokens=17, completion_tokens_details={"reasoning_tokens": 2})),
        {"input_tokens": 12, "output_tokens": 3, "reasoning_tokens": 2},
    ),
    sound(
        "stream-usage",
        "Usage in a last chunk without choices.",
        raw(stream(*TEXT, STOP, LAST, "[DONE]")),
        TOLD,
    ),
    sound(
        "stream-usage-with-finish",
        "Usage in the last chunk with choices.",
        raw(stream(*TEXT, chunk(finish="stop", usage=USAGE), "[DONE]")),
        TOLD,
    ),
    sound(
        "stream-usage-twice",
        "Usage in every chunk, each cumulative.",
        raw(
            stream(
                chunk("abc", usage={"prompt_tokens": 12, "completion_tokens": 1}),
                chunk("def", usage={"prompt_tokens": 12, "completion_tokens": 2}),
                STOP,
                LAST,
                "[DONE]",
            )
        ),
        TOLD,
    ),
    sound(
        "stream-usage-in-parts",
        "The prompt's count in the first chunk, the completion's and the cached in the last.",
        raw(
            stream(
                chunk("abc", usage={"prompt_tokens": 12, "completion_tokens": 0}),
                chunk("def"),
                STOP,
                last({"completion_tokens": 3, "prompt_cache_hit_tokens": 4}),
                "[DONE]",
            )
        ),
        {"input_tokens": 8, "cached_input_tokens": 4, "output_tokens": 3},
    ),
    sound(
        "stream-usage-without-done",
        "Usage, and no `[DONE]`: the caller gets one.",
        raw(stream(*TEXT, STOP, LAST)),
        TOLD,
    ),
    sound(
        "stream-usage-never",
        "No usage: it is counted here.",
        raw(stream(*TEXT, STOP, "[DONE]")),
        GUESSED,
    ),
]

PLAIN = [
    free("refused", "No connection.", None, 502, "upstream_unreachable"),
    lost("reset-at-once", "A reset at once.", raw_then_reset(b""), 502, "upstream_broken"),
    lost("closed-at-once", "An end at once.", raw(b""), 502, "upstream_broken"),
    lost("silent", "Silence.", upstreams.silence, 504, "upstream_timeout"),
    lost(
        "slow-head",
        "A head that comes byte by byte.",
        upstreams.dripping(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 40, 0.1),
        504,
        "upstream_timeout",
    ),
    lost(
        "slow-body",
        "A body that comes byte by byte, and has no end.",
        upstreams.dripping(b" " * 900, 0.05, JSON + b"content-length: 999\r\n\r\n"),
        504,
        "upstream_timeout",
    ),
    sound(
        "slow-and-whole",
        "A body that comes byte by byte, and in time.",
        upstreams.dripping(whole(), 0.002, JSON + b"content-length: %d\r\n\r\n" % len(whole())),
        TOLD,
    ),
    free(
        "no-http", "What is no HTTP.", raw(b"HELLO there\r\n\r\n"), 502, "upstream_invalid_response"
    ),
    free("empty", "Status 200, no body.", answer("200 OK", b""), 502, "upstream_invalid_response"),
    free(
        "garbage",
        "A body that is no JSON.",
        answer("200 OK", b"{n"),
        502,
        "upstream_invalid_response",
    ),
    free("nothing", "`{}`.", answer("200 OK", b"{}"), 502, "upstream_invalid_response"),
    free("null", "`null`.", answer("200 OK", b"null"), 502, "upstream_invalid_response"),
    free(
        "no-choice",
        "No choice.",
        answer("200 OK", b'{"choices":[]}'),
        502,
        "upstream_invalid_response",
    ),
    free(
        "error-inside",
        "Status 200, an error inside.",
        answer("200 OK", failure("too hot", "overheated")),
        502,
        "overheated",
        error="upstream_error",
    ),
    lost(
        "half",
        "An end before `content-length`.",
        raw(JSON + b"content-length: 999\r\n\r\n" + whole()),
        502,
        "upstream_broken",
    ),
    lost(
        "reset",
        "A reset in the middle.",
        raw_then_reset(JSON + b"content-length: 999\r\n\r\n" + whole()),
        502,
        "upstream_broken",
    ),
    free(
        "longer",
        "More than `content-length`.",
        raw(JSON + b"content-length: 10\r\n\r\n" + whole()),
        502,
        "upstream_invalid_response",
    ),
    lost(
        "too-large",
        "More than `answer_bytes_max`.",
        answer("200 OK", b" " * (ANSWER_BYTES_MAX + 1) + whole()),
        502,
        "upstream_answer_too_large",
    ),
    free(
        "moved",
        "A redirection, which is not followed.",
        answer("302 Found", b"", "location: http://127.0.0.1:1/"),
        502,
        "upstream_invalid_response",
    ),
    free(
        "bad-request",
        "An error of the caller's.",
        answer("400 Bad Request", failure("no such voice", "bad_voice", param="voice")),
        400,
        "bad_voice",
        error="upstream_error",
    ),
    free(
        "busy",
        "429 with `Retry-After`, which is handed on.",
        answer("429 Too Many", BUSY, "retry-after: 7"),
        429,
        "rate_limit_exceeded",
        error="upstream_error",
        retry_after="7",
    ),
    free(
        "busy-until",
        "429 with a `Retry-After` that is no number of seconds.",
        answer("429 Too Many", BUSY, "retry-after: Fri, 31 Dec 2027 23:59:59 GMT"),
        429,
        "rate_limit_exceeded",
        error="upstream_error",
    ),
    free(
        "busy-for-ever",
        "429 without.",
        answer("429 Too Many", BUSY),
        429,
        "rate_limit_exceeded",
        error="upstream_error",
    ),
    free(
        "oops",
        "500 with a page for people.",
        answer("500 Oops", b"<p>oops</p>"),
        500,
        "upstream_error",
    ),
    free(
        "wrong-key",
        "401: the studio's own key is refused.",
        answer("401 No", failure(f"Incorrect key {UPSTREAM_SECRET}", "invalid_api_key")),
        502,
        "upstream_unauthorised",
    ),
    sound("tls", "TLS with a sound certificate.", ok(USAGE), TOLD)._replace(certificate="sound"),
    free(
        "tls-expired",
        "TLS, expired.",
        ok(USAGE),
        502,
        "upstream_unreachable",
        certificate="expired",
    ),
    free(
        "tls-elsewhere",
        "TLS for another name.",
        ok(USAGE),
        502,
        "upstream_unreachable",
        certificate="elsewhere",
    ),
]

STREAMS = [
    free("stream-empty", "No event.", raw(stream()), 502, "upstream_invalid_response"),
    free(
        "stream-garbage",
        "What is no event.",
        raw(SSE + b"content-length: 5\r\n\r\n<htm>"),
        502,
        "upstream_invalid_response",
    ),
    free(
        "stream-not-streamed",
        "A whole answer instead of a stream.",
        ok(USAGE),
        502,
        "upstream_invalid_response",
    ),
    free(
        "stream-busy",
        "429 with `Retry-After`.",
        answer("429 Too Many", BUSY, "retry-after: 7"),
        429,
        "rate_limit_exceeded",
        error="upstream_error",
        retry_after="7",
    ),
    free(
        "stream-error-first",
        "An error as the first event.",
        raw(stream(failure("no room", "no_room").decode())),
        502,
        "no_room",
        error="upstream_error",
    ),
    cut(
        "stream-error-later",
        "An error as a later event, which is handed on.",
        raw(stream(*TEXT, failure("no room", "no_room").decode())),
        "no_room",
        error="upstream_error",
    ),
    cut("stream-cut", "An orderly end before the answer's.", raw(stream(*TEXT)), "upstream_broken"),
    cut(
        "stream-torn",
        "An end in the middle of a chunk.",
        raw(BEGUN + b"9\r\nda"),
        "upstream_broken",
    ),
    cut(
        "stream-half-event",
        "An end in the middle of an event, which is not handed on.",
        raw(BEGUN + b'f\r\ndata: {"choices\r\n0\r\n\r\n'),
        "upstream_broken",
    ),
    cut("stream-reset", "A reset.", raw_then_reset(BEGUN), "upstream_broken"),
    cut(
        "stream-short",
        "An end before `content-length`.",
        raw(SSE + b"content-length: 9999\r\n\r\n" + EVENTS),
        "upstream_broken",
    ),
    cut(
        "stream-silent", "Silence in the middle.", upstreams.then_silence(BEGUN), "upstream_timeout"
    ),
    cut(
        "stream-endless",
        "Comments for ever: the call takes too long as a whole.",
        upstreams.heartbeats(0.3, *TEXT),
        "upstream_timeout",
    ),
    cut(
        "stream-too-large",
        "More than `answer_bytes_max`.",
        in_turn(BEGUN, b"%x\r\n" % ANSWER_BYTES_MAX + b" " * ANSWER_BYTES_MAX),
        "upstream_answer_too_large",
    ),
]

TABLE: list[Row] = [*USAGES, *PLAIN, *STREAMS, *messages.ROWS]


class Again(NamedTuple):
    """A model that fails, and another to fall back to, which answers. ``cost``: of the first."""

    name: str
    says: str
    script: Script | None
    cost: dict[str, int]

    @property
    def streamed(self) -> bool:
        return self.name.startswith("stream")

    @property
    def fallback(self) -> str:
        return "stream-usage" if self.streamed else "usage"


AGAIN = [
    Again("again-refused", "No connection.", None, NOTHING),
    Again("again-busy", "429.", answer("429 Too Many", BUSY), NOTHING),
    Again("again-oops", "500.", answer("500 Oops", b""), NOTHING),
    Again("again-empty", "Status 200, no body.", answer("200 OK", b""), NOTHING),
    Again("again-silent", "Silence.", upstreams.silence, PROMPT),
    Again(
        "again-half",
        "An end in the middle.",
        raw(JSON + b"content-length: 999\r\n\r\n" + whole()),
        PROMPT,
    ),
    Again("stream-again-empty", "A stream without an event.", raw(stream()), NOTHING),
    Again(
        "stream-again-error",
        "A stream whose first event is an error.",
        raw(stream(failure("no room", "no_room").decode())),
        NOTHING,
    ),
]
SCRIPTS = {row.name: row.script for row in (*TABLE, *AGAIN) if row.script is not None} | {
    "endless": upstreams.endless(0.02, *TEXT),
    "never-begins": upstreams.silence,
    "nearly-ends": in_turn(stream(*TEXT, STOP, LAST, end=False), *[b""] * 9, chunks("[DONE]")),
    "asked": ok(usage(numbers=1)),
}
