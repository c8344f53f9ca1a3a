"""A desk whose contract charges by period and by event, and the events that its tests tell."""

from __future__ import annotations

import itertools
from datetime import datetime

import msgspec

from steelyard.catalogue import contracts
from steelyard.catalogue.documents import Edition
from steelyard.catalogue.sheets import Sheet
from steelyard.clerk import closing, periodic
from steelyard.clerk.closing import Closing, Refused
from steelyard.clerk.periodic import Order
from steelyard.clerk.publishing import publish
from steelyard.store import tables
from steelyard.store.closings import Closings
from steelyard.values import events, money, periods
from steelyard.values.events import Event
from steelyard.values.ids import uuid7
from tests.clerk.desk import DOCUMENTS, Desk, told

ZONE = "Asia/Shanghai"
ITEMS = """
id = "acme-2026"
customer = "acme"
currency = "CNY"
zone = "Asia/Shanghai"
valid_from = 2026-01-01

[[price]]
model = "*"
per_million = { input = "2.5", output = "10" }

[[fee]]
id = "team"
title = "Team"
from = 2026-10-10
seats = 4
plan = [{ id = "small", amount = "50.00" }, { id = "large", amount = "80.00" }]

[[commitment]]
id = "floor"
amount = "1000.00"
from = 2026-10-01

[[project]]
id = "rollout"
title = "Rollout"
advance = "30%"
retention = "5%"
budget = "10.00"
milestone = [{ id = "design", title = "Design", amount = "100000.00" }]

[[bundle]]
id = "developers"
of = ["team"]
by = "list"
rest = "lab"
part = [{ earner = "lab", list = "1.00" }, { earner = "farm", list = "2.00" }]

[[service_level]]
id = "sla"
measure = "availability"
step = [{ below = "99.9%", credit = "10%" }]
"""


def documents(text: str = ITEMS) -> Edition:
    read = contracts.read(Sheet("acme.toml", text), ZONE)
    assert read is not None
    bee = [each for each in DOCUMENTS.contracts if each.id == "bee-2026"]
    return msgspec.structs.replace(DOCUMENTS, contracts=(read.value, *bee))


def us(text: str) -> int:
    return periods.to_us(datetime.fromisoformat(text))


def event(name: str, at: str, about: str, what: events.What, of: str = "", **units: int) -> Event:
    at_us = us(f"{at}:00+08:00")
    return Event(
        id=name,
        at_us=at_us,
        contract="acme-2026",
        about=about,
        what=what,
        name=of,
        units=units,
    )


SEATS = event("1", "2026-10-25T10", "team", "changed", seats=6)
BEGUN = event("2", "2026-10-20T10", "rollout", "begun")
ACCEPTED = event("3", "2026-11-12T10", "rollout", "accepted", "design")
MEASURED = event("4", "2026-10-31T10", "sla", "measured", ppm=998_000)


class Charging:
    """A desk whose periods are charged and closed."""

    def __init__(self, desk: Desk, edition: Edition, first_writer: int = 1) -> None:
        self.desk = desk
        self.edition = edition
        self.number = desk.record(edition)
        self._writers = itertools.count(first_writer)

    def happened(self, *told_: Event) -> None:
        told(
            self.desk.root,
            f"facts-{next(self._writers)}",
            *(events.fact(each, 0, "tester") for each in told_),
        )
        self.desk.book()

    def charge(self, period: str, **more) -> int:
        number = next(self._writers)
        given = Order(period=period, edition=self.number, **more)
        order = periodic.fact(given, 0, uuid7(number, number))
        told(self.desk.root, f"facts-{number}", order)
        self.desk.book()
        done = self.desk.books.carried_out(order.fact_id)
        assert done is not None
        return done

    def close(self, period: str) -> Closing:
        made = self.try_to_close(period)
        assert isinstance(made, Closing)
        publish(made.documents, self.desk.root)
        return made

    def try_to_close(self, period: str) -> Closing | Refused:
        return closing.close(
            Closings(self.desk.engine, self.desk.lines),
            self.number,
            self.edition,
            periods.month(period),
            us("2027-06-01T00:00:00+00:00"),
            charge=lambda: self.charge(period),
        )

    def balance(self, account: str) -> str:
        rows = [each for each in self.desk.rows(tables.balances) if each.account == account]
        return money.exact(sum(each.debit_pico - each.credit_pico for each in rows))


def invoice(made: Closing, customer: str = "acme") -> tuple[str, dict[str, str]]:
    [found] = [each for each in made.documents if each.kind == "invoice" and each.party == customer]
    [text] = [each for each in found.files if each.path.endswith(".json")]
    lines = msgspec.json.decode(text.content)["lines"]
    return money.exact(found.paid_pico), {
        f"{each['model']} {each.get('deposit') or each['meter']} {each['units']}": each["amount"]
        for each in lines
        if "title" in each
    }
