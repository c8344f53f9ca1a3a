"""What an upstream is asked, and what its errors and timings say."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from steelyard.upstream.openai import MESSAGE_CHARS_MAX, Fault, compute_ms, encode, fault

ENCODED = [
    # body, model, streamed, what is sent
    (b'{"model":"a","x":1.50}', "b", False, b'{"model":"b","x":1.50}'),
    (b'{"x":[1e400, -0.0,1E2] ,"model":"a"}', "a", False, b'{"x":[1e400, -0.0,1E2],"model":"a"}'),
    (b'{"model":"a","model":"c"}', "b", False, b'{"model":"b"}'),
    (b'{"model":"a"}', 'q"', False, b'{"model":"q\\""}'),
    (
        b'{"model":"a","stream":true}',
        "a",
        True,
        b'{"model":"a","stream":true,"stream_options":{"include_usage":true}}',
    ),
    (
        b'{"model":"a","stream_options":{"include_usage":false,"y":1.0}}',
        "a",
        True,
        b'{"model":"a","stream_options":{"include_usage":true,"y":1.0}}',
    ),
    (
        b'{"model":"a","stream_options":null}',
        "a",
        True,
        b'{"model":"a","stream_options":{"include_usage":true}}',
    ),
    (
        b'{"model":"a","stream_options":{"y":1}}',
        "a",
        False,
        b'{"model":"a","stream_options":{"y":1}}',
    ),
]

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def fields(body: bytes) -> dict[str, Raw]:
    return msgspec.json.decode(body, type=dict[str, Raw])


@pytest.mark.parametrize(("body", "model", "streamed", "sent"), ENCODED)
def test_encode(body, model, streamed, sent):
    assert encode(fields(body), model, streamed=streamed) == sent


NAMES = st.text().filter(lambda name: name != "stream_options")  # which ``ask`` has understood


@given(st.dictionaries(NAMES, JSON), st.booleans())
def test_everything_else_is_sent_as_it_was_written(more, streamed):
    written = {**more, "model": "ours"}
    sent = fields(encode(fields(json.dumps(written).encode()), "theirs", streamed=streamed))
    assert bytes(sent.pop("model")) == b'"theirs"'
    for name in ("model", "stream_options") if streamed else ("model",):
        written.pop(name, None)
        sent.pop(name, None)
    assert {name: bytes(value) for name, value in sent.items()} == {
        name: json.dumps(value).encode() for name, value in written.items()
    }


FAULTS = [
    (b"", Fault()),
    (b"<html>", Fault()),
    (b"[]", Fault()),
    (b'{"error":"text"}', Fault()),
    (b'{"error":{}}', Fault()),
    (b"\xff", Fault()),
    (b'{"error":' + b"[" * 9999, Fault()),
    (
        b'{"error":{"message":"m","type":"t","param":"p","code":"c"}}',
        Fault(message="m", type="t", param="p", code="c"),
    ),
    (b'{"error":{"message":"m","code":400}}', Fault(message="m")),
    (
        b'{"error":{"message":"m","code":400,"type":"exceed_context_size_error"}}',
        Fault(message="m", type="exceed_context_size_error", code="context_length_exceeded"),
    ),
    (
        b'{"error":{"message":"' + b"m" * 9999 + b'"}}',
        Fault(message="m" * MESSAGE_CHARS_MAX),
    ),
]


@pytest.mark.parametrize(("body", "said"), FAULTS)
def test_fault(body, said):
    assert fault(body) == said


TIMINGS = [
    (b'{"timings":{"prompt_n":7,"prompt_ms":10.2,"predicted_ms":20.3}}', 31),
    (b'{"timings": {"prompt_ms": 0, "predicted_ms": 0}}', 0),
    (b'{"timings":{"prompt_ms":-1,"predicted_ms":2}}', None),
    (b'{"timings":{"prompt_ms":"1","predicted_ms":2}}', None),
    (b'{"timings":{"prompt_ms":1}}', None),
    (b'{"timings":', None),
    (b'{"content":"\\"timings\\":{\\"prompt_ms\\":1,\\"predicted_ms\\":1}"}', None),
]


@pytest.mark.parametrize(("data", "ms"), TIMINGS)
def test_compute_ms(data, ms):
    assert compute_ms(data) == ms
