from __future__ import annotations

from datetime import datetime

import pytest

from steelyard import studio
from steelyard.catalogue import offers
from steelyard.catalogue.documents import Tariff
from steelyard.values import money, periods

MAIN = """
[studio]
name = "Trial"
operator = "house"

[[deployment]]
id = "here"
model = "glm-5"
kind = "echo"
provider = "zai"

[[customer]]
id = "acme"

[[earner]]
id = "house"
"""

CONTRACT = """
id = "acme-2026"
customer = "acme"
currency = "USD"
zone = "Asia/Shanghai"
valid_from = {day}

[[price]]
model = "glm-*"
book = "zai-usd"
discount = "{discount}"
"""

COSTS = """
id = "costs"
currency = "USD"
valid_from = {day}

[[cost]]
component = "scheduling"
earner = "house"
per_unit = {{ requests = "0.1" }}

[[cost]]
component = "model"
earner = "house"
models = "{models}"
per_million = {{ input = "{price}" }}

[[cost]]
component = "model"
earner = "house"
per_million = {{ input = "9" }}
"""


@pytest.fixture(scope="module")
def edition(tmp_path_factory):
    """A contract with two versions over a list that changes three times in a day."""
    files = {
        "steelyard.toml": MAIN,
        "contracts/1.toml": CONTRACT.format(day="2026-02-01", discount="10%"),
        "contracts/2.toml": CONTRACT.format(day="2026-03-01", discount="20%"),
        "shares/1.toml": COSTS.format(day="2026-02-01", models="glm-*", price="0.5"),
        "shares/2.toml": COSTS.format(day="2026-04-01", models="qwen*", price="0.6"),
    }
    root = tmp_path_factory.mktemp("offers")
    for name, text in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text, "utf-8")
    return studio.load(root, {}).edition


OFFERS = [
    # when, input price, versions, cost of the model
    ("2026-01-31T23:59:59+08:00", "no offer", "", ""),
    ("2026-02-01T00:00:00+08:00", "not sold", "acme-2026@2026-02-01", "none"),
    ("2026-02-11T20:07:56Z", "not sold", "acme-2026@2026-02-01", "0.5"),
    ("2026-02-11T20:07:57Z", "0.9", "acme-2026@2026-02-01 zai-usd@", "0.5"),
    ("2026-02-11T20:14:03Z", "0", "acme-2026@2026-02-01 zai-usd@", "0.5"),
    ("2026-02-11T20:33:38Z", "0", "acme-2026@2026-02-01 zai-usd@", "0.5"),
    ("2026-02-11T20:33:39Z", "0.9", "acme-2026@2026-02-01 zai-usd@", "0.5"),
    ("2026-03-01T00:00:00+08:00", "0.8", "acme-2026@2026-03-01 zai-usd@", "0.5"),
    ("2026-04-01T00:00:00Z", "0.8", "acme-2026@2026-03-01 zai-usd@", "9"),
]


@pytest.mark.parametrize(("when", "price", "version", "cost"), OFFERS)
def test_the_offer_is_the_one_in_force(edition, when, price, version, cost):
    timeline = offers.timeline(edition, "acme-2026", "glm-5", "here")
    found = offers.at(timeline, periods.to_us(datetime.fromisoformat(when)))
    if price == "no offer":
        assert found is None
        return
    assert found is not None
    assert found.price_version.startswith(version)
    if price == "not sold":
        assert found.tariff is None
    else:
        assert found.tariff is not None
        pico = found.tariff.tiers[0].rates.prices["input_tokens"]
        assert money.exact(pico * money.PER_MILLION) == price
    if cost == "none":  # the shares begin in UTC, eight hours later
        assert found.costs == ()
    else:
        assert [rule.component for rule in found.costs] == ["model", "scheduling"]
        pico = found.costs[0].rates.prices["input_tokens"]
        assert money.exact(pico * money.PER_MILLION) == cost


def test_an_unknown_contract_has_no_offers(edition):
    assert offers.timeline(edition, "acme-2027", "glm-5", "here") == ()


@pytest.mark.parametrize(
    ("boundary", "tokens", "index"),
    [
        ("closed", 31_999, 0),
        ("closed", 32_000, 0),
        ("closed", 32_001, 1),
        ("open", 31_999, 0),
        ("open", 32_000, 1),
        ("open", 10**9, 1),
    ],
)
def test_a_tier_holds_its_end_or_does_not(boundary, tokens, index):
    (bigmodel,) = [book for book in studio.packaged().books if book.id == "bigmodel-cny"]
    (price,) = [each for each in bigmodel.prices if each.model == "glm-4.6v"]
    tariff = Tariff(tiers=price.tariff.tiers, boundary=boundary)
    assert offers.tier_for(tariff, tokens) is tariff.tiers[index]
