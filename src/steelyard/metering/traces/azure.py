"""Azure's public traces: time, context tokens, generated tokens.

Source: AzureLLMInferenceTrace_*.csv of github Azure/AzurePublicDataset (CRLF, fractions of seven
digits, no zone).
"""

from __future__ import annotations

from steelyard.metering.traces.instants import instant_us
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
    shown,
)

_WANTED = "a time like 2023-11-16 18:15:46.6805900"
_COLUMNS = (
    Column("TIMESTAMP", r"[^,]{1,40}", _WANTED),
    count("ContextTokens"),
    count("GeneratedTokens"),
)


def parser(header: str) -> Parse:
    """Read one line at a time."""
    check_header(header, _COLUMNS)
    match = line_pattern(_COLUMNS).fullmatch

    def parse(line: str) -> Row | Fault:
        found = match(line)
        if found is None:
            return line_fault(line, _COLUMNS)
        at, context, generated = found.groups()
        at_us = instant_us(at)
        if at_us is None:
            return Fault(1, f"TIMESTAMP is {shown(at)}; expected {_WANTED}")
        meters = {
            "input_tokens": int(context),
            "output_tokens": int(generated),
            "requests": 1,
        }
        return Row(at_us, None, None, meters, line)

    return parse


FORMAT = Format(name="azure", parser=parser, header=True, absolute=True, models=False)
