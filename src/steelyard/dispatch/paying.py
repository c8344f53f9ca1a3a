"""Paying: what a call may cost at the most, what it holds for that, and how long its answer may be.

A prompt has no more tokens than its request has bytes: each token of a byte-level vocabulary stands
for one at least, and the JSON around a message is longer than what a template puts there. An answer
has no more tokens than its text has bytes. Only where there is no room for so much the prompt is
counted, should somebody know its model's tokenizer: most calls need not wait for that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import NamedTuple

import msgspec
from msgspec import Raw

from steelyard.catalogue import offers
from steelyard.catalogue.documents import Model
from steelyard.dispatch import purses, quotas, refusals
from steelyard.dispatch.calls import Ask, Caller
from steelyard.dispatch.cover import Cover
from steelyard.dispatch.purses import Payment
from steelyard.dispatch.refusals import Code, Refusal
from steelyard.dispatch.router import Plan
from steelyard.dispatch.slices import Slice
from steelyard.dispatch.snapshot import Snapshot
from steelyard.dispatch.stages import Call
from steelyard.dispatch.tabs import STREAM_TOKENS, Tab, Used
from steelyard.dispatch.waiting import Drawn, Need, Short
from steelyard.rating import bounds
from steelyard.rating.bounds import Highest
from steelyard.upstream.counting import TEMPLATE_TOKENS, PromptCounter

HEADER = "x-steelyard-clamp"
"""The header by which a caller says that its answer must not be cut down: ``never``."""

CLAMPED = "x-steelyard-max-tokens"
"""The header that says to how many tokens an answer was cut down."""

WISHES = frozenset({"", "never"})

MEDIA_TOKENS = ((b'"image_url"', 16_384), (b'"video_url"', 131_072))
"""What a picture or a film that a request names is taken for, at the most."""

OPEN_TOKENS = 32_768
"""The longest answer of a model of which the catalogue does not say it."""

LEAST_TOKENS = 256
"""The shortest answer to which a call is cut down, unless it would be shorter anyway."""

ANSWER_BYTES_MAX = 64 << 20
WAYS_KEPT = 10_000

_OUTPUT_FIELDS = ("max_completion_tokens", "max_tokens")


class Way(NamedTuple):
    """What calls of one key for one model draw on, until a window ends. Unit: µs since 1970."""

    known: Snapshot
    """What it was found by: of another one it says nothing."""
    from_us: int
    """Of calls before it says nothing: of such as come when the clock was set back."""
    until_us: int
    slices: tuple[Slice, ...]
    highest: Highest
    model: Model | None
    models: tuple[str, ...]
    """Whoever may answer, in case the first does not."""
    used: Used = bounds.drawn_pico
    after: tuple[Way, ...] = ()
    """What is drawn on in other units."""


class Wanting(NamedTuple):
    """A call for which there is no room now. Unit: ``fixed`` is its price but for its answer."""

    call: Call
    way: Way
    fixed: int
    first: int
    most: int
    rest: tuple[Way, ...] = ()
    """What it draws on after this."""


class Paying:
    """How the calls of a worker are paid. Unit: seconds for ``total_s`` and ``patience_s``."""

    def __init__(self, cover: Cover, total_s: float, patience_s: float) -> None:
        self.cover = cover
        self._compute_ms_max = int(total_s * 1000)
        self._patience_s = patience_s
        self._ways: dict[tuple[str, str], Way] = {}

    def draw(self, known: Snapshot, call: Call, plan: Plan) -> Call | Wanting:
        """Hold what a call may cost, without waiting; the call comes back with what it holds."""
        name = (call.key.sha256, call.ask.model)
        way = self._ways.get(name)
        at_us = call.arrival.at_us
        if way is None or way.known is not known or not way.from_us <= at_us < way.until_us:
            way = self._find(known, call, plan, name)
        if not way.after:
            return self._draw(call, way) if way.slices else call
        return self._draw_all(call, (way, *way.after) if way.slices else way.after)

    def _draw_all(self, call: Call, ways: tuple[Way, ...]) -> Call | Wanting:
        """Draw on one after the other, always in the same order, until there is no room in one."""
        for place, way in enumerate(ways, start=1):
            found = self._draw(call, way)
            if isinstance(found, Wanting):
                return found._replace(rest=ways[place:])
            call = found
        return call

    def _draw(self, call: Call, way: Way) -> Call | Wanting:
        ask, highest, model = call.ask, way.highest, way.model
        most = first = answer_tokens(ask, model)
        if ask.streamed and most > STREAM_TOKENS and not _is_hidden(model):
            first = STREAM_TOKENS
        fixed = highest.most_pico(prompt_tokens(ask, model), 0, ask.ingress_bytes)
        drawn = self.cover.draw(way.slices, fixed + first * highest.answer_token)
        if drawn is None:
            return Wanting(call, way, fixed, first, most)
        return self._with(call, way, drawn, first, most)

    async def wait(
        self, wanting: Wanting, caller: Caller, counters: Mapping[str, PromptCounter]
    ) -> Call | Refusal:
        """Hold what a call may cost as soon as there is room, its answer cut down if it must be.

        Refuses: insufficient_quota, cover_used_up, cover_held, cover_unknown.
        Raises: CallerGoneError.
        """
        found: Call | Wanting | Refusal = wanting
        held = wanting.call
        try:
            while isinstance(found, Wanting):
                held, rest = found.call, found.rest
                found = await self._wait(found, caller, counters)
                if isinstance(found, Call):
                    held, found = found, self._draw_all(found, rest)
            return found
        finally:
            if not isinstance(found, Call) and held.tab is not None:
                held.tab.release()

    async def _wait(
        self, wanting: Wanting, caller: Caller, counters: Mapping[str, PromptCounter]
    ) -> Call | Refusal:
        price_pico = wanting.way.highest.answer_token
        less = await _counted(wanting, counters) if counters else None
        if less is not None:
            wanting = less
            most = wanting.fixed + wanting.first * price_pico
            if (drawn := self.cover.draw(wanting.way.slices, most)) is not None:
                return self._with(wanting.call, wanting.way, drawn, wanting.first, wanting.most)
        call, way, fixed, first, most, _ = wanting
        least, last = min(first, LEAST_TOKENS), min(first, call.ask.choices)
        if call.arrival.clamp:
            least = last = first
        need = Need(*(fixed + tokens * price_pico for tokens in (first, least, last)))
        found = await self.cover.wait(way.slices, need, self._patience_s, caller.gone)
        if isinstance(found, Short):
            return refused(found, call.arrival.at_us)
        covered = (found.amount - fixed) // price_pico if found.amount < need.most else first
        if covered < first:
            each = max(1, covered // call.ask.choices)
            caller.note(f"{CLAMPED}: {each}\r\n")
            call = call.asking(clamped(call.ask, each))
            first = most = covered
        return self._with(call, way, found, first, most)

    def _with(self, call: Call, way: Way, drawn: Drawn, first: int, most: int) -> Call:
        """A call with what it holds; an answer without a limit has one from now on."""
        ask = call.ask
        if ask.output_tokens_max is None and first == most and ask.kind == "chat":
            ask = clamped(ask, most // ask.choices)
        price, patience_s = way.highest.answer_token, self._patience_s
        tab = Tab(self.cover, drawn, price, first, most, patience_s, way.used, call.tab)
        return Call(arrival=call.arrival, key=call.key, ask=ask, edition=call.edition, tab=tab)

    def _find(self, known: Snapshot, call: Call, plan: Plan, name: tuple[str, str]) -> Way:
        """What such calls draw on, whoever answers them."""
        if len(self._ways) >= WAYS_KEPT:
            self._ways.clear()
        contract, at_us = call.key.contract, call.arrival.at_us
        models = (call.ask.model, *plan.route.fallback)
        places = [place for model in models for place in known.places.get((contract, model), ())]
        timelines = [each for place in places for each in (place.offers, *place.others.values())]
        found = [offer for timeline in timelines for offer in offers.since(timeline, at_us)]
        payment = Payment(call.key, contract, call.ask.model, found[0].currency, at_us)
        drawn_on = purses.purses(known.funds, payment)
        after = tuple(self._quotas(known, call, models))
        ends = [each.until_us for each in drawn_on] + [each.until_us for each in after]
        ends += (
            [each.from_us for each in found if each.from_us > at_us] if known.funds.grants else []
        )
        way = self._ways[name] = Way(
            known,
            at_us,
            min(ends, default=purses.NEVER_US),
            self.cover.slices_of(drawn_on),
            bounds.highest(found, self._compute_ms_max, ANSWER_BYTES_MAX),
            known.models.get(call.ask.model),
            models,
            after=after,
        )
        return way

    def _quotas(self, known: Snapshot, call: Call, models: tuple[str, ...]) -> Iterator[Way]:
        """What such calls draw on that is given and no more, by whoever may answer them."""
        at_us, seen = call.arrival.at_us, set[str]()
        for model in models if known.funds.grants else ():
            places = known.places.get((call.key.contract, model), ())
            offer = offers.at(places[0].offers, at_us) if places else None
            drawn_on = () if offer is None else quotas.purses(offer, model, at_us)
            if offer is None or not drawn_on or drawn_on[0].name in seen:
                continue
            seen.add(drawn_on[0].name)
            yield Way(
                known,
                at_us,
                min(each.until_us for each in drawn_on),
                self.cover.slices_of(drawn_on),
                quotas.most(offer, model),
                known.models.get(call.ask.model),
                models,
                partial(quotas.drawn, drawn_on[0].name),
            )


async def _counted(wanting: Wanting, counters: Mapping[str, PromptCounter]) -> Wanting | None:
    """The same for a prompt that was counted; None where that is no less, or nobody can count it.

    By the tokenizer of whoever may answer that has the most of it.
    """
    call, way = wanting.call, wanting.way
    ask, known = call.ask, [counters.get(name) for name in way.models]
    if ask.kind != "chat" or None in known or _media_tokens(ask, way.model):
        return None
    found = [await each.most(ask.fields) for each in known if each is not None]
    told = [each for each in found if each is not None]
    if len(told) < len(known) or max(told) >= prompt_tokens(ask, way.model):
        return None
    fixed = way.highest.most_pico(max(told), 0, ask.ingress_bytes)
    return wanting._replace(fixed=fixed)


def prompt_tokens(ask: Ask, model: Model | None) -> int:
    """No fewer tokens than a prompt has."""
    return ask.ingress_bytes + TEMPLATE_TOKENS + _media_tokens(ask, model)


def _media_tokens(ask: Ask, model: Model | None) -> int:
    """What the pictures and films of a prompt are taken for."""
    if model is not None and model.input == ("text",):
        return 0
    messages = bytes(ask.fields.get("messages", b""))
    return sum(messages.count(mark) * each for mark, each in MEDIA_TOKENS)


def answer_tokens(ask: Ask, model: Model | None) -> int:
    """No fewer tokens than an answer will have: by its caller's limit, or the model's."""
    if ask.kind != "chat":
        return 0
    limit = ask.output_tokens_max
    if limit is None or limit <= 0:
        limit = (model and (model.output_max or model.context)) or OPEN_TOKENS
    return limit * ask.choices


def clamped(ask: Ask, tokens: int) -> Ask:
    """The same, for an answer of at most so many tokens."""
    fields = {**ask.fields}
    written = [name for name in _OUTPUT_FIELDS if name in fields] or [_OUTPUT_FIELDS[1]]
    for name in written:
        fields[name] = Raw(str(tokens).encode())
    return msgspec.structs.replace(ask, fields=fields, output_tokens_max=tokens)


def refused(short: Short, at_us: int) -> Refusal:
    """What a caller is told for whose call there is no cover."""
    purse = short.purse
    what = quotas.said(purse) or f"contract {purse.name.partition('/')[2]!r}"
    if purse.budget is not None:
        what = f"budget {purse.budget!r}"
    if short.why == "away":
        return refusals.cover_unknown()
    if short.why == "held":
        return refusals.cover_held(what)
    if purse.until_us == purses.NEVER_US:
        return refusals.cover_used_up(what)
    wait_s = max(1, -(-(purse.until_us - at_us) // 1_000_000))
    return Refusal(
        code=Code.INSUFFICIENT_QUOTA,
        type=Code.INSUFFICIENT_QUOTA,
        message=f"The {what} is used up for now. Please try again in {wait_s} s.",
        retry_after_s=wait_s,
    )


def _is_hidden(model: Model | None) -> bool:
    """Whether a model may think without showing it, so that its stream does not tell its length."""
    return model is None or (model.reasoning and model.weights == "closed")
