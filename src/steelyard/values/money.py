"""Money: exact integers in pico-units of a named currency, parsed and printed without a float."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

PICO = 10**12
"""Pico-units in one unit of a currency."""

PER_MILLION = 10**6
"""Tokens in the unit that price lists are written in."""

CURRENCY_PLACES: dict[str, int] = {
    "CNY": 2,
    "USD": 2,
    "EUR": 2,
    "GBP": 2,
    "HKD": 2,
    "SGD": 2,
    "JPY": 0,
    "KRW": 0,
}
"""Decimal places in which a currency's totals are paid. Source: ISO 4217, minor units."""

CURRENCY_SIGNS: dict[str, str] = {
    "CNY": "¥",
    "USD": "$",
    "EUR": "€",
    "GBP": "£",
    "HKD": "HK$",
    "SGD": "S$",
    "JPY": "JP¥",
    "KRW": "₩",
}

AMOUNT_LIMIT_PICO = 10**38 - 1
"""The largest magnitude that NUMERIC(38,0) and decimal128(38,0) hold."""

PRICE_LIMIT_PICO = 2**63 - 1
"""The highest price of one unit: columns of prices hold 64 bits."""

_DECIMAL = re.compile(r"(-?)(\d{1,26})(?:\.(\d{1,18}))?", re.ASCII)


ROUNDING = "half to even, once, on the total"
"""The one rule by which a document's total is rounded, as documents name it."""


class MoneyError(ValueError):
    """A text or a number that is not money; the message says what to write instead."""


class Rounded(NamedTuple):
    """A total as it is paid, and what rounding left over. Unit: pico-units, both.

    ``paid_pico + remainder_pico`` is the exact total.
    """

    paid_pico: int
    remainder_pico: int


def scaled(text: str, scale: int) -> int:
    """``text``, a decimal number, times ``scale``, exactly.

    Raises: MoneyError when the text is no plain decimal or the product is no whole number.
    """
    match = _DECIMAL.fullmatch(text.strip())
    if match is None:
        msg = f'{text!r} is not a decimal number; write it like "12.50"'
        raise MoneyError(msg)
    sign, whole, fraction = match.group(1), match.group(2), match.group(3) or ""
    product = int(whole + fraction) * scale
    units, rest = divmod(product, 10 ** len(fraction))
    if rest:
        msg = f"{text!r} has more digits than this amount can hold"
        raise MoneyError(msg)
    if units > AMOUNT_LIMIT_PICO:
        msg = f"{text!r} is larger than any amount that can be booked"
        raise MoneyError(msg)
    return -units if sign else units


def amount(text: str) -> int:
    """An amount in currency units, ``"12.50"``, as pico-units.

    Raises: MoneyError.
    """
    return scaled(text, PICO)


def price_per_unit(text: str) -> int:
    """A price for one unit of a meter as pico-units per unit.

    Raises: MoneyError.
    """
    return _price(text, PICO)


def price_per_million(text: str) -> int:
    """A price per million units as pico-units per unit: ``"2.5"`` is 2,500,000.

    Raises: MoneyError, also for a price finer than a pico-unit per unit.
    """
    return _price(text, PICO // PER_MILLION)


def _price(text: str, scale: int) -> int:
    price_pico = scaled(text, scale)
    if abs(price_pico) > PRICE_LIMIT_PICO:
        msg = f"{text!r} is higher than any price of one unit; was it meant for more of them?"
        raise MoneyError(msg)
    return price_pico


def discounted(price_pico: int, discount_ppm: int) -> int:
    """A unit price less a discount in parts per million, rounded half to even to a pico-unit.

    It is computed once for a price, never for a call, so ``units × price = amount`` stays exact.
    """
    return multiplied(price_pico, PER_MILLION - discount_ppm)


def multiplied(price_pico: int, *factors_ppm: int) -> int:
    """A unit price times factors in parts per million, rounded half to even, once for all."""
    product = price_pico * math.prod(factors_ppm)
    return divide_half_even(product, PER_MILLION ** len(factors_ppm))


def divide_half_even(numerator: int, denominator: int) -> int:
    """The whole quotient nearest to the true one; a tie goes to the even number."""
    assert denominator > 0
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    if twice > denominator or (twice == denominator and quotient % 2 == 1):
        return quotient + 1
    return quotient


def divide_down(numerator: int, denominator: int) -> int:
    """The greatest whole number that is not above the true quotient."""
    assert denominator > 0
    return numerator // denominator


def divide_up(numerator: int, denominator: int) -> int:
    """The least whole number that is not below the true quotient."""
    assert denominator > 0
    return -(-numerator // denominator)


def coin_pico(currency: str) -> int:
    """The smallest coin in which a currency is paid. Unit: pico-units."""
    return int(PICO // 10 ** CURRENCY_PLACES[currency])


def to_coin(numerator: int, denominator: int, currency: str) -> int:
    """A quotient of amounts in whole coins, half to even. Unit: pico-units."""
    coin = coin_pico(currency)
    return divide_half_even(numerator, denominator * coin) * coin


def part(amount_pico: int, days: tuple[int, int], of: int, currency: str) -> int:
    """What an amount of ``of`` days is worth from one of them to another, in whole coins.

    Parts that follow on each other sum to the whole, wherever it is divided: what is worth the
    days from the first one on is rounded, half to even, and a part is the difference.
    """
    first, last = days
    assert 0 <= first <= last <= of
    before = to_coin(amount_pico * first, of, currency)
    return (amount_pico if last == of else to_coin(amount_pico * last, of, currency)) - before


def round_total(total_pico: int, currency: str) -> Rounded:
    """A document's total in the currency's payable places: half to even, once, remainder kept."""
    step = coin_pico(currency)
    paid = divide_half_even(total_pico, step) * step
    return Rounded(paid, total_pico - paid)


def share(total: int, weights: Sequence[int]) -> tuple[int, ...]:
    """``total`` split by weights, whole: the parts sum to it, by largest remainder, first first.

    ``share(100, (1, 1, 1)) == (34, 33, 33)``. A negative total is split like its magnitude.
    """
    assert weights
    assert all(weight >= 0 for weight in weights)
    whole = sum(weights)
    assert whole > 0
    if total < 0:
        return tuple(-part for part in share(-total, weights))
    parts = [total * weight // whole for weight in weights]
    order = sorted(range(len(weights)), key=lambda i: -(total * weights[i] % whole))
    for i in order[: total - sum(parts)]:
        parts[i] += 1
    assert sum(parts) == total
    return tuple(parts)


def exact(amount_pico: int) -> str:
    """All digits of an amount, none more: ``85.61039``, ``0.000002``, ``-3``."""
    sign, size = ("-", -amount_pico) if amount_pico < 0 else ("", amount_pico)
    whole = size // PICO
    digits = str(PICO + size % PICO)[1:].rstrip("0")
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"


def grouped(amount_pico: int, places: int = 0) -> str:
    """All digits of an amount with thousands separators, and at least ``places`` decimals."""
    sign = "-" if amount_pico < 0 else ""
    whole, fraction = divmod(abs(amount_pico), PICO)
    digits = f"{fraction:012d}".rstrip("0").ljust(places, "0")
    return f"{sign}{whole:,}.{digits}" if digits else f"{sign}{whole:,}"


def payable(amount_pico: int, currency: str) -> str:
    """A rounded amount as it is printed on a document: ``1,234.50``.

    The amount is a whole number of the currency's smallest coin.
    """
    places = CURRENCY_PLACES[currency]
    step = PICO // 10**places
    coins, rest = divmod(abs(amount_pico), step)
    assert rest == 0, "only a rounded amount is payable"
    sign = "-" if amount_pico < 0 else ""
    whole, cents = divmod(coins, 10**places)
    return f"{sign}{whole:,}.{cents:0{places}d}" if places else f"{sign}{whole:,}"


def to_payable(amount_pico: int, currency: str) -> str:
    """Any amount, shown in payable places (half to even): for tables that people read."""
    return payable(round_total(amount_pico, currency).paid_pico, currency)
