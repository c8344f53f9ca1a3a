"""The table of corrections, each carried out by a clerk over real files, and audited."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from steelyard.catalogue.documents import CostRule, Edition, Grant, PriceRule, Tariff
from steelyard.rating.corrections import Amend, Change, Rerate, Rescale, Reverse, Scope
from steelyard.store import tables
from steelyard.values import money
from steelyard.values.ids import uuid7
from steelyard.values.usage import UsageRecord
from tests.clerk.desk import OCTOBER_US, Desk, altered, journal
from tests.clerk.ordering import audited, carry_out, lines, order
from tests.rating.documents import contract, edition, flat, rates, shares, tiered

CASES = tomllib.loads((Path(__file__).parents[1] / "tables" / "corrections.toml").read_text())[
    "case"
]
MILLION = 10**6
METER = {"in": "input_tokens", "out": "output_tokens"}
NUMBERS = {False: 2, True: 3}
"""The editions: as the documents were written, and as they are right."""


def tiers(kind: str, limit: int, first: str, then: str, boundary: str = "closed") -> Tariff:
    made: Any = tiered(
        boundary,  # type: ignore[arg-type]
        (limit, rates(input_tokens=first)),
        (None, rates(input_tokens=then)),
        kind=kind,  # type: ignore[arg-type]
    )
    return altered(made, name="*") if kind in {"graduated", "volume"} else made


def documents(*, right: bool) -> Edition:
    grant = Grant(
        id="welcome",
        model="*",
        meters=("input_tokens",),
        size=(1 if right else 2) * MILLION,
        from_us=0,
        since="2026-01-01",
        shared=True,
    )
    plain = flat(input_tokens="2.5" if right else "2", output_tokens="8")
    limit = (4 if right else 3) * MILLION
    sold = {
        "flat": plain,
        "tiers": tiers("graduated", limit, "4", "2"),
        "volume": tiers("volume", limit, "4", "2"),
        "grant": flat(input_tokens="2", output_tokens="8"),
        "context": tiers("whole", MILLION, "2", "4"),
    }
    cost = CostRule(component="model", earner="lab", rates=rates(input_tokens="1"))
    return edition(
        *(
            contract(
                PriceRule(model="*", tariff=tariff),
                name=name,
                customer="acme",
                grants=(grant,) if name == "grant" else (),
            )
            for name, tariff in sold.items()
        ),
        shares=(shares(cost),),
    )


def units(written: str) -> int:
    found = Fraction(written) * MILLION
    assert found.denominator == 1
    return int(found)


def used(words: list[str]) -> dict[str, int]:
    """``1 in 2 out``."""
    return {METER[name]: units(count) for count, name in zip(words[::2], words[1::2], strict=True)}


def call_id(name: str) -> bytes:
    return uuid7(OCTOBER_US, ord(name))


def records(written: Iterable[str], sold: str) -> list[UsageRecord]:
    found = [each.split() for each in written]
    return [
        UsageRecord(
            call_id=call_id(name),
            at_us=OCTOBER_US + ord(name),
            edition=NUMBERS[False],
            customer="acme",
            contract=sold,
            key_id="",
            model="m",
            deployment="d",
            outcome="completed",
            meters=used(words),
            sources={},
        )
        for name, *words in found
    ]


def ordered(written: str) -> tuple[Change, Scope]:
    what, *words = written.split()
    named = Scope(calls=tuple(call_id(each).hex() for each in words if len(each) == 1))
    match what:
        case "reverse":
            return Reverse(), named
        case "reverse-charge":
            return Reverse(keep_costs=True), named
        case "amend":
            return Amend(used(words[1:])), named
        case "rescale":
            above, below = words[1].split("/")
            return Rescale({METER[words[0]]: (int(above), int(below))}), Scope()
        case _:
            return Rerate(NUMBERS[True]), Scope()


def sums(desk: Desk) -> dict[str, str]:
    found = {"charge": 0, "cost": 0}
    for row in desk.rows(tables.batches):
        for line in lines(desk, row.number):
            assert line["units"] * line["price_pico"] == line["amount_pico"]
            found[line["side"]] += int(line["amount_pico"])
    return {side: money.exact(amount_pico) for side, amount_pico in found.items()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['contract']}: {case['what']}")
def test_a_correction_comes_to(tmp_path, case):
    with Desk(tmp_path) as desk:
        numbers = [desk.record(documents(right=right)) for right in (False, True)]
        assert numbers == list(NUMBERS.values())
        journal(desk.root, "live-1", records(case["calls"], case["contract"]), blocks=False)
        desk.book(2)
        assert sums(desk) == {"charge": case["was"], "cost": case["cost"]}
        for place, written in enumerate(case["correct"]):
            change, scope = ordered(written)
            carry_out(desk, order(change, scope, edition=NUMBERS[True], name=str(place)))
        if "later" in case:
            journal(desk.root, "live-2", records(case["later"], case["contract"]))
            desk.book()
        assert sums(desk) == {"charge": case["is"], "cost": case["costs"]}
        corrected = [row.lines for row in desk.rows(tables.batches) if row.kind == "correction"]
        assert sum(corrected) == case.get("lines", sum(corrected))
        audited(desk)
