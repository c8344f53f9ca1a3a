"""Small documents to rate by: prices are written as price lists write them, per million."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from steelyard.catalogue.documents import (
    Boundary,
    Contract,
    CostRule,
    Edition,
    Grant,
    Holidays,
    ListPrice,
    PriceBook,
    PriceRule,
    Rates,
    ShareRule,
    Tariff,
    Terms,
    Tier,
    TierKind,
)
from steelyard.rating import columnar, scalar
from steelyard.rating.counting import Counter
from steelyard.rating.lines import Line, Unrated
from steelyard.rating.scalar import Counted
from steelyard.rating.schema import SCHEMA
from steelyard.values import money, periods
from steelyard.values.periods import Month
from steelyard.values.usage import Try, UsageRecord


def us(text: str) -> int:
    return periods.to_us(datetime.fromisoformat(text))


def rates(**per_million: str) -> Rates:
    return Rates({meter: money.price_per_million(text) for meter, text in per_million.items()})


def flat(**per_million: str) -> Tariff:
    return Tariff(tiers=(Tier(None, rates(**per_million)),))


def tiered(
    boundary: Boundary,
    *tiers: tuple[int | None, Rates],
    kind: TierKind = "whole",
) -> Tariff:
    return Tariff(tiers=tuple(Tier(*tier) for tier in tiers), boundary=boundary, kind=kind)


def contract(
    *prices: PriceRule,
    name: str = "acme-2026",
    customer: str = "acme",
    currency: str = "CNY",
    zone: str = "Asia/Shanghai",
    valid_from: str = "2026-01-01T00:00:00+08:00",
    grants: tuple[Grant, ...] = (),
) -> Contract:
    return Contract(
        id=name,
        customer=customer,
        title="",
        currency=currency,
        zone=zone,
        valid_from_us=us(valid_from),
        valid_from=valid_from[:10],
        terms=Terms(),
        prices=prices,
        grants=grants,
    )


def book(model: str, *dated: tuple[str, Tariff]) -> PriceBook:
    return PriceBook(
        id="list-cny",
        vendor="vendor",
        currency="CNY",
        prices=tuple(
            ListPrice(model=model, from_us=us(day), tariff=tariff, source="", checked="")
            for day, tariff in dated
        ),
    )


def shares(
    *costs: CostRule, name: str = "shares", currency: str = "CNY", valid_from: str = "2026-01-01"
) -> ShareRule:
    return ShareRule(
        id=name,
        currency=currency,
        valid_from_us=us(f"{valid_from}T00:00:00+08:00"),
        valid_from=valid_from,
        costs=costs,
    )


def edition(
    *contracts: Contract,
    books: tuple[PriceBook, ...] = (),
    shares: tuple[ShareRule, ...] = (),
    holidays: tuple[Holidays, ...] = (),
) -> Edition:
    return Edition(
        operator="house",
        zone="Asia/Shanghai",
        customers=(),
        earners=(),
        models=(),
        deployments=(),
        books=books,
        contracts=contracts,
        shares=shares,
        holidays=holidays,
    )


def call(
    at: str = "2026-11-02T09:00:00+08:00",
    *,
    number: int = 0,
    edition: int = 1,
    contract: str = "acme-2026",
    model: str = "m",
    deployment: str = "d",
    produced: dict[str, int] | None = None,
    tries: tuple[Try, ...] = (),
    seconds: int | None = None,
    service_tier: str = "standard",
    region: str = "",
    mode: str = "",
    **meters: int,
) -> UsageRecord:
    return UsageRecord(
        call_id=number.to_bytes(16, "big"),
        at_us=us(at),
        edition=edition,
        customer="acme",
        contract=contract,
        key_id="",
        model=model,
        deployment=deployment,
        outcome="completed",
        meters=meters,
        sources={},
        produced=produced,
        duration_us=None if seconds is None else seconds * 1_000_000,
        service_tier=service_tier,
        region=region,
        mode=mode,
        tries=tries,
    )


def tried(number: int, deployment: str, model: str = "m", **produced: int) -> Try:
    return Try(number, model, deployment, "failed", produced, {}, "upstream_broken")


def rate(
    records: Sequence[UsageRecord], editions: Mapping[int, Edition], first_open: Month | None = None
) -> tuple[list[Line], list[Unrated]]:
    """Rate by the specification, and see that the columns say the same."""
    lines, unrated, _ = count(records, editions, first_open, {})
    return lines, unrated


def count(
    records: Sequence[UsageRecord],
    editions: Mapping[int, Edition],
    first_open: Month | None,
    counters: Mapping[Counter, int],
) -> Counted:
    """The same, from what earlier calls have left."""
    counted = scalar.rate(records, editions, first_open, counters)
    rated = columnar.rate(columnar.columns(records), editions, first_open, counters)
    assert rated.table.schema.equals(SCHEMA)
    rated.table.validate(full=True)
    assert rated.table.to_pylist() == [msgspec.structs.asdict(line) for line in counted.lines]
    assert rated.unrated == counted.unrated
    assert rated.counters == counted.counters
    assert all(line.units * line.price_pico == line.amount_pico for line in counted.lines)
    return counted
