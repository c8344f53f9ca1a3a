"""Costs told in streams: where they are written, and that nothing else moves."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from steelyard.dispatch import costs
from steelyard.dispatch.costs import PLACE
from tests.dispatch.test_routing import OFFER
from tests.rating.documents import call

TEXT = b'data: {"choices":[{"delta":{"content":"data: {\\"usage\\":{}}"}}],"usage":null}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":5}}\n\n'
DONE = b"data: [DONE]\n\n"
HELD = [
    # what came, from where on it waits
    (TEXT, None),
    (TEXT + USAGE, len(TEXT)),
    (TEXT + USAGE + DONE, len(TEXT)),
    (TEXT + DONE, None),
    (DONE, None),
    (USAGE, 0),
    (b"", None),
    (b": comment\n\n", None),
]


@pytest.mark.parametrize(("events", "start"), HELD)
def test_the_last_usage_waits(events, start):
    assert costs.held_from(events) == start


@pytest.mark.parametrize(
    "events",
    [
        TEXT + DONE,
        b'data: {"usage":\n\n' + DONE,
        b'data: {"usage":{}}\n\n',
        b'data: {"usage":7}\n\n',
        b'data: ["usage"]\n\n',
    ],
)
def test_events_without_a_usage_stay_as_they_are(events):
    assert costs.with_place(events) == events
    assert costs.filled(events, call(input_tokens=5), OFFER) == events


@pytest.mark.parametrize("before", [b"", TEXT, USAGE + TEXT])
def test_a_cost_is_written_into_the_last_usage_and_the_length_was_known(before):
    placed = costs.with_place(before + USAGE + DONE)
    filled = costs.filled(placed, call(input_tokens=5), OFFER)
    assert len(filled) == len(placed) == len(before + USAGE + DONE) + len(PLACE)
    assert filled.startswith(before)
    assert filled.endswith(DONE)
    told = msgspec.json.decode(filled[len(before) :].split(b"\n")[0][6:])
    assert told["usage"] == {"prompt_tokens": 5, "cost": "0.000005", "currency": "CNY"}


def test_a_worker_prices_calls_without_the_columns_of_the_books():
    """Arrow and NumPy would be 40 MB in each worker."""
    found = "import steelyard.worker, sys; print(*{'pyarrow', 'numpy', 'duckdb'} & {*sys.modules})"
    run = subprocess.run([sys.executable, "-c", found], capture_output=True, text=True, check=True)
    assert run.stdout == "\n"
