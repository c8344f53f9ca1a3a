"""The formats of traces by name."""

from __future__ import annotations

from steelyard.metering.traces import azure, bailian, mooncake, servegen, table
from steelyard.metering.traces.rows import Format

FORMATS: dict[str, Format] = {
    each.FORMAT.name: each.FORMAT for each in (azure, mooncake, servegen, bailian, table)
}
