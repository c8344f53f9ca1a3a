"""Where the money goes: what was charged, which components it paid for, who earned it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from steelyard.catalogue.documents import Edition, party
from steelyard.rating.lines import LineSum
from steelyard.values import money, periods
from steelyard.values.meters import COMPONENTS

MARGIN = "margin"
"""What is left of a sale, named like a component."""

EARNERS_OF = {
    "model": "model developers",
    "compute": "compute",
    "storage": "storage",
    "network": "network",
    "scheduling": "scheduling",
}
"""Who a component pays, as a headline says it."""

HUNDRED = 100


class Sale(msgspec.Struct, frozen=True, kw_only=True):
    """A model sold to a customer under a contract. Unit: pico-units.

    ``costs_pico`` are by component, in the order of ``COMPONENTS``;
    ``margin_pico = charged_pico - sum(costs_pico)`` is negative where costs were higher.
    """

    customer: str
    contract: str
    model: str
    charged_pico: int
    costs_pico: tuple[int, ...]
    margin_pico: int


class Earning(msgspec.Struct, frozen=True, kw_only=True):
    """What a party earned by a component. Unit: pico-units."""

    party: str
    component: str
    amount_pico: int


class MoneyReport(msgspec.Struct, frozen=True, kw_only=True):
    """One currency's money, over one or more periods.

    ``names`` says what customers, contracts and earners are called, by ``customer/acme``,
    ``contract/acme-2026`` and ``earner/alibaba``.
    """

    currency: str
    periods: tuple[str, ...]
    operator: str
    names: dict[str, str]
    sales: tuple[Sale, ...]
    earnings: tuple[Earning, ...]

    @property
    def charged_pico(self) -> int:
        """What the customers were charged."""
        return sum(each.charged_pico for each in self.sales)

    @property
    def costs_pico(self) -> tuple[int, ...]:
        """What each component cost, in the order of ``COMPONENTS``."""
        return tuple(
            sum(each.costs_pico[place] for each in self.sales) for place in range(len(COMPONENTS))
        )

    @property
    def margin_pico(self) -> int:
        """What is left to the operator, after what it carries."""
        return sum(each.margin_pico for each in self.sales)

    @property
    def carried_pico(self) -> int:
        """What sales that cost more than they brought took from the operator."""
        return -sum(min(0, each.margin_pico) for each in self.sales)


def reports(sums: Iterable[LineSum], edition: Edition) -> tuple[MoneyReport, ...]:
    """A report for each currency of the sums."""
    sums = list(sums)
    return tuple(
        _report(currency, [each for each in sums if each.currency == currency], edition)
        for currency in sorted({each.currency for each in sums})
    )


def _report(currency: str, sums: Sequence[LineSum], edition: Edition) -> MoneyReport:
    charged: defaultdict[tuple[str, str, str], int] = defaultdict(int)
    costs: defaultdict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0] * len(COMPONENTS))
    earned: defaultdict[tuple[str, str], int] = defaultdict(int)
    for each in sums:
        key = (each.customer, each.contract, each.model)
        if each.side == "charge":
            charged[key] += each.amount_pico
        elif each.side == "cost":
            costs[key][COMPONENTS.index(each.component)] += each.amount_pico
            earned[each.party, each.component] += each.amount_pico
    sales = tuple(
        Sale(
            customer=key[0],
            contract=key[1],
            model=key[2],
            charged_pico=charged[key],
            costs_pico=tuple(costs[key]),
            margin_pico=charged[key] - sum(costs[key]),
        )
        for key in sorted({*charged, *costs})
    )
    earned[edition.operator, MARGIN] = sum(each.margin_pico for each in sales)
    order = (*COMPONENTS, MARGIN)
    return MoneyReport(
        currency=currency,
        periods=tuple(sorted({each.period for each in sums})),
        operator=edition.operator,
        names=_names(sales, {name for name, _ in earned}, edition),
        sales=sales,
        earnings=tuple(
            Earning(party=name, component=component, amount_pico=amount_pico)
            for (name, component), amount_pico in sorted(
                earned.items(), key=lambda item: (order.index(item[0][1]), item[0][0])
            )
        ),
    )


def _names(sales: Iterable[Sale], earners: Iterable[str], edition: Edition) -> dict[str, str]:
    titles = {each.id: each.title for each in edition.contracts}
    names: dict[str, str] = {}
    for each in sales:
        names[f"customer/{each.customer}"] = party(edition.customers, each.customer).name
        names[f"contract/{each.contract}"] = titles.get(each.contract, each.contract)
    for name in earners:
        names[f"earner/{name}"] = party(edition.earners, name).name
    return names


def percent(amount_pico: int, whole_pico: int) -> str:
    """An amount's share of a whole in words: ``31 %``, ``under 1 %``; empty when there is none."""
    if whole_pico <= 0:
        return ""
    whole_percent = money.divide_half_even(amount_pico * HUNDRED, whole_pico)
    if amount_pico and not whole_percent:
        return "under 1 %"
    return f"{whole_percent} %".replace("-", "−")


def signed(amount_pico: int, currency: str) -> str:
    """An amount in payable places with its sign: ``¥1,234.50``, ``−$3.00``."""
    text = money.to_payable(abs(amount_pico), currency)
    return f"{'−' if amount_pico < 0 else ''}{money.CURRENCY_SIGNS[currency]}{text}"


def in_words(months: Sequence[str]) -> str:
    """Periods as a headline says them: ``November 2026``, ``October to November 2026``."""
    first, last = periods.month(months[0]), periods.month(months[-1])
    if first == last:
        return _month_words(first)
    if first.year == last.year:
        return f"{_month_words(first).split()[0]} to {_month_words(last)}"
    return f"{_month_words(first)} to {_month_words(last)}"


def _month_words(month: periods.Month) -> str:
    start_us, _ = periods.bounds_us(month, "UTC")
    return f"{periods.from_us(start_us):%B %Y}"


def headline(report: MoneyReport) -> str:
    """The finding in a sentence: what was charged, and where most of it went."""
    charged_pico = report.charged_pico
    charged = signed(charged_pico, report.currency)
    when = in_words(report.periods)
    if report.margin_pico < 0:
        carried = signed(-report.margin_pico, report.currency)
        return f"{charged} charged in {when}; it cost {carried} more, carried by the operator"
    if not charged_pico:
        return f"Nothing was charged in {when}, and nothing was spent"
    by_size = sorted(zip(COMPONENTS, report.costs_pico, strict=True), key=lambda each: -each[1])
    parts = [
        f"{percent(cost_pico, charged_pico)} went to {EARNERS_OF[component]}"
        for component, cost_pico in by_size[:2]
        if cost_pico * HUNDRED >= charged_pico
    ]
    parts = [part if place == 0 else part.replace(" went", "") for place, part in enumerate(parts)]
    left = f"{percent(report.margin_pico, charged_pico)} is margin"
    found = f"{', '.join(parts)} and {left}" if parts else left
    return f"Of {charged} charged in {when}, {found}"


def as_json(report: MoneyReport) -> dict[str, Any]:
    """A report for machines; amounts are exact decimal texts."""
    return {
        "currency": report.currency,
        "periods": report.periods,
        "charged": money.exact(report.charged_pico),
        "costs": _by_component(report.costs_pico),
        "margin": money.exact(report.margin_pico),
        "carried": money.exact(report.carried_pico),
        "sales": [
            {
                "customer": each.customer,
                "contract": each.contract,
                "model": each.model,
                "charged": money.exact(each.charged_pico),
                "costs": _by_component(each.costs_pico),
                "margin": money.exact(each.margin_pico),
            }
            for each in report.sales
        ],
        "earnings": [
            {
                "earner": each.party,
                "component": each.component,
                "amount": money.exact(each.amount_pico),
            }
            for each in report.earnings
        ],
    }


def _by_component(costs_pico: Sequence[int]) -> dict[str, str]:
    return {
        component: money.exact(cost_pico)
        for component, cost_pico in zip(COMPONENTS, costs_pico, strict=True)
    }
