"""A console for tables: on a terminal as wide as that, and in a pipe or a log as wide as they are."""

import os

from rich.console import Console

_WIDE = 400
"""Columns, more than any table has: tables take what they need of them."""


def wide_console() -> Console:
    """Where nobody says how wide it is, nothing is cut or wrapped: names that are cut alike can't be told apart."""
    console = Console()
    is_said = console.is_terminal or "COLUMNS" in os.environ
    return console if is_said else Console(width=_WIDE)
