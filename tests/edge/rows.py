"""A row of the table of faults: what an upstream does, what the caller gets, charge and cost."""

from __future__ import annotations

from typing import NamedTuple

from tests.edge.answers import GUESSED, NOTHING, PROMPT
from tests.fixtures.upstreams import Script


class Row(NamedTuple):
    """``status`` and ``code`` are what the caller gets, code None for a whole answer."""

    name: str
    says: str
    script: Script | None
    status: int
    code: str | None
    charged: dict[str, int]
    cost: dict[str, int]
    outcome: str = "failed"
    error: str | None = None
    """The recorded code, where it is not the one that the caller gets."""
    retry_after: str | None = None
    certificate: str | None = None
    """With which the upstream speaks TLS."""
    kind: str = "openai"

    @property
    def streamed(self) -> bool:
        return self.name.startswith("stream")


def sound(name: str, says: str, script: Script, charged: dict[str, int]) -> Row:
    """What is odd, and a whole answer all the same."""
    return Row(name, says, script, 200, None, charged, charged, "completed")


def free(name: str, says: str, script: Script | None, status: int, code: str, **more: str) -> Row:
    """What costs nobody anything."""
    return Row(name, says, script, status, code, NOTHING, NOTHING, **more)


def lost(name: str, says: str, script: Script, status: int, code: str) -> Row:
    """What the caller is not charged for, and the upstream may well charge us for."""
    return Row(name, says, script, status, code, NOTHING, PROMPT)


def cut(name: str, says: str, script: Script, code: str, **more: str) -> Row:
    """A stream that ends early: what was delivered is charged, and costs."""
    return Row(name, says, script, 200, code, GUESSED, GUESSED, **more)
