"""What no tracked file says: it speaks of the project alone, wherever it was made."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Built from pieces, so that this file passes its own test.
HOSTS = [
    "py" + "pi.org",
    "pythonhos" + "ted.org",
    "npm" + "js.org",
    "npm" + "js.com",
    "deb." + "debian",
]
FOLDERS = ["wo" + "rk", "ro" + "ot", "fa" + "rm", "opt/" + "wheels", "tmp/" + "probe"]
WORDS = ["fa" + "rm-", "helper " + "session", r"\bsit" + r"ting\b"]

FORBIDDEN = {
    "a registry's host": re.compile("|".join(map(re.escape, HOSTS))),
    "a path of one machine": re.compile(rf"(?<![\w.\-$}}])/({'|'.join(FOLDERS)})(?![\w-])"),
    "a word for the tools around the project": re.compile("|".join(WORDS), re.IGNORECASE),
    "asserts switched off": re.compile(r"\bpython[\d.]* +-" + r"O|PYTHONOPTI" + r"MIZE=\S"),
}

BROKEN = [
    ("a registry's host", "https://files.pythonhos" + "ted.org/packages"),
    ("a path of one machine", "cd /wo" + "rk/main"),
    ("a path of one machine", 'HOME = "/ro' + 'ot"'),
    ("a word for the tools around the project", "as a Helper " + "session found"),
    ("asserts switched off", "python3 -" + "O -m steelyard"),
]

ALLOWED = [
    "src/ro" + "ot/x",
    "/wo" + "rkers and /wo" + "rk-items",
    "$base/ro" + "ot",
    "visiting",
    "python -m steelyard",
]


def said(text: str) -> list[str]:
    """The forbidden kinds of thing that a text says."""
    return [kind for kind, pattern in FORBIDDEN.items() if pattern.search(text)]


def test_no_file_says_what_is_not_its_own(tracked):
    found = []
    for path in tracked:
        content = (ROOT / path).read_bytes()
        if b"\0" in content:
            continue
        for number, line in enumerate(content.decode("utf-8").splitlines(), 1):
            found += [f"{path}:{number}: {kind}" for kind in said(line)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(("kind", "text"), BROKEN)
def test_the_search_can_find(kind, text):
    assert kind in said(text)


@pytest.mark.parametrize("text", ALLOWED)
def test_the_search_lets_pass(text):
    assert not said(text)
