"""The page of faults, from the tables that the tests go through over real sockets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tests.edge import callers, faults, messages
from tests.edge.answers import PROMPT, TOLD
from tests.edge.callers import Leaving, Oddity
from tests.edge.faults import Again, Row

NOTICE = "<!-- Written by ./dev golden from the tables in tests/edge; edit those instead. -->"
OPENING = (
    "What goes wrong with upstreams and callers, what the caller gets, what is charged, and what "
    "is booked as cost. Each row is a test over real sockets: a call whose prompt is estimated at "
    "7 tokens and whose answer at 2, of an upstream that says 12 and 3. After all of them the "
    "worker has the files, the tasks and the memory that it had before."
)


def page() -> str:
    """The whole page."""
    return "\n\n".join([NOTICE, "# Faults", OPENING, *_sections()]) + "\n"


def _sections() -> Iterator[str]:
    yield "## Usage, however it is told"
    yield _upstreams(faults.USAGES)
    yield "## Upstreams, plain answers"
    yield _upstreams(faults.PLAIN)
    yield "## Upstreams, streams"
    yield _upstreams(faults.STREAMS)
    yield "## Upstreams that speak Anthropic's Messages"
    yield _upstreams(messages.ROWS)
    yield "## Several attempts"
    yield (
        "Nothing is asked again once something was given. Before that, here, another model "
        "answers, and the call is charged as one of that model."
    )
    head = ("the first upstream", "charged", "cost")
    yield _table(head, ((row.says, _units(TOLD), _beside(row)) for row in faults.AGAIN))
    yield "## Callers that hang up"
    yield "The upstream is cancelled, unless `on_hangup` says `drain`."
    head = ("the caller hangs up", "charged", "cost")
    yield _table(head, (_left(row) for row in callers.LEAVING))
    yield "## Callers that don't read"
    yield (
        "The upstream is held back, so that memory stays bounded. When `total_s` is over, the call "
        "ends as `answer_unread`: what was taken is charged, what was made is cost, and a "
        "connection that stays unread is closed."
    )
    yield "## Requests that are none"
    yield "Refused before there is a call, and the connection is closed: nothing behind is read."
    yield _table(("what is sent", "the caller gets"), (_odd(row) for row in callers.SMUGGLING))
    yield (
        'With `server = "granian"`, which is not the default, a length told twice, chunks beside a '
        "length, lines that end in LF, and a body that breaks off after a whole chunk are taken; "
        "and a stream that nobody reads is held in memory until `total_s`."
    )
    yield "## Requests that are too much"
    yield _table(("what is sent", "the caller gets"), (_odd(row) for row in callers.BOMBS))


def _upstreams(rows: Sequence[Row]) -> str:
    head = ("the upstream", "the caller gets", "charged", "cost")
    return _table(head, ((row.says, _got(row), _units(row.charged), _cost(row)) for row in rows))


def _table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _got(row: Row) -> str:
    if row.code is None:
        return "200, the answer"
    if row.charged:
        return f"200, what came, `{row.code}`"
    return f"{row.status} `{row.code}`"


def _cost(row: Row) -> str:
    return "the same" if row.cost == row.charged and row.cost else _units(row.cost)


def _beside(row: Again) -> str:
    return f"the same, and {_units(row.cost)} of the first" if row.cost else "the same"


def _left(row: Leaving) -> Sequence[str]:
    if not row.call:
        return row.says, "nothing", "nothing: there is no call"
    if row.charged is None or row.cost is None:
        return row.says, "the prompt and what came", "the prompt and what was made"
    same = row.charged == row.cost
    return row.says, _units(row.charged), "the same" if same else _units(row.cost)


def _odd(row: Oddity) -> Sequence[str]:
    return row.says, str(row.status)


def _units(meters: Mapping[str, int]) -> str:
    """Token counts, and whether they are our own: the upstream's prompt is longer than ours."""
    if not meters:
        return "nothing"
    told = ", ".join(f"{units} {name.removesuffix('_tokens')}" for name, units in meters.items())
    guessed = meters.get("input_tokens") == PROMPT["input_tokens"]
    return f"{told}, estimated" if guessed else told
