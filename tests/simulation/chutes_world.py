"""A running simulation of Chutes, and its live judgement by the verifier over the package's own transport."""

from __future__ import annotations

from typing import Any

from teeverify.policy import Policy
from teeverify.providers.chutes import ChutesVerifier
from teeverify.requests_transport import RequestsTransport
from teeverify.testing import SimulatedTee
from teeverify.verdict import AttestationVerdict

from .raw_client import RawClient

__all__ = ["API", "EVIDENCE", "LLM", "attested", "chute_of", "deciding", "evidence_of"]

LLM = "llm.chutes.ai"
API = "api.chutes.ai"
EVIDENCE = "/chutes/{}/evidence?nonce={}"


def attested(
    tee: SimulatedTee, transport: RequestsTransport | None = None, *, policy: Policy | None = None, **options: Any
) -> AttestationVerdict:
    """One live attestation, over a transport of its own unless one is given."""
    if transport is None:
        with tee.transport(sleep=lambda seconds: None) as own:
            return attested(tee, own, policy=policy, **options)
    verifier = ChutesVerifier(
        policy or tee.policy, roots=tee.roots, transport=transport, api_key=tee.api_key, **options
    )
    return verifier.verify_attestation(tee.model, now=tee.clock())


def deciding(verdict: AttestationVerdict) -> set[str]:
    """The checks that decide for the outcome."""
    return {check.id for check in verdict.checks if check.decides is verdict.outcome}


def chute_of(tee: SimulatedTee) -> str:
    """The chute that serves the model, by the list of models."""
    with RawClient(tee, LLM, key="") as client:
        (chute,) = [row["chute_id"] for row in client.get("/v1/models").json()["data"] if row["id"] == tee.model]
    assert isinstance(chute, str)
    return chute


def evidence_of(tee: SimulatedTee, nonce: str) -> dict[str, Any]:
    """The evidence of all instances for a nonce in hex."""
    chute = chute_of(tee)
    with RawClient(tee, API) as client:
        document: dict[str, Any] = client.get(EVIDENCE.format(chute, nonce)).json()
    return document
