"""Attacks on sessions with fronts: number in the list of failure modes, title, how to make it, what must refuse it."""

from __future__ import annotations

from functools import partial
from typing import Final

from attrs import frozen

from teeverify.testing.defects import DEFECTS
from teeverify.testing.front_defects.machines import BY_ATTACK

from .alterations import Make, through_venice
from .guest_attacks import GUEST_ATTACKS
from .quote_attacks import QUOTE_ATTACKS

__all__ = ["ROWS", "Row"]


@frozen
class Row:
    """One attack; ``checks`` are those of which one must decide."""

    number: int
    title: str
    make: Make
    checks: frozenset[str]


ROWS: Final = (
    *(
        Row(number, f"Venice: {name}", partial(through_venice, name), DEFECTS[name].checks)
        for number, names in BY_ATTACK.items()
        if number != 19  # which is none: it must be VERIFIED
        for name in names
    ),
    *(Row(number, title, make, frozenset(checks)) for number, title, make, checks in (*QUOTE_ATTACKS, *GUEST_ATTACKS)),
)
