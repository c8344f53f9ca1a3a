"""Lining: what is due as lines, with the parts of those who earned it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from steelyard.catalogue.documents import Contract, CostRule, Edition, ShareRule
from steelyard.catalogue.items.kinds import Bundle
from steelyard.rating.lines import Line
from steelyard.rating.periods import bundles
from steelyard.rating.periods.told import Charged, Due
from steelyard.values import ids, meters, periods


class Draft(NamedTuple):
    """Something due, and of which item."""

    item: str
    due: Due


def lines(
    edition: Edition,
    versions: Sequence[Contract],
    drafts: Iterable[Draft],
    used: Sequence[Charged],
) -> Iterator[Line]:
    """Each draft's own line, then those of its parts. ``used`` are the month's calls, summed.

    A bundle divides what is charged for its items; what no bundle divides has the costs that the
    share rules give its meter, under the item's name as if it were a model's.
    """
    for item, due in drafts:
        version = _in_force(versions, due.at_us)
        yield _line(version, item, due, f"{version.id}@{version.valid_from}")
        if due.side != "charge":
            continue
        bundle = _bundle(version, item)
        if bundle is not None:
            for part in bundles.divided(bundle, due, used):
                yield _line(version, item, part, f"{version.id}@{version.valid_from}")
            continue
        for share, rule in _costs(edition, version.currency, item, due):
            cost = due._replace(
                price_pico=rule.rates.prices[due.meter],
                side="cost",
                component=rule.component,
                party=rule.earner,
            )
            yield _line(version, item, cost, f"{share.id}@{share.valid_from}")


def _in_force(versions: Sequence[Contract], at_us: int) -> Contract:
    """The version at an instant; before all of them, the first."""
    held = [each for each in versions if each.valid_from_us <= at_us]
    return held[-1] if held else versions[0]


def _line(version: Contract, item: str, due: Due, source: str) -> Line:
    about = f"{version.id}\0{item}\0{due.occasion}".encode()
    return Line(
        call_id=ids.content_id(due.at_us, about),
        at_us=due.at_us,
        period=str(periods.month_of(due.at_us, version.zone)),
        customer=version.customer,
        contract=version.id,
        model=f"{item}:{due.name}" if due.name else item,
        deployment="",
        side=due.side,
        component=due.component,
        party=due.party or version.customer,
        meter=due.meter,
        units=due.units,
        price_pico=due.price_pico,
        amount_pico=due.amount_pico,
        currency=version.currency,
        version=source,
    )


def _bundle(version: Contract, item: str) -> Bundle | None:
    """The first bundle that an item is of."""
    found = (each for each in version.items if isinstance(each, Bundle) and item in each.of)
    return next(found, None)


def _costs(
    edition: Edition, currency: str, item: str, due: Due
) -> Iterator[tuple[ShareRule, CostRule]]:
    """For each component the first rule in force that is for the item and prices its meter."""
    in_force: dict[str, ShareRule] = {}
    for share in sorted(edition.shares, key=lambda each: each.valid_from_us):
        if share.currency == currency and share.valid_from_us <= due.at_us:
            in_force[share.id] = share
    rules = [(share, rule) for share in in_force.values() for rule in share.costs]
    for component in meters.COMPONENTS:
        for share, rule in rules:
            ours = rule.component == component and fnmatchcase(item, rule.models)
            if ours and rule.deployments == "*" and due.meter in rule.rates.prices:
                yield share, rule
                break
