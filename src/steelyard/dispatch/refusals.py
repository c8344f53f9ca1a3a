"""Refusals: every reason for which a call is not answered as asked, as values."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from steelyard.governance import keys
from steelyard.upstream.openai import UNAUTHORISED, Fault
from steelyard.upstream.transport import Kind

RETRY_AFTER_S = 1
"""When a caller that found no place may try again."""

_HTTP_ERRORS = range(400, 600)
_UNAVAILABLE = 503
_RETRY_DIGITS_MAX = 5


class Code(StrEnum):
    """The stable code of a refusal, in the order in which a call is checked."""

    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    INVALID_API_KEY = "invalid_api_key"
    OVERLOADED = "overloaded"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    REQUEST_TOO_LARGE = "request_too_large"
    REQUEST_TIMEOUT = "request_timeout"
    INVALID_JSON = "invalid_json"
    MISSING_PARAMETER = "missing_parameter"
    INVALID_PARAMETER = "invalid_parameter"
    MODEL_NOT_FOUND = "model_not_found"
    RATE_LIMIT_EXCEEDED = "rate_limit_exceeded"
    INSUFFICIENT_QUOTA = "insufficient_quota"
    COVER_USED_UP = "cover_used_up"
    COVER_HELD = "cover_held"
    COVER_UNKNOWN = "cover_unknown"
    ROUTING_NOT_ALLOWED = "routing_not_allowed"
    UPSTREAM_UNAVAILABLE = "upstream_unavailable"
    JOURNAL_FULL = "journal_full"
    UPSTREAM_UNREACHABLE = "upstream_unreachable"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    UPSTREAM_BROKEN = "upstream_broken"
    UPSTREAM_INVALID_RESPONSE = "upstream_invalid_response"
    UPSTREAM_ANSWER_TOO_LARGE = "upstream_answer_too_large"
    UPSTREAM_UNAUTHORISED = "upstream_unauthorised"
    UPSTREAM_ERROR = "upstream_error"
    ANSWER_UNREAD = "answer_unread"
    INTERRUPTED = "interrupted"
    JOURNAL_FAILED = "journal_failed"
    INTERNAL_ERROR = "internal_error"


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a call is not answered: a code, and a sentence for the caller.

    ``status``, ``type`` and ``upstream_code`` are an upstream's own, passed on.
    """

    code: Code
    message: str
    param: str | None = None
    retry_after_s: int | None = None
    status: int | None = None
    type: str | None = None
    upstream_code: str | None = None


def model_not_found(model: str) -> Refusal:
    """One answer for a model that isn't there and for one that the key may not call."""
    return Refusal(
        code=Code.MODEL_NOT_FOUND,
        message=f"The model {model!r} does not exist, or this key may not call it.",
        param="model",
    )


def missing(param: str) -> Refusal:
    """A parameter that has to be there is not."""
    return Refusal(
        code=Code.MISSING_PARAMETER,
        message=f"You must provide {param!r}.",
        param=param,
    )


def invalid(param: str, wanted: str) -> Refusal:
    """A parameter of the wrong type or size."""
    return Refusal(code=Code.INVALID_PARAMETER, message=f"{param!r} must be {wanted}.", param=param)


KEY_MESSAGES = {
    keys.Refusal.MISSING: "You didn't provide an API key: send it as 'Authorization: Bearer ...'.",
    keys.Refusal.UNKNOWN: "The API key is not known here.",
    keys.Refusal.REVOKED: "The API key was revoked.",
}

UPSTREAM_MESSAGES = {
    Kind.UNREACHABLE: "No connection to the model's upstream could be made.",
    Kind.TIMEOUT: "The model's upstream took too long.",
    Kind.BROKEN: "The model's upstream broke off before its answer was whole.",
    Kind.INVALID: "The model's upstream gave an answer that is empty or not understood.",
    Kind.TOO_LARGE: "The model's upstream gave an answer that is too large.",
    Kind.RESTING: "The model's upstream does not let the studio call it now.",
}


def key_refused(reason: keys.Refusal) -> Refusal:
    """A key that does not open."""
    return Refusal(code=Code.INVALID_API_KEY, message=KEY_MESSAGES[reason])


def overloaded() -> Refusal:
    """No place for another call."""
    return Refusal(
        code=Code.OVERLOADED,
        message=f"The gateway takes no more calls now; try again in {RETRY_AFTER_S} s.",
        retry_after_s=RETRY_AFTER_S,
    )


def cover_used_up(what: str) -> Refusal:
    """Cover that no waiting brings back."""
    return Refusal(
        code=Code.COVER_USED_UP,
        type=Code.INSUFFICIENT_QUOTA,
        message=f"The {what} does not cover this call any more; it has to be raised or paid in.",
    )


def cover_held(what: str) -> Refusal:
    """Cover that other calls hold, for longer than a call waits."""
    return Refusal(
        code=Code.COVER_HELD,
        type=Code.INSUFFICIENT_QUOTA,
        message=f"Other calls hold what is left of {what}; try again in {RETRY_AFTER_S} s.",
        retry_after_s=RETRY_AFTER_S,
    )


def cover_unknown() -> Refusal:
    """Where shared limits are kept nobody answers, and what this worker had of them is used."""
    return Refusal(
        code=Code.COVER_UNKNOWN,
        message=f"Whether this call is covered can't be told; try again in {RETRY_AFTER_S} s.",
        retry_after_s=RETRY_AFTER_S,
    )


def routing_not_allowed() -> Refusal:
    """A key that may not choose deployments."""
    return Refusal(
        code=Code.ROUTING_NOT_ALLOWED,
        message="This key may not choose deployments: neither in a header nor in the body.",
    )


def unavailable(opens_s: int) -> Refusal:
    """Nobody to ask: every deployment that the call may use is failing, or is being drained."""
    return Refusal(
        code=Code.UPSTREAM_UNAVAILABLE,
        message=f"No deployment of the model takes calls now; try again in {opens_s} s.",
        retry_after_s=opens_s,
    )


def journal_full() -> Refusal:
    """No room to record the call in."""
    return Refusal(
        code=Code.JOURNAL_FULL,
        message="There is no room to record this call, so it is not made.",
        retry_after_s=RETRY_AFTER_S,
    )


def journal_failed() -> Refusal:
    """The journal takes nothing more until the worker begins anew."""
    return Refusal(
        code=Code.JOURNAL_FAILED,
        message="This call can't be recorded, so it is not answered.",
        retry_after_s=RETRY_AFTER_S,
    )


def answer_unread() -> Refusal:
    """A caller that did not take its answer."""
    return Refusal(
        code=Code.ANSWER_UNREAD, message="The answer was not read in the time that a call may take."
    )


def interrupted() -> Refusal:
    """The worker stops in the middle of a call."""
    return Refusal(code=Code.INTERRUPTED, message="The gateway was stopped during this call.")


def not_understood() -> Refusal:
    """An answer that is none."""
    return upstream_failed(Kind.INVALID)


def upstream_failed(kind: Kind, retry_after_s: int | None = None) -> Refusal:
    """An upstream that failed us."""
    return Refusal(
        code=Code(kind.value),
        message=UPSTREAM_MESSAGES[kind],
        retry_after_s=retry_after_s,
        status=_UNAVAILABLE if kind is Kind.RESTING else None,
    )


def upstream_refused(status: int, fault: Fault, retry_after: str = "") -> Refusal:
    """An upstream that refuses, its own words passed on.

    Those about our account with it are kept from the caller, whom they would mislead.
    """
    if status in UNAUTHORISED:
        return Refusal(
            code=Code.UPSTREAM_UNAUTHORISED,
            message="The model's upstream does not accept the studio's own key.",
        )
    if fault.message is None and status not in _HTTP_ERRORS:
        return not_understood()
    digits = retry_after.isascii() and retry_after.isdigit()
    return Refusal(
        code=Code.UPSTREAM_ERROR,
        message=fault.message or f"The model's upstream answered with status {status}.",
        param=fault.param,
        retry_after_s=int(retry_after[:_RETRY_DIGITS_MAX]) if digits else None,
        status=status if status in _HTTP_ERRORS else None,
        type=fault.type,
        upstream_code=fault.code,
    )
