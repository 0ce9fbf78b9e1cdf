"""The faults of a simulated OpenGradient, all of them."""

from __future__ import annotations

from attrs import evolve

from teeverify.testing.simulation.fault import INCONCLUSIVE, REJECTED, VERIFIED
from teeverify.testing.simulation.opengradient.fault import EVERY_LEVEL, OpenGradientFault
from teeverify.testing.simulation.opengradient.hosts import ENCLAVE, NODES, RELAY
from teeverify.testing.simulation.tricks import CERTIFICATE_TRICKS

from .opengradient_answers import answer_faults
from .opengradient_chain import chain_faults
from .opengradient_enclave import enclave_clock_faults, enclave_faults
from .opengradient_sealed import LOST, sealed_faults
from .transport import transport_faults

__all__ = ["opengradient_faults"]

_CHECKS = {
    NODES: frozenset({"registry.entry"}),
    ENCLAVE: frozenset({"evidence.complete", "evidence.wellformed", "nitro.cose_signature", "enclave.signing_key"}),
    RELAY: frozenset[str](),
}
_HALVES = ("invalid-json", "empty-body", "length-too-short")
"""Half a document is one with wrong content."""
_WHO = {NODES: "Every node", ENCLAVE: "The enclave", RELAY: "The relay"}


def opengradient_faults() -> tuple[OpenGradientFault, ...]:
    """Lies of nodes and enclave, wrong clocks, lies about answers, tricks of the relay, and outages."""
    outages = transport_faults(OpenGradientFault, _CHECKS, _WHO, endorsers=False)
    return (
        *chain_faults(),
        *enclave_faults(),
        *enclave_clock_faults(),
        *answer_faults(),
        *sealed_faults(),
        *map(_outage, outages),
    )


def _outage(fault: OpenGradientFault) -> OpenGradientFault:
    """The enclave's certificate is its own and not verified; without the relay there is no answer to judge."""
    if fault.group == RELAY:
        return evolve(fault, outcomes=(VERIFIED,), error=LOST, levels=EVERY_LEVEL)
    if fault.group == ENCLAVE and fault.trick in CERTIFICATE_TRICKS:
        return evolve(fault, outcomes=(VERIFIED,), checks=frozenset())
    if fault.group == ENCLAVE and fault.trick in _HALVES:
        return evolve(fault, outcomes=(REJECTED, INCONCLUSIVE))
    return evolve(fault, levels=EVERY_LEVEL) if fault.group == NODES else fault
