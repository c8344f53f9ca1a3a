from __future__ import annotations

import random
import re
import shutil
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from steelyard.clerk import closing, parquet, publishing
from steelyard.clerk.audit import Proof, audit
from steelyard.clerk.difference import DifferenceError
from steelyard.store import tables
from steelyard.store.archive import open_archive
from steelyard.store.closings import Closings
from steelyard.store.engines import writing
from steelyard.values import periods
from steelyard.values.facts import Fact
from steelyard.values.ids import content_id
from tests.clerk.desk import DOCUMENTS, Desk, altered, calls, journal, told, us

DECEMBER_US = us("2026-12-02T00:00:00+08:00")
SEGMENT = "live-1/00000001.seg"


def close(desk: Desk, month: str) -> None:
    closed = closing.close(
        Closings(desk.engine, desk.lines), 1, DOCUMENTS, periods.month(month), DECEMBER_US
    )
    assert isinstance(closed, closing.Closing)
    publishing.publish(closed.documents, desk.root)


FACT = Fact(content_id(DECEMBER_US, b"fact"), DECEMBER_US, "said", "{}", "somebody")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """Books with batches before and after closings, and with records that were set aside."""
    root = tmp_path_factory.mktemp("whole")
    first, second, *rest = calls(60)
    journal(root, "live-1", [first, *rest], blocks=False)
    journal(root, "live-2", [altered(first, user="another"), altered(second, model="unsold")])
    with Desk(root) as desk:
        desk.book(25)
        told(root, "told-1", FACT)
        close(desk, "2026-10")
        journal(root, "live-3", calls(10, seed=1))
        desk.book(25)
        close(desk, "2026-11")
        journal(root, "live-4", calls(10, seed=2))
        desk.book(25)
    return root


@pytest.fixture
def desk(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "desk")
    with Desk(tmp_path / "desk") as opened:
        yield opened


def audited(desk: Desk) -> Proof:
    with open_archive(desk.engine, desk.lines) as archive:
        return audit(archive, desk.journal, desk.root, lambda _: None)


def difference(desk: Desk) -> str:
    with pytest.raises(DifferenceError) as caught:
        audited(desk)
    return str(caught.value)


def test_whole_books_are_proved(desk):
    proof = audited(desk)
    assert msgspec.structs.replace(proof, journal_bytes=0, line_bytes=0, money={}) == Proof(
        segments=5,
        journal_bytes=0,
        records=81,
        unbooked=0,
        editions=1,
        batches=5,
        calls=80,
        duplicates=0,
        conflicts=1,
        unrated=1,
        facts=1,
        lines=proof.lines,
        line_bytes=0,
        transfers=proof.transfers,
        accounts=proof.accounts,
        closings=2,
        documents=14,
        money={},
    )
    cny = proof.money["CNY"]
    assert cny.charged_pico == cny.cost_pico + cny.margin_pico
    assert cny.charged_pico > 0
    assert cny.stated_pico == cny.invoiced_pico > 0


def test_what_waits_for_the_clerk_is_counted(desk):
    journal(desk.root, "live-5", calls(7, seed=5))
    assert audited(desk).unbooked == 7


def flip(file: Path, byte: int, bit: int) -> None:
    data = bytearray(file.read_bytes())
    data[byte] ^= 1 << bit
    file.write_bytes(data)


@pytest.mark.parametrize("part", range(12))
def test_a_flipped_bit_in_the_journal_is_located(desk, part):
    file = desk.journal / SEGMENT
    chance = random.Random(part)
    size = file.stat().st_size
    byte = size * part // 12 + chance.randrange(size // 12)
    flip(file, byte, chance.randrange(8))
    found = re.match(rf"journal {SEGMENT}, byte (\d+): ", difference(desk))
    assert found, "another place"
    assert byte - 400 < int(found[1]) <= byte, "the frame with the flipped byte"


@pytest.mark.parametrize("part", range(12))
def test_a_flipped_bit_in_a_line_file_is_located(desk, part):
    file = parquet.path_of(desk.lines, 2)
    chance = random.Random(part)
    size = file.stat().st_size
    byte = size * part // 12 + chance.randrange(size // 12)
    flip(file, byte, chance.randrange(8))
    assert difference(desk).startswith(f"lines/00000002.parquet, byte {byte}")


def test_an_altered_line_is_located_though_the_file_is_sound(desk):
    file = parquet.path_of(desk.lines, 2)
    table = parquet.pq.read_table(file)
    units: list = table.column("units").to_pylist()
    units[4] += 1
    place = table.schema.get_field_index("units")
    changed = table.set_column(place, table.schema.field("units"), [units])
    parquet.write(desk.lines, 2, changed)
    found = difference(desk)
    assert re.fullmatch(
        rf"lines/00000002.parquet, byte \d+, line 5: units is {units[4]}, "
        rf"and must be {units[4] - 1}",
        found,
    )


def test_a_missing_file_is_named(desk):
    parquet.path_of(desk.lines, 3).unlink()
    assert difference(desk).startswith("lines/00000003.parquet: the file can't be read")


def test_a_missing_segment_is_named(desk):
    (desk.journal / SEGMENT).unlink()
    assert difference(desk).startswith(f"ranges, batch 1, segment {SEGMENT}: at byte 0")


def test_a_flipped_bit_in_a_document_is_located(desk):
    file = min((desk.root / "documents").rglob("*.txt"))
    flip(file, 10, 0)
    path = file.relative_to(desk.root).as_posix()
    assert difference(desk).startswith(f"{path}: the hash of the file is ")


def update(desk: Desk, statement: str) -> None:
    with writing(desk.engine) as connection:
        assert connection.exec_driver_sql(statement).rowcount == 1


ALTERED_ROWS = [
    # what is done to one row, and where the audit finds it
    (
        "UPDATE transfers SET amount_pico = '1' WHERE batch = 2 AND sequence = 3",
        "transfers, batch 2, sequence 3: amount_pico is 1, and must be",
    ),
    (
        "UPDATE transfers SET debit = 'customer/bee/unbilled' WHERE batch = 2 AND sequence = 1",
        "transfers, batch 2, sequence 1: debit is customer/bee/unbilled, and must be customer/acme",
    ),
    (
        "UPDATE transfers SET credit = 'earner/thief/model' WHERE batch = 1 AND sequence = 2",
        "transfers, batch 1, sequence 2: credit is earner/thief/model, and must be",
    ),
    (
        "DELETE FROM transfers WHERE batch = 2 AND sequence = 2",
        "transfers, batch 2, sequence 2: ",
    ),
    (
        (
            "INSERT INTO transfers SELECT batch, 999, debit, credit, amount_pico, currency, code, "
            "period, state FROM transfers WHERE batch = 2 AND sequence = 2"
        ),
        "transfers, batch 2, sequence 999: nothing gives this transfer",
    ),
    (
        (
            "INSERT INTO transfers SELECT 99, 1, debit, credit, amount_pico, currency, code, "
            "period, state FROM transfers WHERE batch = 2 AND sequence = 2"
        ),
        "transfers: the number of rows is",
    ),
    (
        "UPDATE counters SET value = 7 WHERE name = 'grant welcome'",
        "counters, counter bee-2026 grant welcome   : the row is 7, and must be 30000",
    ),
    (
        "UPDATE batch_counters SET value = 7 WHERE name = 'grant welcome' AND batch = 1",
        "batches, number 1: counters is",
    ),
    ("UPDATE batches SET hash = x'00' WHERE number = 2", "batches, number 2: hash is 00, and"),
    ("UPDATE batches SET kind = 'gift' WHERE number = 2", "batches, number 2: nobody knows how"),
    (
        "UPDATE batches SET made_from = '{}' WHERE number = 2",
        "batches, number 2: made_from is {}, and",
    ),
    ("UPDATE batches SET calls = 9 WHERE number = 2", "batches, number 2: calls is 9, and"),
    (
        "UPDATE batches SET file_sha256 = x'00' WHERE number = 2",
        "batches, number 2: file_sha256 is 00, and",
    ),
    (
        "UPDATE batches SET first_open = NULL WHERE number = 4",
        "batches, number 4: first_open is None, and must be 2026-11",
    ),
    ("DELETE FROM batches WHERE number = 2", "batches, number 3: number is 3, and must be 2"),
    (
        "UPDATE ranges SET start = 0 WHERE batch = 2 AND segment LIKE 'live-1%'",
        f"ranges, batch 2, segment {SEGMENT}: start is 0, and must be",
    ),
    (
        'UPDATE ranges SET "end" = "end" - 1 WHERE batch = 2 AND segment LIKE \'live-1%\'',
        f"ranges, batch 2, segment {SEGMENT}: at byte",
    ),
    (
        "UPDATE batch_periods SET period = '2026-09' WHERE batch = 2 AND period = '2026-10'",
        "batches, number 2: periods is",
    ),
    (
        "UPDATE batch_editions SET edition = 7 WHERE batch = 2",
        "batches, number 2: editions is",
    ),
    (
        "UPDATE cursors SET \"offset\" = 5 WHERE segment LIKE 'live-1%'",
        f"cursors, segment {SEGMENT}: the row is 5, and must be",
    ),
    (
        (
            "UPDATE balances SET credit_pico = '7' WHERE account = 'earner/lab/payable' "
            "AND period = '2026-10'"
        ),
        "balances, account earner/lab/payable CNY 2026-10: the row is",
    ),
    (
        (
            "UPDATE balances SET account = 'earner/thief/payable' "
            "WHERE account = 'earner/lab/payable' AND period = '2026-10'"
        ),
        "balances, account earner/lab/payable CNY 2026-10: the row is missing",
    ),
    (
        "INSERT INTO balances VALUES ('a', 'CNY', '2026-10', '0', '0')",
        "balances, account a CNY 2026-10: nothing gives this row",
    ),
    (
        "UPDATE calls SET digest = x'00' WHERE call_id = (SELECT min(call_id) FROM calls)",
        "calls, call ",
    ),
    (
        "UPDATE calls SET batch = 5 WHERE call_id = (SELECT min(call_id) FROM calls)",
        "calls, call ",
    ),
    ("DELETE FROM calls WHERE call_id = (SELECT min(call_id) FROM calls)", "calls, call "),
    ("INSERT INTO calls VALUES (x'00', x'00', 1)", "calls: the number of rows is 81, and"),
    ("UPDATE set_aside SET reason = 'time' WHERE reason = 'model'", "set_aside, batch 3, call "),
    ("UPDATE facts SET body = '{ }' WHERE batch = 4", "facts, fact "),
    ("UPDATE editions SET body = x'00' WHERE number = 1", "editions, number 1: the hash of the"),
    (
        "UPDATE closings SET closed_at_us = closed_at_us + 1 WHERE period = '2026-10'",
        "closing 2026-10: hash is",
    ),
    ("UPDATE closings SET hash = x'00' WHERE period = '2026-10'", "closing 2026-10: hash is 00"),
    ("UPDATE closings SET early = 1 WHERE period = '2026-10'", "closing 2026-10: early is True"),
    (
        "UPDATE closings SET first_sequence = first_sequence + 1 WHERE period = '2026-10'",
        "transfers, batch 3, sequence ",
    ),
    ("UPDATE closings SET batch = 4 WHERE period = '2026-10'", "transfers, batch 3, sequence "),
    ("UPDATE closings SET batch = 77 WHERE period = '2026-11'", "closing 2026-11: there is no"),
    (
        "UPDATE documents SET paid_pico = '1' WHERE number = 'INV-2026-10-acme-0001'",
        "documents, number INV-2026-10-acme-0001: paid_pico is 1, and must be",
    ),
    (
        (
            "UPDATE document_files SET content = x'00' "
            "WHERE path = 'documents/2026-10/invoices/INV-2026-10-acme-0001.txt'"
        ),
        "documents/2026-10/invoices/INV-2026-10-acme-0001.txt: the hash of the recorded content",
    ),
]


@pytest.mark.parametrize(("statement", "place"), ALTERED_ROWS)
def test_an_altered_row_is_located(desk, statement, place):
    update(desk, statement)
    assert difference(desk).startswith(place)


def test_every_table_of_the_books_is_altered_above():
    beside = {table.name for table in tables.BESIDE_THE_BOOKS}
    books = {table.name for table in tables.METADATA.sorted_tables} - beside
    tried = {
        re.split(r"UPDATE |INSERT INTO |DELETE FROM ", s)[1].split()[0] for s, _ in ALTERED_ROWS
    }
    assert tried == books


def test_a_body_that_was_altered_with_its_hash_breaks_the_chain(desk):
    other = msgspec.structs.replace(DOCUMENTS, zone="UTC")
    body = msgspec.json.encode(other, order="deterministic")
    with writing(desk.engine) as connection:
        row = {"body": body, "sha256": parquet.hashlib.sha256(body).digest()}
        connection.execute(sa.update(tables.editions).values(row))
    assert difference(desk).startswith("batches, number 1: hash is")
