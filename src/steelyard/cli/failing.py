"""Failing: how a command says why nothing was done."""

from __future__ import annotations

from typing import NoReturn

import click


def fail(sentence: str) -> NoReturn:
    """Say on standard error why nothing was done, and exit."""
    click.echo(f"steelyard: {sentence}", err=True)
    raise SystemExit(1)
