"""How what is due of an item came about: what the contract says of it, and what happened."""

from __future__ import annotations

from collections.abc import Sequence

from steelyard.catalogue.documents import Edition
from steelyard.catalogue.items import aloud
from steelyard.catalogue.phrases import Language, meter, say
from steelyard.rating.explaining import Explained
from steelyard.rating.lines import Line
from steelyard.values import events, money, periods
from steelyard.values.events import Event


def explain(
    lines: Sequence[Line], edition: Edition, happened: Sequence[Event], language: Language
) -> Explained:
    """Explain the lines of one occasion: of one item, one instant and one call id.

    ``happened`` are the events of its contract that were booked when the lines were.
    """
    first = lines[0]
    of_contract = [each for each in edition.contracts if each.id == first.contract]
    held = [each for each in of_contract if each.valid_from_us <= first.at_us] or of_contract
    version = max(held, key=lambda each: each.valid_from_us)
    name = first.model.partition(":")[0]
    items = (each for each in version.items if each.id == name)
    steps = [say(language, "of_version", contract=version.id, day=version.valid_from)]
    steps += [aloud.item(each, version.currency, language) for each in items]
    for event in sorted(happened, key=events.order):
        if event.about == name and event.at_us <= first.at_us:
            steps.append(_event(event, version.zone, language))
    day = periods.day_of(first.at_us, version.zone)
    amount = money.exact(sum(each.amount_pico for each in lines if each.side != "cost"))
    booked = ", ".join(sorted({each.period for each in lines}))
    steps.append(
        say(
            language,
            "was_due",
            amount=amount,
            currency=version.currency,
            day=day,
            period=booked,
        )
    )
    return Explained(steps=tuple(steps), lines=tuple(lines))


def _event(event: Event, zone: str, language: Language) -> str:
    counted = "".join(
        say(language, "counted_in", what=_counted(name, language), units=f"{units:,}")
        for name, units in event.units.items()
    )
    return say(
        language,
        "happened",
        when=f"{periods.from_us(event.at_us, zone):%Y-%m-%d %H:%M}",
        what=say(language, f"what_{event.what}"),
        name=f" {event.name}" if event.name else "",
        counted=counted,
        id=event.id,
    )


def _counted(name: str, language: Language) -> str:
    return meter(language, name) if name.endswith("s") else name.replace("_", " ")
