"""Chutes sessions that lie or fail in one named way each: what is wrong, what must be concluded, and by which check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .answers import ANSWERS, HOSTILE_BODIES, MODEL_LISTS
from .binding import BINDING, OTHER_NONCE
from .gpus import GPUS
from .machine import MACHINE
from .model import Change, ChutesDefect, ChutesSpoil

__all__ = [
    "CHUTES_DEFECTS",
    "HOSTILE_BODIES",
    "MODEL_LISTS",
    "OTHER_NONCE",
    "Change",
    "ChutesDefect",
    "ChutesSpoil",
]


def _table() -> dict[str, ChutesDefect]:
    table: dict[str, ChutesDefect] = {}
    for defect in (*BINDING, *MACHINE, *GPUS, *ANSWERS):
        if defect.name in table:
            raise ValueError(f"two defects are called {defect.name}")
        table[defect.name] = defect
    return table


CHUTES_DEFECTS: Final[Mapping[str, ChutesDefect]] = _table()
"""All of them, by name."""
