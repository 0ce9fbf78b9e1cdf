"""Running simulations of fronts and ACI services, and their live judgement over the package's own transport."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from teeverify.exchange import Exchange
from teeverify.flow import Request
from teeverify.policy import Policy
from teeverify.registry import verifier_for
from teeverify.requests_transport import RequestsTransport
from teeverify.signed_exchange import SignedExchangeVerifier
from teeverify.testing import SimulatedTee
from teeverify.testing.simulation import Fault
from teeverify.testing.simulation.fault import EXCHANGE
from teeverify.verdict import AttestationVerdict, VerifiedExchange
from teeverify.verifier import Verifier

__all__ = ["BASES", "MAKERS", "asked", "attested", "chat", "deciding", "exchanged", "meets", "verifier"]

BASES: Final = {
    "phala": "https://api.redpill.ai/v1",
    "vllm-proxy": "https://vllm-proxy.test.invalid/v1",
    "aci": "https://aci.teeverify.example/v1",
    "nanogpt": "https://nano-gpt.com/api/v1",
    "venice": "https://api.venice.ai/api/v1",
}
MAKERS: Final[dict[str, Callable[..., SimulatedTee]]] = {
    "phala": SimulatedTee.phala,
    "vllm-proxy": SimulatedTee.vllm_proxy,
    "aci": SimulatedTee.aci,
    "nanogpt": SimulatedTee.nanogpt,
    "venice": SimulatedTee.venice,
}


def provider_of(tee: SimulatedTee) -> str:
    return tee.attesting[0]


def verifier(
    tee: SimulatedTee, transport: RequestsTransport, *, provider: str | None = None, rules: Policy | None = None
) -> Verifier:
    """The verifier of the provider, with what it is asked by the announced command."""
    provider = provider or provider_of(tee)
    more: dict[str, Any] = {"url": BASES[provider]} if provider in ("vllm-proxy", "aci") else {}
    if "--tls-bound" in tee.attesting:
        more["tls_bound"] = True
    return verifier_for(provider)(
        rules or tee.policy, roots=tee.roots, transport=transport, api_key=tee.api_key, **more
    )


def asked(tee: SimulatedTee, *, rules: Policy | None = None, **patience: float) -> AttestationVerdict:
    """One live attestation, over a transport of its own."""
    with tee.transport(sleep=lambda seconds: None, **patience) as transport:
        return verifier(tee, transport, rules=rules).verify_attestation(tee.model, now=tee.clock())


def attested(tee: SimulatedTee) -> AttestationVerdict:
    return asked(tee).require()


def chat(
    tee: SimulatedTee, transport: RequestsTransport, *, stream: bool = False, said: str = "hello", **headers: str
) -> Exchange:
    """One chat over the network."""
    messages = [{"role": "user", "content": said}]
    body = json.dumps({"model": tee.model, "messages": messages, "stream": stream}).encode()
    response = transport.send(
        Request(
            method="POST",
            url=f"{BASES[provider_of(tee)]}/chat/completions",
            body=body,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
            limit=1 << 20,
        )
    )
    assert response.status == 200, response.body
    receipts = [value[0] for name, value in response.headers.items() if name.lower() == "x-receipt-id"]
    return Exchange(
        model=tee.model,
        request_body=body,
        response_body=response.body,
        receipt_id=receipts[0] if receipts else None,
        peer_spki=response.peer_spki if "--tls-bound" in tee.attesting or receipts else None,
    )


def exchanged(tee: SimulatedTee, *, stream: bool = False, chats: int = 1) -> VerifiedExchange:
    """Attest, chat, and judge the last of the chats."""
    with tee.transport(sleep=lambda seconds: None) as transport:
        judge = verifier(tee, transport)
        assert isinstance(judge, SignedExchangeVerifier)
        judge.verify_attestation(tee.model).require()
        for _ in range(chats):
            judged = judge.verify_exchange(chat(tee, transport, stream=stream))
        return judged


def deciding(verdict: AttestationVerdict | VerifiedExchange) -> set[str]:
    """The checks that decide for the outcome, without those that merely wait for others."""
    return {
        check.id
        for check in verdict.checks
        if check.decides is verdict.outcome and not check.reason.startswith("prerequisite_")
    }


def meets(tee: SimulatedTee, fault: Fault, streams: tuple[bool, ...] = (False, True)) -> None:
    """Assert that the simulation, told to lie, is met as its table says."""
    tee.set_fault(fault.name)
    if fault.area == EXCHANGE:
        chats = 2 if fault.name == "replayed-chat" else 1
        found: list[AttestationVerdict | VerifiedExchange] = [exchanged(tee, stream=s, chats=chats) for s in streams]
    else:
        found = [asked(tee)]
    for verdict in found:
        assert verdict.outcome.value == fault.outcome, deciding(verdict)
        if fault.outcome != "VERIFIED":
            assert deciding(verdict) & fault.checks, deciding(verdict)
    if fault.area != EXCHANGE and fault.outcome != "VERIFIED":
        assert isinstance(found[0], AttestationVerdict)
        assert not any(subject.attested_keys for subject in found[0].subjects)
        assert found[0].attested_tls_spki is None
