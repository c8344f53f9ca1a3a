"""Streams, as vendors send them: weighed right, and handed on as the caller asked for them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.metering import streams
from steelyard.metering.answers import Reading, Texts
from steelyard.metering.streams import StreamWeigher
from steelyard.metering.usage import openai_usage

FOLDER = Path(__file__).parents[1] / "data" / "streams"
STREAMS = {path.stem: path.read_bytes() for path in sorted(FOLDER.glob("*.sse"))}


def weighed(
    data: bytes, sizes: list[int] | None = None, *, include_usage: bool = False
) -> tuple[Reading, bytes]:
    """Read a stream in pieces of these sizes, over and over; what was read and handed on."""
    weigher = StreamWeigher(include_usage=include_usage)
    passed = b""
    turn = 0
    while data:
        size = sizes[turn % len(sizes)] if sizes else len(data)
        passed += weigher.feed(data[:size])
        data = data[size:]
        turn += 1
    passed += weigher.finish()
    return weigher.reading(), passed


def events(data: bytes) -> list[Any]:
    """The JSON of a stream's events."""
    lines = re.findall(rb"^data: ?(.*?)\r?$", data, re.MULTILINE)
    return [json.loads(line) for line in lines if line != b"[DONE]"]


def without_usage(event: Any) -> Any:
    """The same, with no trace of usage anywhere."""
    if isinstance(event, dict):
        return {name: without_usage(each) for name, each in event.items() if name != "usage"}
    return [without_usage(each) for each in event] if isinstance(event, list) else event


CASES = [
    # vendor, (input, cached, written, output, reasoning), whether [DONE] came, chunks with content
    ("openai", (183, 1024, None, 9, 0), True, 4),
    ("deepseek", (18, 512, None, 9, 38), True, 4),
    ("dashscope", (1227, 0, 1792, 24, 80), True, 3),
    ("glm", (45, 43, None, 3, None), True, 2),
    ("moonshot", (14, 64, None, 3, None), True, 2),
    ("minimax", (26, None, None, 9, 214), False, 3),
    ("llamacpp", (1, 35, None, 8, None), True, 8),
    ("vllm", (11, None, None, 3, None), True, 2),
    ("silent", (), True, 3),
]
FIELDS = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
)


@pytest.mark.parametrize(("vendor", "meters", "done", "chunks"), CASES)
def test_usage_is_found_wherever_it_comes(vendor, meters, done, chunks):
    expected = {
        field: count for field, count in zip(FIELDS, meters, strict=False) if count is not None
    }
    for include_usage in (False, True):
        reading, _ = weighed(STREAMS[vendor], include_usage=include_usage)
        assert openai_usage(reading.usage or {}).meters == expected
        assert (reading.done, reading.finished, reading.chunks) == (done, True, chunks)
        assert reading.error is None
        assert reading.delivered is None


def test_every_stream_has_its_case():
    assert [case[0] for case in sorted(CASES)] == list(STREAMS)


@pytest.mark.parametrize("vendor", STREAMS)
def test_who_asked_for_usage_gets_every_byte(vendor):
    _, passed = weighed(STREAMS[vendor], include_usage=True)
    assert passed == STREAMS[vendor]


@pytest.mark.parametrize("vendor", STREAMS)
def test_who_did_not_ask_gets_everything_but_usage(vendor):
    sent = STREAMS[vendor]
    _, passed = weighed(sent)
    assert b'"usage"' not in passed
    kept = [event for event in map(without_usage, events(sent)) if event["choices"]]
    assert events(passed) == kept
    assert passed.count(b"[DONE]") == sent.count(b"[DONE]")
    assert passed.count(b": keep-alive") == sent.count(b": keep-alive")


def test_what_has_no_usage_is_handed_on_byte_for_byte():
    _, passed = weighed(STREAMS["silent"])
    assert passed == STREAMS["silent"]


PIECES = st.lists(st.integers(1, 300), min_size=1, max_size=40)


@given(
    vendor=st.sampled_from(list(STREAMS)),
    sizes=PIECES,
    include_usage=st.booleans(),
    crlf=st.booleans(),
    tail=st.sampled_from([b"", b"data: [DONE]", b": a comment\n", b'data: {"err', b"\n\n\n"]),
)
def test_pieces_make_no_difference(vendor, sizes, include_usage, crlf, tail):
    data = STREAMS[vendor] + tail
    if crlf:
        data = re.sub(rb"\r?\n", b"\r\n", data)
    whole = weighed(data, include_usage=include_usage)
    assert weighed(data, sizes, include_usage=include_usage) == whole
    assert weighed(data, [1], include_usage=include_usage) == whole


@given(
    vendor=st.sampled_from(list(STREAMS)),
    sizes=PIECES,
    include_usage=st.booleans(),
    crlf=st.booleans(),
)
def test_whole_events_may_be_taken_at_once(vendor, sizes, include_usage, crlf):
    """What is not whole is left to ``feed``, and the stream comes out as if it were all fed."""
    data = STREAMS[vendor]
    if crlf:
        data = re.sub(rb"\r?\n", b"\r\n", data)
    weigher, passed, at = StreamWeigher(include_usage=include_usage), b"", 0
    for size in [*sizes, len(data)]:
        end = data.find(b"\n\n", at + size) + 2 if size % 2 else at + size
        part = data[at : end if end > 1 else len(data)]
        at += len(part)
        taken = weigher.take_whole(part)
        assert taken is None or part.endswith(b"\n\n")
        passed += weigher.feed(part) if taken is None else taken
    passed += weigher.finish()
    assert (weigher.reading(), passed) == weighed(data, include_usage=include_usage)


def test_events_are_handed_on_as_soon_as_they_are_whole():
    weigher = StreamWeigher(include_usage=True)
    assert weigher.feed(b'data: {"choices":[]}\n') == b""
    assert weigher.feed(b"\n: ping\n\nda") == b'data: {"choices":[]}\n\n: ping\n\n'
    assert weigher.feed(b"ta: [DONE]\n") == b""
    assert not weigher.reading().done
    assert weigher.finish() == b"data: [DONE]\n\n"
    assert weigher.reading().done


@pytest.mark.parametrize(
    "left", [b'data: {"choices', b"data: [DO", b": still here", b"data:", b"\n"]
)
def test_half_an_event_is_not_handed_on(left):
    weigher = StreamWeigher(include_usage=True)
    weigher.feed(b'data: {"choices":[]}\n\n' + left)
    assert weigher.finish() == b""
    assert not weigher.reading().done


TEXTS = [
    ("silent", Texts('Let me look. {"city":"北京","usage":null}')),
    ("openai", Texts('Two parts "quoted"\n 😀')),
    ("deepseek", Texts("答案是四。", "先想一想。")),
    ("dashscope", Texts("你好!😊", "用户问")),
    ("minimax", Texts("Hi there", "Greet back.")),
    ("llamacpp", Texts("Alejandro, a wise and")),
]


@pytest.mark.parametrize(("vendor", "texts"), TEXTS)
def test_the_text_is_kept_for_who_must_count_it(vendor, texts):
    untold = STREAMS[vendor].replace(b'"usage"', b'"user"')
    reading, _ = weighed(untold)
    assert reading.usage is None
    assert reading.produced == texts


@pytest.mark.parametrize(
    ("event", "texts"),
    [
        (b'{"choices":[{"text":" words"}]}', Texts(" words")),
        (b'{"choices":[{"delta":{"refusal":"I can\'t."}}]}', Texts("I can't.")),
        (b'{"choices":[{"delta":{"reasoning":"hm","reasoning_details":[{"text":"hm"}]}}]}',
         Texts("", "hm")),
        (b'{"choices":[{"delta":{"reasoning_details":[{"text":"so"}]}}]}', Texts("", "so")),
        (b'{"choices":[{"delta":{"reasoning":"a","reasoning_content":"a"}}]}', Texts("", "a")),
        (b'{"choices":[{"delta":{"content":"\\ud83d\\ude00"}}]}', Texts("😀")),
        (b'{"choices":[{"delta":{"content":"a"},"logprobs":{"content":[{"token":"a"}]}}]}',
         Texts("a")),
        (b'{"choices":[{"delta":{"content":"said \\"content\\":\\"x\\""}}]}',
         Texts('said "content":"x"')),
        (b'{"choices":[{"delta":{"content":"usage"}}]}', Texts("usage")),
        (b'{"choices":[{"delta":{"content":null}}]}', Texts("")),
        (b'{"choices":[{"delta":{"content":"\\ud800"}}]}', Texts("\\ud800")),
        (b"not JSON", Texts("")),
    ],
)  # fmt: skip
def test_text_of_an_event(event, texts):
    data = b"data: " + event + b"\n\n"
    reading, passed = weighed(data)
    assert reading.produced == texts
    assert passed == data


def test_a_pair_of_surrogates_may_come_in_two_chunks():
    data = b"".join(
        b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n' % half
        for half in (b"\\ud83d", b"\\ude00")
    )
    reading, _ = weighed(data)
    assert reading.produced == Texts("😀")


def test_data_on_several_lines_is_one_event():
    data = b'event: x\nid: 7\ndata: {"choices":[],\ndata: "usage":{"prompt_tokens":5}}\n\n'
    reading, passed = weighed(data)
    assert reading.usage == {"prompt_tokens": 5}
    assert passed == b""
    chunk = (
        b'id: 1\ndata: {"choices":[{"delta":{"content":"x"}}],\n'
        b'data: "usage":{"prompt_tokens":5}}\n\n'
    )
    reading, passed = weighed(chunk)
    assert passed == b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'


def test_usage_that_comes_again_is_the_later_field_by_field():
    """Some tell the cached tokens only in the first report, or only in the second."""
    data = b"".join(
        b'data: {"choices":[],"usage":%s}\n\n' % usage
        for usage in (
            b'{"prompt_tokens":9,"completion_tokens":0,"prompt_tokens_details":{"cached_tokens":4}}',
            b'{"prompt_tokens":9,"completion_tokens":7,"prompt_tokens_details":null}',
            b"null",
            b"{}",
        )
    )
    reading, _ = weighed(data)
    assert reading.usage == {
        "prompt_tokens": 9,
        "completion_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 4},
    }


@pytest.mark.parametrize("usage", [b'"much"', b"[1]", b"12", b'{"a":'])
def test_usage_that_is_no_table_is_no_usage(usage):
    data = b'data: {"choices":[],"usage":' + usage + b"}\n\n"
    reading, passed = weighed(data)
    assert reading.usage is None
    assert passed == data


ERRORS = [
    (b'{"error":{"message":"overloaded","type":"server_error","code":null}}', True),
    (b'{"error":{"code":500,"message":"boom","type":"server_error"}}', True),
    (b'{"base_resp":{"status_code":1008,"status_msg":"insufficient balance"}}', True),
    (b'{"base_resp":{"status_code":0,"status_msg":""}}', False),
    (b'{"choices":[{"delta":{"content":"an \\"error\\":{}"}}]}', False),
    (b'{"choices":[],"error":null}', False),
]


@pytest.mark.parametrize(("payload", "is_error"), ERRORS)
def test_an_error_inside_a_stream_is_noticed(payload, is_error):
    data = b"data: " + payload + b"\n\n"
    reading, passed = weighed(data)
    assert reading.error == (payload if is_error else None)
    assert passed == data
    assert not reading.finished


def test_an_event_too_large_to_look_at_is_handed_on(monkeypatch):
    monkeypatch.setattr(streams, "EVENT_BYTES_MAX", 200)
    large = b'data: {"choices":[{"delta":{"content":"%s"}}],"usage":null}\n\n' % (b"x" * 300)
    small = b'data: {"choices":[{"delta":{"content":"y"}}],"usage":null}\r\n\r\n'
    data = large + small + large + small
    whole = weighed(data)
    assert whole[0].produced == Texts("yy")
    assert whole[1] == large + small.replace(b',"usage":null', b"") + large + small.replace(
        b',"usage":null', b""
    )
    for size in (1, 2, 7, 100, 250, 301):
        assert weighed(data, [size]) == whole


def test_the_text_that_is_kept_is_bounded(monkeypatch):
    monkeypatch.setattr(streams, "TEXT_BYTES_MAX", 10)
    data = b'data: {"choices":[{"delta":{"content":"12345678"}}]}\n\n' * 3
    reading, _ = weighed(data)
    assert reading.produced == Texts("12345678", "", more_bytes=16)


def feed_all(weigher: StreamWeigher, parts: list[bytes]) -> None:
    for part in parts:
        weigher.feed(part)


@pytest.mark.parametrize("lost_last", [False, True])
def test_a_caller_that_hangs_up_has_what_it_was_sent(lost_last):
    parts = [part + b"\n\n" for part in STREAMS["silent"].split(b"\n\n") if part]
    weigher = StreamWeigher(include_usage=False)
    feed_all(weigher, parts[:4])
    weigher.hang_up(lost_last=lost_last)
    feed_all(weigher, parts[4:])
    weigher.hang_up(lost_last=False)
    reading = weigher.reading()
    delivered = "Let me look. " + ("" if lost_last else '{"city":"北')
    assert reading.delivered == Texts(delivered)
    assert reading.produced == Texts('Let me look. {"city":"北京","usage":null}')
    assert reading.chunks == (1 if lost_last else 2)


def test_who_hangs_up_after_the_last_word_was_served_whole():
    parts = [part + b"\n\n" for part in STREAMS["openai"].split(b"\n\n") if part]
    weigher = StreamWeigher(include_usage=False)
    feed_all(weigher, parts[:-2])
    weigher.hang_up(lost_last=False)
    feed_all(weigher, parts[-2:])
    reading = weigher.reading()
    assert reading.delivered is None
    assert reading.usage is not None


def test_the_upstreams_name_of_the_call_is_kept():
    names = {vendor: weighed(data)[0].upstream_id for vendor, data in STREAMS.items()}
    assert names["deepseek"] == "6f0b7a52-9c1d-4e08-9d54-2b8f4f0e7a11"
    assert names["glm"] == "20261124100003a7d0c1b2e3f4a5b6"
    assert all(names.values())
    assert weighed(b'data: {"id":"' + b"x" * 500 + b'"}\n\n')[0].upstream_id == "x" * 128
    assert weighed(b'data: {"id":7}\n\n')[0].upstream_id is None


def test_nothing_at_all_is_no_answer():
    reading, passed = weighed(b"")
    assert passed == b""
    assert (reading.finished, reading.chunks, reading.usage) == (False, 0, None)
    assert reading.produced == Texts("")


TOKENS = st.lists(
    st.text(st.sampled_from('ab "\\\n}{:,é😀'), max_size=6)
    | st.sampled_from(["", '"content":"x"', "data: [DONE]", 'null,"finish_reason":"stop"']),
    max_size=30,
)


@given(
    tokens=TOKENS,
    reasoned=st.integers(0, 5),
    sizes=PIECES,
    hung_up_after=st.integers(0, 60) | st.none(),
    padded=st.booleans(),
)
def test_every_word_is_kept_however_it_is_cut(tokens, reasoned, sizes, hung_up_after, padded):
    """Whatever the words are, and wherever the caller left: what it got, and what was made."""
    names = ["reasoning_content" if i < reasoned else "content" for i in range(len(tokens))]
    stream = b"".join(
        b"data: %b\n\n"
        % json.dumps(
            {
                "id": "chatcmpl-1",
                "choices": [{"index": 0, "delta": {name: token}, "finish_reason": None}],
                **({"obfuscation": "x" * i} if padded else {}),
            },
            separators=(",", ":"),
        ).encode()
        for i, (name, token) in enumerate(zip(names, tokens, strict=True))
    )
    weigher, passed, at = StreamWeigher(include_usage=False), b"", 0
    delivered = None
    for number, size in enumerate([*sizes, len(stream)]):
        passed += weigher.feed(stream[at : at + size])
        at += size
        if number == hung_up_after:
            weigher.hang_up(lost_last=False)
            delivered = passed
    passed += weigher.finish()
    reading = weigher.reading()
    assert passed == stream
    words = list(zip(names, tokens, strict=True))
    assert reading.produced == texts_of(words)
    if delivered is None:
        assert reading.chunks == sum(1 for token in tokens if token)
    elif reading.delivered is not None:
        assert reading.delivered == texts_of(words[: delivered.count(b"\n\n")])


NULL = b',"usage":null'


@pytest.mark.parametrize("include_usage", [True, False])
def test_events_alike_are_taken_together(include_usage):
    """Whoever asks for usage is told by most vendors, in each event, that it comes later."""
    event = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"%b"}}]%b}\n\n'
    weigher = StreamWeigher(include_usage=include_usage)
    weigher.feed(event % (b"one", NULL) + event % (b" two", NULL))
    more = event % (b" three", NULL) + event % (b' \\n,\\"usage\\":null', NULL)
    given = more if include_usage else more.replace(NULL, b"")
    assert weigher.take_alike(more[:-1]) is None
    assert weigher.take_alike(more) is None, "its text has quotes"
    plain = event % (b" three", NULL) + event % (b" four", NULL)
    assert weigher.take_alike(plain) == (plain if include_usage else plain.replace(NULL, b""))
    assert weigher.feed(more) == given
    assert weigher.take_alike(event % (b"five", b',"usage":{"completion_tokens":9}')) is None
    reading = weigher.reading()
    assert reading.usage is None
    assert reading.produced == Texts('one two three four three \n,"usage":null')
    assert reading.chunks == 6


def texts_of(words: list[tuple[str, str]]) -> Texts:
    said = ["".join(t for n, t in words if n == name) for name in ("content", "reasoning_content")]
    return Texts(said[0], said[1])
