"""``teeverify dstack``: commands about dstack guests and their images, one module each."""

from __future__ import annotations

import argparse
import importlib
from typing import Final

__all__ = ["add_parsers"]

_COMMANDS: Final = ("dstack_measure", "dstack_verify")
"""Modules of this package with an ``add_parser`` that takes the group's subparsers and sets ``run``."""


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``dstack`` and its commands."""
    group = commands.add_parser("dstack", help="look at dstack guests and at the images they boot")
    inner = group.add_subparsers(dest="dstack_command", metavar="COMMAND", required=True)
    for name in _COMMANDS:
        importlib.import_module(f".{name}", __package__).add_parser(inner)
