"""Writes docs/reference from the code: commands, settings, meters, errors, metrics (./dev docs)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import msgspec

from steelyard.cli.main import cli
from steelyard.edge.errors import ERRORS
from steelyard.edge.telemetry.families import FAMILIES
from steelyard.settings import Settings
from steelyard.values.meters import ALL_METERS

REFERENCE = Path(__file__).parent / "reference"
COLUMNS = 96
KINDS = {
    "array": "List",
    "boolean": "Boolean",
    "integer": "Integer",
    "null": "nothing",
    "number": "Number",
    "object": "Table",
    "string": "Text",
}
NOTICE = "<!-- Written by ./dev docs from the code; edit the code instead. -->"


def page(title: str, opening: str, sections: Iterator[str]) -> str:
    """One Markdown page: notice, title, opening, sections."""
    return "\n\n".join([NOTICE, f"# {title}", opening, *sections]) + "\n"


def commands(
    command: click.Command, name: str, parent: click.Context | None = None
) -> Iterator[tuple[str, click.Context]]:
    """Each command under its full name, parents first, in the order of the help."""
    looks: dict[str, Any] = {**command.context_settings, "terminal_width": COLUMNS}
    context = click.Context(command, info_name=name, parent=parent, **looks)
    yield context.command_path, context
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            yield from commands(found, child, context)


def cli_sections() -> Iterator[str]:
    """A heading and the help of each command, as a terminal shows it."""
    for path, context in commands(cli, "steelyard"):
        # A command keeps the names under which it was first asked for help, by whoever asked.
        vars(context.command)["_help_option"] = None
        text = context.command.get_help(context)
        yield f"## {path}\n\n```text\n{text}\n```"


def settings_schema() -> tuple[Mapping[str, Any], dict[str, Mapping[str, Any]]]:
    """The JSON Schema of the settings, and that of each table by its name."""
    (whole,), parts = msgspec.json.schema_components([Settings], ref_template="{name}")
    return parts[whole["$ref"]], parts


def settings() -> Iterator[tuple[str, Mapping[str, Any], bool]]:
    """Each table and setting under its full name, with its schema, and whether it must be given."""
    top, parts = settings_schema()
    yield from under("", top, parts)


def under(
    prefix: str, table: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, Mapping[str, Any], bool]]:
    """The settings of one table, and of the tables in it."""
    for name, field in table["properties"].items():
        yield prefix + name, field, name in table.get("required", ())
        inner = parts.get(reference(field))
        if inner and "properties" in inner:
            yield from under(f"{prefix}{name}.", inner, parts)


def reference(field: Mapping[str, Any]) -> str:
    """The name of the table that a field holds; empty for a plain setting."""
    one_of: list[Mapping[str, Any]] = [field, *field.get("allOf", ()), *field.get("anyOf", ())]
    one_of.append(field.get("items") or {})
    return next((part["$ref"] for part in one_of if "$ref" in part), "")


def written(value: object) -> str:
    """A value as TOML writes it, near enough for a page."""
    return f"`{msgspec.json.encode(value).decode()}`"


def kind(field: Mapping[str, Any]) -> str:
    """What may be written: a type with its bounds, or the list of values."""
    if "enum" in field:
        return "One of " + ", ".join(written(value) for value in field["enum"])
    if "anyOf" in field:
        return " or ".join(kind(part) for part in field["anyOf"])
    name = KINDS[field["type"]] if "type" in field else "Anything"
    low, high = field.get("minimum"), field.get("maximum")
    if low is not None and high is not None:
        return f"{name} from {low:,} to {high:,}"
    if low is not None:
        return f"{name}, at least {low:,}"
    if "pattern" in field:
        return f"{name} like `{field['pattern']}`"
    return name


def settings_sections() -> Iterator[str]:
    """A heading, the meaning, the kind and the default of each table and setting."""
    for name, field, required in settings():
        meaning = field.get("description", "")
        if reference(field):
            yield f"## {name}\n\n{meaning}"
            continue
        default = "Must be given" if required else f"Default: {written(field.get('default'))}"
        yield f"### {name}\n\n{meaning}\n\n{kind(field)}. {default}."


def meter_sections() -> Iterator[str]:
    """A heading, the unit and the meaning of each meter."""
    for name, meter in ALL_METERS.items():
        yield f"## {name}\n\n{meter.meaning} Unit: {meter.unit}."


def error_sections() -> Iterator[str]:
    """A heading, the status and the meaning of each error code."""
    for code, error in ERRORS.items():
        yield f"## {code}\n\nStatus {error.status}. {error.meaning}"


def metric_sections() -> Iterator[str]:
    """A heading, the meaning, the kind and the labels of each metric."""
    for name, family in FAMILIES.items():
        labels = ", ".join(f"`{label}`" for label in ("worker", *family.labels))
        yield f"## {name}\n\n{family.meaning} A {family.kind}. Labels: {labels}."


def pages() -> dict[str, str]:
    """Each page of the reference by its file name."""
    return {
        "cli.md": page(
            "Command line",
            "Every command, with its help as a terminal shows it.",
            cli_sections(),
        ),
        "settings.md": page(
            "Settings",
            "The tables of `steelyard.toml` that say how Steelyard runs. "
            "A setting's unit is the last part of its name.",
            settings_sections(),
        ),
        "meters.md": page(
            "Meters",
            "What is counted, each in one unit. No meter includes another.",
            meter_sections(),
        ),
        "errors.md": page(
            "Error codes",
            "What a refused or failed call is told: `error.code` in the body, and the status.",
            error_sections(),
        ),
        "metrics.md": page(
            "Metrics",
            "What `/metrics` of the gateway shows, for Prometheus. `worker` is the number of the "
            "process; `customer` names those that called first, and `other` for the rest.",
            metric_sections(),
        ),
    }


def main() -> None:
    """Write the pages that changed."""
    REFERENCE.mkdir(exist_ok=True)
    for name, text in pages().items():
        path = REFERENCE / name
        if not path.is_file() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            print(f"docs/reference/{name}")


if __name__ == "__main__":
    main()
