"""The tables of the simulations' faults, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from teeverify.testing.simulation.chutes.fault import ChutesFault
from teeverify.testing.simulation.chutes.hosts import MODELS
from teeverify.testing.simulation.hosts import PROVIDER
from teeverify.testing.simulation.near.fault import NearFault
from teeverify.testing.simulation.opengradient.fault import OpenGradientFault

from .chutes import API_CHECKS, MODELS_CHECKS, chutes_clock_faults, chutes_evidence_faults
from .near_evidence import clock_faults, defect_faults, evidence_faults, node_faults
from .near_exchange import exchange_faults
from .opengradient import opengradient_faults
from .table import by_name
from .transport import transport_faults

__all__ = ["CHUTES_FAULTS", "FAULTS", "OPENGRADIENT_FAULTS"]

FAULTS: Final[Mapping[str, NearFault]] = by_name(
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

CHUTES_FAULTS: Final[Mapping[str, ChutesFault]] = by_name(
    chutes_evidence_faults(),
    chutes_clock_faults(),
    transport_faults(
        ChutesFault,
        {MODELS: MODELS_CHECKS, PROVIDER: API_CHECKS},
        {MODELS: "Chutes' list of models", PROVIDER: "Chutes' API"},
    ),
)
"""All faults of Chutes."""

OPENGRADIENT_FAULTS: Final[Mapping[str, OpenGradientFault]] = by_name(opengradient_faults())
"""All faults of OpenGradient."""
