"""What a fault of the simulation is: one named lie or outage, and what a client must make of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from attrs import field, frozen

from teeverify.check_ids import KNOWN
from teeverify.testing.defects.model import INCONCLUSIVE, REJECTED, VERIFIED

__all__ = ["CLOCK", "EVIDENCE", "EXCHANGE", "INCONCLUSIVE", "REJECTED", "TRANSPORT", "VERIFIED", "Fault"]

EVIDENCE: Final = "evidence"
TRANSPORT: Final = "transport"
EXCHANGE: Final = "exchange"
CLOCK: Final = "clock"


def _known(checks: frozenset[str]) -> frozenset[str]:
    unknown = checks - set(KNOWN)
    if unknown:
        raise ValueError(f"no check is called {sorted(unknown)}")
    return checks


@frozen(kw_only=True)
class Fault:
    """One named fault; what only one provider's faults have is in `NearFault`, `ChutesFault`, `OpenGradientFault`.

    Attributes:
        name: as `SimulatedTee.set_fault` takes it.
        area: "evidence", "transport", "exchange" or "clock".
        description: one line.
        outcomes: what a client under the simulation's own policy may conclude, the expected outcome first. They are of
            the attestation, and of the exchange where the area is "exchange".
        checks: of these at least one must decide; empty where the outcome is VERIFIED.
        gpus: how many GPUs each machine needs at least.
        excluded: why it cannot be shown over a live connection, None where it can.
        shift: by how much the evidence is dated ahead.
        group: whose servers misbehave: "provider", "intel", "nvidia", or another group of the provider's hosts.
        trick: how they misbehave.
        error: name of the exception that a chat ends with where it comes to no judgement at all; the outcome is then
            that of the attestation.
    """

    name: str
    area: str
    description: str
    outcomes: tuple[str, ...]
    checks: frozenset[str] = field(default=frozenset(), converter=_known)
    gpus: int = 1
    excluded: str | None = None
    shift: timedelta = timedelta(0)
    group: str | None = None
    trick: str | None = None
    error: str | None = None

    @property
    def outcome(self) -> str:
        """The expected outcome."""
        return self.outcomes[0]
