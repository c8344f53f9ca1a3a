"""Calls resampled from ServeGen's distributions: many models, many clients.

Image tokens are part of the prompt, beside the text's; reasoning tokens are part of the output.
Source: github alibaba/ServeGen; the columns are those of a resampled day.
"""

from __future__ import annotations

from steelyard.metering.traces.instants import seconds_us
from steelyard.metering.traces.rows import (
    Column,
    Fault,
    Format,
    Parse,
    Row,
    check_header,
    count,
    line_fault,
    line_pattern,
    word,
)

_COLUMNS = (
    Column("t_s", r"\d{1,9}(?:\.\d{1,9})?", "seconds since the beginning, like 12.345"),
    Column("model", r"[^,]{1,200}", "the name of a model"),
    word("client"),
    count("input_tokens"),
    count("image_tokens"),
    count("image_count"),
    count("output_tokens"),
    count("reasoning_tokens"),
)
_REASONING = len(_COLUMNS) - 1


def parser(header: str) -> Parse:
    """Read one line at a time."""
    check_header(header, _COLUMNS)
    match = line_pattern(_COLUMNS).fullmatch

    def parse(line: str) -> Row | Fault:
        found = match(line)
        if found is None:
            return line_fault(line, _COLUMNS)
        at, model, client, text, image, images, output, reasoning = found.groups()
        answered = int(output) - int(reasoning)
        if answered < 0:
            reason = f"reasoning_tokens is {reasoning}, which is more than all output ({output})"
            return Fault(found.start(_REASONING + 1) + 1, reason)
        meters = {
            "input_tokens": int(text) + int(image),
            "output_tokens": answered,
            "reasoning_tokens": int(reasoning),
            "requests": 1,
        }
        if images != "0":
            meters["images"] = int(images)
        return Row(seconds_us(float(at)), model, client or None, meters, line)

    return parse


FORMAT = Format(name="servegen", parser=parser, header=True, absolute=False, models=True)
