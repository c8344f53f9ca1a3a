"""A small studio for calls: one key, a model that its contract sells, one that it does not."""

from __future__ import annotations

import msgspec

from steelyard.catalogue.documents import Deployment, Edition, Model, PriceRule
from steelyard.catalogue.routes import Route
from steelyard.dispatch.snapshot import Snapshot, take
from steelyard.governance import keys
from steelyard.governance.keys import Key
from tests.rating.documents import contract, edition, flat

SECRET = "sk-of-acme"
DEPLOYMENT = "place"
KEY = Key(id="k", customer="acme", contract="acme-2026", sha256=keys.digest(SECRET))
SOLD = contract(PriceRule(model="m", tariff=flat(input_tokens="1", output_tokens="2")))


def model(name: str) -> Model:
    return Model(
        id=name, family="", developer="", licence="", weights="open", source="", checked=""
    )


def deployment(name: str, of: str) -> Deployment:
    return Deployment(id=name, model=of, kind="echo", provider="house")


STUDIO = msgspec.structs.replace(
    edition(SOLD),
    models=(model("m"), model("unsold"), model("unserved")),
    deployments=(
        deployment(DEPLOYMENT, "m"),
        deployment("second", "m"),
        deployment("third", "unsold"),
    ),
)


ALONE = Route(model="m", deployments=(DEPLOYMENT,))
"""One deployment, which is asked once."""


def snapshot(*routes: Route, studio: Edition = STUDIO, key: Key = KEY) -> Snapshot:
    return take(7, studio, (key,), routes=routes or (ALONE,))
