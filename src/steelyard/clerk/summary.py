"""Summary: what a correction changes, by who pays, by model and by who earns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, cast

import msgspec

from steelyard.clerk.drawn import Drawn
from steelyard.clerk.issuing import Document
from steelyard.rating.differing import summed
from steelyard.rating.lines import LineSum


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What is added for someone, or for a model. Unit: pico-units; less than nothing: taken back.

    ``contract`` is empty but for who pays.
    """

    name: str
    contract: str
    currency: str
    charged_pico: int
    cost_pico: int


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a correction changes. ``kept`` calls stay as they are, since they would have no price.

    ``models`` have charges and costs, ``payers`` charges, ``earners`` costs alone.
    """

    calls: int
    lines: int
    kept: int
    payers: tuple[Difference, ...]
    models: tuple[Difference, ...]
    earners: tuple[Difference, ...]
    documents: tuple[Document, ...]

    @property
    def nothing(self) -> bool:
        """Whether it changes nothing."""
        return not self.lines


def summary(drawn: Drawn) -> Summary:
    """Sum up what a correction would book, or has booked."""
    sums = summed(drawn.table)
    charges = [each for each in sums if each.side == "charge"]
    costs = [each for each in sums if each.side == "cost"]
    ids = cast("list[Any]", drawn.table.column("call_id").to_pylist())
    return Summary(
        calls=len(set(ids)),
        lines=drawn.table.num_rows,
        kept=len(drawn.set_aside),
        payers=_by(charges, lambda each: (each.customer, each.contract)),
        models=_by(sums, lambda each: (each.model, "")),
        earners=_by(costs, lambda each: (each.party, "")),
        documents=drawn.documents,
    )


def _by(
    sums: Iterable[LineSum], name: Callable[[LineSum], tuple[str, str]]
) -> tuple[Difference, ...]:
    charged: defaultdict[tuple[str, str, str], int] = defaultdict(int)
    cost: defaultdict[tuple[str, str, str], int] = defaultdict(int)
    for each in sums:
        of_side = charged if each.side == "charge" else cost
        of_side[*name(each), each.currency] += each.amount_pico
    return tuple(
        Difference(
            name=key[0],
            contract=key[1],
            currency=key[2],
            charged_pico=charged[key],
            cost_pico=cost[key],
        )
        for key in sorted({*charged, *cost})
        if charged[key] or cost[key]
    )
