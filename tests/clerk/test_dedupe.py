from __future__ import annotations

import msgspec
import pytest

from steelyard.clerk.dedupe import DIGEST_BYTES, digest, set_aside, sift
from steelyard.values.usage import Try, UsageRecord
from tests.clerk.desk import altered, calls

RECORD = calls(1)[0]
OTHERWISE = {
    "call_id": bytes(16),
    "at_us": RECORD.at_us + 1,
    "customer": "another",
    "contract": "another",
    "key_id": "another",
    "model": "another",
    "deployment": "another",
    "outcome": "cancelled",
    "meters": RECORD.meters | {"input_tokens": 10**6},
    "sources": {"input_tokens": "counted"},
    "produced": {},
    "origin": "imported",
    "attempts": 2,
    "first_token_us": 0,
    "duration_us": 0,
    "streamed": True,
    "status": 200,
    "error": "another",
    "user": "another",
    "upstream_id": "another",
    "service_tier": "batch",
    "region": "another",
    "mode": "thinking",
    "tries": (Try(1, "m", "d", "failed", {}, {}),),
    "asked": "another",
    "shadow_of": bytes(16),
}


@pytest.mark.parametrize("field", UsageRecord.__struct_fields__)
def test_what_a_record_says_is_in_its_digest(field):
    if field == "edition":
        assert digest(altered(RECORD, edition=7)) == digest(RECORD)
    else:
        assert digest(altered(RECORD, **{field: OTHERWISE[field]})) != digest(RECORD)
    assert len(digest(RECORD)) == DIGEST_BYTES


@pytest.mark.parametrize(
    ("said", "fields"), [({}, 21), ({"service_tier": "batch"}, 22), ({"mode": "thinking"}, 24)]
)
def test_fields_that_came_later_and_say_nothing_are_not_in_what_is_kept(said, fields):
    kept = set_aside(altered(RECORD, **said), "conflict").record
    assert len(msgspec.msgpack.decode(kept)) == fields
    assert msgspec.msgpack.decode(kept, type=UsageRecord) == altered(RECORD, **said)


A, B = calls(2)
A2, A3 = altered(A, user="two"), altered(A, user="three")


@pytest.mark.parametrize(
    ("records", "booked", "fresh", "duplicates", "conflicts"),
    [
        ([], [], [], 0, []),
        ([A, B], [], [A, B], 0, []),
        ([A, B, A, A, B], [], [A, B], 3, []),
        ([A, B], [A], [B], 1, []),
        ([A, B], [A, B], [], 2, []),
        ([A, A2, A3, A2, A], [], [A], 1, [A2, A3, A2]),
        ([A, A2], [A2], [], 1, [A]),
    ],
)
def test_the_first_record_of_a_call_counts(records, booked, fresh, duplicates, conflicts):
    known = {each.call_id: digest(each) for each in booked}
    found = sift(records, lambda ids: {each: known[each] for each in ids if each in known})
    assert list(found.records) == fresh
    assert found.calls == [(each.call_id, digest(each)) for each in fresh]
    assert found.duplicates == duplicates
    assert [each.call_id for each in found.conflicts] == [each.call_id for each in conflicts]
