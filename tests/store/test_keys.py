from __future__ import annotations

import msgspec
import pytest

from steelyard.governance.keys import Key, digest
from steelyard.store.keys import Keys

KEY = Key(
    id="key-1",
    customer="acme",
    contract="acme-2026",
    models=("qwen3-*", "glm-5"),
    sha256=digest("sk-sy-1"),
    name="laptop",
    hint="sk-sy-…1234",
    created_us=2,
)
OLDER = msgspec.structs.replace(KEY, id="key-0", sha256=digest("sk-sy-0"), created_us=1)


def test_keys_come_back_oldest_first(engine):
    keys = Keys(engine)
    keys.add(KEY)
    keys.add(OLDER)
    assert keys.all() == (OLDER, KEY)


def test_a_key_is_found_by_the_digest_of_its_secret(engine):
    keys = Keys(engine)
    keys.add(KEY)
    keys.add(OLDER)
    assert keys.of(digest("sk-sy-1")) == KEY
    keys.revoke("key-1", 5)
    assert keys.of(digest("sk-sy-1")) == msgspec.structs.replace(KEY, revoked_us=5)
    assert keys.of(digest("sk-sy-2")) is None


@pytest.mark.parametrize("same", ["id", "sha256"])
def test_an_id_and_a_secret_are_there_once(engine, same):
    keys = Keys(engine)
    keys.add(KEY)
    with pytest.raises(ValueError, match="already"):
        keys.add(msgspec.structs.replace(OLDER, **{same: getattr(KEY, same)}))
    assert keys.all() == (KEY,)


def test_the_first_revocation_counts(engine):
    keys = Keys(engine)
    keys.add(KEY)
    assert keys.revoke("key-1", 5)
    assert keys.revoke("key-1", 9)
    assert not keys.revoke("key-2", 9)
    assert keys.all() == (msgspec.structs.replace(KEY, revoked_us=5),)


def test_a_key_keeps_what_it_may_and_how_it_is_treated(engine):
    keys = Keys(engine)
    like = {
        "regions": ("cn-*",),
        "routing": True,
        "workspace": "lab",
        "project": "p",
        "priority": 7,
    }
    keys.add(msgspec.structs.replace(KEY, **like))
    keys.add(OLDER)
    assert keys.all() == (OLDER, msgspec.structs.replace(KEY, **like))


def test_a_changed_key_keeps_whose_it_is(engine):
    keys = Keys(engine)
    keys.add(KEY)
    seen, _ = keys.changed(0)
    like = {"models": ("*",), "regions": ("eu",), "routing": True, "workspace": "lab"}
    other = {"customer": "other", "contract": "other", "sha256": digest("x"), "created_us": 9}
    asked = msgspec.structs.replace(KEY, **like, **other, name="desk", priority=3)
    assert keys.change(asked)
    changed = msgspec.structs.replace(KEY, **like, name="desk", priority=3)
    assert keys.all() == (changed,)
    assert keys.changed(seen)[1] == (changed,)
    assert not keys.change(msgspec.structs.replace(KEY, id="key-2"))
