"""The snapshot: all that a worker knows of keys, contracts and deployments, swapped whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from steelyard.catalogue import offers
from steelyard.catalogue.documents import Deployment, Edition, Model
from steelyard.catalogue.offers import Called, Offer
from steelyard.catalogue.routes import Route
from steelyard.dispatch import labels
from steelyard.dispatch.purses import NO_FUNDS, Funds
from steelyard.governance import keys
from steelyard.governance.keys import Key
from steelyard.values.usage import SERVICE_TIERS, THINKING, UsageRecord


class Place(msgspec.Struct, frozen=True):
    """A deployment as one contract buys it: its offers, oldest first.

    ``others`` are those for calls that turn out to be of another service tier or mode, where some
    price of the model depends on it.
    """

    deployment: Deployment
    offers: tuple[Offer, ...]
    others: dict[Called, tuple[Offer, ...]] = {}


class Choice(NamedTuple):
    """A deployment that may answer a call, and what holds there at its instant."""

    deployment: Deployment
    offer: Offer
    others: Mapping[Called, tuple[Offer, ...]] = {}


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What is in force in a worker. ``keys`` is by the hex SHA-256 of the secret.

    ``places`` lists, for a contract and a model, the deployments that it may use. ``routes`` is by
    model. ``weights`` has for each customer its share where calls wait.
    """

    edition: int
    keys: dict[str, Key]
    models: dict[str, Model]
    places: dict[tuple[str, str], tuple[Place, ...]]
    weights: dict[str, int] = {}
    routes: dict[str, Route] = {}
    funds: Funds = NO_FUNDS
    """What calls draw on."""


def between_us(snapshot: Snapshot, contract: str, model: str, at_us: int) -> tuple[int, int]:
    """From when, and until when, the offers hold that hold at an instant."""
    places = snapshot.places.get((contract, model), ())
    begins = [offer.from_us for place in places for offer in place.offers]
    before = max((each for each in begins if each <= at_us), default=0)
    return before, min((each for each in begins if each > at_us), default=NEVER_US)


NEVER_US = 2**63


def take(
    number: int,
    edition: Edition,
    known: Iterable[Key],
    routes: tuple[Route, ...] = (),
    funds: Funds = NO_FUNDS,
) -> Snapshot:
    """The snapshot of an edition and the keys that call under its contracts."""
    by_digest = keys.by_digest(known)
    served = {each.model for each in edition.deployments}
    models = {model.id: model for model in edition.models if model.id in served}
    return Snapshot(
        edition=number,
        keys=by_digest,
        models=models,
        places=_places(edition, {key.contract for key in by_digest.values()}),
        weights={each.id: each.weight for each in edition.customers},
        routes={each.model: each for each in routes},
        funds=funds,
    )


def with_keys(snapshot: Snapshot, edition: Edition, known: Iterable[Key]) -> Snapshot:
    """The same with other keys: what it knows of its contracts stays as it is."""
    by_digest = keys.by_digest(known)
    contracts = {key.contract for key in by_digest.values()}
    more = _places(edition, contracts - {contract for contract, _ in snapshot.places})
    places = {**snapshot.places, **more} if more else snapshot.places
    return msgspec.structs.replace(snapshot, keys=by_digest, places=places)


def _places(edition: Edition, contracts: Iterable[str]) -> dict[tuple[str, str], tuple[Place, ...]]:
    served: dict[str, list[Deployment]] = {}
    for deployment in edition.deployments:
        served.setdefault(deployment.model, []).append(deployment)
    return {
        (contract, model): tuple(
            Place(
                each,
                _timeline(edition, contract, each, labels.called(each)),
                _others(edition, contract, each),
            )
            for each in deployments
        )
        for contract in sorted(contracts)
        for model, deployments in served.items()
    }


def _timeline(
    edition: Edition, contract: str, deployment: Deployment, called: Called
) -> tuple[Offer, ...]:
    return offers.timeline(edition, contract, deployment.model, deployment.id, called)


def _others(
    edition: Edition, contract: str, deployment: Deployment
) -> dict[Called, tuple[Offer, ...]]:
    usual = labels.called(deployment)
    by_tier, by_mode = offers.depends_on(edition, contract, deployment.model)
    tiers = SERVICE_TIERS if by_tier else (usual.service_tier,)
    modes = {usual.mode, "", THINKING} if by_mode else {usual.mode}
    found = [Called(tier, usual.region, mode) for tier in tiers for mode in sorted(modes)]
    return {each: _timeline(edition, contract, deployment, each) for each in found if each != usual}


def choose(snapshot: Snapshot, key: Key, model: str, at_us: int) -> Deployment | None:
    """The deployment that answers a call; None when the key may not call the model."""
    return next(usable(snapshot, key, model, at_us), None)


def usable(snapshot: Snapshot, key: Key, model: str, at_us: int) -> Iterator[Deployment]:
    """The deployments that may answer a call."""
    return (each.deployment for each in choices(snapshot, key, model, at_us))


def choices(snapshot: Snapshot, key: Key, model: str, at_us: int) -> Iterator[Choice]:
    """The deployments that may answer a call, and what holds there.

    A key calls what its patterns open, its contract sells at that instant, and something serves.
    """
    if not keys.opens(key, model):
        return
    for place in snapshot.places.get((key.contract, model), ()):
        offer = offers.at(place.offers, at_us)
        if offer is not None and offer.tariff is not None:
            yield Choice(place.deployment, offer, place.others)


def offer_for(choice: Choice, record: UsageRecord) -> Offer:
    """What holds for a call once it is known how it was answered."""
    if not choice.others:
        return choice.offer
    called = Called(record.service_tier, record.region, record.mode)
    found = offers.at(choice.others.get(called, ()), record.at_us)
    return choice.offer if found is None or found.tariff is None else found


def find(snapshot: Snapshot, key: Key, deployment: str, at_us: int) -> Deployment | None:
    """A deployment whose model the contract of a key sells now, whatever the key may call."""
    for (contract, _), places in snapshot.places.items():
        for place in places if contract == key.contract else ():
            offer = offers.at(place.offers, at_us)
            if place.deployment.id == deployment and offer is not None and offer.tariff is not None:
                return place.deployment
    return None


def visible(snapshot: Snapshot, key: Key, at_us: int) -> Iterator[Model]:
    """The models that a key may call now, in the edition's order."""
    for model in snapshot.models.values():
        if choose(snapshot, key, model.id, at_us) is not None:
            yield model
