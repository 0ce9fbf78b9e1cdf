"""What a fault of the simulation is: one named lie or outage, and what a client must make of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from attrs import field, frozen

from teeverify.check_ids import KNOWN
from teeverify.testing.defects.model import INCONCLUSIVE, REJECTED, VERIFIED, Spoil

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
    """One named fault.

    Attributes:
        name: as `SimulatedTee.set_fault` takes it.
        area: "evidence", "transport", "exchange" or "clock".
        description: one line.
        outcomes: what a client under the simulation's own policy may conclude, the expected outcome first. They are of
            the attestation, and of the exchange where the area is "exchange".
        checks: of these at least one must decide; empty where the outcome is VERIFIED.
        base: "direct" or "cloud" where the fault exists in one shape only.
        gpus: how many GPUs it needs at least.
        backends: how many machines behind the model's host it needs at least.
        algorithm: the only signing algorithm that may be asked for, None where it does not matter.
        tls_bound: whether the TLS-bound form must be asked for.
        streamed: whether it shows in streamed answers only.
        excluded: why it cannot be shown over a live connection, None where it can.
        spoil: makes a truthful session lie.
        lean: whether the session is the one of `teeverify.testing.defects`, without what its defects do not need.
        copies: whether such a session repeats the record in ``all_attestations``.
        only_backend: the one machine that is spoilt.
        shift: by how much the evidence is dated ahead.
        group: whose servers misbehave: "provider", "intel" or "nvidia".
        trick: how they misbehave.
    """

    name: str
    area: str
    description: str
    outcomes: tuple[str, ...]
    checks: frozenset[str] = field(default=frozenset(), converter=_known)
    base: str | None = None
    gpus: int = 1
    backends: int = 1
    algorithm: str | None = None
    tls_bound: bool = False
    streamed: bool = False
    excluded: str | None = None
    spoil: Spoil | None = field(default=None, repr=False)
    lean: bool = False
    copies: bool = False
    only_backend: int | None = None
    shift: timedelta = timedelta(0)
    group: str | None = None
    trick: str | None = None

    @property
    def outcome(self) -> str:
        """The expected outcome."""
        return self.outcomes[0]

    def misfit(self, *, cloud: bool, gpus: int, backends: int) -> str | None:
        """Why a deployment cannot show this fault, as a clause; None where it can."""
        if self.excluded is not None:
            return self.excluded
        shape = "cloud" if cloud else "direct"
        if self.base not in (None, shape):
            return f"it is a fault of the {self.base} shape, and the simulation has the {shape} one"
        if gpus < self.gpus:
            return f"it needs {self.gpus} GPUs, and the simulation has {gpus}"
        if backends < self.backends:
            return f"it needs {self.backends} backends, and the simulation has {backends}"
        return None

    def spoils(self, *, cloud: bool, backend: int) -> bool:
        """Whether the fault shows in a report of that shape by that machine."""
        fits = self.base is None or (self.base == "cloud") == cloud
        return self.spoil is not None and fits and self.only_backend in (None, backend)

    def unfit_question(self, *, algorithm: str, tls_bound: bool) -> str | None:
        """Why the fault cannot be shown to a client that asks so, as a clause; None where it can."""
        if self.algorithm not in (None, algorithm):
            return f"it shows in reports with signing_algo={self.algorithm} only"
        if self.tls_bound and not tls_bound:
            return "it shows in reports with include_tls_fingerprint=true only"
        return None
