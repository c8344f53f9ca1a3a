"""Templates: a ready-made contract for each way of paying, to begin one of one's own with."""

from __future__ import annotations

import re

import msgspec

_TITLE, _TAKEN = "# ", "# Take it for: "
_ID = re.compile(r'^id = ".*"$', re.MULTILINE)
_CUSTOMER = re.compile(r'^customer = ".*"$', re.MULTILINE)


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """A contract with an example of what it charges, in the comment that it begins with."""

    name: str
    title: str
    taken_for: str
    """For whom."""
    text: str

    @property
    def example(self) -> tuple[tuple[str, ...], ...]:
        """The example's rows: what it is about, and the columns."""
        rows = [line for line in self.text.splitlines() if line.startswith("#   ")]
        return tuple(tuple(part.strip() for part in row[4:].split("|")) for row in rows)


def template(name: str, text: str) -> Template:
    """The template in a file: its first two lines say what it is, and for whom."""
    title, taken = text.splitlines()[:2]
    return Template(
        name=name,
        title=title.removeprefix(_TITLE),
        taken_for=taken.removeprefix(_TAKEN),
        text=text,
    )


def made(template: Template, contract: str, customer: str) -> str:
    """The text of a contract of one's own: a template under another id, with one's customer."""
    text = _ID.sub(f'id = "{contract}"', template.text, count=1)
    return _CUSTOMER.sub(f'customer = "{customer}"', text, count=1)
