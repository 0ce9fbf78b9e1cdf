"""A running simulation of OpenGradient, judged live and chatted with over the package's own transport."""

from __future__ import annotations

from typing import Any

from teeverify.e2ee.relay import RelayedChat
from teeverify.policy import Policy
from teeverify.providers.opengradient import OpenGradientVerifier
from teeverify.requests_transport import RequestsTransport
from teeverify.testing import SimulatedTee
from teeverify.verdict import AttestationVerdict, CheckResult, Outcome

__all__ = ["attested", "chatted", "deciding", "request", "verifier"]

TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]


def verifier(
    tee: SimulatedTee, transport: RequestsTransport, *, policy: Policy | None = None, **options: Any
) -> OpenGradientVerifier:
    """A verifier without memory."""
    settings: dict[str, Any] = {"nodes": tee.nodes, **options}
    return OpenGradientVerifier(policy or tee.policy, roots=tee.roots, transport=transport, clock=tee.clock, **settings)


def attested(
    tee: SimulatedTee, transport: RequestsTransport | None = None, *, policy: Policy | None = None, **options: Any
) -> AttestationVerdict:
    """One live attestation, over a transport of its own unless one is given."""
    if transport is None:
        with tee.transport(sleep=lambda seconds: None) as own:
            return attested(tee, own, policy=policy, **options)
    return verifier(tee, transport, policy=policy, **options).verify_attestation(tee.model)


def request(tee: SimulatedTee, *, stream: bool, **more: Any) -> dict[str, Any]:
    """A chat completion request."""
    return {"model": tee.model, "stream": stream, "messages": [{"role": "user", "content": "Hello"}], **more}


def chatted(
    tee: SimulatedTee,
    verdict: AttestationVerdict,
    *,
    stream: bool,
    times: int = 1,
    transport: RequestsTransport | None = None,
    **more: Any,
) -> RelayedChat:
    """The last of some chats through the relay, all of one verifier."""
    if transport is None:
        with tee.transport(sleep=lambda seconds: None) as own:
            return chatted(tee, verdict, stream=stream, times=times, transport=own, **more)
    asking = verifier(tee, transport)
    body = request(tee, stream=stream, **more)
    chats = [asking.chat(body, model=tee.model, attestation=verdict, token=tee.api_key) for _ in range(times)]
    return chats[-1]


def deciding(checks: tuple[CheckResult, ...], outcome: Outcome) -> set[str]:
    """The checks that decide for an outcome."""
    return {check.id for check in checks if check.decides is outcome}
