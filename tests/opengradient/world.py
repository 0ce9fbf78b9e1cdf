"""Simulated deployments, their verifiers, and what comes out of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from teeverify import Exchange, OpenGradientVerifier, Policy
from teeverify.saved import SavedReport
from teeverify.testing import OpenGradientSession, OpenGradientTransport, opengradient_policy, trust_roots
from teeverify.testing.recording import Document
from teeverify.verdict import AttestationVerdict, Outcome, VerifiedExchange

__all__ = [
    "HELLO",
    "LEVELS",
    "NOT_VERIFIED",
    "ROOTS",
    "TOOLS",
    "World",
    "findings",
    "outcome_of",
    "report_of",
    "saved_verdict",
    "streaming",
    "verifier_of",
]

ROOTS: Final = trust_roots()
LEVELS: Final = ("attested", "registry+pcr", "registry")
NOT_VERIFIED: Final = (Outcome.REJECTED, Outcome.INCONCLUSIVE)
HELLO: Final = b'{"model": "gpt-4.1", "messages": [{"role": "user", "content": "Hello!"}], "temperature": 0.0}'

TOOLS: Final = json.dumps(
    {
        "model": "gpt-4.1",
        "messages": [{"role": "user", "content": "Weather?"}],
        "tools": [{"type": "function", "function": {"name": "get_weather", "parameters": {}}}],
        "temperature": 0.0,
    }
).encode()


def streaming(request: bytes) -> bytes:
    return json.dumps({**json.loads(request), "stream": True}).encode()


def verifier_of(session: OpenGradientSession, *, policy: str | None = None, **options: Any) -> OpenGradientVerifier:
    """A verifier at the time of the session; options of the policy may be among the options of the verifier."""
    ours = ("assurance", "contract", "quorum", "pcrs", "signing_keys", "waive")
    chosen = {name: options.pop(name) for name in ours if name in options}
    text = opengradient_policy(session, **chosen) if policy is None else policy
    given: dict[str, Any] = {"roots": ROOTS, "clock": lambda: session.at, **options}
    return OpenGradientVerifier(Policy.from_toml(text), **given)


class World:
    """One deployment without sockets, and a verifier that asks it."""

    def __init__(self, session: OpenGradientSession | None = None, **options: Any) -> None:
        self.session = OpenGradientSession.build() if session is None else session
        self.transport = OpenGradientTransport(self.session)
        nodes: Sequence[str] = self.session.node_urls if options.get("contract", True) else ()
        self.verifier = verifier_of(self.session, transport=self.transport, **{"nodes": nodes, **options})

    def attest(self) -> AttestationVerdict:
        """A fresh verdict."""
        return self.verifier.verify_attestation(self.session.model_name)

    def judge(self, response: bytes, *, request: bytes = HELLO, **options: Any) -> VerifiedExchange:
        """The judgement on an exchange."""
        exchange = Exchange(model=self.session.model_name, request_body=request, response_body=response)
        return self.verifier.verify_exchange(exchange, **options)


def report_of(document: Document) -> SavedReport:
    """A saved report as it is read from a file."""
    return SavedReport.from_bytes(json.dumps(document).encode())


def saved_verdict(
    session: OpenGradientSession,
    level: str = "attested",
    *,
    edit: Callable[[Document], Any] = lambda document: None,
    nodes: bool = True,
    **options: Any,
) -> AttestationVerdict:
    """What a saved session comes to, after ``edit`` changed it in place."""
    document = session.saved(level, nodes=nodes)
    edit(document)
    options.setdefault("assurance", level)
    options.setdefault("contract", nodes)
    return verifier_of(session, **options).verify_saved(report_of(document))


def findings(verdict: AttestationVerdict | VerifiedExchange) -> dict[str, tuple[str, str]]:
    """Status and reason of every check that neither passed nor was left out."""
    checks = (
        verdict.checks
        if isinstance(verdict, VerifiedExchange)
        else [check for subject in verdict.subjects for check in subject.checks]
    )
    return {
        check.id: (check.status.value, check.reason)
        for check in checks
        if check.status.value in ("fail", "unevaluated") and not check.reason.startswith("prerequisite_")
    }


def outcome_of(verdict: AttestationVerdict | VerifiedExchange) -> str:
    """VERIFIED, REJECTED or INCONCLUSIVE."""
    return verdict.outcome.value
