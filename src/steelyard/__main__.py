"""``python -m steelyard``."""

from __future__ import annotations

from steelyard.cli.main import cli


def main() -> None:
    """Run the command line."""
    cli(prog_name="steelyard")


if __name__ == "__main__":
    main()
