"""The table of the simulation's faults, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from teeverify.errors import ConfigurationError
from teeverify.testing.simulation.fault import Fault

from .evidence import clock_faults, defect_faults, evidence_faults, node_faults
from .exchange import exchange_faults
from .transport import transport_faults

__all__ = ["FAULTS", "fault_named"]


def _table() -> dict[str, Fault]:
    table: dict[str, Fault] = {}
    evidence = (*evidence_faults(), *node_faults(), *defect_faults(), *clock_faults())
    for fault in (*evidence, *exchange_faults(), *transport_faults()):
        if fault.name in table:
            raise ValueError(f"two faults are called {fault.name}")
        table[fault.name] = fault
    return table


FAULTS: Final[Mapping[str, Fault]] = _table()
"""All faults, those that cannot be shown live included."""


def fault_named(name: str, *, cloud: bool, gpus: int, backends: int) -> Fault:
    """The fault of that name, for a deployment of that shape.

    Raises:
        ConfigurationError: there is none, or the deployment cannot show it.
    """
    fault = FAULTS.get(name)
    if fault is None:
        raise ConfigurationError(f"no fault is called {name[:80]!r}: --list-faults and SimulatedTee.faults name them")
    reason = fault.misfit(cloud=cloud, gpus=gpus, backends=backends)
    if reason is not None:
        raise ConfigurationError(f"the fault {name!r} cannot be shown: {reason}")
    return fault
