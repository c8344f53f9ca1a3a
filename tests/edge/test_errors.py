"""The one table of errors: complete, and in OpenAI's shape."""

from __future__ import annotations

import msgspec
import pytest

from steelyard.dispatch import refusals
from steelyard.dispatch.refusals import Code, Refusal
from steelyard.edge.errors import ERRORS, body_of, event_of, status_of
from steelyard.governance import keys
from steelyard.upstream.openai import Fault
from steelyard.upstream.transport import Kind

TOLD = [
    *(refusals.key_refused(reason) for reason in refusals.KEY_MESSAGES),
    refusals.overloaded(),
    refusals.missing("messages"),
    refusals.invalid("stream", "bool or null"),
    refusals.model_not_found("gpt-7"),
    refusals.journal_full(),
    refusals.journal_failed(),
    refusals.answer_unread(),
    refusals.interrupted(),
    *(refusals.upstream_failed(kind) for kind in Kind),
    refusals.upstream_refused(401, Fault(message="Incorrect API key: sk-up...am")),
    refusals.upstream_refused(429, Fault(message="Slow down.", code="rate_limit_exceeded"), "30"),
    refusals.upstream_refused(503, Fault(), "Fri, 31 Dec 1999 23:59:59 GMT"),
    refusals.upstream_refused(200, Fault(message="The model is asleep.", type="asleep")),
    refusals.upstream_refused(302, Fault()),
]


def test_every_code_is_in_the_table():
    assert set(ERRORS) == set(Code)


@pytest.mark.parametrize("code", Code)
def test_a_kind_says_what_it_is(code):
    kind = ERRORS[code]
    assert kind.status in range(400, 600)
    assert (kind.type == "server_error") is (kind.status >= 500)
    assert kind.meaning.endswith(".")


def test_every_reason_of_a_key_has_its_sentence():
    assert set(refusals.KEY_MESSAGES) == set(keys.Refusal) - {keys.Refusal.MODEL}


def test_what_callers_are_told(golden):
    told = (f"{status_of(each)} {body_of(each).decode()}\n" for each in TOLD)
    golden("errors.txt", "".join(told))


def test_an_event_is_one_line():
    refusal = Refusal(code=Code.UPSTREAM_ERROR, message="two\nlines", status=400)
    event = event_of(refusal)
    assert event.startswith(b"data: {")
    assert event.endswith(b"}\n\n")
    assert event.count(b"\n") == 2
    assert msgspec.json.decode(event[6:])["error"]["message"] == "two\nlines"
