from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.catalogue.places import Place, locate

DATA = Path(__file__).parents[2] / "src" / "steelyard"

TEXT = """\
# a comment with = and [brackets]
a = 1
"q.x".b = [1, [2, 3], { x = "}", y = [] }]
[t.u]
d = 1979-05-27 07:32:00 # a date with a space
s = \"\"\"one
"two" \\\"\"\" three\"\"\"
[[p]]
m = { k."a\\tb" = 'x#', z = { w = 1 } }
  [[p.q]]
  r = true
  [[p.q]]
  r = [
    1, # one
    2,
  ]
[[p]]
[p.z]
k=1"""

PLACES = [
    (("a",), 2, 1),
    (("q.x",), 3, 1),
    (("q.x", "b"), 3, 7),
    (("q.x", "b", 1, 1), 3, 19),
    (("q.x", "b", 2, "y"), 3, 34),
    (("t",), 4, 1),
    (("t", "u", "s"), 6, 1),
    (("p", 0), 8, 1),
    (("p", 0, "m", "k", "a\tb"), 9, 9),
    (("p", 0, "m", "z", "w"), 9, 30),
    (("p", 0, "q", 0), 10, 3),
    (("p", 0, "q", 1, "r", 1), 15, 5),
    (("p", 1), 17, 1),
    (("p", 1, "z", "k"), 19, 1),
]


def paths_of(value, path=()):
    if path:
        yield path
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from paths_of(inner, (*path, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from paths_of(inner, (*path, index))


@pytest.mark.parametrize(("path", "line", "column"), PLACES)
def test_a_thing_is_where_it_is_written(path, line, column):
    assert locate(TEXT)[path] == Place(line, column)


def test_windows_line_ends_count_as_one():
    assert locate(TEXT.replace("\n", "\r\n"))[("p", 1, "z", "k")] == Place(19, 1)


FILES = sorted([*DATA.glob("catalogue/data/*/*.toml"), *DATA.glob("cli/templates/**/*.toml")])


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)
def test_all_that_a_file_says_has_a_place(file):
    text = file.read_text("utf-8")
    assert set(locate(text)) == set(paths_of(tomllib.loads(text)))


names = st.text(min_size=1, max_size=6)
scalars = st.one_of(st.integers(), st.booleans(), st.text(max_size=8), st.floats(allow_nan=False))
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


def written(value):
    """A value as TOML, on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(char):08X}" for char in value) + '"'
    if isinstance(value, list):
        return "[" + ", ".join(written(each) for each in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{written(k)} = {written(v)}" for k, v in value.items()) + "}"
    return repr(value) if isinstance(value, float) else str(value)


@given(st.dictionaries(names, values, max_size=4), st.lists(values, max_size=3))
def test_every_document_is_located_whole(table, rows):
    text = "".join(f"{written(name)} = {written(value)}\n" for name, value in table.items())
    text += "".join(f'\n[["rows of it"]] # {n}\nx = {written(v)}\n' for n, v in enumerate(rows))
    if "rows of it" in table:
        return
    places = locate(text)
    assert set(places) == set(paths_of(tomllib.loads(text)))
    lines = text.split("\n")
    for (first, *_), place in places.items():
        assert place.line <= len(lines)
        assert place.column <= len(lines[place.line - 1])
        assert first in table or first == "rows of it"
