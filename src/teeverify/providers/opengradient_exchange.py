"""Signed answers of OpenGradient's enclaves: from a request and its decrypted answer to claims, without any network."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any, Final

import attrs

from ..claims.exchange import ResponseSignature, SignedForm
from ..claims.problem import Problem, ProblemKind
from ..crypto.rsa import RsaKey, load_rsa_key, verify_pss
from ..errors import FormatError
from ..exchange import Exchange
from ..flow import Flow
from ..formats.opengradient_answer import SignedAnswer
from ..formats.opengradient_request import GatewayRequest, chat_request
from ..formats.opengradient_response import parse_chat_answer
from ..formats.opengradient_stream import parse_stream
from ..saved import SavedReport
from ..signed_exchange import SignedClaims, SignedExchangeVerifier
from ..verdict import AttestationVerdict, VerifiedExchange
from .opengradient_claims import ALGORITHM

__all__ = ["OpenGradientExchanges", "read_answer"]

_GAPS: Final = (
    "Not signed: which model answered, finish_reason, usage, images, citations, moderation, text beside tool calls.",
    "The bytes of attachments are not in the signed request.",
    "Text that is JSON of tool calls, and these tool calls, have one signature: finish_reason alone tells them apart.",
    "Whether temperature, stop or tool_choice were honoured is not shown.",
)


class OpenGradientExchanges(SignedExchangeVerifier):
    """The half of the verifier that judges answers: the plaintexts of requests and responses, inside the encryption."""

    carries_signature = True
    exchange_checks = (
        "exchange.request_digest",
        "exchange.response_digest",
        "exchange.signature",
        "exchange.signer_attested",
        "exchange.window",
        "exchange.first_seen",
    )

    def _signature_place(self, evidence: SavedReport) -> str:
        """Answers carry their signatures along; there is nowhere to ask."""
        del evidence
        return self.origin

    def _statement_flow(self, place: Any, exchange: Exchange) -> Flow[Any]:
        del place
        yield from ()
        return _read(exchange)

    def _claims(
        self, statement: Any, exchange: Exchange, attestation: AttestationVerdict, *, replayed: bool
    ) -> SignedClaims:
        del replayed
        if isinstance(statement, Problem):
            return SignedClaims(signature=statement)
        request, answer = statement
        claims = _claims(request, answer, attestation)
        return attrs.evolve(claims, gaps=(*_other_model(request, exchange), *claims.gaps))

    def _mark(self, exchange: Exchange, judged: VerifiedExchange) -> str | None:
        del judged
        statement = _read(exchange)
        return None if isinstance(statement, Problem) else _mark_of(*statement)

    def _exchange_gaps(self, signed_by: str | None, attestation: AttestationVerdict) -> tuple[str, ...]:
        del signed_by, attestation
        return _GAPS


def _other_model(request: GatewayRequest, exchange: Exchange) -> tuple[str, ...]:
    """A router serves many models under one attestation, whose name may be another one."""
    asked = json.loads(request.canonical)["model"]
    if asked == exchange.model:
        return ()
    return (f"The signed request asks for the model {asked[:100]!r}, not for {exchange.model[:100]!r}.",)


def read_answer(exchange: Exchange) -> SignedAnswer:
    """The answer of an exchange, its output apart from what is unsigned; nothing is verified.

    Raises:
        FormatError: it is no answer to this request; the codes are those of `parse_chat_answer` and `parse_stream`,
            and ``tool_not_offered``.
    """
    return _answer_to(chat_request(exchange.request_body), exchange.response_body)


def _answer_to(request: GatewayRequest, response: bytes) -> SignedAnswer:
    answer = parse_stream(response) if request.stream else parse_chat_answer(response)
    called = {call.name for call in answer.tool_calls}
    if answer.kind == "tool_calls" and not called <= request.tool_names:
        raise FormatError("tool_not_offered", "the answer calls a tool that the request did not offer")
    return answer


def _read(exchange: Exchange) -> tuple[GatewayRequest, SignedAnswer] | Problem:
    try:
        request = chat_request(exchange.request_body)
        return request, _answer_to(request, exchange.response_body)
    except FormatError as error:
        kind = ProblemKind.UNAVAILABLE if error.code == "answer_error" else ProblemKind.MALFORMED
        return Problem(kind=kind, code=error.code, detail=str(error), where="answer")


def _claims(request: GatewayRequest, answer: SignedAnswer, attestation: AttestationVerdict) -> SignedClaims:
    fields = answer.fields
    message = answer.message_hash(request.request_hash)
    key = _key(attestation, fields.tee_id)
    signature: ResponseSignature | Problem
    if key is None:
        detail = "the answer names an enclave whose key is none of the attested ones"
        signature = Problem(kind=ProblemKind.INVALID, code="unknown_signer", detail=detail, where="answer")
    else:
        signature = ResponseSignature(
            kind="enclave",
            algorithm=ALGORITHM,
            address=fields.tee_id,
            model=None,
            request_digest=fields.request_hash,
            response_digest=fields.output_hash,
            valid=verify_pss(key, fields.signature, message),
        )
    try:
        made_at = datetime.fromtimestamp(fields.timestamp, timezone.utc)
    except (ValueError, OverflowError, OSError):
        made_at = datetime.max.replace(tzinfo=timezone.utc)
    form = SignedForm(
        request_digest=request.request_hash,
        response_digest=answer.output_hash,
        made_at=made_at,
        mark=_mark_of(request, answer),
    )
    unsigned = tuple(
        f"Sent and not signed, so the enclave may have followed it unseen: {name[:60]}." for name in request.dropped[:8]
    )
    return SignedClaims(signature=signature, form=form, gaps=unsigned)


def _mark_of(request: GatewayRequest, answer: SignedAnswer) -> str:
    """Signer and signed message: whatever else stands in two answers, these are one signed answer."""
    return f"{answer.fields.tee_id.hex()} {answer.message_hash(request.request_hash).hex()}"


def _key(attestation: AttestationVerdict, tee_id: bytes) -> RsaKey | None:
    """The key of that id; it is taken from the attestation, never from beside the answer."""
    for subject in attestation.subjects:
        for key in subject.attested_keys:
            if (key.use, key.algorithm, key.address) == ("signing", ALGORITHM, tee_id.hex()):
                return load_rsa_key(bytes.fromhex(key.public_key), what="the attested key")
    return None
