"""The tables of the simulations' faults, by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

from teeverify.testing.simulation.chutes.fault import ChutesFault
from teeverify.testing.simulation.chutes.hosts import MODELS
from teeverify.testing.simulation.fault import Fault
from teeverify.testing.simulation.hosts import PROVIDER
from teeverify.testing.simulation.near.fault import NearFault

from .chutes import API_CHECKS, MODELS_CHECKS, chutes_clock_faults, chutes_evidence_faults
from .near_evidence import clock_faults, defect_faults, evidence_faults, node_faults
from .near_exchange import exchange_faults
from .transport import transport_faults

__all__ = ["CHUTES_FAULTS", "FAULTS"]

F = TypeVar("F", bound=Fault)


def _table(*groups: Iterable[F]) -> dict[str, F]:
    table: dict[str, F] = {}
    for fault in (fault for group in groups for fault in group):
        if fault.name in table:
            raise ValueError(f"two faults are called {fault.name}")
        table[fault.name] = fault
    return table


FAULTS: Final[Mapping[str, NearFault]] = _table(
    evidence_faults(),
    node_faults(),
    defect_faults(),
    clock_faults(),
    exchange_faults(),
    transport_faults(
        NearFault, {PROVIDER: frozenset({"evidence.complete", "evidence.wellformed"})}, {PROVIDER: "Provider"}
    ),
)
"""All faults of NEAR AI, those that cannot be shown live included."""

CHUTES_FAULTS: Final[Mapping[str, ChutesFault]] = _table(
    chutes_evidence_faults(),
    chutes_clock_faults(),
    transport_faults(
        ChutesFault,
        {MODELS: MODELS_CHECKS, PROVIDER: API_CHECKS},
        {MODELS: "Chutes' list of models", PROVIDER: "Chutes' API"},
    ),
)
"""All faults of Chutes."""
