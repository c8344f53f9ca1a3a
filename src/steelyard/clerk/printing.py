"""Printing: an invoice or a statement as text, as JSON, and as HTML that is fit for paper."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from functools import cache
from itertools import groupby
from typing import Any, TypeVar
from unicodedata import east_asian_width

import jinja2
import msgspec
from markupsafe import Markup

from steelyard.billing.invoice import Invoice, InvoiceLine
from steelyard.catalogue.documents import Party
from steelyard.settlement.statement import Statement, StatementLine
from steelyard.values import meters, money

_MINUS = "−"

_PRICE_WIDTH, _AMOUNT_WIDTH_MIN, _FIGURES_WIDTH = 10, 18, 32
"""How many columns prices have, and amounts at least, and both together if they fit."""

_Line = InvoiceLine | StatementLine
_AnyLine = TypeVar("_AnyLine", InvoiceLine, StatementLine)


class DocumentFile(msgspec.Struct, frozen=True, kw_only=True):
    """A document in one format. ``path`` is from the studio's folder, with slashes."""

    path: str
    sha256: str
    content: bytes


def invoice_files(invoice: Invoice) -> tuple[DocumentFile, ...]:
    """An invoice in each format."""
    amounts = [line.amount_pico for line in invoice.lines]
    view = {
        "invoice": invoice,
        "models": _by_model(invoice.lines),
        "places": decimals(invoice.currency, [*amounts, invoice.exact_pico]),
        **_prices(invoice.currency, invoice.lines),
    }
    folder = "notes" if invoice.corrects else "invoices"
    stem = f"documents/{invoice.period}/{folder}/{invoice.number}"
    return _files(stem, "invoice", view, _invoice_json(invoice))


def statement_files(statement: Statement) -> tuple[DocumentFile, ...]:
    """A statement in each format."""
    amounts = [
        *(line.amount_pico for line in statement.lines),
        *(each.charged_pico for each in statement.margins),
        *(each.cost_pico for each in statement.margins),
        *(each.gained_pico for each in statement.roundings),
        statement.exact_pico,
    ]
    view = {
        "statement": statement,
        "month": f"{date.fromisoformat(f'{statement.period}-01'):%B %Y}",
        "is_operator": statement.earner == statement.payer,
        "margin_pico": sum(each.margin_pico for each in statement.margins),
        "components": [
            (component, _by_model(lines), _total(lines))
            for component, lines in _grouped(statement.lines, lambda line: line.component)
        ],
        "places": decimals(statement.currency, amounts),
        **_prices(statement.currency, statement.lines),
    }
    stem = f"documents/{statement.period}/statements/{statement.number}"
    return _files(stem, "statement", view, _statement_json(statement))


def decimals(currency: str, amounts: Iterable[int]) -> int:
    """How many decimals the longest of the amounts has, and at least those of a coin."""
    texts = [money.exact(each) for each in amounts]
    return max([money.CURRENCY_PLACES[currency], *(len(t.partition(".")[2]) for t in texts)])


def aligned(amount_pico: int, currency: str, places: int) -> str:
    """All digits of an amount, with spaces behind so that decimal points stand in one column."""
    text = money.grouped(amount_pico, money.CURRENCY_PLACES[currency])
    missing = places - len(text.partition(".")[2])
    return text + " " * (missing + (1 if "." not in text and places else 0))


def digits(amount_pico: int, currency: str, places: int) -> Markup:
    """All digits of an amount for a column of figures: those beyond the coin are set apart.

    Invisible digits behind it keep the decimal points in one column.
    """
    coin = money.CURRENCY_PLACES[currency]
    text = money.grouped(amount_pico, coin).replace("-", _MINUS)
    cut = len(text) - max(0, len(text.partition(".")[2]) - coin)
    padding = aligned(amount_pico, currency, places)[len(text) :].replace(" ", "0")
    fine = Markup('<span class="fine">{}</span>').format(text[cut:]) if text[cut:] else ""
    hidden = Markup('<span class="pad">{}</span>').format(padding) if padding else ""
    return Markup("{}{}{}").format(text[:cut], fine, hidden)


def paid(amount_pico: int, currency: str) -> str:
    """A rounded amount with its currency's sign: ``¥1,234.50``, ``−$3.00``."""
    text = money.payable(abs(amount_pico), currency)
    return f"{_MINUS if amount_pico < 0 else ''}{money.CURRENCY_SIGNS[currency]}{text}"


def day(when: date) -> str:
    """A day as documents write it: ``1 December 2026``."""
    return f"{when.day} {when:%B %Y}"


def left(text: str, width: int) -> str:
    """A text with spaces behind; a wide character takes two columns."""
    return text + " " * (width - columns(text))


def right(text: str, width: int) -> str:
    """A text with spaces before; a wide character takes two columns."""
    return " " * (width - columns(text)) + text


def columns(text: str) -> int:
    """How many columns a text takes in a fixed-width font."""
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)


_DEPOSITS: Mapping[tuple[str, bool], str] = {
    ("advance", True): "Advance",
    ("advance", False): "Less the advance",
    ("retention", True): "Kept back, now released",
    ("retention", False): "Less what is kept back",
    ("deferred", True): "Paid ahead for the term",
    ("deferred", False): "Less what was paid ahead",
    ("prepaid", True): "Savings plan, paid ahead",
    ("prepaid", False): "Less the savings plan",
    ("budget", True): "Budget, paid ahead",
    ("budget", False): "Less the budget",
}
"""What deposits are called, by account and whether they are to be paid."""


def what(meter: str, account: str, amount_pico: int) -> str:
    """What an amount is for: its meter, or why something is paid ahead or taken off."""
    return _DEPOSITS[account, amount_pico >= 0] if account else meters.in_words(meter)


def _what(line: _Line) -> str:
    account = line.account if isinstance(line, InvoiceLine) else ""
    return what(line.meter, account, line.amount_pico)


def _calls(line: _Line) -> str:
    """How many calls a line is for; empty for what is no call's."""
    return f"{line.calls:,}" if line.calls else ""


def _name(line: _Line) -> str:
    """What a line's heading is: the title of an item, or the name of a model."""
    name = (isinstance(line, InvoiceLine) and line.title) or line.model
    return f"{name}, correction of {line.of_period}" if line.of_period else name


def _price(line: _Line) -> int:
    """A line's price for as many units as it is printed for. Unit: pico-units."""
    return line.price_pico * meters.priced_per(line.meter)[0]


def _per(meter: str) -> str:
    return meters.priced_per(meter)[1]


def _prices(currency: str, lines: Sequence[_Line]) -> dict[str, int]:
    """How many decimals a document's prices have, and how wide the columns of figures are."""
    prices = [_price(line) for line in lines]
    places = decimals(currency, prices)
    longest = max((len(aligned(each, currency, places)) for each in prices), default=0)
    price_width = max(_PRICE_WIDTH, longest + 1)
    amount_width = max(_AMOUNT_WIDTH_MIN, _FIGURES_WIDTH - price_width)
    return {"price_places": places, "price_width": price_width, "amount_width": amount_width}


def _grouped(
    lines: Iterable[_AnyLine], key: Callable[[_AnyLine], str]
) -> list[tuple[str, list[_AnyLine]]]:
    return [(name, list(of_name)) for name, of_name in groupby(lines, key)]


def _by_model(lines: Iterable[_AnyLine]) -> list[tuple[str, list[_AnyLine], int]]:
    grouped = _grouped(lines, _name)
    return [(name, of_name, _total(of_name)) for name, of_name in grouped]


def _total(lines: Sequence[_Line]) -> int:
    return sum(line.amount_pico for line in lines)


def _files(
    stem: str, template: str, view: Mapping[str, Any], as_json: Mapping[str, Any]
) -> tuple[DocumentFile, ...]:
    view = {**view, "rule": money.ROUNDING}
    text = _templates().get_template(f"{template}.txt").render(view)
    html = _templates().get_template(f"{template}.html").render(view)
    stripped = "\n".join(line.rstrip() for line in text.splitlines())
    contents = {
        "txt": f"{stripped}\n".encode(),
        "json": msgspec.json.format(msgspec.json.encode(as_json), indent=2) + b"\n",
        "html": html.encode(),
    }
    return tuple(
        DocumentFile(
            path=f"{stem}.{ending}", sha256=hashlib.sha256(content).hexdigest(), content=content
        )
        for ending, content in contents.items()
    )


_FILTERS: Mapping[str, Callable[..., Any]] = {
    "aligned": aligned,
    "digits": digits,
    "paid": paid,
    "coins": money.payable,
    "day": day,
    "left": left,
    "right": right,
    "price": _price,
    "meter": _what,
    "calls": _calls,
    "per": _per,
}


def environment(package: str, filters: Mapping[str, Callable[..., Any]]) -> jinja2.Environment:
    """The templates of a package: pages are escaped, a name that isn't given is a fault."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        autoescape=jinja2.select_autoescape(["html"], default=False),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    known: dict[str, Callable[..., Any]] = made.filters  # pyright: ignore[reportAssignmentType]  # its own are all that it infers
    known.update(filters)
    return made


@cache
def _templates() -> jinja2.Environment:
    return environment("steelyard.clerk", _FILTERS)


def _invoice_json(invoice: Invoice) -> dict[str, Any]:
    return {
        "kind": invoice.kind.replace(" ", "_"),
        "number": invoice.number,
        **_correction_json(invoice),
        "seller": _party_json(invoice.seller),
        "buyer": _party_json(invoice.buyer),
        "contract": {"id": invoice.contract, "title": invoice.title},
        "currency": invoice.currency,
        "period": {
            "month": invoice.period,
            "zone": invoice.zone,
            "first": invoice.first,
            "last": invoice.last,
            "closed_early": invoice.early,
        },
        "issued": invoice.issued,
        "pays": invoice.pays,
        "due": invoice.due,
        "prices_from": invoice.sources,
        "lines": [_line_json(line, invoice.currency) for line in invoice.lines],
        "exact": money.exact(invoice.exact_pico),
        "rounding": money.ROUNDING,
        "remainder": money.exact(invoice.remainder_pico),
        "total": coins(invoice.paid_pico, invoice.currency),
    }


def _statement_json(statement: Statement) -> dict[str, Any]:
    return {
        "kind": "statement",
        "number": statement.number,
        **_correction_json(statement),
        "payer": _party_json(statement.payer),
        "earner": _party_json(statement.earner),
        "currency": statement.currency,
        "period": {"month": statement.period, "zone": statement.zone},
        "issued": statement.issued,
        "prices_from": statement.sources,
        "lines": [
            {"component": line.component, **_line_json(line, statement.currency)}
            for line in statement.lines
        ],
        "margins": [
            {
                "contract": each.contract,
                "model": each.model,
                "charged": money.exact(each.charged_pico),
                "costs": money.exact(each.cost_pico),
                "margin": money.exact(each.margin_pico),
            }
            for each in statement.margins
        ],
        "roundings": [
            {"number": each.number, "gained": money.exact(each.gained_pico)}
            for each in statement.roundings
        ],
        "exact": money.exact(statement.exact_pico),
        "rounding": money.ROUNDING,
        "rounding_of_documents": money.exact(statement.rounding_pico),
        "remainder": money.exact(statement.remainder_pico),
        "total": coins(statement.paid_pico, statement.currency),
    }


def _correction_json(document: Invoice | Statement) -> dict[str, Any]:
    if not document.corrects and not document.reason:
        return {}
    return {"corrects": document.corrects or None, "reason": document.reason}


def _party_json(party: Party) -> dict[str, Any]:
    return {"id": party.id, "name": party.name, "address": party.address}


def _line_json(line: _Line, currency: str) -> dict[str, Any]:
    of_item: dict[str, Any] = {}
    if isinstance(line, InvoiceLine) and line.title:
        of_item = {"title": line.title, "deposit": line.account or None}
    if line.of_period:
        of_item["correction_of"] = line.of_period
    return {
        "model": line.model,
        **of_item,
        "meter": line.meter,
        "calls": line.calls,
        "units": line.units,
        "price": money.exact(_price(line)),
        "price_per_units": meters.priced_per(line.meter)[0],
        "prices_from": line.source,
        "amount": money.exact(line.amount_pico),
        "amount_in_coins": coins(line.amount_pico, currency),
    }


def coins(amount_pico: int, currency: str) -> str:
    """An amount in the currency's places, for machines: no separators."""
    return money.to_payable(amount_pico, currency).replace(",", "")
