"""Quotas as purses: which grants are, what a call draws on, and what it takes of it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.catalogue import offers
from steelyard.catalogue.offers import Offer
from steelyard.dispatch import purses, quotas
from steelyard.dispatch.purses import NEVER_US
from tests.rating.documents import call, count, edition, us
from tests.rating.test_cover_table import signed
from tests.rating.test_purses import GIFT, PACK, PLAN, RESERVED

AT = us("2026-11-24T12:00:00+08:00")

PLAIN = """
[[grant]]
id = "welcome"
model = "qwen-*"
tokens = 100
from = 2026-11-01
used_up = "stop"
"""
SHARED = PLAIN.replace("tokens = 100", "tokens = 100\nshared = true")
MONTHLY = PLAIN.replace("tokens = 100", 'tokens = 100\nevery = "month"')
ROWS = [
    # what the contract gives; is calls' use of it known beforehand
    ("free tokens", PLAIN, True),
    ("each month", MONTHLY, True),
    ("shared", SHARED, True),
    ("for some days", PLAIN.replace("from =", "until = 2027-02-01\nfrom ="), True),
    ("beside a credit of money", PLAIN + GIFT, True),
    ("for another model", PLAIN.replace("qwen-*", "deepseek-*"), False),
    ("not in force yet", PLAIN.replace("2026-11-01", "2026-12-01"), False),
    ("no longer", PLAIN.replace("from =", "until = 2026-11-20\nfrom ="), False),
    ("it does not stop", PLAIN.replace("stop", "charge"), False),
    ("of one service tier", PLAIN.replace("from =", 'service_tier = "batch"\nfrom ='), False),
    ("not of one", PLAIN.replace("from =", 'not_service_tier = "batch"\nfrom ='), False),
    ("with another for the rest", PLAIN + PACK, False),
    ("calls in hours that roll", PLAN, False),
    ("tokens a minute", RESERVED, False),
]


def offer_of(text: str, at_us: int = AT) -> Offer:
    found = offers.at(offers.timeline(edition(signed(text)), "acme-2026", "qwen-1", "place"), at_us)
    assert found is not None
    return found


@pytest.mark.parametrize(("text", "known"), [row[1:] for row in ROWS], ids=[r[0] for r in ROWS])
def test_which_grants_are_purses(text, known):
    assert bool(quotas.purses(offer_of(text), "qwen-1", AT)) is known
    if known:
        assert purses.funds(edition(signed(text)), ()).bound


WINDOWS = [
    # the grant, whose model, from when on it is another purse
    (PLAIN, "grant/acme-2026/welcome/qwen-1//once", NEVER_US),
    (MONTHLY, "grant/acme-2026/welcome/qwen-1//2026-11-01", us("2026-12-01T00:00:00+08:00")),
    (SHARED, "grant/acme-2026/welcome///once", NEVER_US),
]


@pytest.mark.parametrize(("text", "name", "until_us"), WINDOWS)
def test_a_purse_is_named_by_its_grant_its_model_and_its_window(text, name, until_us):
    (purse,) = quotas.purses(offer_of(text), "qwen-1", AT)
    assert (purse.name, purse.size, purse.lot, purse.until_us) == (name, 100, 1, until_us)
    assert quotas.said(purse) == "grant 'welcome' of contract 'acme-2026'"


def test_a_call_takes_what_its_grant_counts_and_only_if_its_model_answered():
    offer = offer_of(PLAIN)
    (purse,) = quotas.purses(offer, "qwen-1", AT)
    asked = call("2026-11-24T12:00:00+08:00", model="qwen-1", input_tokens=7, output_tokens=5)
    assert quotas.drawn(purse.name, asked, offer, 10**9) == 12
    other = msgspec.structs.replace(asked, model="qwen-2")
    assert quotas.drawn(purse.name, other, offer, 10**9) == 0
    assert quotas.most(offer, "qwen-1")[:2] == (1, 1)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 30)), max_size=12))
def test_what_is_admitted_by_the_purse_costs_nothing_by_the_books(sizes):
    """Calls that are held by their worst case, in the order in which they come."""
    documents, offer = {1: edition(signed(PLAIN))}, offer_of(PLAIN)
    (purse,) = quotas.purses(offer, "qwen-1", AT)
    admitted, spent = [], 0
    for number, (prompt, answer) in enumerate(sizes):
        if spent + prompt + 30 > purse.size:
            continue
        each = call(
            "2026-11-24T12:00:00+08:00",
            number=number,
            model="qwen-1",
            input_tokens=prompt,
            output_tokens=answer,
        )
        spent += quotas.drawn(purse.name, each, offer)
        admitted.append(each)
    lines, unrated, _ = count(admitted, documents, None, {})
    assert not unrated
    assert sum(line.amount_pico for line in lines) == 0
