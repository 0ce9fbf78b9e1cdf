"""Faults of fronts: the table of defects, evidence that is dated wrongly, chats, and broken servers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from typing import Final

from attrs import evolve

from teeverify.testing.front import FrontSession
from teeverify.testing.front_defects import FrontDefect, front_defects
from teeverify.testing.front_defects.passing import passed_on
from teeverify.testing.recording import Document
from teeverify.testing.simulation.fault import CLOCK, EVIDENCE, REJECTED
from teeverify.testing.simulation.fronts.fault import FrontFault
from teeverify.testing.simulation.hosts import PROVIDER
from teeverify.testing.simulation.near.fault import NearFault

from .front_exchange import front_exchange_faults
from .near_evidence import evidence_faults
from .table import by_name
from .transport import transport_faults

__all__ = ["front_faults"]

_WHO: Final[Mapping[str, str]] = {
    "phala": "RedPill",
    "vllm-proxy": "The proxy",
    "nanogpt": "NanoGPT",
    "venice": "Venice",
}
_CHECKS: Final = frozenset({"evidence.complete", "evidence.wellformed"})
_SIGNING: Final = ("phala", "vllm-proxy")
_SHARED: Final[Mapping[str, int]] = {
    "replayed-nonce": 10,
    "swapped-key": 12,
    "forged-event": 16,
    "old-tcb": 3,
    "other-image": 30,
    "debug-td": 5,
    "revoked-pck": 3,
    "bad-gpu": 38,
    "nras-refuses": 39,
}
"""Faults that have the same name in every simulation, with the number of the attack."""


@cache
def front_faults(provider: str, shape: str) -> Mapping[str, FrontFault]:
    """All faults of one front in one shape ("dstack", "near" or "chutes"), by name.

    Raises:
        ValueError: two of them have the same name.
    """
    shared = [_of_machine(fault) for fault in evidence_faults() if fault.name in _SHARED and shape != "chutes"]
    signs = provider in _SIGNING and shape != "chutes"
    return by_name(
        shared,
        (_of(defect) for defect in front_defects(provider, shape).values()),
        _clock_faults(),
        front_exchange_faults() if signs else (),
        transport_faults(FrontFault, {PROVIDER: _CHECKS}, {PROVIDER: _WHO[provider]}),
    )


def _of(defect: FrontDefect) -> FrontFault:
    return FrontFault(
        name=defect.name,
        area=EVIDENCE,
        description=defect.description,
        outcomes=defect.outcomes,
        checks=defect.checks,
        gpus=defect.gpus,
        number=defect.number,
        instances=defect.instances,
        tls_bound=defect.tls_bound,
        spoil=defect.spoil,
    )


def _of_machine(fault: NearFault) -> FrontFault:
    """A fault of NEAR's simulation, in the form of the front."""

    def spoil(session: FrontSession) -> Document | None:
        assert fault.spoil is not None
        document = fault.spoil(session.machines)
        return None if document is None else passed_on(session, document)

    return FrontFault(
        name=fault.name,
        area=EVIDENCE,
        description=fault.description,
        outcomes=fault.outcomes,
        checks=fault.checks,
        number=_SHARED[fault.name],
        spoil=spoil,
    )


def _clock_faults() -> tuple[FrontFault, ...]:
    hour = timedelta(hours=1)
    ahead = FrontFault(
        name="clock-ahead",
        area=CLOCK,
        description="Everything that is signed is dated an hour ahead.",
        outcomes=(REJECTED,),
        checks=frozenset({"tcb.collateral_current", "gpu.nras_token"}),
        shift=hour,
    )
    behind = evolve(
        ahead,
        name="clock-behind",
        description="Everything that is signed is dated an hour back, so NVIDIA's tokens are too old.",
        checks=frozenset({"gpu.nras_token"}),
        shift=-hour,
    )
    return ahead, behind
