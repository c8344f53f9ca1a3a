"""Money: parsed, multiplied, rounded and split without losing a digit."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.values import money

PICO = money.PICO


@pytest.mark.parametrize(
    ("written", "pico"),
    [
        ("0", 0),
        ("12.50", 12_500_000_000_000),
        ("-0.01", -10_000_000_000),
        ("85.610390", 85_610_390_000_000),
        ("0.000000000001", 1),
        ("0.0000000000010", 1),
        (" 3 ", 3 * PICO),
    ],
)
def test_an_amount_is_read_exactly(written: str, pico: int) -> None:
    assert money.amount(written) == pico


@pytest.mark.parametrize(
    "written",
    ["", "1,000", "1e3", "NaN", ".5", "5.", "+1", "0x1", "٣", "0.0000000000001", "9" * 27],
)
def test_what_is_no_amount_is_refused(written: str) -> None:
    with pytest.raises(money.MoneyError):
        money.amount(written)


@pytest.mark.parametrize(
    ("per_million", "price_pico"),
    [("2.5", 2_500_000), ("0.0028", 2_800), ("168", 168_000_000), ("0.000001", 1), ("0", 0)],
)
def test_a_price_per_million_is_whole_pico_units_per_token(
    per_million: str, price_pico: int
) -> None:
    assert money.price_per_million(per_million) == price_pico


def test_a_price_beyond_64_bits_is_refused() -> None:
    assert money.price_per_unit("9223372.036854775807") == money.PRICE_LIMIT_PICO
    for parse, written in [
        (money.price_per_unit, "9223372.036854775808"),
        (money.price_per_million, "9223372036854.775808"),
    ]:
        with pytest.raises(money.MoneyError):
            parse(written)


def test_a_price_finer_than_a_pico_unit_is_refused() -> None:
    with pytest.raises(money.MoneyError):
        money.price_per_million("0.0000001")


@pytest.mark.parametrize(
    ("price_pico", "discount_ppm", "expected"),
    [
        (2_500_000, 120_000, 2_200_000),
        (2_500_000, 0, 2_500_000),
        (2_500_000, 1_000_000, 0),
        (1, 500_000, 0),  # 0.5, to even
        (3, 500_000, 2),  # 1.5, to even
        (5, 500_000, 2),  # 2.5, to even
    ],
)
def test_a_discount_is_taken_from_the_price(
    price_pico: int, discount_ppm: int, expected: int
) -> None:
    assert money.discounted(price_pico, discount_ppm) == expected


@pytest.mark.parametrize(
    ("total", "currency", "paid", "remainder_pico"),
    [
        ("85.610390", "USD", "85.61", 390_000_000),
        ("0.005", "USD", "0", 5_000_000_000),
        ("0.015", "CNY", "0.02", -5_000_000_000),
        ("0.025", "CNY", "0.02", 5_000_000_000),
        ("-0.015", "CNY", "-0.02", 5_000_000_000),
        ("776.991501", "CNY", "776.99", 1_501_000_000),
        ("1.5", "JPY", "2", -500_000_000_000),
    ],
)
def test_a_total_is_rounded_once_and_its_remainder_kept(
    total: str, currency: str, paid: str, remainder_pico: int
) -> None:
    assert money.round_total(money.amount(total), currency) == (money.amount(paid), remainder_pico)


@pytest.mark.parametrize(
    ("total", "weights", "parts"),
    [
        (100, (1, 1, 1), (34, 33, 33)),
        (-100, (1, 1, 1), (-34, -33, -33)),
        (1, (0, 1), (0, 1)),
        (0, (3, 4), (0, 0)),
        (10, (1, 2, 4), (1, 3, 6)),
    ],
)
def test_a_split_is_whole(total: int, weights: tuple[int, ...], parts: tuple[int, ...]) -> None:
    assert money.share(total, weights) == parts


@given(
    st.integers(-(10**30), 10**30),
    st.lists(st.integers(0, 10**9), min_size=1, max_size=8).filter(any),
)
def test_split_sums_to_the_whole_and_is_fair_to_one_unit(total: int, weights: list[int]) -> None:
    parts = money.share(total, weights)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(Fraction(total * weight, sum(weights)) - part) < 1


@given(st.integers(-(10**37), 10**37), st.sampled_from(sorted(money.CURRENCY_PLACES)))
def test_rounding_loses_nothing_and_moves_at_most_half_a_coin(total: int, currency: str) -> None:
    rounded = money.round_total(total, currency)
    step = PICO // 10 ** money.CURRENCY_PLACES[currency]
    assert rounded.paid_pico + rounded.remainder_pico == total
    assert rounded.paid_pico % step == 0
    assert 2 * abs(rounded.remainder_pico) <= step


@given(st.integers(-(10**37), 10**37))
def test_exact_text_reads_back_as_the_same_amount(pico: int) -> None:
    assert money.scaled(money.exact(pico), PICO) == pico


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**12))
def test_half_even_agrees_with_fractions(numerator: int, denominator: int) -> None:
    assert money.divide_half_even(numerator, denominator) == round(Fraction(numerator, denominator))


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        ("1234567.8", "CNY", "1,234,567.80"),
        ("-0.07", "USD", "-0.07"),
        ("1234", "JPY", "1,234"),
        ("0", "USD", "0.00"),
    ],
)
def test_a_payable_amount_is_printed_in_coins(amount: str, currency: str, text: str) -> None:
    assert money.payable(money.amount(amount), currency) == text


@pytest.mark.parametrize(
    ("amount", "places", "text"),
    [
        ("85.610390", 2, "85.61039"),
        ("1234.5", 2, "1,234.50"),
        ("1234567.000000000001", 2, "1,234,567.000000000001"),
        ("0", 2, "0.00"),
        ("-0.5", 2, "-0.50"),
        ("1200", 0, "1,200"),
    ],
)
def test_all_digits_are_printed_in_groups(amount: str, places: int, text: str) -> None:
    assert money.grouped(money.amount(amount), places) == text
