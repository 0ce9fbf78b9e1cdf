"""From an exchange, its signature and the attestation to one judgement; pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Final, TypeAlias

import attrs

from .appraisal import appraise, fold
from .claims.exchange import AttestedSigner, ExchangeSubject, ResponseSignature, SignedForm
from .claims.problem import Problem
from .claims.upstream import UpstreamClaims
from .conclusion import decisive_line
from .exchange import Exchange
from .formats.chat_body import respelled
from .policy import Policy
from .verdict import AttestationVerdict, CheckResult, Outcome, Status, VerifiedExchange

__all__ = ["ExchangeGaps", "as_replayed", "conclude_exchange"]

ExchangeGaps: TypeAlias = Callable[[str | None, AttestationVerdict], tuple[str, ...]]
"""What the signature of a role (None: nothing is proven) leaves open, given the attestation."""

_BOUNDARIES: Final = {
    "model": "The model's attested key signed exactly this request and this response.",
    "gateway": "The gateway's attested key signed exactly this request and this response; nothing shows that a model "
    "machine produced it.",
    "enclave": "The enclave's attested key signed this request in its canonical form, and the text or tool calls of "
    "this answer.",
}

_UNKNOWN_CHANNEL: Final = (
    "Which TLS key the prompt itself went to is not known here: pin the connection, and pass its peer_spki."
)


def conclude_exchange(
    exchange: Exchange,
    attestation: AttestationVerdict,
    signature: ResponseSignature | Problem,
    *,
    policy: Policy,
    checks: Collection[str],
    gaps: ExchangeGaps,
    at: datetime,
    seen_before: bool | None,
    respelled_json: bool = False,
    upstream: UpstreamClaims | Problem | None = None,
    form: SignedForm | None = None,
    carried: bool = False,
) -> VerifiedExchange:
    """Judge one exchange as of an aware time; ``checks`` are the ids that apply to the provider's exchanges.

    ``respelled_json`` says that the provider signs plain answers in Python's spelling of their JSON, ``upstream`` what
    the signature says of the way behind the signer, ``form`` what is signed where that is not SHA-256 of the bytes,
    ``carried`` that the signature comes inside the response.
    """
    subject = ExchangeSubject(
        provider=attestation.provider,
        evaluated_at=at,
        test_roots=attestation.test_roots,
        model=exchange.model,
        chat_id=exchange.chat_id,
        stated_chat_id=exchange.stated_chat_id,
        request_digest=exchange.request_digest if form is None else form.request_digest,
        response_digest=exchange.response_digest if form is None else form.response_digest,
        form=form,
        carried=carried,
        respelled_digest=_respelled(exchange) if respelled_json else None,
        streamed=exchange.streamed,
        finished=exchange.finished,
        signature=signature,
        upstream=upstream,
        attestation_outcome=attestation.outcome.value,
        attestation_expires_at=attestation.expires_at,
        signers=_signers(attestation),
        seen_before=seen_before,
        peer_fingerprint=None if exchange.peer_spki is None else hashlib.sha256(exchange.peer_spki).digest(),
        attested_fingerprint=attestation.attested_tls_spki,
    )
    results = appraise(subject, policy, dict.fromkeys(checks, ("exchange",)))
    outcome = fold(results)
    signed_by = signature.signer_role if outcome is Outcome.VERIFIED and not isinstance(signature, Problem) else None
    return VerifiedExchange(
        attestation=attestation,
        model=exchange.model,
        chat_id=exchange.chat_id,
        outcome=outcome,
        request_digest=subject.request_digest.hex(),
        response_digest=subject.response_digest.hex(),
        signed_by=signed_by,
        signer=signature.address.hex() if signed_by and not isinstance(signature, Problem) else None,
        evaluated_at=at,
        trust_boundary=_boundary(signed_by, attestation),
        gaps=(*_channel_gap(results), *gaps(signed_by, attestation), *attestation.gaps),
        checks=results,
        conclusion=_line(outcome, results, policy, attestation, at, signed_by),
    )


def _respelled(exchange: Exchange) -> bytes | None:
    body = respelled(exchange.response_body)
    return None if body is None else hashlib.sha256(body).digest()


def as_replayed(judged: VerifiedExchange, policy: Policy) -> VerifiedExchange:
    """The judgement of an exchange that turned out to be accepted already."""
    results = tuple(
        attrs.evolve(result, status=Status.FAIL, reason="replayed", summary="another verification accepted this answer")
        if result.id == "exchange.first_seen"
        else result
        for result in judged.checks
    )
    outcome = fold(results)
    return attrs.evolve(
        judged,
        outcome=outcome,
        checks=results,
        signed_by=None,
        signer=None,
        trust_boundary=_boundary(None, judged.attestation),
        conclusion=_line(outcome, results, policy, judged.attestation, judged.evaluated_at, None),
    )


def _line(
    outcome: Outcome,
    results: Sequence[CheckResult],
    policy: Policy,
    attestation: AttestationVerdict,
    at: datetime,
    signed_by: str | None,
) -> str:
    passes = sum(result.status is Status.PASS for result in results)
    return decisive_line(
        outcome,
        [("exchange", result) for result in results],
        policy,
        at=at,
        expires_at=None,
        proven=f"signed by the attested key of the {signed_by}, {passes} checks passed",
        test_roots=attestation.test_roots,
    )


def _signers(attestation: AttestationVerdict) -> tuple[AttestedSigner, ...]:
    return tuple(
        AttestedSigner(
            subject=subject.id, role=subject.role, algorithm=key.algorithm, address=bytes.fromhex(key.address)
        )
        for subject in attestation.subjects
        for key in subject.attested_keys
        if key.use == "signing"
    )


def _channel_gap(results: Sequence[CheckResult]) -> tuple[str, ...]:
    passed = any(result.id == "exchange.channel" and result.status is Status.PASS for result in results)
    return () if passed else (_UNKNOWN_CHANNEL,)


def _boundary(signed_by: str | None, attestation: AttestationVerdict) -> str:
    if signed_by is None:
        return "Nothing is proven about this exchange, since it is not VERIFIED."
    words = f"{_BOUNDARIES[signed_by]} The attested session: {attestation.trust_boundary}"
    return f"TEST ROOTS, proves nothing about real hardware. {words}" if attestation.test_roots else words
