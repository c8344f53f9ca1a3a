from __future__ import annotations

import hashlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.governance import keys
from steelyard.governance.keys import Key, Refusal

SECRET = keys.new_secret(bytes(range(32)))
KEY = Key(
    id="k1",
    customer="acme",
    contract="acme-2026",
    models=("qwen3-*", "glm-5"),
    sha256=keys.digest(SECRET),
    created_us=1_000,
)


@given(st.binary(min_size=32, max_size=32))
def test_a_secret_is_the_prefix_and_43_digits(random):
    secret = keys.new_secret(random)
    assert secret.startswith("sk-sy-")
    assert len(secret) == len("sk-sy-") + 43
    assert set(secret.removeprefix("sk-sy-")) <= set(string.ascii_letters + string.digits)


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_two_secrets_are_equal_only_if_their_randomness_is(one, other):
    assert (keys.new_secret(one) == keys.new_secret(other)) == (one == other)


def test_what_is_kept_of_a_secret_is_its_sha256():
    assert KEY.sha256 == hashlib.sha256(SECRET.encode()).hexdigest()
    assert SECRET not in repr(KEY)


@pytest.mark.parametrize(
    ("secret", "shown"),
    [(SECRET, "sk-sy-…" + SECRET[-4:]), ("made-elsewhere", "…here")],
)
def test_a_hint_shows_the_last_four(secret, shown):
    assert keys.hint(secret) == shown


REVOKED = Key(
    id="k2", customer="acme", contract="acme-2026", sha256=keys.digest("old"), revoked_us=5_000
)
KNOWN = keys.by_digest([KEY, REVOKED])


@pytest.mark.parametrize(
    ("secret", "at_us", "found"),
    [
        (SECRET, 2_000, KEY),
        (None, 2_000, Refusal.MISSING),
        ("", 2_000, Refusal.MISSING),
        ("sk-sy-other", 2_000, Refusal.UNKNOWN),
        ("old", 4_999, REVOKED),
        ("old", 5_000, Refusal.REVOKED),
        ("old", 9_000, Refusal.REVOKED),
    ],
)
def test_who_a_secret_belongs_to(secret, at_us, found):
    assert keys.recognise(KNOWN, secret, at_us) is found


@pytest.mark.parametrize(
    ("model", "allowed"), [("qwen3-max", True), ("glm-5", True), ("glm-5.3", False), ("x", False)]
)
def test_a_key_opens_the_models_of_its_patterns(model, allowed):
    assert keys.opens(KEY, model) is allowed


def test_of_two_keys_with_one_secret_the_first_holds():
    other = Key(id="k3", customer="evil", contract="c", sha256=KEY.sha256)
    assert keys.by_digest([KEY, other])[KEY.sha256] is KEY


def test_a_declared_key_without_its_secret_opens_for_nobody():
    known = keys.by_digest([Key(id="k4", customer="a", contract="c", sha256="")])
    assert keys.recognise(known, "", 0) is Refusal.MISSING
    assert keys.recognise(known, "anything", 0) is Refusal.UNKNOWN
