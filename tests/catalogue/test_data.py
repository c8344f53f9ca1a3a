from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime

import pytest

from steelyard import studio
from steelyard.catalogue.documents import PriceBook
from steelyard.values import money, periods

CATALOGUE = studio.packaged()
BOOKS = {book.id: book for book in CATALOGUE.books}
MODELS = {model.id: model for model in CATALOGUE.models}
FAMILIES = ("Qwen", "GLM", "MiniMax", "DeepSeek", "Kimi", "Doubao", "Hunyuan")


def at(written: str) -> int:
    moment = datetime.fromisoformat(written)
    return periods.to_us(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def in_force(book: PriceBook, model: str, instant: str):
    dated = [each for each in book.prices if each.model == model and each.from_us <= at(instant)]
    return max(dated, key=lambda each: each.from_us)


def test_each_family_has_its_models():
    counts = Counter(model.family for model in CATALOGUE.models)
    assert {name: counts[name] for name in FAMILIES if counts[name] < 6} == {}
    assert MODELS["smollm2-135m-instruct"].developer == "Hugging Face"
    assert MODELS["smollm2-135m-instruct"].context == 8192


def test_each_family_is_listed_in_cny_and_each_price_is_for_a_known_model():
    listed = {price.model for book in BOOKS.values() for price in book.prices}
    assert listed - set(MODELS) == set()
    cny = {
        MODELS[price.model].family
        for book in BOOKS.values()
        if book.currency == "CNY"
        for price in book.prices
    }
    assert set(FAMILIES) - cny == set()


@pytest.mark.parametrize("book", BOOKS.values(), ids=BOOKS)
def test_each_price_has_a_source_and_was_not_checked_in_the_future(book):
    for price in book.prices:
        assert price.source.startswith("https://"), price.model
        assert date(2024, 1, 1) < date.fromisoformat(price.checked) <= date(2026, 11, 24)
        day = periods.from_us(price.from_us, book.zone).date()
        assert day <= date.fromisoformat(price.checked) or day <= date(2026, 11, 24), price.model


PRICES = [
    # book, model, when, tier, input, cached, output
    ("bailian-cny", "qwen3-max", "2026-11-24", 0, "2.5", "0.5", "10"),
    ("bailian-cny", "qwen3-max", "2026-11-24", 1, "4", "0.8", "16"),
    ("bailian-cny", "qwen3-max", "2026-11-24", 2, "7", "1.4", "28"),
    ("bailian-cny", "qwen3.5-plus", "2026-11-24", 0, "0.8", "0.08", "4.8"),
    ("bailian-cny", "qwen3.5-plus", "2026-11-24", 1, "2", "0.2", "12"),
    ("bailian-cny", "qwen-plus", "2026-11-24", 0, "0.8", "0.16", "2"),
    ("bigmodel-cny", "glm-5.3", "2026-11-24", 0, "8", "2", "28"),  # not 1.1428571428571428 USD
    ("deepseek-cny", "deepseek-v4-pro", "2026-11-24", 0, "4.5", "0.15", "13.5"),
    ("deepseek-usd", "deepseek-v4-pro", "2026-11-24", 0, "0.66", "0.022", "1.98"),
    ("deepseek-usd", "deepseek-v4-flash", "2026-05-01", 0, "0.14", "0.0028", "0.28"),
    ("deepseek-cny", "deepseek-chat", "2025-03-01", 0, "2", "0.5", "8"),
    ("zai-usd", "glm-5", "2026-02-11T20:14:02Z", 0, "1", "0.2", "3.2"),
    ("zai-usd", "glm-5", "2026-02-11T20:14:03Z", 0, "0", "0", "0"),  # the accident
    ("zai-usd", "glm-5", "2026-02-11T20:33:39Z", 0, "1", "0.2", "3.2"),
    ("minimax-usd", "MiniMax-M3", "2026-11-24", 1, "0.6", "0.12", "2.4"),
    ("volcengine-cny", "doubao-seed-2.0-pro", "2026-11-24", 2, "9.6", "0.64", "48"),
    ("tencent-cny", "hunyuan-2.0-thinking-20251109", "2026-11-24", 0, "3.975", "3.975", "15.9"),
]


@pytest.mark.parametrize(("book", "model", "when", "tier", "given", "cached", "made"), PRICES)
def test_a_list_price_is_what_the_vendor_states(book, model, when, tier, given, cached, made):
    prices = in_force(BOOKS[book], model, when).tariff.tiers[tier].rates.prices
    shown = [
        money.exact(prices[name] * money.PER_MILLION)
        for name in ("input_tokens", "cached_input_tokens", "output_tokens")
    ]
    assert shown == [given, cached, made]


def test_boundaries_of_tiers_differ_by_vendor():
    bailian = in_force(BOOKS["bailian-cny"], "qwen3-max", "2026-11-24")
    bigmodel = in_force(BOOKS["bigmodel-cny"], "glm-4.6v", "2026-11-24")
    assert (bailian.tariff.boundary, bigmodel.tariff.boundary) == ("closed", "open")
    assert [tier.up_to for tier in bailian.tariff.tiers] == [32_000, 128_000, None]


def test_the_smallest_price_is_whole_in_pico_units():
    prices = in_force(BOOKS["deepseek-usd"], "deepseek-v4-flash", "2026-05-01").tariff
    assert prices.tiers[0].rates.prices["cached_input_tokens"] == 2800


def test_deepseek_doubles_its_prices_on_weekdays_by_day():
    pro = in_force(BOOKS["deepseek-cny"], "deepseek-v4-pro", "2026-11-24")
    (window,) = pro.windows
    assert (window.factor_ppm, window.zone, window.by) == (2_000_000, "Asia/Shanghai", "start")
    assert (window.days, window.holidays, window.made_up) == ((0, 1, 2, 3, 4), "CN", False)
    assert window.hours == ((540, 720), (840, 1080))


def test_deepseek_was_cheaper_at_night_in_2025():
    (window,) = in_force(BOOKS["deepseek-cny"], "deepseek-reasoner", "2025-03-01").windows
    assert (window.factor_ppm, window.hours) == (250_000, ((30, 510),))
    assert in_force(BOOKS["deepseek-cny"], "deepseek-reasoner", "2025-09-06").windows == ()
