"""Statements: one for each earner and currency, the operator's with what is left."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import date

import msgspec

from steelyard.catalogue import versions
from steelyard.catalogue.documents import Edition, Party, party
from steelyard.rating.lines import LineSum
from steelyard.values import meters, money, periods

_METER_ORDER = {name: place for place, name in enumerate(meters.ALL_METERS)}
_COMPONENT_ORDER = {name: place for place, name in enumerate(meters.COMPONENTS)}


class StatementLine(msgspec.Struct, frozen=True, kw_only=True):
    """A model's meter at one price. Unit: pico-units; ``amount_pico = units × price_pico``.

    ``source`` is the place, from 1, of what the price comes from in the statement's ``sources``.
    """

    component: str
    model: str
    meter: str
    calls: int
    units: int
    price_pico: int
    amount_pico: int
    source: int
    of_period: str = ""
    """The earlier month of which it is a correction; empty for what is of the statement's own."""


class Margin(msgspec.Struct, frozen=True, kw_only=True):
    """What a model sold under a contract left to the operator. Unit: pico-units.

    ``margin_pico = charged_pico - cost_pico``; it is negative where the costs were higher.
    """

    contract: str
    model: str
    charged_pico: int
    cost_pico: int
    margin_pico: int


class Rounding(msgspec.Struct, frozen=True, kw_only=True):
    """What rounding another document's total gave to the operator, or took. Unit: pico-units."""

    number: str
    currency: str
    gained_pico: int


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """What an earner is due for a period. Unit: pico-units.

    ``exact_pico`` is the sum of lines and margins, and ``exact_pico + rounding_pico`` equals
    ``paid_pico + remainder_pico``. Only the operator's has margins and roundings, and it has no
    remainder of its own.
    """

    number: str
    payer: Party
    earner: Party
    currency: str
    period: str
    zone: str
    issued: date
    corrects: str = ""
    """The number of the statement that this one corrects; empty for one of a whole month."""
    reason: str = ""
    """Why, as whoever ordered the correction wrote it."""
    sources: tuple[str, ...]
    lines: tuple[StatementLine, ...]
    margins: tuple[Margin, ...]
    roundings: tuple[Rounding, ...]
    exact_pico: int
    rounding_pico: int
    paid_pico: int
    remainder_pico: int


def statements(
    sums: Iterable[LineSum],
    edition: Edition,
    period: periods.Month,
    issued_us: int,
    invoiced: Sequence[Rounding],
    named: Callable[[str], str] = str,
) -> tuple[Statement, ...]:
    """The statements of a period's sums: for each currency its earners, the operator last.

    ``invoiced`` is what rounding the period's invoices gave to the operator. ``named`` is what
    corrections of a period's statements are called instead.
    """
    used = [each for each in sums if each.period == str(period) and each.side != "deposit"]
    made: list[Statement] = []
    for currency in sorted({each.currency for each in used}):
        of_currency = [each for each in used if each.currency == currency]
        costs = [each for each in of_currency if each.side == "cost"]
        roundings = [each for each in invoiced if each.currency == currency]
        for earner in sorted({each.party for each in costs} - {edition.operator}):
            earned = [each for each in costs if each.party == earner]
            number = named(f"STM-{period}-{earner}-{currency}")
            statement = _statement(number, earner, earned, edition, period, issued_us, currency)
            roundings.append(
                Rounding(
                    number=statement.number,
                    currency=currency,
                    gained_pico=statement.remainder_pico,
                )
            )
            made.append(statement)
        own = [each for each in costs if each.party == edition.operator]
        number = named(f"STM-{period}-{edition.operator}-{currency}")
        statement = _statement(number, edition.operator, own, edition, period, issued_us, currency)
        made.append(_with_what_is_left(statement, _margins(of_currency), roundings))
    return tuple(made)


def _statement(
    number: str,
    earner: str,
    costs: Sequence[LineSum],
    edition: Edition,
    period: periods.Month,
    issued_us: int,
    currency: str,
) -> Statement:
    sources = tuple(sorted({each.version for each in costs}))
    lines = _lines(costs, sources)
    exact_pico = sum(line.amount_pico for line in lines)
    paid_pico, remainder_pico = money.round_total(exact_pico, currency)
    return Statement(
        number=number,
        payer=party(edition.earners, edition.operator),
        earner=party(edition.earners, earner),
        currency=currency,
        period=str(period),
        zone=edition.zone,
        issued=periods.from_us(issued_us, edition.zone).date(),
        sources=tuple(versions.in_words(each, edition.zone) for each in sources),
        lines=lines,
        margins=(),
        roundings=(),
        exact_pico=exact_pico,
        rounding_pico=0,
        paid_pico=paid_pico,
        remainder_pico=remainder_pico,
    )


def _with_what_is_left(
    own: Statement, margins: tuple[Margin, ...], roundings: Sequence[Rounding]
) -> Statement:
    """The operator's statement: what it earned itself, each margin, and each rounding."""
    exact_pico = own.exact_pico + sum(each.margin_pico for each in margins)
    rounding_pico = sum(each.gained_pico for each in roundings)
    paid_pico, remainder_pico = money.round_total(exact_pico + rounding_pico, own.currency)
    assert remainder_pico == 0, "invoices and other statements are whole coins, so is what is left"
    return msgspec.structs.replace(
        own,
        margins=margins,
        roundings=tuple(each for each in roundings if each.gained_pico),
        exact_pico=exact_pico,
        rounding_pico=rounding_pico,
        paid_pico=paid_pico,
        remainder_pico=remainder_pico,
    )


def _lines(costs: Sequence[LineSum], sources: Sequence[str]) -> tuple[StatementLine, ...]:
    """One line for what is alike but for the contract, which is no business of the earner."""
    summed: defaultdict[tuple[str, str, str, int, int, str], list[int]] = defaultdict(
        lambda: [0, 0, 0]
    )
    for each in costs:
        source = sources.index(each.version) + 1
        key = (each.component, each.model, each.meter, source, each.price_pico, each.of_period)
        sums = summed[key]
        sums[0] += each.calls
        sums[1] += each.units
        sums[2] += each.amount_pico
    lines = [
        StatementLine(
            component=component,
            model=model,
            meter=meter,
            calls=calls,
            units=units,
            price_pico=price_pico,
            amount_pico=amount_pico,
            source=source,
            of_period=of_period,
        )
        for (component, model, meter, source, price_pico, of_period), (
            calls,
            units,
            amount_pico,
        ) in summed.items()
        if units
    ]
    assert all(line.units * line.price_pico == line.amount_pico for line in lines)
    return tuple(sorted(lines, key=_place))


def _place(line: StatementLine) -> tuple[int, str, str, int, int, int]:
    component, meter = _COMPONENT_ORDER[line.component], _METER_ORDER[line.meter]
    return (component, line.of_period, line.model, meter, line.source, line.price_pico)


def _margins(sums: Sequence[LineSum]) -> tuple[Margin, ...]:
    charged: defaultdict[tuple[str, str], int] = defaultdict(int)
    cost: defaultdict[tuple[str, str], int] = defaultdict(int)
    for each in sums:
        of_side = charged if each.side == "charge" else cost
        of_side[each.contract, each.model] += each.amount_pico
    return tuple(
        Margin(
            contract=contract,
            model=model,
            charged_pico=charged[contract, model],
            cost_pico=cost[contract, model],
            margin_pico=charged[contract, model] - cost[contract, model],
        )
        for contract, model in sorted({*charged, *cost})
    )
