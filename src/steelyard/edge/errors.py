"""Errors: the one table from refusal to status and body, in OpenAI's shape."""

from __future__ import annotations

from typing import Literal

import msgspec

from steelyard.dispatch.calls import Headers
from steelyard.dispatch.refusals import Code, Refusal

SERVER_ERRORS = 500

Type = Literal["invalid_request_error", "server_error"]


class ErrorKind(msgspec.Struct, frozen=True):
    """What a code is over HTTP. ``meaning`` is what the reference prints."""

    status: int
    type: Type
    meaning: str


ERRORS: dict[str, ErrorKind] = {
    Code.NOT_FOUND: ErrorKind(404, "invalid_request_error", "There is no such path."),
    Code.METHOD_NOT_ALLOWED: ErrorKind(
        405, "invalid_request_error", "The path exists, but not with this method."
    ),
    Code.INVALID_API_KEY: ErrorKind(
        401, "invalid_request_error", "The key is missing, unknown or revoked."
    ),
    Code.OVERLOADED: ErrorKind(
        503,
        "server_error",
        "As many calls are in flight and waiting as the gateway or the model's deployment takes, "
        "or this one has waited too long, or the gateway is stopping; "
        "try again after `retry-after` seconds.",
    ),
    Code.UNSUPPORTED_MEDIA_TYPE: ErrorKind(
        415, "invalid_request_error", "The body is not plain `application/json`."
    ),
    Code.REQUEST_TOO_LARGE: ErrorKind(
        413, "invalid_request_error", "The body is larger than `body_bytes_max`."
    ),
    Code.REQUEST_TIMEOUT: ErrorKind(
        408, "invalid_request_error", "The body did not arrive within `body_s`."
    ),
    Code.INVALID_JSON: ErrorKind(
        400, "invalid_request_error", "The body is no JSON object; the message says where."
    ),
    Code.MISSING_PARAMETER: ErrorKind(
        400, "invalid_request_error", "`param` has to be given and is not."
    ),
    Code.INVALID_PARAMETER: ErrorKind(
        400, "invalid_request_error", "`param` has the wrong type or size."
    ),
    Code.MODEL_NOT_FOUND: ErrorKind(
        404, "invalid_request_error", "There is no such model, or not for this key."
    ),
    Code.RATE_LIMIT_EXCEEDED: ErrorKind(
        429,
        "invalid_request_error",
        "A limit of requests or tokens per minute, or of calls at once, is reached; try again "
        "after `retry-after` seconds. Without that header the call is larger than the limit.",
    ),
    Code.INSUFFICIENT_QUOTA: ErrorKind(
        429,
        "invalid_request_error",
        "What may be used in a day, a budget's hour, day, week, month or quarter, or a window of a "
        "plan that stops, is used; `retry-after` says when there is more.",
    ),
    Code.COVER_USED_UP: ErrorKind(
        403,
        "invalid_request_error",
        "A budget, what was paid in, a credit limit, or a grant that stops does not cover the call "
        "any more; it has to be raised, and waiting does not help.",
    ),
    Code.COVER_HELD: ErrorKind(
        429,
        "invalid_request_error",
        "Other calls hold what is left of a budget, and still did after `queue_s`; try again after "
        "`retry-after` seconds.",
    ),
    Code.COVER_UNKNOWN: ErrorKind(
        503,
        "server_error",
        "The store of shared limits can't be asked, and what the worker had leased is used; try "
        "again after `retry-after` seconds.",
    ),
    Code.ROUTING_NOT_ALLOWED: ErrorKind(
        403, "invalid_request_error", "The key may not choose deployments (`routing` of `[[key]]`)."
    ),
    Code.UPSTREAM_UNAVAILABLE: ErrorKind(
        503,
        "server_error",
        "Every deployment that the call may use has just failed, or is draining; "
        "try again after `retry-after` seconds.",
    ),
    Code.JOURNAL_FULL: ErrorKind(
        503, "server_error", "There is no room to record the call, so it is not made."
    ),
    Code.JOURNAL_FAILED: ErrorKind(
        503, "server_error", "The journal can't be written, so the call is not answered."
    ),
    Code.UPSTREAM_UNREACHABLE: ErrorKind(
        502, "server_error", "No connection to the upstream could be made."
    ),
    Code.UPSTREAM_TIMEOUT: ErrorKind(
        504, "server_error", "The upstream was silent for too long, or the call took too long."
    ),
    Code.UPSTREAM_BROKEN: ErrorKind(
        502, "server_error", "The upstream broke the connection before its answer was whole."
    ),
    Code.UPSTREAM_INVALID_RESPONSE: ErrorKind(
        502, "server_error", "The upstream's answer is empty or not understood."
    ),
    Code.UPSTREAM_ANSWER_TOO_LARGE: ErrorKind(
        502, "server_error", "The upstream's answer is larger than `answer_bytes_max`."
    ),
    Code.UPSTREAM_UNAUTHORISED: ErrorKind(
        502,
        "server_error",
        "The upstream does not accept the studio's own key; or, with 503, none of its keys can be "
        "used for another `retry-after` seconds.",
    ),
    Code.UPSTREAM_ERROR: ErrorKind(
        502,
        "server_error",
        "The upstream refused; its status, message, param and code are passed on.",
    ),
    Code.ANSWER_UNREAD: ErrorKind(
        408, "invalid_request_error", "The caller did not read its stream within `total_s`."
    ),
    Code.INTERRUPTED: ErrorKind(503, "server_error", "The gateway was stopped during the call."),
    Code.INTERNAL_ERROR: ErrorKind(500, "server_error", "A fault of the gateway itself."),
}


class _Error(msgspec.Struct, frozen=True):
    message: str
    type: str
    param: str | None
    code: str | None


class _Body(msgspec.Struct, frozen=True):
    error: _Error


def status_of(refusal: Refusal) -> int:
    """The HTTP status of a refusal: an upstream's own where it is passed on."""
    return refusal.status or ERRORS[refusal.code].status


def headers_of(refusal: Refusal) -> Headers:
    """When to try again; or that there is no use, which OpenAI's clients heed."""
    if refusal.retry_after_s is not None:
        return f"retry-after: {refusal.retry_after_s}\r\n"
    return "x-should-retry: false\r\n" if refusal.code == Code.RATE_LIMIT_EXCEEDED else ""


def body_of(refusal: Refusal) -> bytes:
    """A refusal in OpenAI's shape, as JSON."""
    kind: Type = "invalid_request_error" if status_of(refusal) < SERVER_ERRORS else "server_error"
    return msgspec.json.encode(
        _Body(
            _Error(
                message=refusal.message,
                type=refusal.type or kind,
                param=refusal.param,
                code=refusal.upstream_code or refusal.code,
            )
        )
    )


def event_of(refusal: Refusal) -> bytes:
    """A refusal as the last event of a stream that has begun."""
    return b"data: " + body_of(refusal) + b"\n\n"
