"""Ten thousand usages priced by LiteLLM, by genai-prices, and by Steelyard from the list of each.

Both are installed apart, in the versions named here. Prices are read from their own lists, so that
what differs is how a price is applied, or what the two lists say of one model.
"""

from __future__ import annotations

import csv
import gzip
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks import peers
from benchmarks.load import CACHE, SETUP, run
from steelyard.catalogue import offers
from steelyard.catalogue.documents import Rates, Tariff, Tier
from steelyard.catalogue.rates import FALLBACKS
from steelyard.rating import tiered
from steelyard.rating.tiered import Use
from steelyard.values import money
from steelyard.values.meters import METERS

GENAI_PRICES = "0.2.3"
USAGES, QUICK_USAGES = 10_000, 500
SEED = 20_261_124
TRACE = Path(__file__).parents[1] / "examples" / "traces" / "servegen_resampled_requests.csv.gz"
LISTS = ("litellm", "genai")
EDGES = (100_000, 128_000, 200_000, 256_000, 272_000)
ROUNDED_PICO = 1000
"""What floats may lose of a call before it is a difference. Unit: pico-units."""

ListPrices = dict[str, dict[str, str]]
"""Prices of one token, as decimals, by the length from which on they hold and by meter."""


class Usage(msgspec.Struct, frozen=True):
    """A call as upstreams tell it: cached and written tokens are in the prompt's count."""

    model: str
    prompt: int
    cached: int
    written: int
    completion: int
    reasoning: int


class Known(msgspec.Struct, frozen=True):
    """A model that both list."""

    key: str
    litellm: ListPrices
    genai: ListPrices


class Said(msgspec.Struct, frozen=True):
    """What each charges, or why it does not."""

    litellm: tuple[str | None, str | None]
    genai: tuple[str | None, str | None]


class Difference(NamedTuple):
    """Whose figure differs, why as far as an other reading gives it, and of which model."""

    whose: str
    why: str
    model: str


Reading = Callable[[ListPrices, Usage], int]
"""One way to apply a list of prices. Unit: pico-units."""


def measure(*, quick: bool = False) -> dict[str, float]:
    """How many usages both priced, and how many differ, by whose figure and why."""
    known, usages, said = ask(QUICK_USAGES if quick else USAGES)
    found = Counter((each.whose, each.why) for each in differences(known, usages, said))
    both = sum(each.litellm[0] is not None and each.genai[0] is not None for each in said)
    counts = {f"{whose}: {why}": count for (whose, why), count in sorted(found.items())}
    return {"models_count": len(known), "usages_count": len(usages), "both_count": both, **counts}


def tell(found: Mapping[str, float]) -> str:
    """A row for each cause."""
    width = max(map(len, found))
    return "\n".join(f"{name:<{width}}  {int(count):>7,}" for name, count in found.items())


def profile() -> str:
    """Which models each cause touches."""
    known, usages, said = ask(USAGES)
    by_cause: dict[tuple[str, str], Counter[str]] = {}
    for each in differences(known, usages, said):
        by_cause.setdefault((each.whose, each.why), Counter())[each.model] += 1
    return "\n".join(
        f"{whose}: {why}: {sum(models.values())} of {', '.join(sorted(models))}"
        for (whose, why), models in sorted(by_cause.items())
    )


def ask(count: int) -> tuple[dict[str, Known], list[Usage], list[Said]]:
    """The models that both list, usages of them, and what both say."""
    home = CACHE / f"oracle-{peers.LITELLM}-{GENAI_PRICES}"
    python = home / "bin" / "python"
    if not python.exists():
        run([sys.executable, "-m", "venv", "--without-pip", str(home)])
        packages = (f"litellm=={peers.LITELLM}", f"genai-prices=={GENAI_PRICES}")
        for package in packages:
            run(peers.install(home, package))
    command = [str(python), str(SETUP / "oracle.py")]
    listed = subprocess.run(command, input=b"", stdout=subprocess.PIPE, check=True).stdout
    known = msgspec.json.decode(listed, type=dict[str, Known])
    usages = sample(sorted(known), count)
    asked = b"\n".join(msgspec.json.encode(each) for each in usages)
    told = subprocess.run(command, input=asked, stdout=subprocess.PIPE, check=True).stdout
    said = [msgspec.json.decode(line, type=Said) for line in told.splitlines()[1:]]
    assert len(said) == len(usages)
    return known, usages, said


def sample(models: list[str], count: int) -> list[Usage]:
    """Lengths of ServeGen's calls, some at the edges of context tiers, with caches and thinking."""
    chance = random.Random(SEED)
    with gzip.open(TRACE, "rt", encoding="utf-8", newline="") as file:
        rows = chance.sample(list(csv.DictReader(file)), count)
    usages: list[Usage] = []
    for row in rows:
        prompt, completion = int(row["input_tokens"]), int(row["output_tokens"])
        if chance.random() < 0.2:
            prompt = chance.choice(EDGES) + chance.choice((-1, 0, 1, 50_000))
        cached = chance.randrange(prompt + 1) if chance.random() < 0.5 else 0
        written = chance.randrange(prompt - cached + 1) if chance.random() < 0.2 else 0
        reasoning = min(int(row["reasoning_tokens"]), completion)
        model = chance.choice(models)
        usages.append(Usage(model, prompt, cached, written, completion, reasoning))
    return usages


def differences(
    known: Mapping[str, Known], usages: list[Usage], said: list[Said]
) -> Iterator[Difference]:
    """What differs from Steelyard's reading of the same list, and between the lists."""
    for usage, told in zip(usages, said, strict=True):
        model = known[usage.model]
        lists = {"litellm": model.litellm, "genai": model.genai}
        for whose in LISTS:
            charged, fault = getattr(told, whose)
            if charged is None:
                yield Difference(whose, f"no price: {str(fault).partition(':')[0]}", usage.model)
                continue
            theirs = round(Decimal(charged) * money.PICO)
            if not _same(as_told(lists[whose], usage), theirs):
                yield Difference(whose, _why(lists[whose], usage, theirs), usage.model)
        ours = {as_told(each, usage) for each in lists.values()}
        if len(ours) > 1:
            meters = sorted(_apart(model, usage))
            yield Difference("lists", " and ".join(meters) or "tiers", usage.model)


def as_told(listed: ListPrices, usage: Usage) -> int:
    """What Steelyard charges by a list. Unit: pico-units."""
    return _charged(tariff(listed), _meters(usage))


def tariff(listed: ListPrices) -> Tariff:
    """A list as a price book would have it."""
    above = sorted(map(int, listed))
    tiers: list[Tier] = []
    prices: dict[str, int] = {}
    for start, end in pairwise([*above, None]):
        assert start is not None
        more = {name: _pico(price) for name, price in listed[str(start)].items()}
        prices = prices | more
        tiers.append(Tier(end, Rates(_with_defaults(prices))))
    return Tariff(tiers=tuple(tiers))


def _pico(price: str) -> int:
    exact = Decimal(price) * money.PICO
    assert exact == int(exact), "a list price is whole in pico-units"
    return int(exact)


def _with_defaults(prices: Mapping[str, int]) -> dict[str, int]:
    found = dict(prices)
    for meter, like in FALLBACKS:
        if like in found:
            found.setdefault(meter, found[like])
    return found


def _meters(usage: Usage) -> dict[str, int]:
    return {
        "input_tokens": usage.prompt - usage.cached - usage.written,
        "cached_input_tokens": usage.cached,
        "cache_write_tokens": usage.written,
        "output_tokens": usage.completion - usage.reasoning,
        "reasoning_tokens": usage.reasoning,
    }


def _charged(priced: Tariff, meters: Mapping[str, int]) -> int:
    pieces = (p for meter in METERS for p in tiered.pieces(Use(priced, meters, meter)))
    return sum(units * price for _, units, price in pieces)


def _same(ours: int, theirs: int) -> bool:
    return abs(ours - theirs) <= ROUNDED_PICO


def _why(listed: ListPrices, usage: Usage, theirs: int) -> str:
    """The first other reading that gives their figure."""
    for why, reading in READINGS.items():
        if _same(reading(listed, usage), theirs):
            return why
    return "another reading"


def _without(meter: str, like: str | None) -> Reading:
    """A meter charged as another one is, or not at all."""

    def reading(listed: ListPrices, usage: Usage) -> int:
        priced = tariff(listed)
        tiers = tuple(
            Tier(tier.up_to, Rates({**tier.rates.prices, meter: _price(tier, like)}))
            for tier in priced.tiers
        )
        return _charged(msgspec.structs.replace(priced, tiers=tiers), _meters(usage))

    return reading


def _price(tier: Tier, like: str | None) -> int:
    return 0 if like is None else tier.rates.prices.get(like, 0)


def _at_boundary(listed: ListPrices, usage: Usage) -> int:
    return _charged(msgspec.structs.replace(tariff(listed), boundary="open"), _meters(usage))


def _first_tier(listed: ListPrices, usage: Usage) -> int:
    base = Tariff(tiers=(Tier(None, tariff(listed).tiers[0].rates),))
    return _charged(base, _meters(usage))


def _by_uncached(listed: ListPrices, usage: Usage) -> int:
    priced = tariff(listed)
    fresh = usage.prompt - usage.cached - usage.written
    chosen = offers.tier_for(priced, fresh)
    return _charged(Tariff(tiers=(Tier(None, chosen.rates),)), _meters(usage))


def _written_twice(listed: ListPrices, usage: Usage) -> int:
    meters = _meters(usage)
    meters["input_tokens"] += usage.written
    return _charged(tariff(listed), meters)


def _halved(listed: ListPrices, usage: Usage) -> int:
    return as_told(listed, usage) // 2


READINGS: dict[str, Reading] = {
    "half, by the clock of whoever asks": _halved,
    "the boundary belongs to the next tier": _at_boundary,
    "the first tier whatever the length": _first_tier,
    "the tier by the uncached part": _by_uncached,
    "cache writes are free": _without("cache_write_tokens", None),
    "cache writes cost what input costs": _without("cache_write_tokens", "input_tokens"),
    "cache writes are charged as input too": _written_twice,
    "cached input is free": _without("cached_input_tokens", None),
    "cached input costs what input costs": _without("cached_input_tokens", "input_tokens"),
    "reasoning costs what output costs": _without("reasoning_tokens", "output_tokens"),
    "reasoning is free": _without("reasoning_tokens", None),
}


def _apart(model: Known, usage: Usage) -> Iterator[str]:
    """The meters of a usage that the two lists price apart."""
    meters = _meters(usage)
    length = tiered.prompt_tokens(meters)
    first, second = (
        offers.tier_for(tariff(each), length).rates.prices for each in (model.litellm, model.genai)
    )
    for meter, units in meters.items():
        if units and first.get(meter) != second.get(meter):
            yield meter
