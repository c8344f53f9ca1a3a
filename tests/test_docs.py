"""Docs fail: each setting, command, error code and meter has its heading, and each link its end."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs import generate
from steelyard.cli.main import cli
from steelyard.edge.errors import ERRORS
from steelyard.edge.telemetry.access import Line
from steelyard.edge.telemetry.families import FAMILIES
from steelyard.values.meters import ALL_METERS

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)(?:#([^)\s]+))?\)")


def headings(text: str) -> set[str]:
    return {match.group(1) for match in re.finditer(r"^#+ (.+)$", text, re.MULTILINE)}


def written(name: str) -> str:
    return (generate.REFERENCE / name).read_text("utf-8")


@pytest.mark.parametrize("name", ["cli.md", "settings.md", "meters.md", "errors.md", "metrics.md"])
def test_a_page_is_what_the_code_says(name):
    assert written(name) == generate.pages()[name], "./dev docs writes it again"


def test_each_command_has_its_heading():
    paths = {path for path, _ in generate.commands(cli, "steelyard")}
    assert len(paths) > 1
    assert paths <= headings(written("cli.md"))


def test_each_command_says_what_it_does():
    for path, context in generate.commands(cli, "steelyard"):
        assert context.command.help, f"{path} has no help"
        for parameter in context.command.params:
            record = parameter.to_info_dict()
            silent = record["param_type_name"] == "option" and not record.get("help")
            assert not silent, f"{path} {parameter.name} has no help"


def test_each_setting_has_its_heading_and_meaning():
    found = list(generate.settings())
    assert found
    assert {name for name, _, _ in found} <= headings(written("settings.md"))
    assert not [name for name, field, _ in found if not field.get("description")]


def test_each_meter_has_its_heading():
    assert ALL_METERS
    assert set(ALL_METERS) <= headings(written("meters.md"))


def test_each_error_code_has_its_heading():
    assert ERRORS
    assert set(ERRORS) <= headings(written("errors.md"))


def test_each_metric_has_its_heading():
    assert FAMILIES
    assert set(FAMILIES) <= headings(written("metrics.md"))


def test_each_field_of_the_access_log_is_described():
    guide = (ROOT / "docs" / "guide" / "observe.md").read_text("utf-8")
    described = set(re.findall(r"^\| `(\w+)`", guide, re.MULTILINE))
    assert set(Line.__struct_fields__) <= described


def anchors(text: str) -> set[str]:
    """The anchors that a reader's browser finds, as Git hosts make them from headings."""
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings(text)]
    return {heading.replace(" ", "-") for heading in plain}


def test_each_link_has_its_end(tracked):
    broken = []
    for name in tracked:
        if not name.endswith(".md"):
            continue
        path = ROOT / name
        for target, anchor in LINK.findall(path.read_text("utf-8")):
            end = path.parent / target
            if not end.exists():
                broken.append(f"{name}: {target}")
            elif anchor and end.suffix == ".md" and anchor not in anchors(end.read_text("utf-8")):
                broken.append(f"{name}: {target}#{anchor}")
    assert not broken, "\n".join(broken)
