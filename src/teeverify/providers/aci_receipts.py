"""Receipts and sessions of an ACI service: where they are asked for, and what they come to under an attestation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Final, TypeVar

from attrs import field, frozen

from ..claims.exchange import SignedForm
from ..claims.problem import Problem, ProblemKind
from ..claims.upstream import UpstreamClaims
from ..derivation.aci import derive_receipt
from ..endorsements.answers import NOT_AN_ANSWER, good_answer
from ..errors import FormatError
from ..exchange import Exchange
from ..flow import Answer, Flow, Request
from ..formats.aci_receipt import Receipt, parse_receipt, pinned_sessions
from ..formats.aci_session import UpstreamSession, parse_session
from ..formats.strict_json import JsonValue, loads
from ..limits import MAX_ENDORSEMENT_BODY, MAX_REPORT_BODY
from ..signed_exchange import SignedClaims, asked_again
from ..verdict import AttestationVerdict, Status
from .aci_claims import serving_of
from .aci_wire import asks_for_aci, path_id
from .report_records import read_report

__all__ = ["ReceiptPlace", "ReceiptStatement", "claims_of_statement", "statement_flow"]

T = TypeVar("T")

_NO_EVIDENCE: Final = "The session of the upstream holds no evidence, so nobody can look behind its claims."
_UNVERIFIED_EVIDENCE: Final = "The evidence that the session of the upstream holds was not verified again here."


@frozen(kw_only=True)
class ReceiptPlace:
    """Where receipts and sessions are asked for; ``base`` is like ``https://gateway.example/v1``, ``headers`` may hold
    the API key."""

    base: str
    headers: Mapping[str, str] = field(factory=dict, repr=False)

    def request(self, kind: str, name: str, *, limit: int, delay: float = 0.0) -> Request:
        """The request for one receipt or session (``kind`` is ``receipts`` or ``sessions``)."""
        return Request(
            method="GET",
            url=f"{self.base}/aci/{kind}/{path_id(name)}",
            headers={"Accept": "application/json", **self.headers},
            limit=limit,
            delay=delay,
        )


@frozen(kw_only=True)
class ReceiptStatement:
    """A receipt and the session that it cites (None where it cites none); nothing verified yet."""

    receipt: Receipt | Problem
    session: UpstreamSession | Problem | None = None


def statement_flow(place: ReceiptPlace, exchange: Exchange) -> Flow[ReceiptStatement]:
    """Ask for the receipt of an exchange, then for the session that it cites."""
    name = exchange.receipt_id or exchange.chat_id
    if name is None:
        detail = "no receipt was asked for, since neither the receipt's nor the chat's id is known"
        return ReceiptStatement(
            receipt=Problem(kind=ProblemKind.UNAVAILABLE, code="no_chat_id", detail=detail, where="receipt")
        )
    answer = yield from asked_again(
        lambda delay: place.request("receipts", name, limit=MAX_ENDORSEMENT_BODY, delay=delay)
    )
    receipt = _read(answer, "receipt", MAX_ENDORSEMENT_BODY, parse_receipt)
    if isinstance(receipt, Problem):
        return ReceiptStatement(receipt=receipt)
    if name not in (receipt.receipt_id, receipt.chat_id):
        detail = "the receipt is of another request than the one that was asked about"
        return ReceiptStatement(
            receipt=Problem(kind=ProblemKind.MALFORMED, code="other_receipt", detail=detail, where="receipt")
        )
    if receipt.session_id is None:
        return ReceiptStatement(receipt=receipt)
    (answer,) = yield (place.request("sessions", receipt.session_id, limit=MAX_REPORT_BODY),)
    return ReceiptStatement(receipt=receipt, session=_read(answer, "session", MAX_REPORT_BODY, parse_session))


def _read(answer: Answer, what: str, limit: int, parse: Callable[[JsonValue], T]) -> T | Problem:
    """A parsed document; an outage or a page is UNAVAILABLE, a document of another form MALFORMED."""
    good = good_answer(answer, what=f"the {what}", where=what)
    if isinstance(good, Problem):
        return good
    try:
        return parse(loads(good.body, what=f"the {what}", limit=limit))
    except FormatError as error:
        outage = error.code in NOT_AN_ANSWER
        return Problem(
            kind=ProblemKind.UNAVAILABLE if outage else ProblemKind.MALFORMED,
            code="not_an_answer" if outage else error.code,
            detail=str(error),
            where=what,
        )


def claims_of_statement(
    statement: ReceiptStatement, exchange: Exchange, attestation: AttestationVerdict, *, replayed: bool = False
) -> SignedClaims:
    """What a receipt comes to under an attestation: only keys that a VERIFIED one has minted can have signed it.

    ``replayed`` says that all of it comes out of a file, where nobody's connection stands for anything.
    """
    keys = {
        key.key_id: bytes.fromhex(key.public_key)
        for subject in attestation.subjects
        for key in subject.attested_keys
        if key.use == "signing" and key.algorithm == "ed25519" and key.key_id
    }
    signature = derive_receipt(statement.receipt, keyset_digest=_attested_digest(attestation), keys=keys)
    if isinstance(statement.receipt, Problem):
        return SignedClaims(signature=signature, upstream=statement.receipt)
    receipt = statement.receipt
    upstream = UpstreamClaims(
        direct=_direct(attestation, replayed=replayed),
        received_digest=receipt.request_digest,
        forwarded_digest=receipt.forwarded_digest,
        events=receipt.upstream,
        session=statement.session,
        accepted_sessions=_accepted(exchange),
        served_at=receipt.served_at,
    )
    return SignedClaims(
        signature=signature, upstream=upstream, gaps=_session_gaps(statement.session), form=_form(receipt, exchange)
    )


def _form(receipt: Receipt, exchange: Exchange) -> SignedForm:
    """The time is signed along with the digests, so an old receipt is told from one of this exchange."""
    try:
        made_at = datetime.fromtimestamp(receipt.served_at, timezone.utc)
    except (ValueError, OverflowError, OSError):
        made_at = datetime.max.replace(tzinfo=timezone.utc)
    return SignedForm(
        request_digest=exchange.request_digest,
        response_digest=exchange.response_digest,
        made_at=made_at,
        mark=f"{exchange.request_digest.hex()} {receipt.response_digest.hex()}",
    )


def _accepted(exchange: Exchange) -> tuple[str, ...] | Problem | None:
    try:
        return pinned_sessions(exchange.request_body)
    except FormatError as error:
        return Problem(kind=ProblemKind.UNAVAILABLE, code=error.code, detail=str(error), where="request")


def _attested_digest(attestation: AttestationVerdict) -> str | None:
    found = {check.observed for check in attestation.checks if check.id == "aci.keyset" and check.status is Status.PASS}
    return found.pop() if len(found) == 1 and attestation.verified else None


def _direct(attestation: AttestationVerdict, *, replayed: bool) -> bool | None:
    """Whether the service has no upstream: its own word, which only an attested connection makes its own."""
    answers = () if attestation.evidence is None else attestation.evidence.good_answers(asks_for_aci)
    document = read_report(answers[0].body) if len(answers) == 1 else {}
    if isinstance(document, Problem) or serving_of(document) != "direct":
        return False
    live = attestation.attested_tls_spki is not None and not (attestation.recorded or replayed)
    return True if live else None


def _session_gaps(session: UpstreamSession | Problem | None) -> tuple[str, ...]:
    if session is None or isinstance(session, Problem):
        return ()
    claims = tuple(
        f"The gateway says of its upstream that {claim.name} is {claim.status}"
        f"{'' if claim.source is None else f' ({claim.source})'}; nothing here verified it."
        for claim in session.claims
    )
    return (*claims, _UNVERIFIED_EVIDENCE if session.evidence_bytes else _NO_EVIDENCE)
