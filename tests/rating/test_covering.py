"""Whatever pays before money does, the columns say what the specification says."""

from __future__ import annotations

from itertools import combinations
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.catalogue.documents import Burn, Grant, PriceRule, Quota, Rates, Tariff, Tier
from steelyard.catalogue.grants import PAYABLE, TOKENS
from steelyard.rating import quotas
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
        # What counts money and what counts units is never one grant, whatever edition says it.
        id=draw(st.sampled_from(["g-1", "g-2", "g-3"])) + "$" * (gives == "money"),
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


@settings(max_examples=150, deadline=None)
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
    _nothing_is_used_that_there_is_not(batch, whole, known)


def _standing(counters: dict[Counter, int]) -> dict[Counter, int]:
    """What is zero is forgotten."""
    return {key: each for key, each in counters.items() if each}


def _nothing_is_used_that_there_is_not(batch, whole, known):
    """Each unit is on one line, and no quota has less than nothing unless it may."""
    names = [*METERS, "requests"]
    used = sum(record.meters.get(name, 0) for record in batch for name in names)
    assert sum(line.units for line in whole.lines if line.meter in names) == used
    sizes: dict[tuple[str, str], int] = {}
    for grant in [one for each in known.values() for one in each.contracts[0].grants]:
        for quota in quotas.quotas_of(grant):
            rolls = quota.per in {"minute", "1h", "5h"}
            key = (f"grant {grant.id}", f"{quota.name} in all" if rolls else quota.name)
            most = 2**60 if grant.last_call == "covered" else quota.size
            sizes[key] = max(sizes.get(key, 0), most)
    for key, parts in whole.counters.items():
        assert 0 <= parts <= sizes.get((key.name, key.meter), 2**62)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 900), max_size=60), st.integers(1, 4), st.integers(1, 3))
def test_no_five_hours_have_more_than_the_quota(minutes, size, hours):
    grant = Grant(
        id="plan",
        model="*",
        meters=PAYABLE,
        from_us=START,
        since="2026-11-05",
        gives="calls",
        quotas=(Quota(name="rolls", size=size, per=f"{hours}h"),),
    )
    rule = PriceRule(model="*", tariff=flat_of({"input_tokens": 5}))
    times = [periods.from_us(START + each * MINUTE_US).isoformat() for each in minutes]
    batch = [call(at, number=number, input_tokens=1) for number, at in enumerate(times)]
    lines = count(batch, {1: edition(contract(rule, grants=(grant,)))}, None, {}).lines
    covered = [each for each, line in zip(minutes, lines, strict=True) if not line.price_pico]
    if all(earlier - each < hours * 60 for earlier, each in combinations(minutes, 2)):
        for start in covered:
            assert sum(start <= each <= start + hours * 60 for each in covered) <= size
    # A list of what was used when, as it would be without counters.
    taken: list[int] = []
    for minute, line in zip(minutes, lines, strict=True):
        newest = max(taken, default=0)
        stretch = max((START // MINUTE_US + minute) // hours, newest - 60)
        windows = [range(end - 60, end + 1) for end in range(stretch, stretch + 61)]
        room = all(sum(each in window for each in taken) < size for window in windows)
        assert room == (not line.price_pico)
        taken += [stretch] * room


@settings(max_examples=40, deadline=None)
@given(
    some_calls, st.permutations(range(25)), st.sampled_from([1, 20, 90]), st.sampled_from([1, 3])
)
def test_one_meter_comes_to_the_same_in_any_order_late_or_not(batch, order, size, weight):
    burns = (Burn(model="*", tariff=flat_of({"input_tokens": weight})),)
    grants = tuple(
        Grant(
            id=name,
            model="*",
            meters=TOKENS,
            size=size,
            from_us=0,
            since="1970-01-01",
            shared=True,
            gives=cast("Any", gives),
            burns=burns if gives == "units" else (),
        )
        for name, gives in (("pack", "units"), ("gift", "money"))
    )
    rule = PriceRule(model="*", tariff=flat_of({"input_tokens": 5}))
    known = dict.fromkeys([1, 2], edition(contract(rule, grants=grants)))
    shuffled = [batch[place] for place in order if place < len(batch)]
    clean = count(batch, known, None, {}).lines
    late = count(shuffled, known, periods.month("2026-12"), {}).lines
    assert sum(line.amount_pico for line in clean) == sum(line.amount_pico for line in late)
