"""Each template is sound, and charges what its example says."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from steelyard import studio
from steelyard.catalogue import contracts
from steelyard.catalogue.documents import Contract, Edition
from steelyard.catalogue.sheets import Sheet
from steelyard.catalogue.templates import Template, made
from steelyard.rating.lines import Line, LineSum
from steelyard.rating.periods.charging import Known, charge
from steelyard.values import money, periods
from steelyard.values.events import Event, order
from tests.rating.documents import call, count

METERS = {"in": "input_tokens", "cached": "cached_input_tokens", "out": "output_tokens"}
ALL = studio.templates()
NAMES = [each.name for each in ALL]


def signed(template: Template) -> Contract:
    sheet = Sheet(f"contracts/{template.name}.toml", template.text)
    found = contracts.read(sheet, "Asia/Shanghai")
    assert found is not None, [str(fault) for fault in sheet.faults]
    return found.value


def documents(template: Template) -> Edition:
    known = studio.packaged()
    return Edition(
        operator="house",
        zone="Asia/Shanghai",
        customers=(),
        earners=(),
        models=known.models,
        deployments=(),
        books=known.books,
        contracts=(signed(template),),
        shares=(),
        holidays=known.holidays,
    )


def rows(template: Template, kind: str) -> list[tuple[str, ...]]:
    return [row[1:] for row in template.example if row[0] == kind]


def instant(text: str, zone: str) -> int:
    return periods.to_us(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)))


def called(template: Template, number: int, row: tuple[str, ...]) -> Any:
    when, model, used, _ = row
    more: dict[str, Any] = {}
    for each in used.split(", "):
        count_of, _, name = each.rpartition(" ")
        if name in METERS:
            more[METERS[name]] = int(count_of)
        else:
            more["service_tier"] = name
    contract = signed(template)
    zone = ZoneInfo(contract.zone)
    at = datetime.fromisoformat(when).replace(tzinfo=zone).isoformat()
    return call(at, number=number, model=model, contract=contract.id, **more)


def lines_of(template: Template) -> list[Line]:
    calls = [called(template, number, row) for number, row in enumerate(rows(template, "call"))]
    lines, unrated, _ = count(calls, {1: documents(template)}, None, {})
    assert not unrated
    return lines


@pytest.mark.parametrize("template", ALL, ids=NAMES)
def test_a_call_costs_what_the_example_says(template):
    charged: defaultdict[bytes, int] = defaultdict(int)
    for line in lines_of(template):
        charged[line.call_id] += line.amount_pico
    written = rows(template, "call")
    found = [
        money.exact(charged[called(template, number, row).call_id])
        for number, row in enumerate(written)
    ]
    assert found == [row[-1] for row in written]


def events(template: Template, contract: Contract) -> list[Event]:
    found: list[Event] = []
    for place, (at, about, what, *counted) in enumerate(rows(template, "happened")):
        verb, _, name = what.partition(" ")
        pairs = [each.split() for part in counted for each in part.split(",")]
        found.append(
            Event(
                id=f"E{place + 1}",
                at_us=instant(at, contract.zone),
                contract=contract.id,
                about=about,
                what=verb,  # pyright: ignore[reportArgumentType]
                name=name,
                units={key: int(number.replace("_", "")) for key, number in pairs},
            )
        )
    return sorted(found, key=order)


@pytest.mark.parametrize("template", ALL, ids=NAMES)
def test_what_is_due_by_period_is_what_the_example_says(template):
    edition = documents(template)
    contract = edition.contracts[0]
    charges = [line for line in lines_of(template) if line.side == "charge"]

    def calls(_: str, month: periods.Month, from_us: int, until_us: int) -> list[LineSum]:
        return [
            summed(line)
            for line in charges
            if from_us <= line.at_us < until_us and line.period == str(month)
        ]

    known = Known(events(template, contract), calls, [])
    due: dict[tuple[str, str], int] = defaultdict(int)
    for line in charge(edition, contract.id, known, periods.month("2026-11")):
        day = str(periods.day_of(line.at_us, contract.zone))
        due[day, line.model.partition(":")[0]] += line.amount_pico if line.side != "cost" else 0
    currency = contract.currency
    found = {(*key, money.payable(amount, currency)) for key, amount in due.items() if amount}
    wanted = {
        (day, item, money.payable(money.amount(written), currency))
        for day, item, written in rows(template, "due")
    }
    assert found == wanted


def summed(line: Line) -> LineSum:
    names = set(LineSum.__struct_fields__) - {"calls", "of_period"}
    return LineSum(calls=1, **{name: getattr(line, name) for name in names})


@pytest.mark.parametrize("template", ALL, ids=NAMES)
def test_a_template_says_whom_it_is_for_and_shows_it(template):
    assert template.name == signed(template).id
    assert template.text.splitlines()[1].startswith("# Take it for: ")
    assert template.example
    assert all(row[0] in {"call", "happened", "due"} for row in template.example)
    assert max(map(len, template.text.splitlines())) <= 120


def test_one_s_own_contract_begins_with_a_template():
    (template,) = [each for each in ALL if each.name == "list-price"]
    text = made(template, "acme-2027", "acme")
    sheet = Sheet("contracts/acme-2027.toml", text)
    found = contracts.read(sheet, "UTC")
    assert found is not None
    assert (found.value.id, found.value.customer) == ("acme-2027", "acme")
