"""Faults by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from teeverify.testing.simulation.fault import Fault

__all__ = ["by_name"]

F = TypeVar("F", bound=Fault)


def by_name(*groups: Iterable[F]) -> dict[str, F]:
    """All faults of some groups, by name and in their order.

    Raises:
        ValueError: two of them have the same name.
    """
    table: dict[str, F] = {}
    for fault in (fault for group in groups for fault in group):
        if fault.name in table:
            raise ValueError(f"two faults are called {fault.name}")
        table[fault.name] = fault
    return table
