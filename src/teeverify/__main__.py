"""``python -m teeverify``."""

from .cli import entry

entry()
