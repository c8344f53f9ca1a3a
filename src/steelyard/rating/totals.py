"""Totals: the exact sums of a batch's lines that go the same way."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from steelyard.rating.lines import Total

Ints = npt.NDArray[np.int64]

_KEYS = ("period", "side", "customer", "contract", "model", "component", "party", "currency")
_WORDS, _WORD_BITS = 4, 32
_SPARSE = 1 << 22
"""From how many possible keys on they are sorted instead of counted."""


def totals(table: pa.Table) -> list[Total]:
    """The sums of ``amount_pico`` by everything that decides where an amount goes, in order.

    They are exact: 32 bits of each amount are summed at a time, in 64 bits, and put together as
    Python's integers. Lines whose price is zero make a total of zero.
    """
    if not table.num_rows:
        return []
    code, space = np.zeros(table.num_rows, dtype=np.int64), 1
    for name in _KEYS:
        column = cast(
            "pa.DictionaryArray[Any, Any]",
            table.column(name).unify_dictionaries().combine_chunks(),
        )
        if (words := len(column.dictionary)) > 1:
            if space * words > _SPARSE:
                code = _dense(code)
                space = int(code.max()) + 1
            code = code * words + column.indices.to_numpy()
            space *= words
    code = _dense(code)
    count = int(code.max()) + 1
    sums = _sums(code, count, table.column("amount_pico").combine_chunks())
    example = np.empty(count, dtype=np.int64)
    example[code] = np.arange(len(code))
    rows = table.select(_KEYS).take(example).to_pylist()
    return sorted(Total(**row, amount_pico=amount) for row, amount in zip(rows, sums, strict=True))


def _dense(code: Ints) -> Ints:
    """Renumber codes without gaps, in their order."""
    space = int(code.max()) + 1
    if space > _SPARSE:
        return np.unique(code, return_inverse=True)[1]
    present = np.zeros(space, dtype=np.int64)
    present[code] = 1
    return (np.cumsum(present) - 1)[code]


def _sums(code: Ints, count: int, amounts: pa.Array[Any]) -> list[int]:
    held = memoryview(cast("bytes", amounts.buffers()[1]))
    words = np.frombuffer(held, dtype="<u4").reshape(-1, _WORDS)
    words = words[amounts.offset : amounts.offset + len(amounts)]
    sums = [0] * count
    for place in range(_WORDS):
        # Two's complement: the last word carries the sign, the others are natural numbers.
        part = words[:, place] if place < _WORDS - 1 else words.view("<i4")[:, place]
        if not part.any():
            continue
        found = np.zeros(count, dtype=np.int64)
        np.add.at(found, code, part.astype(np.int64))
        sums = [
            whole + (more << (_WORD_BITS * place))
            for whole, more in zip(sums, found.tolist(), strict=True)
        ]
    return sums
