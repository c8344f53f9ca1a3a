"""What a key may call, when, and where it is answered."""

from __future__ import annotations

import msgspec
import pytest

from steelyard.catalogue.documents import PriceRule
from steelyard.dispatch.snapshot import choose, take, visible
from tests.dispatch.studio import KEY, SOLD, STUDIO, snapshot
from tests.rating.documents import contract, flat, us

BEFORE = us("2025-12-31T23:59:59+08:00")
FIRST = us("2026-01-01T00:00:00+08:00")
LATER = us("2026-11-24T00:00:00+08:00")
PRICE = flat(input_tokens="1")


def key(contract="acme-2026", models=("*",)):
    return msgspec.structs.replace(KEY, contract=contract, models=models)


TABLE = [
    # key, model, at, deployment (None: it may not)
    (key(), "m", LATER, "place"),
    (key(), "m", FIRST, "place"),
    (key(), "m", BEFORE, None),
    (key(), "unsold", LATER, None),
    (key(), "unserved", LATER, None),
    (key(), "unheard-of", LATER, None),
    (key(models=("m",)), "m", LATER, "place"),
    (key(models=("x-*", "m*")), "m", LATER, "place"),
    (key(models=("x-*",)), "m", LATER, None),
    (key(models=()), "m", LATER, None),
    (key(contract="of-nobody"), "m", LATER, None),
]


@pytest.mark.parametrize(("caller", "model", "at_us", "deployment"), TABLE)
def test_choose(caller, model, at_us, deployment):
    chosen = choose(snapshot(), caller, model, at_us)
    assert (None if chosen is None else chosen.id) == deployment


def test_a_contract_that_stops_selling():
    later = contract(
        PriceRule(model="unsold", tariff=PRICE), valid_from="2026-06-01T00:00:00+08:00"
    )
    studio = msgspec.structs.replace(STUDIO, contracts=(SOLD, later))
    taken = take(8, studio, (KEY,))
    may = us("2026-05-31T23:59:59+08:00")
    june = us("2026-06-01T00:00:00+08:00")
    assert [model.id for model in visible(taken, KEY, may)] == ["m"]
    assert [model.id for model in visible(taken, KEY, june)] == ["unsold"]


def test_visible_is_what_can_be_called():
    assert [model.id for model in visible(snapshot(), KEY, LATER)] == ["m"]
    assert list(visible(snapshot(), KEY, BEFORE)) == []


def test_of_two_keys_with_one_secret_the_first_holds():
    issued = msgspec.structs.replace(KEY, id="issued")
    assert take(1, STUDIO, (KEY, issued)).keys[KEY.sha256].id == KEY.id
