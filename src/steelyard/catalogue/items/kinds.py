"""Kinds: what a contract charges by period or by event, as values.

Unit: amounts and prices are pico-units, parts are per million, days are as they are written.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One of the sizes of a fee. Unit: pico-units for a term; ``includes`` by what is counted."""

    id: str
    amount_pico: int
    includes: dict[str, int] = {}


class Fee(msgspec.Struct, frozen=True, kw_only=True, tag="fee"):
    """An amount for each term of ``months``, of one plan or another, once or for each seat.

    Terms begin on the day on which the fee does (``anchor = "day"``), or on calendar months, whose
    first and last are then counted by days. A change within a term is charged at once for the days
    that are left; one that makes it cheaper holds from the next term on, unless ``refund``.
    ``prorate`` counts a term's real days, or every month as thirty; with ``none`` a change holds
    from the next term on. ``spread``: what is paid for a term is earned month by month.
    Unit: days as they are written, ``2026-11-10``; ``meter`` is what is counted on its lines.
    """

    id: str
    title: str
    plans: tuple[Plan, ...]
    months: int
    since: str | None
    """None: a fact says when it begins."""
    until: str | None = None
    anchor: Literal["day", "calendar"] = "day"
    due: Literal["start", "end"] = "start"
    prorate: Literal["days", "thirtieths", "none"] = "days"
    refund: bool = False
    spread: bool = False
    count: int = 1
    """How many of ``meter`` there are when it begins."""
    meter: str = "fees"
    trial_days: int = 0


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """An amount from a day on. Unit: pico-units for a term."""

    since: str
    amount_pico: int


class Commitment(msgspec.Struct, frozen=True, kw_only=True, tag="commitment"):
    """An amount that a customer uses at least in each term of ``months``, in phases.

    What a term is short of it is charged at the term's end. Terms count from the first day of the
    first phase, whose first month they begin with.
    """

    id: str
    title: str
    months: int
    phases: tuple[Phase, ...]
    until: str | None
    counts: tuple[str, ...]
    """Shell patterns of the models and items whose charges count."""


class Savings(msgspec.Struct, frozen=True, kw_only=True, tag="savings"):
    """An amount paid in advance, which charges then draw on until it ends. Unit: pico-units.

    What is left at the end is kept (breakage), or given back.
    """

    id: str
    title: str
    amount_pico: int
    months: int
    since: str | None
    """None: a fact says when it is bought, each time that it is."""
    counts: tuple[str, ...]
    rest: Literal["kept", "returned"] = "kept"


class Throughput(msgspec.Struct, frozen=True, kw_only=True, tag="throughput"):
    """Input and output tokens a minute of a model, by the hour or the day.

    By the hour it is paid afterwards, and an hour that has begun is a whole one; by the day it is
    paid in advance when it is ordered, and ends at midnight: that of a day more when it was ordered
    at ``late_hour`` or after. It is served for up to ``stops_h`` hours after its end, and kept for
    ``keeps_h``. Unit: pico-units for one token a minute.
    """

    id: str
    title: str
    model: str
    per: Literal["hour", "day"]
    input_pico: int
    output_pico: int
    late_hour: int = 22
    stops_h: int = 2
    keeps_h: int = 14


class Dedicated(msgspec.Struct, frozen=True, kw_only=True, tag="dedicated"):
    """Units of a model, or nodes, from when they stand, used or not.

    By the hour an hour that has begun is a whole one. By the month they are paid in advance, and
    those given back in their first month are rated again by the days used, at a thirtieth of the
    price times ``early_ppm``. Unit: pico-units for one; parts per million.
    """

    id: str
    title: str
    model: str | None
    unit: Literal["unit", "node"]
    per: Literal["hour", "month"]
    price_pico: int
    early_ppm: int | None = None
    """None: what is given back early is paid in full."""


class Milestone(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a project that is accepted by itself. Unit: pico-units."""

    id: str
    title: str
    amount_pico: int


class Project(msgspec.Struct, frozen=True, kw_only=True, tag="project"):
    """Milestones, each charged when it is accepted, and days of work as they are reported.

    ``advance_ppm`` of all milestones is paid when the project begins, and taken off them again as
    they are accepted. ``retention_ppm`` of what is accepted is kept back by the customer until it
    is released. ``budget_pico`` is paid when the project begins; calls draw on it, and what is left
    when the project ends is given back. Unit: pico-units; parts per million.
    """

    id: str
    title: str
    milestones: tuple[Milestone, ...]
    advance_ppm: int = 0
    retention_ppm: int = 0
    retention_days: int | None = None
    """After so many days it is released by itself; None: when that is recorded."""
    person_day_pico: int | None = None
    person_hour_pico: int | None = None
    budget_pico: int = 0
    counts: tuple[str, ...] = ("*",)
    """Shell patterns of the models whose calls draw on the budget."""


class Licence(msgspec.Struct, frozen=True, kw_only=True, tag="licence"):
    """A right that is paid for by what is reported: a part of revenue, or prices by meter.

    A part of revenue is at least ``least_pico`` for each report. Unit: pico-units.
    """

    id: str
    title: str
    share_ppm: int | None
    prices: dict[str, int]
    least_pico: int = 0


class Training(msgspec.Struct, frozen=True, kw_only=True, tag="training"):
    """Tuning, keeping and teaching: prices by meter of what is reported or kept.

    Tokens trained are (training + mixed-in) × epochs; what is kept counts by bytes and hours, and
    an hour that has begun is a whole one.
    """

    id: str
    title: str
    prices: dict[str, int]


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Who gets a part of a bundle, and for which component.

    ``weight`` is parts per million of a fixed division, or a list price; of one by use the calls of
    ``models`` (shell patterns) are counted.
    """

    earner: str
    component: str
    weight: int = 0
    models: tuple[str, ...] = ()


class Bundle(msgspec.Struct, frozen=True, kw_only=True, tag="bundle"):
    """How the charges of some items are divided over parts, whole: ``rest`` gets what is left.

    ``divide_ppm`` of each charge is divided: by fixed weights, by list prices, or by the units of
    ``meter`` (``tokens``: of all meters of tokens) of the month's calls. Without such calls all of
    it is the rest.
    """

    id: str
    title: str
    of: tuple[str, ...]
    by: Literal["fixed", "list", "use"]
    parts: tuple[Part, ...]
    rest: str | None = None
    """None: it is the operator's margin."""
    divide_ppm: int = 1_000_000
    meter: str = "tokens"


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """From where on a service was so bad that a part of its price is given back.

    Unit: ``beyond`` is parts per million of availability, or milliseconds.
    """

    beyond: int
    credit_ppm: int


class ServiceLevel(msgspec.Struct, frozen=True, kw_only=True, tag="service_level"):
    """What a service has to be in a month, and what is given back when it was not.

    ``steps`` go from bad to worse: below ``beyond`` of availability, or above it in milliseconds.
    """

    id: str
    title: str
    measure: Literal["availability", "ttft", "token_time"]
    percentile: int | None
    steps: tuple[Step, ...]
    counts: tuple[str, ...]
    """Shell patterns of the models whose charges a credit is a part of, and ids of items."""


Item = (
    Fee
    | Commitment
    | Savings
    | Throughput
    | Dedicated
    | Project
    | Licence
    | Training
    | Bundle
    | ServiceLevel
)
"""Any of them, told apart by its tag."""
