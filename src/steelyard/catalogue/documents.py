"""The documents of a studio, as values: parsed, checked, every price an integer."""

from __future__ import annotations

from typing import Literal

import msgspec

from steelyard.catalogue.items.kinds import Item
from steelyard.values.periods import Per

TierKind = Literal["whole", "progressive", "graduated", "volume"]
"""How a price's tiers are chosen: by a call's prompt, or by what is used in a period."""

COUNTED: tuple[TierKind, ...] = ("graduated", "volume")
"""The kinds whose prices depend on other calls."""

ServiceTier = Literal["standard", "priority", "flex", "batch"]

Boundary = Literal["closed", "open"]
"""Whether a tier's ``up_to`` itself still belongs to the tier (closed) or to the next (open)."""


UNITS_COUNTED_MAX = 10**12
"""The largest grant, and the highest limit of a month's tiers: a batch of nine million calls still
adds up in 64 bits."""

MINIMUM_LIMIT_PICO = 10**17
"""The highest minimum charge of a call: as many as a call has lines still add up in 64 bits."""


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller names. Unit: tokens for ``context`` and ``output_max``."""

    id: str
    family: str
    developer: str
    licence: str
    """The weights' licence as its SPDX id or name; ``closed`` when they are not published."""
    weights: Literal["open", "closed"]
    context: int | None = None
    output_max: int | None = None
    input: tuple[str, ...] = ("text",)
    output: tuple[str, ...] = ("text",)
    reasoning: bool = False
    source: str
    checked: str
    """The day, ``2026-11-24``, on which the source was last compared."""
    tokenizer: str | None = None
    """Its ``tokenizer.json``, from the studio's folder on."""


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """One place that serves a model.

    ``engine`` is the embedded llama.cpp process; ``openai`` any upstream of OpenAI's wire format,
    ``anthropic`` one of Anthropic's Messages; ``echo`` answers by itself, for trials and tests.
    """

    id: str
    model: str
    kind: Literal["engine", "openai", "anthropic", "echo"]
    provider: str
    url: str | None = None
    """The base URL up to and including ``/v1``."""
    keys_env: tuple[str, ...] = ()
    """The environment variables that hold the upstream's keys, used in turn."""
    keys_secret: tuple[str, ...] = ()
    """The names of more keys, sealed in the studio."""
    upstream_model: str | None = None
    """What the upstream calls the model; None: as we do."""
    weight: int = 1
    """Its share of the calls beside the others' weights."""
    capacity: int | None = None
    """How many calls at once it is made for; None: nobody said."""
    region: str | None = None
    """Where it computes, for keys that may call only some regions."""
    service_tier: ServiceTier = "standard"
    """What service it gives where its answers do not say."""
    mode: str | None = None
    """How its model answers where neither answer nor request say: ``thinking``."""
    draining: bool = False
    """It gets no new calls."""
    proxy: str | None = None
    """The URL of the HTTP proxy on the way to it."""
    proxy_login_env: str | None = None
    """The environment variable that holds who we are to the proxy: ``user:password``."""
    proxy_login_secret: str | None = None
    """The name of the same, sealed in the studio."""
    ca_file: str | None = None
    """A file in the studio with authorities that it is trusted by, beside the system's."""
    http2: bool = False
    connect_s: int | None = None
    first_byte_s: int | None = None
    between_s: int | None = None
    """What bounds it instead of the gateway's own settings. Unit: seconds."""


class Rates(msgspec.Struct, frozen=True):
    """Prices by meter. Unit: pico-units of the currency for one unit of the meter.

    The defaults of the trade are already applied: cached input and cache writes not priced by
    themselves cost what input costs; reasoning not priced by itself costs what output costs.
    """

    prices: dict[str, int]


class Tier(msgspec.Struct, frozen=True):
    """Rates for a whole call whose prompt is at most ``up_to`` tokens; None: any length."""

    up_to: int | None
    rates: Rates


class Tariff(msgspec.Struct, frozen=True, kw_only=True):
    """Tiers in rising order, the last one open-ended, along the prompt's length.

    ``whole``: the prompt's whole length chooses one tier for the call. ``progressive``: each token
    of the prompt has the price of the tier that it stands in, cached ones first, then those written
    to a cache, then the others; what is not of the prompt has that of the tier in which it ends.
    ``graduated``: each unit of a meter has the price of the tier in which it stands among those
    used in the period. ``volume``: all units of a meter in the period have the price of the tier
    that their sum is in. ``name`` is under what units are counted, by model unless ``shared``.

    A meter in ``blocks`` is sold by so many units at a time: its price is that of a block, due when
    the first unit of it is used. A call that costs less than ``minimum_pico`` costs that instead.
    """

    tiers: tuple[Tier, ...]
    boundary: Boundary = "closed"
    kind: TierKind = "whole"
    name: str = ""
    shared: bool = False
    per: Per = "month"
    """The period in which units are counted."""
    blocks: dict[str, int] = {}
    minimum_pico: int = 0


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """When prices are multiplied. Unit: ``factor_ppm`` parts per million.

    ``days`` count from Monday, 0. With ``holidays`` (the id of some) a holiday is none of them, and
    with ``made_up`` a day that is worked instead of one is. ``hours`` are minutes of the day, from
    and until, the end not included; an end that is not after its beginning is on the next day.
    ``by`` is which end of a call decides.
    """

    factor_ppm: int
    zone: str
    days: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)
    holidays: str | None = None
    made_up: bool = False
    hours: tuple[tuple[int, int], ...] = ((0, 1440),)
    by: Literal["start", "end"] = "start"


class Holidays(msgspec.Struct, frozen=True, kw_only=True):
    """A country's public holidays, and the days worked instead, as days ``2026-10-01``."""

    id: str
    name: str
    years: tuple[int, ...]
    """For which they are known; in others a holiday is a day like any other."""
    off: tuple[str, ...]
    worked: tuple[str, ...]
    source: str
    checked: str
    name_zh: str = ""


class Labels(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """Which calls a price is for; None: any. ``region`` and ``mode`` are shell patterns."""

    service_tier: str | None = None
    region: str | None = None
    mode: str | None = None


ANY = Labels()


class ListPrice(msgspec.Struct, frozen=True, kw_only=True):
    """A vendor's price for a model from an instant on. Unit: ``from_us`` µs since 1970 UTC."""

    model: str
    from_us: int
    tariff: Tariff
    source: str
    checked: str
    labels: Labels = ANY
    windows: tuple[Window, ...] = ()


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a grant there is at a time. Unit: ``size`` in the grant's parts.

    ``per`` is how long it lasts: ``once``; ``month``: of the calendar, in which calls are booked;
    ``cycle``: a month from the grant's day; ``week``: seven days from it; ``minute``; ``5h``: any
    five hours. ``meters`` are those that it counts; empty: all that the grant does.
    """

    name: str
    size: int
    per: str = "once"
    meters: tuple[str, ...] = ()


class Burn(msgspec.Struct, frozen=True, kw_only=True):
    """What units of models count as; None: their price, in pico-units.

    Unit: the tariff's prices are parts of a grant for one unit.
    """

    model: str
    tariff: Tariff | None


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What pays before money does, or (``money``) instead of it. Unit: µs since 1970; parts.

    The first ``size`` of all ``meters`` together cost nothing: as many units, or calls, each whole,
    or credits that units burn (``burns``: the first that matches a model; a unit of a model that
    none matches is not covered). ``scale`` parts are one of them. Each model has it for itself
    unless ``shared``; with ``every`` it is there anew each month. Several ``quotas`` hold at once,
    and take the place of ``size`` and ``every``.

    It pays for calls admitted from ``from_us`` on and before ``until_us`` (``by``: which end of a
    call has to be before it), and for none before, unless ``backdated``. ``last_call`` is what
    becomes of a call that needs more than is left: it is divided, or charged whole, or covered
    whole, and then more is used than there was.
    """

    id: str
    model: str | tuple[str, ...]
    """Shell patterns."""
    meters: tuple[str, ...]
    size: int = 0
    from_us: int
    since: str
    until_us: int | None = None
    until: str | None = None
    """Both days as they are written."""
    every: Literal["month"] | None = None
    shared: bool = False
    labels: Labels = ANY
    priority: int = 0
    gives: Literal["units", "calls", "credits", "money"] = "units"
    quotas: tuple[Quota, ...] = ()
    burns: tuple[Burn, ...] = ()
    scale: int = 1
    step: int = 1
    """To how many parts what a call's units of a meter burn is rounded, half to even."""
    last_call: Literal["divided", "charged", "covered"] = "divided"
    by: Literal["start", "end"] = "start"
    backdated: str | None = None
    """Since when it pays, when that is before ``since``."""
    tiers_excluded: tuple[str, ...] = ()
    """The service tiers whose calls it never covers."""
    cached_excluded: bool = False
    """A call that read from a cache is not covered."""
    used_up: Literal["charge", "stop"] = "charge"
    """Whether calls beyond it are charged, or refused."""
    paid: bool = False
    """It was bought, and not given; of equal ones what was given goes first."""
    of: str = ""
    """The item whose terms or orders say how much there is: this covers nothing by itself."""


class PriceBook(msgspec.Struct, frozen=True, kw_only=True):
    """Dated list prices of one vendor in the currency in which the vendor states them."""

    id: str
    vendor: str
    currency: str
    zone: str = "UTC"
    """Where the days begin on which its prices change."""
    prices: tuple[ListPrice, ...]


class PriceRule(msgspec.Struct, frozen=True, kw_only=True):
    """One ``[[price]]`` of a contract: from a book with a discount, or a tariff of its own.

    ``model`` is a shell pattern; the first rule that matches a call's model and labels wins.
    Exactly one of ``book`` and ``tariff`` is set. ``windows``, should there be any or none (but not
    None), take the place of the book's. Unit: ``discount_ppm`` parts per million.
    """

    model: str
    book: str | None = None
    discount_ppm: int = 0
    tariff: Tariff | None = None
    labels: Labels = ANY
    windows: tuple[Window, ...] | None = None
    minimum_pico: int = 0
    """What a call costs at least. Neither discount nor calendar changes it."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """How and when the customer pays. Unit: ``credit_limit_pico`` pico-units."""

    pays: Literal["afterwards", "before", "never"] = "afterwards"
    due_days: int = 30
    credit_limit_pico: int | None = None
    corrections: Literal["note", "invoice"] = "note"
    """How an invoice is corrected: by a note of its own at once, or on the next invoice."""


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """One version of what a customer pays. Unit: ``valid_from_us`` µs since 1970 UTC."""

    id: str
    customer: str
    title: str
    currency: str
    zone: str
    valid_from_us: int
    valid_from: str
    """The day as written; with ``id`` it names the version."""
    terms: Terms
    prices: tuple[PriceRule, ...]
    grants: tuple[Grant, ...] = ()
    """In the order in which they cover: by priority, then by expiry, then by age."""
    items: tuple[Item, ...] = ()
    """What is charged by period or by event, in the order in which it is rated."""


class CostRule(msgspec.Struct, frozen=True, kw_only=True):
    """What one component of a call costs, and who earns it.

    ``models`` and ``deployments`` are shell patterns. The first rule of a component that matches
    wins for that component.
    """

    component: str
    earner: str
    models: str = "*"
    deployments: str = "*"
    rates: Rates


class ShareRule(msgspec.Struct, frozen=True, kw_only=True):
    """One version of what earners are due for calls sold in one currency."""

    id: str
    currency: str
    valid_from_us: int
    valid_from: str
    costs: tuple[CostRule, ...]


class Party(msgspec.Struct, frozen=True, kw_only=True):
    """A customer or an earner, as documents print it.

    ``weight`` is a customer's share, beside the others' weights, where calls wait.
    """

    id: str
    name: str
    address: tuple[str, ...] = ()
    weight: int = 1


class Edition(msgspec.Struct, frozen=True, kw_only=True):
    """All documents as they stood when they were recorded: what ``edition`` in a record names.

    Contracts, price books and share rules each hold every version; the instant of a call picks one.
    ``operator`` is the party that gets each margin and each rounding remainder.
    """

    operator: str
    zone: str
    customers: tuple[Party, ...]
    earners: tuple[Party, ...]
    models: tuple[Model, ...]
    deployments: tuple[Deployment, ...]
    books: tuple[PriceBook, ...]
    contracts: tuple[Contract, ...]
    shares: tuple[ShareRule, ...]
    holidays: tuple[Holidays, ...] = ()


def party(among: tuple[Party, ...], name: str) -> Party:
    """The party of an id; one that is not recorded any more is named by its id."""
    return next((each for each in among if each.id == name), Party(id=name, name=name))
