"""Attests the simulation over real connections, and judges a saved report of what was asked and answered."""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

from teeverify.flow import run
from teeverify.policy import Policy
from teeverify.providers.near import NearVerifier
from teeverify.providers.near_flow import attestation_flow
from teeverify.providers.near_wire import asked_from_url, near_url
from teeverify.testing.simulation import SimulatedTee
from teeverify.transport import Recording, recorded
from teeverify.verdict import AttestationVerdict, Status

from .raw_client import RawTransport

__all__ = ["Judged", "attest", "front_host"]

NONCE = bytes(range(100, 132))


@frozen
class Judged:
    """A verdict, as words."""

    outcome: str
    failed: frozenset[str]
    unevaluated: frozenset[str]
    verdict: AttestationVerdict

    def decides(self, outcome: str, checks: frozenset[str]) -> bool:
        """Whether one of these checks decides for that outcome."""
        if outcome == "VERIFIED":
            return self.outcome == outcome
        deciding = self.failed if outcome == "REJECTED" else self.failed | self.unevaluated
        return self.outcome == outcome and bool(deciding & checks)


def front_host(tee: SimulatedTee) -> str:
    """The host that reports of the front come from."""
    return tee.origins[0].removeprefix("https://")


def attest(
    tee: SimulatedTee,
    *,
    algorithm: str = "ed25519",
    tls_bound: bool = True,
    nonce: bytes = NONCE,
    host: str | None = None,
    policy: Policy | None = None,
    at: datetime | None = None,
    transport: RawTransport | None = None,
) -> Judged:
    """One attestation."""
    at = tee.clock() if at is None else at
    url = near_url(host or front_host(tee), model=tee.model, nonce=nonce, algorithm=algorithm, tls_bound=tls_bound)
    recording = Recording()
    flow = attestation_flow(asked_from_url(url), nonce=nonce, model=tee.model, with_nras=True)
    run(recorded(flow, recording), transport or RawTransport(tee))
    report = recording.saved_report(provider="near", model=tee.model, nonce=nonce, recorded_at=at)
    verdict = NearVerifier(policy or tee.policy, roots=tee.roots).verify_saved(report, now=at)
    results = [check for subject in verdict.subjects for check in subject.checks if check.enforced]
    return Judged(
        verdict.outcome.value,
        frozenset(check.id for check in results if check.status is Status.FAIL),
        frozenset(check.id for check in results if check.status is Status.UNEVALUATED),
        verdict,
    )
