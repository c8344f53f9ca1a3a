"""Ids: UUIDv7's layout, and the same id for the same content."""

from __future__ import annotations

import hashlib
import uuid

from hypothesis import given
from hypothesis import strategies as st

from steelyard.values import ids

AT_US = 1_795_478_400_123_456
TIMES = st.integers(0, 2**47 * 1000)


@given(TIMES, st.integers(0, 2**74 - 1))
def test_an_id_is_a_version_7_uuid_with_its_milliseconds_in_front(at_us: int, bits: int) -> None:
    made = uuid.UUID(bytes=ids.uuid7(at_us, bits))
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert made.int >> 80 == at_us // 1000


@given(st.lists(st.tuples(TIMES, st.integers(0, 2**74 - 1)), min_size=2, max_size=2))
def test_ids_sort_as_their_milliseconds_do(pair: list[tuple[int, int]]) -> None:
    (first, a), (second, b) = sorted(pair)
    if first // 1000 < second // 1000:
        assert ids.uuid7(first, a) < ids.uuid7(second, b)


@given(st.integers(0, 2**74 - 1), st.integers(0, 2**74 - 1))
def test_different_random_bits_make_different_ids(a: int, b: int) -> None:
    assert (ids.uuid7(AT_US, a) == ids.uuid7(AT_US, b)) == (a == b)


def test_a_content_id_depends_on_content_and_time_alone() -> None:
    one = ids.content_id(AT_US, b"row 1")
    assert ids.content_id(AT_US, b"row 1") == one
    assert ids.content_id(AT_US, b"row 2") != one
    assert ids.content_id(AT_US + 1000, b"row 1") != one
    assert uuid.UUID(bytes=one).version == 7


@given(TIMES, st.binary(max_size=40))
def test_a_content_ids_random_bits_are_a_hash_of_the_content(at_us: int, content: bytes) -> None:
    digest = hashlib.blake2b(content, digest_size=10).digest()
    bits = int.from_bytes(digest, "big") >> 6
    assert ids.content_id(at_us, content) == ids.uuid7(at_us, bits)


@given(st.binary(min_size=16, max_size=16))
def test_an_id_reads_back(call_id: bytes) -> None:
    assert ids.parse(ids.text(call_id)) == call_id
