"""The ``steelyard`` command: a group whose commands are imported when they are called."""

from __future__ import annotations

import importlib
from pathlib import Path

import click

import steelyard

COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("steelyard.cli.init", "Write a commented studio into a folder."),
    "check": ("steelyard.cli.check", "Check the studio's files; name file, line and reason."),
    "up": ("steelyard.cli.up", "Serve: gateway, engine and clerk, supervised."),
    "reload": ("steelyard.cli.reload", "Have the running studio read its files anew."),
    "restart": ("steelyard.cli.restart", "Start new workers, then end the old ones."),
    "top": ("steelyard.cli.top", "Show live what goes through the gateway."),
    "console": ("steelyard.cli.console", "Show books, machines and budgets in a browser."),
    "keys": ("steelyard.cli.keys", "Make, list and revoke callers' keys."),
    "budgets": ("steelyard.cli.budgets", "Show what is spent of budgets, and raise them."),
    "wallet": ("steelyard.cli.wallet", "Record what customers pay in."),
    "secrets": ("steelyard.cli.secrets", "Seal upstreams' keys in the studio."),
    "models": ("steelyard.cli.models", "Show the models of the catalogue."),
    "contract": ("steelyard.cli.contract", "Check, show, compare and explain contracts."),
    "prices": ("steelyard.cli.prices", "Show a model's list prices, at a date."),
    "import": ("steelyard.cli.importing", "Turn a usage trace into usage records."),
    "rate": ("steelyard.cli.rate", "Rate usage in a Parquet file, and book nothing."),
    "facts": ("steelyard.cli.facts", "Write down what happened and is no call."),
    "journal": ("steelyard.cli.journal", "Read, verify and summarise the journal."),
    "clerk": ("steelyard.cli.clerk", "Book what is in the journal."),
    "ship": ("steelyard.cli.ship", "Ship the journal to the object store."),
    "rerate": ("steelyard.cli.rerate", "Rate calls again under corrected documents."),
    "correct": ("steelyard.cli.correct", "Take calls back, or correct what was counted."),
    "close": ("steelyard.cli.close", "Close a period: invoices and statements."),
    "report": ("steelyard.cli.report", "Show where the money goes."),
    "audit": ("steelyard.cli.audit", "Rebuild the books and compare."),
    "demo": ("steelyard.cli.demo", "Make a studio, run real traffic, show the money."),
}
"""Each command's module, which names its click command ``command``, and its line in the help."""


class _Lazy(click.Group):
    """Imports a command's module when it is asked for, so that ``--help`` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command; None when there is no such name."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0])
        found = module.command
        assert isinstance(found, click.Command)
        return found

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; a faulty studio stops it before it does anything."""
        from steelyard.studio import StudioFaults  # noqa: PLC0415 - so that --help is quick

        try:
            return super().invoke(ctx)
        except StudioFaults as exc:
            for fault in exc.faults:
                click.echo(str(fault), err=True)
            click.echo("The studio is faulty, so nothing was done.", err=True)
            ctx.exit(1)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands without importing any of them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


def _tell_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"steelyard, version {steelyard.__version__}, {steelyard.build()}")
        ctx.exit()


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--studio",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    envvar="STEELYARD_STUDIO",
    show_default="this folder",
    help="The studio's folder, which holds steelyard.toml.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_tell_version,
    help="Show the version, and whether it is compiled, and exit.",
)
@click.pass_context
def cli(ctx: click.Context, studio: Path) -> None:
    """One endpoint over many models: every call weighed, priced, booked and settled."""
    ctx.obj = studio
