"""Tables: priced parts of a batch as lines, in the order of ``scalar``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from steelyard.rating import clocks
from steelyard.rating.calls import Calls, Ints, coded
from steelyard.rating.divisible import Divided
from steelyard.rating.schema import SCHEMA
from steelyard.rating.slots import Part, Slot, minimize
from steelyard.values.periods import Month

_INT64_MAX = 2**63 - 1


def units_of(calls: Calls, parts: list[Part], divided: Sequence[Divided]) -> list[Ints]:
    """How many units each slot of each part has of its calls.

    Shape: one row a call, one column a slot.
    """
    found: list[Ints] = []
    for part, each in zip(parts, divided, strict=True):
        units = np.empty((len(part.rows), len(part.slots)), dtype=np.int64)
        for place, slot in enumerate(part.slots):
            units[:, place] = slot.counted(calls, part, each)
        if part.tariff.minimum_pico:
            minimize(part.slots, part.tariff.minimum_pico, units)
        found.append(units)
    return found


def table(calls: Calls, parts: list[Part], months: Ints, found: Sequence[Ints]) -> pa.Table:
    """The lines of all parts, of ``schema.SCHEMA``, in the order of the batch.

    Shape: ``found`` as ``units_of`` gives it.
    """
    slots = [slot for part in parts for slot in part.slots]
    row, slot, units = _placed(len(calls.at_us), parts, found)
    price_pico = np.array([each.price_pico for each in slots], dtype=np.int64)[slot]
    columns: dict[str, pa.Array[Any]] = {
        name: _word([getattr(each, name) for each in slots], slot)
        for name in Slot._fields
        if name not in {"price_pico", "counted", "own", "credit"}
    }
    columns["period"] = _period(row, months)
    ids = pa.Array.from_buffers(
        pa.binary(16), len(calls.ids) // 16, [None, pa.py_buffer(calls.ids)]
    )
    columns |= {
        "call_id": pa.DictionaryArray.from_arrays(
            calls.call[row].astype(np.int32), ids, safe=False
        ),
        "at_us": pa.array(calls.at_us[row]),
        "units": pa.array(units),
        "price_pico": pa.array(price_pico),
        "amount_pico": _products(units, price_pico),
    }
    return pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def _placed(rows_count: int, parts: list[Part], found: Sequence[Ints]) -> tuple[Ints, Ints, Ints]:
    """The row, the slot and the units of each line.

    Each part's lines are taken call by call, and are then put where the scalar order has them:
    after all lines of earlier calls.
    """
    by_part = [np.zeros(0, dtype=np.int64)]
    slots, units = list(by_part), list(by_part)
    first_slot = 0
    for part, of_part in zip(parts, found, strict=True):
        present = of_part != 0
        numbers = np.arange(first_slot, first_slot + len(part.slots))
        by_part.append(np.count_nonzero(present, axis=1))
        slots.append(np.broadcast_to(numbers, of_part.shape)[present])
        units.append(of_part[present])
        first_slot += len(part.slots)
    rows = np.concatenate([np.zeros(0, dtype=np.int64), *(part.rows for part in parts)])
    lines = np.concatenate(by_part)
    counts = np.zeros(rows_count, dtype=np.int64)
    counts[rows] = lines
    before = (np.cumsum(counts) - counts)[rows] - (np.cumsum(lines) - lines)
    place = np.repeat(before, lines)
    place += np.arange(len(place))
    all_slots, all_units = np.empty_like(place), np.empty_like(place)
    all_slots[place] = np.concatenate(slots)
    all_units[place] = np.concatenate(units)
    return np.repeat(np.arange(rows_count), counts), all_slots, all_units


def months_of(calls: Calls, parts: list[Part], first_open: Month | None) -> Ints:
    """The month of each call, counted from the year 0."""
    months = np.zeros(len(calls.at_us), dtype=np.int64)
    for part in parts:
        months[part.rows] = clocks.months(calls.at_us[part.rows], part.offer.zone)
    return months if first_open is None else np.maximum(months, clocks.number_of(first_open))


def _period(row: Ints, months: Ints) -> pa.Array[Any]:
    """The column of periods: only months that some line is of."""
    lined = np.zeros(len(months), dtype=np.bool_)
    lined[row] = True
    found, places = np.unique(months[lined], return_inverse=True)
    place = np.zeros(len(months), dtype=np.int32)
    place[lined] = places
    return _dictionary(place[row], [str(clocks.month_of(number)) for number in found.tolist()])


def _word(words: list[str], slot: Ints) -> pa.Array[Any]:
    """A column of words that a line has from its slot."""
    code, known = coded(words, len(words))
    return _dictionary(code.astype(np.int32)[slot], list(known))


def _dictionary(code: npt.NDArray[np.int32], words: list[str]) -> pa.Array[Any]:
    return cast(
        "pa.Array[Any]",
        pa.DictionaryArray.from_arrays(code, pa.array(words, pa.string()), safe=False),
    )


def _products(units: Ints, price_pico: Ints) -> pa.Array[Any]:
    """``units × price_pico`` in 128 bits, exactly.

    The low 64 bits are what a product that wraps leaves; the high ones are its sign, but for the
    products that do not fit, whose high bits Python's integers give.
    """
    words = np.empty((len(units), 2), dtype="<i8")
    low = np.multiply(units, price_pico, out=words[:, 0])
    np.right_shift(low, 63, out=words[:, 1])
    if len(low) and _size(units) * _size(price_pico) > _INT64_MAX:
        most = _INT64_MAX // np.maximum(price_pico, 1)
        wide = np.flatnonzero((units > most) | (units < -most))
        pairs = zip(units[wide].tolist(), price_pico[wide].tolist(), strict=True)
        words[wide, 1] = [count * price >> 64 for count, price in pairs]
    return pa.Array.from_buffers(pa.decimal128(38, 0), len(low), [None, pa.py_buffer(words.data)])


def _size(numbers: Ints) -> int:
    """The largest magnitude among numbers."""
    return max(int(numbers.max()), -int(numbers.min()))
