"""``python -m teeverify.cli``."""

from . import entry

entry()
