"""Pages: a view as HTML, from one template for each."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import resources

import jinja2
from markupsafe import Markup

from steelyard.clerk.printing import environment
from steelyard.console.views import Account, Issued, Overview, Usage, View

STYLE = "/console.css"

_TEMPLATES: dict[type[View], str] = {
    Overview: "overview.html",
    Issued: "month.html",
    Account: "account.html",
    Usage: "usage.html",
}
_MIB, _KIB = 1 << 20, 1 << 10


def page(view: View, *, for_operator: bool) -> bytes:
    """A view's page; the operator's leads back to the overview."""
    template = _templates().get_template(_TEMPLATES[type(view)])
    return template.render(view=view, for_operator=for_operator, style=STYLE).encode()


def said(title: str, sentence: str) -> bytes:
    """A page that says one thing."""
    template = _templates().get_template("said.html")
    return template.render(title=title, sentence=sentence, style=STYLE).encode()


@cache
def style() -> bytes:
    """How all pages look."""
    return resources.files("steelyard.console").joinpath("templates/console.css").read_bytes()


def size(number: int) -> str:
    """Bytes as people read them: ``512 B``, ``3 KiB``, ``12 MiB``."""
    if number >= _MIB:
        return f"{number // _MIB:,} MiB"
    return f"{number // _KIB:,} KiB" if number >= _KIB else f"{number} B"


def aligned(text: str, column: Iterable[str]) -> Markup:
    """An amount with as much room after it as its column's longest fraction takes; – for none."""
    if not text:
        return Markup("–")
    longest = max(_fraction(each) for each in (text, *column))
    missing = longest[len(_fraction(text)) :]
    return Markup('{}<span class="pad">{}</span>').format(text, missing)


def _fraction(text: str) -> str:
    """As many zeros as the fraction has digits, with its point."""
    _, point, digits = text.partition(".")
    return point + "0" * len(digits)


@cache
def _templates() -> jinja2.Environment:
    return environment("steelyard.console", {"size": size, "aligned": aligned})
