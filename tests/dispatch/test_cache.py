"""Which requests are one, which are never cached, and what a shelf keeps."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Raw, structs

from steelyard.dispatch import cache
from steelyard.dispatch.cache import AROUND_BYTES, Cache, Kept, Rule, Shelf, name_of, replayed
from steelyard.dispatch.calls import Ask
from steelyard.values.usage import UsageRecord
from tests.dispatch.studio import KEY

HOUR = Rule(models=("m*",), keys=("*",), ttl_s=3600, bytes_max=10_000)
RECORD = UsageRecord(
    call_id=b"c" * 16,
    at_us=0,
    edition=1,
    customer="acme",
    contract="acme-2026",
    key_id="k",
    model="m",
    deployment="place",
    outcome="completed",
    meters={},
    sources={},
)
BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":0.5}'


def asked(body: bytes, **more: Any) -> Ask:
    fields = msgspec.json.decode(body, type=dict[str, Raw])
    given: Any = {"kind": "chat", "model": "m", "fields": fields, "ingress_bytes": len(body)}
    return Ask(**(given | more))


def named(change: bytes, of: bytes = b"0.5}", **more: Any) -> bytes | None:
    assert of in BODY
    return name_of("acme", asked(BODY.replace(of, change), **more))


FIRST = name_of("acme", asked(BODY))

SAME = [
    # what stands at the end of the body instead of 0.5}
    b' 0.5 , "user":"someone" }',
    b'0.5,"prompt_cache_key":"k","safety_identifier":"s"}',
    b'0.5,"stream_options":null}',
    b'0.5,"stream_options":{"include_usage":true,"include_cost":true}}',
    b'0.5,"store":false,"web_search_options":null}',
    b'0.4,"temperature":0.5}',
]

OTHER = [
    b"0.50}",
    b"0.6}",
    b'0.5,"seed":1}',
    b'0.5,"n":2}',
    b'0.5,"stream_options":{"include_obfuscation":false}}',
    b'0.5,"metadata":{"a":"b"}}',
    b'0.5,"service_tier":"flex"}',
    b'0.5,"tools":[{"type":"function","function":{"name":"f"}}]}',
    b'0.5,"anything":null}',
]

NEVER = [
    b'0.5,"store":true}',
    b'0.5,"background":true}',
    b'0.5,"web_search_options":{}}',
    b'0.5,"enable_search":true}',
    b'0.5,"tools":[{"type":"web_search"}]}',
    b'0.5,"tools":[{"type":"function","function":{"name":"f"}},{"type":"mcp"}]}',
    b'0.5,"tools":["f"]}',
    b'0.5,"tools":{"type":"function"}}',
    b'0.5,"text":"\xff"}',
]


@pytest.mark.parametrize("end", SAME)
def test_what_can_not_alter_an_answer_does_not_alter_its_name(end):
    assert named(end) == FIRST


@pytest.mark.parametrize("end", OTHER)
def test_what_can_alter_an_answer_alters_its_name(end):
    assert named(end) not in {FIRST, None}


@pytest.mark.parametrize("end", NEVER)
def test_what_acts_or_can_not_be_read_has_no_name(end):
    assert named(end) is None


def test_the_order_of_fields_and_escapes_do_not_matter():
    other = b'{"temperature":0.5,"messages":[{"content":"\\u0068i","role":"user"}]}'
    assert name_of("acme", asked(other)) == FIRST


def test_a_digit_at_the_end_of_a_long_number_does():
    long, longer = b'{"seed":%s1}' % (b"9" * 30), b'{"seed":%s2}' % (b"9" * 30)
    assert name_of("acme", asked(long)) != name_of("acme", asked(longer))


def test_customers_models_kinds_and_streams_are_apart():
    others = [
        name_of("globex", asked(BODY)),
        named(b"0.5}", model="m2"),
        named(b"0.5}", kind="embeddings"),
        named(b"0.5}", streamed=True),
    ]
    assert len({FIRST, *others}) == 5


def test_the_first_rule_that_fits_holds():
    mine = Rule(models=("m",), keys=("other",), ttl_s=1, bytes_max=1)
    ours = Cache([mine, HOUR])
    slot = ours.slot(KEY, asked(BODY), "")
    assert slot is not None
    assert slot.shelf is ours.shelves[1]
    assert ours.slot(KEY, asked(BODY, model="x"), "") is None
    assert Cache().slot(KEY, asked(BODY), "") is None


@pytest.mark.parametrize(("wish", "has_a_place"), [("no-cache", True), ("no-store", False)])
def test_a_caller_may_wish_that_nothing_is_kept(wish, has_a_place):
    assert (Cache([HOUR]).slot(KEY, asked(BODY), wish) is not None) is has_a_place


def test_an_answer_is_found_until_its_time_is_over():
    slot = Cache([HOUR]).slot(KEY, asked(BODY), "")
    assert slot is not None
    assert slot.find(0) is None
    slot.keep(b"answer", RECORD, now_us=1_000_000)
    found = slot.find(3_600_999_999)
    assert found is not None
    assert (found.body, found.original) == (b"answer", RECORD)
    assert slot.find(3_601_000_000) is None
    assert slot.shelf.bytes == 0


NOT_KEPT = [
    (None, RECORD),
    (b"answer", structs.replace(RECORD, outcome="cancelled")),
    (b"answer", structs.replace(RECORD, outcome="failed")),
    (b"answer", structs.replace(RECORD, asked="another model")),
]


@pytest.mark.parametrize(("body", "record"), NOT_KEPT)
def test_only_a_whole_answer_of_the_model_that_was_asked_is_kept(body, record):
    slot = Cache([HOUR]).slot(KEY, asked(BODY), "")
    assert slot is not None
    slot.keep(body, record, now_us=0)
    assert slot.find(1) is None


def kept(size: int) -> Kept:
    return Kept(body=b"x" * size, original=RECORD, until_us=10)


def test_what_was_used_least_recently_goes_first():
    shelf = Shelf(HOUR)
    size = HOUR.bytes_max // 2 - AROUND_BYTES
    shelf.keep(b"1", kept(size))
    shelf.keep(b"2", kept(size))
    assert shelf.find(b"1", 0)
    shelf.keep(b"3", kept(1))
    assert [bool(shelf.find(name, 0)) for name in (b"1", b"2", b"3")] == [True, False, True]
    assert shelf.bytes <= HOUR.bytes_max


def test_an_answer_takes_the_place_of_the_one_before():
    shelf = Shelf(HOUR)
    for size in (100, 50, 1):
        shelf.keep(b"1", kept(size))
    assert shelf.bytes == 1 + AROUND_BYTES


def test_an_answer_too_large_for_the_shelf_is_not_kept():
    shelf = Shelf(HOUR)
    shelf.keep(b"1", kept(HOUR.bytes_max))
    assert shelf.find(b"1", 0) is None
    assert shelf.bytes == 0


def test_a_copy_of_a_stream_is_given_up_when_it_is_too_long(monkeypatch):
    monkeypatch.setattr(cache, "ANSWER_BYTES_MAX", 6)
    copy = cache.Copy()
    for part in (b"abc", b"def"):
        copy.take(part)
    assert copy.whole() == b"abcdef"
    copy.take(b"g")
    copy.take(b"")
    assert copy.whole() is None


USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":4}}\n\n'
TEXT = b'data: {"choices":[{"index":0,"delta":{"content":"abcd"}}]}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    ("came", "include_usage", "replay"),
    [
        (TEXT + USAGE + DONE, True, TEXT + USAGE + DONE),
        (TEXT + USAGE + DONE, False, TEXT + DONE),
        (TEXT + USAGE, True, TEXT + USAGE + DONE),
    ],
)
def test_a_stream_is_replayed_as_it_came(came, include_usage, replay):
    ask = asked(BODY, streamed=True, include_usage=include_usage)
    whole = Kept(body=came, original=RECORD, until_us=0)
    assert replayed(whole, ask) == replay
