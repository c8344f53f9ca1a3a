from __future__ import annotations

import hashlib

import msgspec
import pytest

from steelyard.ledger.chain import (
    GENESIS,
    Batch,
    Closing,
    Document,
    Range,
    batch_hash,
    closing_hash,
)
from steelyard.ledger.transfers import Transfer

BATCH = Batch(
    number=1,
    first_open=None,
    ranges=(Range("gateway-1f/00000001.seg", 0, 512),),
    editions=((3, b"\x01" * 32),),
    calls=2,
    unrated=0,
    duplicates=1,
    conflicts=0,
    lines=9,
    periods=("2026-10", "2026-11"),
    file_bytes=4096,
    file_sha256=b"\x02" * 32,
)
MOVED = Transfer(
    batch=1,
    sequence=1,
    debit="customer/a/unbilled",
    credit="sales/c/m",
    amount_pico=1024,
    currency="CNY",
    code="charge",
    period="2026-11",
)
ISSUED = Document(
    number="INV-1",
    kind="invoice",
    party="acme",
    contract="c",
    currency="CNY",
    exact_pico=2**70,
    paid_pico=2**70,
    files=(("documents/inv-1.txt", "ab" * 32),),
)
CLOSING = Closing(
    period="2026-11", batch=1, edition=3, closed_at_us=5, early=False, documents=(ISSUED,)
)


def test_anyone_can_make_the_hash_again():
    text = "\n".join(
        [
            f'"{"00" * 32}"',
            f'["batch",1,null,2,0,1,0,9,["2026-10","2026-11"],4096,"{"02" * 32}"]',
            '["range","gateway-1f/00000001.seg",0,512]',
            f'["edition",3,"{"01" * 32}"]',
            '["transfer",1,1,"customer/a/unbilled","sales/c/m","1024","CNY","charge","2026-11","posted"]',
        ]
    )
    assert batch_hash(GENESIS, BATCH, [MOVED]) == hashlib.sha256(text.encode()).digest()


def test_a_batch_of_another_kind_says_what_it_was_made_from():
    fee = msgspec.structs.replace(BATCH, kind="period", ranges=(), editions=(), made_from="{}")
    text = "\n".join(
        [
            f'"{"00" * 32}"',
            f'["batch",1,null,2,0,1,0,9,["2026-10","2026-11"],4096,"{"02" * 32}","period","{{}}"]',
        ]
    )
    assert batch_hash(GENESIS, fee, []) == hashlib.sha256(text.encode()).digest()


ALTERED = [
    # every field of a value, and another value for it
    (BATCH, "number", 2),
    (BATCH, "first_open", "2026-12"),
    (BATCH, "ranges", (Range("gateway-1f/00000001.seg", 0, 513),)),
    (BATCH, "editions", ((3, b"\x01" * 31 + b"\x00"),)),
    (BATCH, "calls", 3),
    (BATCH, "unrated", 1),
    (BATCH, "duplicates", 2),
    (BATCH, "conflicts", 1),
    (BATCH, "lines", 8),
    (BATCH, "periods", ("2026-11",)),
    (BATCH, "file_bytes", 4097),
    (BATCH, "file_sha256", b"\x03" * 32),
    (BATCH, "counters", ((("c", "grant g", "m", "", ""), 7),)),
    (BATCH, "kind", "period"),
    (BATCH, "made_from", '{"period": "2026-11"}'),
    (BATCH, "documents", (ISSUED,)),
    (MOVED, "batch", 2),
    (MOVED, "sequence", 2),
    (MOVED, "debit", "customer/bcme/unbilled"),
    (MOVED, "credit", "sales/c/n"),
    (MOVED, "amount_pico", 2**70),
    (MOVED, "currency", "USD"),
    (MOVED, "code", "cost"),
    (MOVED, "period", "2026-12"),
    (MOVED, "state", "void"),
    (CLOSING, "period", "2026-12"),
    (CLOSING, "batch", 2),
    (CLOSING, "edition", 4),
    (CLOSING, "closed_at_us", 6),
    (CLOSING, "early", True),
    (CLOSING, "documents", ()),
    (ISSUED, "number", "INV-2"),
    (ISSUED, "kind", "statement"),
    (ISSUED, "party", "b"),
    (ISSUED, "contract", "d"),
    (ISSUED, "currency", "USD"),
    (ISSUED, "exact_pico", 1),
    (ISSUED, "paid_pico", 1),
    (ISSUED, "files", (("documents/inv-1.txt", "ac" * 32),)),
]


def hashes(old=None, new=None):
    """The hashes of the batch and of the closing, with one value in them replaced."""
    batch, closing, moved, issued = (
        new if one is old else one for one in (BATCH, CLOSING, MOVED, ISSUED)
    )
    assert isinstance(batch, Batch)
    assert isinstance(closing, Closing)
    assert isinstance(moved, Transfer)
    assert isinstance(issued, Document)
    if old is ISSUED:
        closing = msgspec.structs.replace(closing, documents=(issued,))
    return batch_hash(GENESIS, batch, [moved]), closing_hash(GENESIS, closing, [moved])


@pytest.mark.parametrize(("value", "field", "other"), ALTERED)
def test_each_field_is_covered(value, field, other):
    altered = hashes(value, msgspec.structs.replace(value, **{field: other}))
    same = [one == two for one, two in zip(altered, hashes(), strict=True)]
    assert same == [value is not BATCH and value is not MOVED, value is BATCH]


def test_every_field_is_altered_above():
    altered = {(type(value), field) for value, field, _ in ALTERED}
    for kind in (Batch, Transfer, Closing, Document):
        assert {(kind, name) for name in kind.__struct_fields__} == {
            one for one in altered if one[0] is kind
        }


def test_the_entry_before_is_covered():
    assert batch_hash(GENESIS, BATCH, []) != batch_hash(b"\x01" * 32, BATCH, [])
