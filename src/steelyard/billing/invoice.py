"""Invoices: one for each contract that was used in a period, also when nothing is due."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from itertools import groupby
from typing import Literal

import msgspec

from steelyard.catalogue import versions
from steelyard.catalogue.documents import Contract, Edition, Party, Terms, party
from steelyard.catalogue.items import titles
from steelyard.rating.lines import LineSum
from steelyard.values import meters, money, periods

_METER_ORDER = {name: place for place, name in enumerate(meters.ALL_METERS)}


class InvoiceLine(msgspec.Struct, frozen=True, kw_only=True):
    """A model's meter at one price. Unit: pico-units; ``amount_pico = units × price_pico``.

    ``source`` is the place, from 1, of what the price comes from in the invoice's ``sources``.
    ``title`` is what an item of the contract is called; empty for a model. ``account`` is that of
    a deposit; empty for a charge.
    """

    model: str
    meter: str
    calls: int
    units: int
    price_pico: int
    amount_pico: int
    source: int
    title: str = ""
    account: str = ""
    of_period: str = ""
    """The earlier month of which it is a correction; empty for what is of the invoice's own."""


class Invoice(msgspec.Struct, frozen=True, kw_only=True):
    """What a customer owes under a contract for a period. Unit: pico-units.

    ``exact_pico`` is the sum of the lines and equals ``paid_pico + remainder_pico``. ``first`` and
    ``last`` are the days of the period in ``zone``; ``early`` says that it was closed before its
    end. ``due`` is None when nothing is left to be paid.
    """

    number: str
    seller: Party
    buyer: Party
    contract: str
    title: str
    currency: str
    period: str
    zone: str
    first: date
    last: date
    early: bool
    issued: date
    pays: Literal["afterwards", "before", "never"]
    due: date | None
    kind: Literal["invoice", "credit note", "debit note"] = "invoice"
    corrects: str = ""
    """The number of the invoice that a note corrects."""
    reason: str = ""
    """Why, as whoever ordered the correction wrote it."""
    sources: tuple[str, ...]
    lines: tuple[InvoiceLine, ...]
    exact_pico: int
    paid_pico: int
    remainder_pico: int


def invoices(
    sums: Iterable[LineSum], edition: Edition, period: periods.Month, issued_us: int
) -> tuple[Invoice, ...]:
    """The invoices of a period's sums, by customer, contract and currency.

    A contract whose calls only cost something gets an invoice over nothing, too.
    """
    used = sorted((each for each in sums if each.period == str(period)), key=_payer)
    made: list[Invoice] = []
    for customer, of_customer in groupby(used, key=lambda each: each.customer):
        for place, (key, group) in enumerate(groupby(of_customer, key=_payer), start=1):
            number = f"INV-{period}-{customer}-{place:04d}"
            charges = [each for each in group if each.side != "cost"]
            made.append(_invoice(number, key, charges, edition, period, issued_us))
    return tuple(made)


def notes(
    sums: Iterable[LineSum],
    edition: Edition,
    period: periods.Month,
    issued_us: int,
    corrects: Mapping[tuple[str, str], tuple[str, int]],
    reason: str,
) -> tuple[Invoice, ...]:
    """The notes on a closed period's invoices: a credit note where less is owed, or a debit note.

    ``corrects`` has, by contract and currency, the number of the invoice, and how many notes were
    on it before. Where nothing more and nothing less is owed there is no note.
    """
    made: list[Invoice] = []
    for each in invoices(sums, edition, period, issued_us):
        number, before = corrects[each.contract, each.currency]
        kind = "credit note" if each.exact_pico < 0 else "debit note"
        stem = number.replace("INV", "CRN" if each.exact_pico < 0 else "DBN", 1)
        if each.exact_pico:
            correction = msgspec.structs.replace(
                each,
                number=f"{stem}-{before + 1}",
                kind=kind,
                corrects=number,
                reason=reason,
                early=False,
                lines=tuple(sorted(each.lines, key=_noted)),
            )
            made.append(correction)
    return tuple(made)


def _payer(line: LineSum) -> tuple[str, str, str]:
    return (line.customer, line.contract, line.currency)


def _invoice(
    number: str,
    key: tuple[str, str, str],
    charges: Sequence[LineSum],
    edition: Edition,
    period: periods.Month,
    issued_us: int,
) -> Invoice:
    customer, contract_id, currency = key
    contract = in_force(edition, contract_id, period)
    zone = contract.zone if contract else edition.zone
    start_us, end_us = periods.bounds_us(period, zone)
    sources = tuple(sorted({each.version for each in charges}))
    lines = _lines(charges, sources, contract)
    exact_pico = sum(line.amount_pico for line in lines)
    paid_pico, remainder_pico = money.round_total(exact_pico, currency)
    terms = contract.terms if contract else Terms()
    issued = periods.from_us(issued_us, zone).date()
    owed = terms.pays == "afterwards" and paid_pico > 0
    return Invoice(
        number=number,
        seller=party(edition.earners, edition.operator),
        buyer=party(edition.customers, customer),
        contract=contract_id,
        title=contract.title if contract else contract_id,
        currency=currency,
        period=str(period),
        zone=zone,
        first=periods.from_us(start_us, zone).date(),
        last=periods.from_us(end_us, zone).date() - timedelta(days=1),
        early=issued_us < end_us,
        issued=issued,
        pays=terms.pays,
        due=issued + timedelta(days=terms.due_days) if owed else None,
        sources=tuple(versions.in_words(each, zone) for each in sources),
        lines=lines,
        exact_pico=exact_pico,
        paid_pico=paid_pico,
        remainder_pico=remainder_pico,
    )


def _lines(
    charges: Sequence[LineSum], sources: Sequence[str], contract: Contract | None
) -> tuple[InvoiceLine, ...]:
    lines = [
        InvoiceLine(
            model=each.model,
            meter=each.meter,
            calls=each.calls,
            units=each.units,
            price_pico=each.price_pico,
            amount_pico=each.amount_pico,
            source=sources.index(each.version) + 1,
            title="" if contract is None else titles.title(contract, each.model),
            account=each.component if each.side == "deposit" else "",
            of_period=each.of_period,
        )
        for each in charges
        if each.units
    ]
    assert all(line.units * line.price_pico == line.amount_pico for line in lines)
    return tuple(sorted(lines, key=_place))


def _place(line: InvoiceLine) -> tuple[str, bool, str, str, str, int, bool, int, int, int]:
    """Models first, then items; what was deposited follows what is charged for it.

    Corrections of earlier months come last, and what they take back before what they put.
    """
    meter = _METER_ORDER[line.meter]
    stem = line.model.partition(":")[0] if line.title else line.model
    put = line.units > 0 if line.of_period else False
    key = (line.account, line.model, meter, put, line.source, line.price_pico, -line.units)
    return (line.of_period, bool(line.title), stem, *key)


def _noted(line: InvoiceLine) -> tuple[str, int, bool, int, int]:
    """Model by model and meter by meter what is taken back, then what is put."""
    put = line.units > 0
    return (line.model, _METER_ORDER[line.meter], put, line.source, line.price_pico)


def in_force(edition: Edition, contract: str, period: periods.Month) -> Contract | None:
    """The version of a contract at the end of a period; None when it isn't recorded any more."""
    found = None
    for each in sorted(edition.contracts, key=lambda version: version.valid_from_us):
        _, end_us = periods.bounds_us(period, each.zone)
        if each.id == contract and (found is None or each.valid_from_us < end_us):
            found = each
    return found
