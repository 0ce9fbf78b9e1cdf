"""Faults of a `World`, as functions that turn one knob each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from attrs import evolve

from .world import World

Fault: TypeAlias = Callable[[World], object]


def quote(**changes: Any) -> Fault:
    """Arguments of `teeverify.testing.tdx.build_quote`."""
    return lambda world: world.quote_changes.update(changes)


def td(**changes: Any) -> Fault:
    """Fields of the TD report."""
    return lambda world: world.with_td(**changes)


def layout(**changes: Any) -> Fault:
    """Header constants, types and padding."""
    return lambda world: setattr(world, "layout", evolve(world.layout, **changes))


def enclave(**changes: Any) -> Fault:
    """Fields of the quoting enclave's report."""
    return lambda world: setattr(world, "qe", evolve(world.qe, **changes))


def platform(**changes: Any) -> Fault:
    """What the PCK leaf says."""
    return lambda world: setattr(world, "platform", evolve(world.platform, **changes))


def tcb(**changes: Any) -> Fault:
    """Members of TCB info, before it is signed."""
    return lambda world: world.pcs.tcb_changes.update(changes)


def qe(**changes: Any) -> Fault:
    """Members of the QE identity, before it is signed."""
    return lambda world: world.pcs.qe_changes.update(changes)


def built(*faults: Fault) -> World:
    """A fresh world with these faults."""
    world = World()
    for fault in faults:
        fault(world)
    return world
