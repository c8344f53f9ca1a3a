"""Secrets at rest: opened under their master key and name, and not otherwise."""

from __future__ import annotations

import stat
import threading

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.governance import sealed
from steelyard.governance.sealed import Box, Sealed, SealedError, Trouble

MASTER = "a master key of the tests"
SALT = b"s" * sealed.SALT_BYTES
KEY = sealed.derive(MASTER, SALT)
EMPTY = Sealed(salt=SALT)


def put(held: Sealed, name: str, secret: str, nonce: int = 0, key: bytes = KEY) -> Sealed:
    return sealed.put(held, key, name, secret, (nonce.to_bytes(sealed.NONCE_BYTES), 7))


def trouble(call) -> Trouble:
    with pytest.raises(SealedError) as caught:
        call()
    assert "sk-" not in str(caught.value)
    return caught.value.trouble


def test_what_was_put_is_taken():
    held = put(put(EMPTY, "A", "sk-a", 1), "B", "sk-b", 2)
    assert sealed.take(held, KEY, "A") == "sk-a"
    assert sealed.take(held, KEY, "B") == "sk-b"
    assert held.secrets["A"].set_us == 7
    assert sealed.take(put(held, "A", "sk-new", 3), KEY, "A") == "sk-new"
    assert sealed.without(held, "A").secrets.keys() == {"B"}


def test_nothing_of_a_secret_is_in_the_file(tmp_path):
    sealed.write(tmp_path, put(EMPTY, "A", "sk-verysecret"))
    data = (tmp_path / sealed.FILE).read_bytes()
    assert b"verysecret" not in data
    assert b'"A"' in data
    assert stat.S_IMODE((tmp_path / sealed.FILE).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [sealed.FILE]
    assert sealed.open_one(tmp_path, MASTER, "A") == "sk-verysecret"


OTHER = sealed.derive("another master key", SALT)


def swapped() -> Sealed:
    """Two secrets, each under the other's name."""
    held = put(put(EMPTY, "A", "sk-a", 1), "B", "sk-b", 2)
    boxes = held.secrets
    return Sealed(salt=SALT, secrets={"A": boxes["B"], "B": boxes["A"]})


ONE = put(EMPTY, "A", "sk-a", 1)
FULL = Sealed(salt=SALT, secrets={str(n): ONE.secrets["A"] for n in range(sealed.SECRETS_MAX)})

TROUBLES = [
    ("not there", lambda: sealed.take(ONE, KEY, "B"), Trouble.MISSING),
    ("another master", lambda: sealed.take(ONE, OTHER, "A"), Trouble.OTHER_MASTER),
    ("another name", lambda: sealed.take(swapped(), KEY, "A"), Trouble.OTHER_MASTER),
    ("mixed masters", lambda: put(ONE, "B", "sk-b", 2, OTHER), Trouble.OTHER_MASTER),
    ("empty", lambda: put(ONE, "B", ""), Trouble.NO_KEY),
    ("two lines", lambda: put(ONE, "B", "sk-a\nsk-b"), Trouble.NO_KEY),
    ("spaces", lambda: put(ONE, "B", " sk-a"), Trouble.NO_KEY),
    ("no ASCII", lambda: put(ONE, "B", "sk-ä"), Trouble.NO_KEY),
    ("long", lambda: put(ONE, "B", "s" * (sealed.SECRET_CHARS_MAX + 1)), Trouble.NO_KEY),
    ("many", lambda: put(FULL, "B", "sk-b"), Trouble.FULL),
    ("short master", lambda: sealed.derive("short", SALT), Trouble.SHORT),
]


@pytest.mark.parametrize(
    ("call", "expected"), [row[1:] for row in TROUBLES], ids=[row[0] for row in TROUBLES]
)
def test_what_is_refused(call, expected):
    assert trouble(call) is expected


FILES = [
    (None, MASTER, Trouble.MISSING),
    (b"", MASTER, Trouble.DAMAGED),
    (b'{"format":2,"salt":"","secrets":{}}', MASTER, Trouble.DAMAGED),
    (msgspec.json.encode(ONE), None, Trouble.NO_MASTER),
    (msgspec.json.encode(ONE), "", Trouble.NO_MASTER),
    (msgspec.json.encode(ONE), MASTER + " ", Trouble.OTHER_MASTER),
]


@pytest.mark.parametrize(("data", "master", "expected"), FILES)
def test_what_a_studio_says_of_its_file(tmp_path, data, master, expected):
    if data is not None:
        (tmp_path / sealed.FILE).write_bytes(data)
    assert trouble(lambda: sealed.open_one(tmp_path, master, "A")) is expected


@settings(max_examples=50)
@given(st.data())
def test_a_flipped_bit_is_found(data):
    box = ONE.secrets["A"]
    place = data.draw(st.integers(0, 8 * len(box.sealed) - 1))
    flipped = bytearray(box.sealed)
    flipped[place // 8] ^= 1 << place % 8
    held = Sealed(salt=SALT, secrets={"A": Box(box.nonce, bytes(flipped), 7)})
    assert trouble(lambda: sealed.take(held, KEY, "A")) is Trouble.OTHER_MASTER


def test_one_at_a_time_changes_the_file(tmp_path):
    seen: list[str] = []

    def other() -> None:
        with sealed.changing(tmp_path):
            seen.append("other")

    with sealed.changing(tmp_path):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(0.1)
        seen.append("first")
    thread.join()
    assert seen == ["first", "other"]
