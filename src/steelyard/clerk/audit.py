"""Audit: the books made again from journal, editions and closings alone, and compared.

Nothing that the books say is taken for true but where each batch began and ended in the journal,
and what each closing was told (its time, its edition). The rest is computed again and must be the
same: lines, transfers, hashes, documents, cursors, balances.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
import pyarrow as pa

from steelyard.catalogue.documents import Edition
from steelyard.clerk import parquet
from steelyard.clerk.archive import Archive, BookedBatch, BookedClosing, chained
from steelyard.clerk.books import BookedFact, Issued
from steelyard.clerk.closing import draw_up
from steelyard.clerk.difference import differ, same, same_file, same_row, same_rows
from steelyard.clerk.drawn import Editions, describe, post
from steelyard.clerk.issuing import Document, covered
from steelyard.clerk.kinds import AGAIN
from steelyard.clerk.rebuilt import Before, Rebuilt
from steelyard.ledger import balances as ledger
from steelyard.ledger import chain
from steelyard.ledger.balances import Account, Balance, LedgerError
from steelyard.ledger.transfers import Transfer
from steelyard.metering import inspection
from steelyard.metering.inspection import Inspected
from steelyard.rating import counting
from steelyard.values import periods

_Key = TypeVar("_Key", str, Account, counting.Counter)
_Value = TypeVar("_Value", int, Balance)


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """What one currency's transfers add up to. Unit: pico-units."""

    charged_pico: int = 0
    cost_pico: int = 0
    margin_pico: int = 0
    deposited_pico: int = 0
    invoiced_pico: int = 0
    stated_pico: int = 0


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What an audit found to be as it must be.

    ``unbooked`` records are in the journal and wait for the clerk.
    """

    segments: int
    journal_bytes: int
    records: int
    unbooked: int
    editions: int
    batches: int
    calls: int
    duplicates: int
    conflicts: int
    unrated: int
    facts: int
    lines: int
    line_bytes: int
    transfers: int
    accounts: int
    closings: int
    documents: int
    money: dict[str, Money]


def audit(archive: Archive, journal_root: Path, studio: Path, told: Callable[[int], None]) -> Proof:
    """Make the books again and compare; ``told`` hears of each batch that was proved.

    Raises: DifferenceError, which says where the first difference is.
    """
    segments = _segments(journal_root)
    editions = _editions(archive)
    rebuilt = Rebuilt()
    closings = list(archive.closings())
    last = archive.counts()["batches"]
    for each in closings:
        if each.closing.batch > last:
            differ(f"closing {each.closing.period}", f"there is no batch {each.closing.batch}")
    for booked in archive.batches():
        rows = list(archive.transfers(booked.batch.number))
        moved = _same_batch(archive, booked, editions, rebuilt, journal_root, studio / "lines")
        _same_transfers(rows[: len(moved)], moved, rebuilt)
        rest = rows[len(moved) :]
        while closings and closings[0].closing.batch == booked.batch.number:
            redrawn = _same_closing(archive, closings.pop(0), editions, rebuilt, studio, len(moved))
            _same_transfers(rest[: len(redrawn)], redrawn, rebuilt)
            rest = rest[len(redrawn) :]
            moved = (*moved, *redrawn)
        for extra in rest:
            differ(_transfer(extra), "nothing gives this transfer")
        told(booked.batch.number)
    for extra in closings:
        differ(
            f"closing {extra.closing.period}", f"batch {extra.closing.batch} is out of its order"
        )
    _same_state(archive, rebuilt)
    return _proof(segments, editions, rebuilt)


def _segments(journal_root: Path) -> list[Inspected]:
    found: list[Inspected] = []
    for each in inspection.verify(journal_root):
        if not isinstance(each, Inspected):
            segment = each.path.relative_to(journal_root).as_posix()
            differ(f"journal {segment}, byte {each.offset}", each.reason)
        found.append(each)
    return found


def _editions(archive: Archive) -> Editions:
    found: dict[int, tuple[bytes, Edition]] = {}
    for number, sha256, body in archive.editions():
        place = f"editions, number {number}"
        same(place, "the hash of the body", hashlib.sha256(body).digest(), sha256)
        try:
            found[number] = (sha256, msgspec.json.decode(body, type=Edition))
        except msgspec.DecodeError as exc:
            differ(place, f"the body makes no sense: {exc}")
    return found


def _same_batch(
    archive: Archive,
    booked: BookedBatch,
    editions: Editions,
    rebuilt: Rebuilt,
    journal_root: Path,
    lines: Path,
) -> tuple[Transfer, ...]:
    """Make a batch again and compare it; its transfers."""
    number = rebuilt.batch + 1
    place = f"batches, number {booked.batch.number}"
    same(place, "number", booked.batch.number, number)
    _same_cursors(booked, rebuilt)
    before = Before(archive, rebuilt, editions, journal_root, lines)
    if booked.batch.kind not in AGAIN:
        differ(place, f"nobody knows how to draw up a batch of the kind {booked.batch.kind!r}")
    drawn = AGAIN[booked.batch.kind](before, booked.batch)
    for call_id, digest in drawn.calls:
        _same_call(before.booked, call_id, digest, number)
    posted = post(drawn, number)
    written = _same_lines(booked, drawn.table, lines)
    batch = describe(drawn, before.head(), posted, written)
    batch = msgspec.structs.replace(batch, documents=tuple(map(covered, archive.documents(number))))
    same_row(place, booked.batch, batch)
    same_rows(
        lambda row: f"set_aside, batch {number}, call {row.call_id.hex()}",
        archive.set_aside(number),
        drawn.set_aside,
    )
    notes = archive.documents(number)
    _same_documents(notes, drawn.documents, rebuilt, lines.parent)
    facts = [BookedFact(number, each) for each in drawn.facts]
    same_rows(lambda row: f"facts, fact {row.fact.fact_id.hex()}", archive.facts(number), facts)
    rebuilt.hash = chain.batch_hash(rebuilt.hash, batch, posted.transfers)
    same(place, "hash", booked.hash, rebuilt.hash)
    rebuilt.batch = number
    rebuilt.batches.append(batch)
    rebuilt.counters |= dict(drawn.counters)
    for key, value in drawn.counters:
        if not value:
            del rebuilt.counters[key]
    rebuilt.facts += facts
    rebuilt.rows["facts"] += len(facts)
    rebuilt.rows["batch_counters"] += len(drawn.counters)
    rebuilt.rows["batches"] += 1
    rebuilt.rows["ranges"] += len(batch.ranges)
    rebuilt.rows["batch_periods"] += len(batch.periods)
    rebuilt.rows["batch_editions"] += len(batch.editions)
    rebuilt.rows["calls"] += batch.calls
    rebuilt.rows["set_aside"] += len(drawn.set_aside)
    rebuilt.sums["records"] += batch.calls + batch.duplicates + batch.conflicts
    for name in ("duplicates", "conflicts", "unrated", "lines", "file_bytes"):
        rebuilt.sums[name] += getattr(batch, name)
    return posted.transfers


def _same_cursors(booked: BookedBatch, rebuilt: Rebuilt) -> None:
    for each in booked.batch.ranges:
        place = f"ranges, batch {booked.batch.number}, segment {each.segment}"
        same(place, "start", each.start, rebuilt.cursors.get(each.segment, 0))
        rebuilt.cursors[each.segment] = each.end


def _same_call(
    booked: Mapping[bytes, tuple[bytes, int]], call_id: bytes, digest: bytes, number: int
) -> None:
    place = f"calls, call {call_id.hex()}"
    if call_id not in booked:
        differ(place, f"the row is missing; batch {number} booked the call")
    same(place, "batch", booked[call_id][1], number)
    same(place, "digest", booked[call_id][0], digest)


def _same_lines(booked: BookedBatch, table: pa.Table, lines: Path) -> parquet.LineFile:
    path = parquet.path_of(lines, booked.batch.number)
    name = f"lines/{path.name}"
    try:
        found = path.read_bytes()
    except OSError as exc:
        differ(name, f"the file can't be read: {exc.strerror}")
    sha256 = hashlib.sha256(found).digest()
    untouched = sha256 == booked.batch.file_sha256
    same_file(name, found, table, untouched=untouched)
    return parquet.LineFile(len(found), sha256)


def _same_closing(
    archive: Archive,
    booked: BookedClosing,
    editions: Editions,
    rebuilt: Rebuilt,
    studio: Path,
    sequence: int,
) -> tuple[Transfer, ...]:
    """Draw up a closing again and compare it; its transfers."""
    found = booked.closing
    place = f"closing {found.period}"
    if found.edition not in editions:
        differ(place, f"edition {found.edition} is not recorded")
    redrawn = draw_up(
        archive.line_sums(found.period, found.batch),
        found.edition,
        editions[found.edition][1],
        periods.month(found.period),
        found.closed_at_us,
        (found.batch, sequence + 1),
    )
    same(place, "early", found.early, redrawn.early)
    _same_documents(found.documents, redrawn.documents, rebuilt, studio)
    same_rows(_transfer, found.transfers, redrawn.transfers)
    rebuilt.hash = chain.closing_hash(rebuilt.hash, chained(found), redrawn.transfers)
    same(place, "hash", booked.hash, rebuilt.hash)
    rebuilt.closed = max(rebuilt.closed or "", found.period)
    rebuilt.closed_by[found.period] = found.edition
    rebuilt.rows["closings"] += 1
    return redrawn.transfers


def _same_documents(
    found: Sequence[Document], redrawn: Sequence[Document], rebuilt: Rebuilt, studio: Path
) -> None:
    """Compare what was issued, and that it is on the disk as it was."""
    for document in found:
        for file in document.files:
            same(file.path, "the hash of the recorded content", _hex(file.content), file.sha256)
            on_disk = studio / file.path
            if not on_disk.is_file():
                differ(file.path, "the file is missing; `steelyard close` of its month writes it")
            same(file.path, "the hash of the file", _hex(on_disk.read_bytes()), file.sha256)
    # The same amounts may be printed another way by another version: the content has its hash.
    same_rows(
        lambda row: f"documents, number {row.number}",
        [msgspec.structs.replace(each, files=()) for each in found],
        [msgspec.structs.replace(each, files=()) for each in redrawn],
    )
    rebuilt.rows["documents"] += len(found)
    rebuilt.rows["document_files"] += sum(len(each.files) for each in found)
    rebuilt.issued += [
        Issued(
            number=each.number,
            kind=each.kind,
            period=each.period,
            contract=each.contract,
            currency=each.currency,
        )
        for each in found
    ]


def _same_transfers(found: Sequence[Transfer], moved: Sequence[Transfer], rebuilt: Rebuilt) -> None:
    same_rows(_transfer, found, moved)
    try:
        rebuilt.balances |= ledger.apply(rebuilt.balances, moved)
    except LedgerError as exc:
        differ("transfers", str(exc))
    rebuilt.rows["transfers"] += len(moved)
    for each in moved:
        amount_pico = each.amount_pico if _is_forth(each) else -each.amount_pico
        rebuilt.money[each.currency][each.code] += amount_pico


def _is_forth(moved: Transfer) -> bool:
    """Whether a transfer goes the way that its kind mostly goes, and not back."""
    match moved.code:
        case "deposit":
            return moved.debit.endswith("/unbilled")
        case "charge":
            return moved.credit.startswith("sales/")
        case "cost" | "margin":
            return moved.debit.startswith("sales/")
        case "invoice":
            return moved.debit.endswith("/receivable")
        case "statement":
            return moved.credit.endswith("/payable")
        case "rounding":
            return moved.debit.startswith("earner/")
        case "receipt":
            return True


def _same_state(archive: Archive, rebuilt: Rebuilt) -> None:
    """Compare what only stands for the sum of all entries, and look for rows that none gave."""
    _same_mapping("cursors, segment", archive.cursors(), rebuilt.cursors)
    _same_mapping("balances, account", archive.balances(), rebuilt.balances)
    _same_mapping("counters, counter", archive.counters(), rebuilt.counters)
    rebuilt.rows["counters"] = len(rebuilt.counters)
    for fault in ledger.faults(rebuilt.balances):
        differ("balances", fault)
    rebuilt.rows["cursors"] = len(rebuilt.cursors)
    rebuilt.rows["balances"] = len(rebuilt.balances)
    for table, count in archive.counts().items():
        same(table, "the number of rows", count, rebuilt.rows[table])


def _same_mapping(place: str, found: Mapping[_Key, _Value], rebuilt: Mapping[_Key, _Value]) -> None:
    for key in sorted({*found, *rebuilt}):
        here = f"{place} {' '.join(key) if isinstance(key, tuple) else key}"
        if key not in rebuilt:
            differ(here, "nothing gives this row")
        if key not in found:
            differ(here, "the row is missing")
        same(here, "the row", found[key], rebuilt[key])


def _proof(segments: Sequence[Inspected], editions: Editions, rebuilt: Rebuilt) -> Proof:
    records = sum(each.records for each in segments)
    return Proof(
        segments=len(segments),
        journal_bytes=sum(each.bytes for each in segments),
        records=records,
        unbooked=records - rebuilt.sums["records"],
        editions=len(editions),
        batches=rebuilt.batch,
        calls=rebuilt.rows["calls"],
        duplicates=rebuilt.sums["duplicates"],
        conflicts=rebuilt.sums["conflicts"],
        unrated=rebuilt.sums["unrated"],
        facts=len(rebuilt.facts),
        lines=rebuilt.sums["lines"],
        line_bytes=rebuilt.sums["file_bytes"],
        transfers=rebuilt.rows["transfers"],
        accounts=len(rebuilt.balances),
        closings=rebuilt.rows["closings"],
        documents=rebuilt.rows["documents"],
        money={
            currency: Money(
                charged_pico=moved["charge"],
                cost_pico=moved["cost"],
                margin_pico=moved["margin"],
                deposited_pico=moved["deposit"],
                invoiced_pico=moved["invoice"],
                stated_pico=moved["statement"],
            )
            for currency, moved in sorted(rebuilt.money.items())
        },
    )


def _transfer(row: Transfer) -> str:
    return f"transfers, batch {row.batch}, sequence {row.sequence}"


def _hex(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
