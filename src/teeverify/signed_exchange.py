"""Signed exchanges: the shared half of providers whose machines sign every request and response (NEAR, dstack proxies).

The signature endpoint is that of nearai/inference-proxy and Phala's vllm-proxy. The flow is the one for live use and
for the replay of a saved report.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from datetime import datetime
from typing import Any, ClassVar, Final
from urllib.parse import quote

import attrs
from attrs import field, frozen

from .accepted_chats import AcceptedChats
from .claims.exchange import ResponseSignature, SignedForm
from .claims.problem import Problem, ProblemKind
from .claims.upstream import UpstreamClaims
from .derivation.exchange import derive_signature
from .endorsements.answers import good_answer
from .errors import ConfigurationError, SavedReportError
from .exchange import Exchange
from .exchange_conclusion import as_replayed, conclude_exchange
from .flow import Answer, Flow, Request, Response, run
from .limits import MAX_ENDORSEMENT_BODY
from .policy import Policy
from .saved import SavedReport
from .transport import Recording, ReplayTransport, recorded
from .verdict import AttestationVerdict, Outcome, VerifiedExchange
from .verifier import Verifier

__all__ = [
    "AcceptedChats", "SignaturePlace", "SignedClaims", "SignedExchangeVerifier", "asked_again", "signature_flow",
]  # fmt: skip

_DELAYS: Final = (0.0, 0.1, 0.25, 0.5, 1.0)
"""Seconds before each attempt: right after a stream the signature may not be there yet."""
_REFRESHING: Final = frozenset({"unknown_signer", "attestation_expired"})
"""Reasons of exchange.signer_attested that a fresh attestation may mend."""


@frozen(kw_only=True)
class SignaturePlace:
    """Where the signature of a chat is to be asked for.

    ``base`` is the URL that OpenAI clients use, such as ``https://host/v1``. ``model`` is sent along where the endpoint
    serves several models, else None; ``headers`` may hold the API key.
    """

    base: str
    algorithm: str
    model: str | None
    headers: dict[str, str] = field(factory=dict, repr=False)

    def request(self, chat_id: str, *, delay: float = 0.0) -> Request:
        """The request for one chat's signature."""
        url = f"{self.base}/signature/{quote(chat_id, safe='')}?"
        if self.model is not None:
            url += f"model={quote(self.model, safe='')}&"
        return Request(
            method="GET",
            url=f"{url}signing_algo={self.algorithm}",
            headers={"Accept": "application/json", **self.headers},
            limit=MAX_ENDORSEMENT_BODY,
            delay=delay,
        )


def signature_flow(place: SignaturePlace, chat_id: str) -> Flow[ResponseSignature | Problem]:
    """Ask for a chat's signature, again for a little while where it is not there yet, and read it."""
    answer = yield from asked_again(lambda delay: place.request(chat_id, delay=delay))
    good = good_answer(answer, what="the signature", where="signature")
    return good if isinstance(good, Problem) else derive_signature(good.body, place.algorithm)


def asked_again(request: Callable[[float], Request]) -> Flow[Answer]:
    """Make a request, again for a little while where nothing is found; ``request`` takes the delay in seconds."""
    answer: Answer
    for delay in _DELAYS:
        (answer,) = yield (request(delay),)
        if not (isinstance(answer, Response) and answer.status == 404):
            break
    return answer


@frozen(kw_only=True)
class SignedClaims:
    """What a provider's statement on one exchange comes to, given an attestation.

    ``upstream`` is None where the statement says nothing of the way behind the signer; ``gaps`` are what the statement
    itself leaves open; ``form`` is what was signed where that is not the SHA-256 of request and response.
    """

    signature: ResponseSignature | Problem
    upstream: UpstreamClaims | Problem | None = None
    gaps: tuple[str, ...] = ()
    form: SignedForm | None = None


class SignedExchangeVerifier(Verifier):
    """A verifier of a provider whose machines sign their exchanges.

    Args:
        policy: what the caller demands.
        accepted_chats: remembers what was accepted; by default a memory of this verifier's own.
        **options: see `Verifier`.
    """

    respelled_json: ClassVar[bool] = False
    """Whether plain answers are signed in Python's spelling of their JSON, and sent in another."""
    carries_signature: ClassVar[bool] = False
    """Whether the signature comes inside the response."""

    @abstractmethod
    def _signature_place(self, evidence: SavedReport) -> Any:
        """Where the statements of an attested session are to be asked for: a value that equals itself and no other."""

    def _statement_flow(self, place: Any, exchange: Exchange) -> Flow[Any]:
        """Ask for the statement on an exchange, whatever the provider makes of it; a `SignaturePlace` by default."""
        return _signature(place, exchange)

    def _claims(
        self, statement: Any, exchange: Exchange, attestation: AttestationVerdict, *, replayed: bool
    ) -> SignedClaims:
        """What a statement comes to; never raises. By default the statement is the signature."""
        del exchange, attestation, replayed
        return SignedClaims(signature=statement)

    def _mark(self, exchange: Exchange, judged: VerifiedExchange) -> str | None:
        """The mark of a VERIFIED exchange: the same for every copy of its signed answer, whatever its bytes are."""
        signed = next((check.observed for check in judged.checks if check.id == "exchange.response_digest"), None)
        return None if signed is None else f"{exchange.request_digest.hex()} {signed}"

    @abstractmethod
    def _exchange_gaps(self, signed_by: str | None, attestation: AttestationVerdict) -> tuple[str, ...]:
        """What the signature of that role does not prove."""

    def __init__(self, policy: Policy, *, accepted_chats: AcceptedChats | None = None, **options: Any) -> None:
        super().__init__(policy, **options)
        self.accepted_chats = AcceptedChats() if accepted_chats is None else accepted_chats

    def exchange_flow(
        self, exchange: Exchange, attestation: AttestationVerdict, *, now: datetime | None = None
    ) -> Flow[VerifiedExchange]:
        """See `Verifier.exchange_flow`. A caller with his own I/O passes the result to `accept`."""
        place = self._place(attestation, exchange.model)
        recording = Recording()
        statement = yield from recorded(self._statement_flow(place, exchange), recording)
        judged = self._conclude(exchange, attestation, statement, now)
        if _reasons(judged) & _REFRESHING:
            attestation = yield from self.attestation_flow(exchange.model, now=now)
            self.hold(attestation, now=now)
            other = self._place(attestation, exchange.model)
            if other != place:  # the evidence is to hold what its own replay asks for
                statement = yield from recorded(self._statement_flow(other, exchange), recording)
            renewed = self._conclude(exchange, attestation, statement, now)
            # An outage does not undo a rejection that stood under a good attestation.
            lost = attestation.outcome is Outcome.INCONCLUSIVE and judged.outcome is Outcome.REJECTED
            judged = judged if lost else renewed
        return _with_evidence(judged, exchange, recording)

    def accept(self, exchange: Exchange, judged: VerifiedExchange) -> VerifiedExchange:
        """Remember a VERIFIED exchange; a REJECTED judgement in its place when another was accepted meanwhile."""
        if judged.outcome is not Outcome.VERIFIED or self.accepted_chats.add(exchange, self._mark(exchange, judged)):
            return judged
        return as_replayed(judged, self.policy)

    def verify_saved_exchange(
        self,
        report: SavedReport,
        exchange: Exchange | None = None,
        *,
        at: datetime | None = None,
        now: datetime | None = None,
    ) -> VerifiedExchange:
        """See `Verifier.verify_saved_exchange`."""
        chat = report.exchange if exchange is None else exchange
        if chat is None:
            raise SavedReportError("the saved report holds no exchange: give the request's and the response's bytes")
        attestation = self.verify_saved(report, at=at, now=now)
        place = self._place(attestation, chat.model)
        statement = run(self._statement_flow(place, chat), ReplayTransport(report), sleep=_no_wait)
        judged = self._conclude(chat, attestation, statement, attestation.evaluated_at, replayed=True)
        return attrs.evolve(judged, evidence=attrs.evolve(report, exchange=chat))

    def check_current(self, attestation: AttestationVerdict) -> None:
        """Refuse a verdict that may not be relied on from now on.

        Raises:
            ConfigurationError: it is of another provider, policy or kind of roots, or past its end.
        """
        self._place(attestation, attestation.model)
        if attestation.expires_at is None or self.time() >= attestation.expires_at:
            raise ConfigurationError("the attestation is past its end: attest the endpoint again")

    def _place(self, attestation: AttestationVerdict, model: str) -> Any:
        """Where to ask for the statement; refuses a verdict that does not speak for this verifier and the model."""
        ours = (self.provider, model, self.policy.digest, self.roots.digest)
        theirs = (attestation.provider, attestation.model, attestation.policy_digest, attestation.roots_digest)
        if theirs != ours or attestation.evidence is None:
            raise ConfigurationError(
                "the attestation is of another provider, model, policy or kind of roots than this exchange's, or "
                "carries no evidence: pass a verdict of this verifier for the same model"
            )
        return self._signature_place(attestation.evidence)

    def _conclude(
        self,
        exchange: Exchange,
        attestation: AttestationVerdict,
        statement: Any,
        now: datetime | None,
        *,
        replayed: bool = False,
    ) -> VerifiedExchange:
        claims = self._claims(statement, exchange, attestation, replayed=replayed)
        return conclude_exchange(
            exchange,
            attestation,
            claims.signature,
            upstream=claims.upstream,
            policy=self.policy,
            checks=self.exchange_checks,
            gaps=lambda signed_by, verdict: (*claims.gaps, *self._exchange_gaps(signed_by, verdict)),
            at=self.time(now),
            form=claims.form,
            carried=self.carries_signature,
            seen_before=None if replayed else self.accepted_chats.seen(exchange, _mark_of(claims, exchange)),
            respelled_json=self.respelled_json,
        )


def _mark_of(claims: SignedClaims, exchange: Exchange) -> str | None:
    if claims.form is not None:
        return claims.form.mark
    if isinstance(claims.signature, Problem):
        return None
    return f"{exchange.request_digest.hex()} {claims.signature.response_digest.hex()}"


def _signature(place: SignaturePlace, exchange: Exchange) -> Flow[ResponseSignature | Problem]:
    if exchange.chat_id is None:
        detail = "no signature was asked for, since the chat's id is not known"
        return Problem(kind=ProblemKind.UNAVAILABLE, code="no_chat_id", detail=detail, where="signature")
    return (yield from signature_flow(place, exchange.chat_id))


def _reasons(judged: VerifiedExchange) -> set[str]:
    return {result.reason for result in judged.checks if result.id == "exchange.signer_attested"}


def _with_evidence(judged: VerifiedExchange, exchange: Exchange, recording: Recording) -> VerifiedExchange:
    session = judged.attestation.evidence
    if session is None:
        return judged
    anew = {(one.request.method, one.request.url) for one in recording.exchanges}
    kept = (one for one in session.exchanges if (one.request.method, one.request.url) not in anew)
    exchanges = (*kept, *recording.exchanges)
    return attrs.evolve(judged, evidence=attrs.evolve(session, exchanges=exchanges, exchange=exchange, digest=""))


def _no_wait(seconds: float) -> None:
    """A replay has nothing to wait for."""
    del seconds
