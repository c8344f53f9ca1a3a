"""Whatever pays before money does, the columns say what the specification says."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.catalogue.documents import Burn, Grant, PriceRule, Quota, Rates, Tariff, Tier
from steelyard.catalogue.grants import PAYABLE, TOKENS
from steelyard.rating.counting import Counter
from steelyard.values import periods
from tests.rating.documents import call, contract, count, edition, us

START = us("2026-11-05T00:00:00+08:00")
MINUTE_US, HOUR_US = 60_000_000, 3_600_000_000
METERS = ["input_tokens", "cached_input_tokens", "output_tokens"]


def flat_of(weights: dict[str, int]) -> Tariff:
    return Tariff(tiers=(Tier(None, Rates(weights)),))


weights = st.dictionaries(st.sampled_from(METERS), st.sampled_from([0, 1, 2, 3, 7]), min_size=1)
burns = st.one_of(
    st.just(()),
    st.just((Burn(model="*", tariff=None),)),
    st.tuples(st.builds(lambda w: Burn(model="a", tariff=flat_of(w)), weights)),
    st.tuples(
        st.builds(
            lambda limit, kind: Burn(
                model="*",
                tariff=Tariff(
                    tiers=(
                        Tier(limit, Rates(dict.fromkeys(METERS, 2))),
                        Tier(None, Rates(dict.fromkeys(METERS, 5))),
                    ),
                    kind=kind,
                ),
            ),
            st.sampled_from([3, 9]),
            st.sampled_from(["whole", "progressive"]),
        )
    ),
)
pers = st.sampled_from(["once", "month", "cycle", "week", "minute", "1h", "5h"])


@st.composite
def grants(draw):
    gives = draw(st.sampled_from(["units", "units", "calls", "credits", "money"]))
    sizes = st.sampled_from([1, 4, 20, 60, 200])
    quotas = draw(st.lists(st.tuples(pers, sizes), max_size=3, unique_by=lambda each: each[0]))
    more: dict[str, Any] = {"burns": draw(burns)} if gives in {"units", "credits"} else {}
    return Grant(
        id=draw(st.sampled_from(["g-1", "g-2", "g-3"])),
        model=draw(st.sampled_from(["*", "a", ("a", "b")])),
        meters=TOKENS if gives in {"units", "credits"} else PAYABLE,
        size=draw(sizes),
        from_us=START,
        since="2026-11-05",
        until_us=draw(st.sampled_from([None, START + 40 * 24 * HOUR_US])),
        shared=draw(st.booleans()),
        gives=gives,
        quotas=tuple(Quota(name=per, size=size, per=per) for per, size in quotas),
        step=draw(st.sampled_from([1, 1, 4])),
        last_call=draw(st.sampled_from(["divided", "divided", "charged", "covered"])),
        by=draw(st.sampled_from(["start", "end"])),
        cached_excluded=draw(st.booleans()),
        **more,
    )


some_grants = st.lists(grants(), max_size=3, unique_by=lambda each: each.id).map(
    lambda found: tuple(sorted(found, key=lambda each: each.gives == "money"))
)
instants = st.builds(
    lambda days, hours, minutes: START + (days * 24 + hours) * HOUR_US + minutes * MINUTE_US,
    st.sampled_from([-1, 0, 0, 0, 1, 7, 25, 26, 30, 41]),
    st.integers(0, 6),
    st.integers(0, 59),
)
some_calls = st.lists(
    st.builds(
        call,
        instants.map(lambda at_us: periods.from_us(at_us).isoformat()),
        edition=st.sampled_from([1, 1, 1, 2]),
        model=st.sampled_from(["a", "a", "b", "c"]),
        seconds=st.sampled_from([None, 0, 60]),
        input_tokens=st.integers(0, 9),
        cached_input_tokens=st.sampled_from([0, 0, 3]),
        output_tokens=st.integers(0, 9),
        requests=st.integers(0, 1),
    ),
    max_size=25,
)
tariffs = st.builds(
    lambda kind, least: Tariff(
        tiers=(
            Tier(10, Rates(dict.fromkeys([*METERS, "requests"], 5))),
            Tier(None, Rates(dict.fromkeys([*METERS, "requests"], 3))),
        ),
        kind=kind,
        name="*",
        minimum_pico=least,
    ),
    st.sampled_from(["whole", "progressive", "graduated", "volume"]),
    st.sampled_from([0, 0, 20]),
)
documents = st.builds(
    lambda tariff, given: edition(contract(PriceRule(model="*", tariff=tariff), grants=given)),
    tariffs,
    some_grants,
)


@settings(max_examples=200, deadline=None)
@given(some_calls, documents, documents, st.integers(0, 25), st.sampled_from([None, "2026-12"]))
def test_columns_cover_as_the_specification_does_wherever_batches_are_cut(
    batch, first, second, cut, opened
):
    known = {1: first, 2: second}
    first_open = None if opened is None else periods.month(opened)
    whole = count(batch, known, first_open, {})
    before = count(batch[:cut], known, first_open, {})
    after = count(batch[cut:], known, first_open, before.counters)
    assert before.lines + after.lines == whole.lines
    assert _standing(before.counters | after.counters) == _standing(whole.counters)
    _never_below_zero(batch, whole.lines)


def _standing(counters: dict[Counter, int]) -> dict[Counter, int]:
    """What is zero is forgotten."""
    return {key: each for key, each in counters.items() if each}


def _never_below_zero(batch, lines):
    """Each unit is on one line, but for those that volume tiers price again; nobody is paid."""
    used = sum(record.meters.get(name, 0) for record in batch for name in [*METERS, "requests"])
    assert sum(line.units for line in lines if line.meter in [*METERS, "requests"]) == used
