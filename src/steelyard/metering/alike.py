"""Events alike: those of one stream that differ in their text alone, and in nothing else."""

from __future__ import annotations

from typing import NamedTuple

NO_USAGE = b',"usage":null'
"""What many vendors say in each event, when usage is to come in the last."""


class Alike(NamedTuple):
    """What is around the text of each of many events."""

    before: bytes
    after: bytes
    between: bytes
    reasoning: bool
    strips: bool
    """Whether each says that it has no usage, which the caller did not ask for."""


def learn(
    event: bytes, output: list[bytes], reasoning: list[bytes], *, include_usage: bool
) -> Alike | None:
    """What an event is like that says one text and nothing else; None when it is no such one."""
    texts = output or reasoning
    if len(output) + len(reasoning) != 1:
        return None
    quoted = b'"%b"' % texts[0]
    if event.count(quoted) != 1 or b'"timings"' in event:
        return None
    if b'"usage"' in event.replace(NO_USAGE, b""):
        return None
    before, _, after = event.partition(quoted)
    before, after = before + b'"', b'"' + after
    if not before.startswith(b"data: {") or not after.endswith(b"}\n\n"):
        return None
    strips = not include_usage and NO_USAGE in event
    return Alike(before, after, after + before, not output, strips)


def text_alike(alike: Alike, data: bytes) -> bytes | None:
    """The text of an event, should it be like that; of several there is ``between`` between.

    Inside a JSON string a quote is escaped, so that what is between two texts is in none, and a
    quote that is left says that not all are like that.
    """
    if not data.startswith(alike.before) or not data.endswith(alike.after):
        return None
    begin, end = len(alike.before), len(data) - len(alike.after)
    return data[begin:end] if begin <= end else None
