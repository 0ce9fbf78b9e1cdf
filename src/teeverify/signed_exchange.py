"""Signed exchanges: the shared half of providers whose machines sign every request and response (NEAR, dstack proxies).

The signature endpoint is that of nearai/inference-proxy and Phala's vllm-proxy. The flow is the one for live use and
for the replay of a saved report.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections import OrderedDict
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

import attrs
from attrs import field, frozen

from .claims.exchange import ResponseSignature
from .claims.problem import Problem, ProblemKind
from .derivation.exchange import derive_signature
from .errors import ConfigurationError, NotRecordedError, SavedReportError
from .exchange import Exchange
from .exchange_conclusion import conclude_exchange
from .flow import Answer, Flow, Request, Response, run
from .limits import MAX_ACCEPTED_CHATS, MAX_ENDORSEMENT_BODY
from .policy import Policy
from .saved import SavedReport
from .transport import Recording, ReplayTransport, recorded
from .verdict import AttestationVerdict, Outcome, VerifiedExchange
from .verifier import Verifier

__all__ = ["AcceptedChats", "SignaturePlace", "SignedExchangeVerifier", "signature_flow"]

_DELAYS: Final = (0.0, 0.1, 0.25, 0.5, 1.0)
"""Seconds before each attempt: right after a stream the signature may not be there yet."""
_REFRESHING: Final = frozenset({"unknown_signer", "attestation_expired"})
"""Reasons of exchange.signer_attested that a fresh attestation may mend."""


@frozen(kw_only=True)
class SignaturePlace:
    """Where the signature of a chat is to be asked for.

    ``model`` is sent along where the endpoint serves several models, else None; ``headers`` may hold the API key.
    """

    origin: str
    algorithm: str
    model: str | None
    headers: dict[str, str] = field(factory=dict, repr=False)

    def request(self, chat_id: str, *, delay: float = 0.0) -> Request:
        """The request for one chat's signature."""
        url = f"{self.origin}/v1/signature/{quote(chat_id, safe='')}?"
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
    answer: Answer
    for delay in _DELAYS:
        (answer,) = yield (place.request(chat_id, delay=delay),)
        if not (isinstance(answer, Response) and answer.status == 404):
            break
    if isinstance(answer, Response) and answer.status == 200:
        return derive_signature(answer.body, place.algorithm)
    if isinstance(answer, Response):
        code, detail = "http_status", f"the request for the signature was answered with HTTP status {answer.status}"
    else:
        code = "not_recorded" if isinstance(answer, NotRecordedError) else "not_fetched"
        detail = f"the signature could not be had: {answer}"
    return Problem(kind=ProblemKind.UNAVAILABLE, code=code, detail=detail, where="signature")


class AcceptedChats:
    """The ids of accepted chats, so that an old answer is not accepted again; bounded, safe under threads."""

    def __init__(self, limit: int = MAX_ACCEPTED_CHATS) -> None:
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._limit = limit
        self._lock = threading.Lock()

    def __contains__(self, chat_id: str | None) -> bool:
        with self._lock:
            return chat_id in self._seen

    def add(self, chat_id: str) -> bool:
        """Remember an id; False when it was known already. Beyond the limit the oldest is forgotten."""
        with self._lock:
            if chat_id in self._seen:
                return False
            self._seen[chat_id] = None
            if len(self._seen) > self._limit:
                self._seen.popitem(last=False)
            return True


class SignedExchangeVerifier(Verifier):
    """A verifier of a provider whose machines sign their exchanges."""

    @abstractmethod
    def _signature_place(self, evidence: SavedReport) -> SignaturePlace:
        """Where the signatures of an attested session are to be asked for."""

    @abstractmethod
    def _exchange_gaps(self, signed_by: str | None, attestation: AttestationVerdict) -> tuple[str, ...]:
        """What the signature of that role does not prove."""

    def __init__(self, policy: Policy, **options: Any) -> None:
        super().__init__(policy, **options)
        self.accepted_chats = AcceptedChats()

    def exchange_flow(
        self, exchange: Exchange, attestation: AttestationVerdict, *, now: datetime | None = None
    ) -> Flow[VerifiedExchange]:
        """See `Verifier.exchange_flow`."""
        self._own(attestation, exchange)
        recording = Recording()
        signature = yield from recorded(self._signature(exchange, attestation), recording)
        judged = self._conclude(exchange, attestation, signature, now)
        if _reasons(judged) & _REFRESHING:
            attestation = yield from self.attestation_flow(exchange.model, now=now)
            self.hold(attestation, now=now)
            judged = self._conclude(exchange, attestation, signature, now)
        if judged.outcome is Outcome.VERIFIED and not self.accepted_chats.add(str(exchange.chat_id)):
            judged = self._conclude(exchange, attestation, signature, now)  # another thread was faster: it is known now
        return _with_evidence(judged, exchange, recording)

    def verify_saved_exchange(
        self,
        report: SavedReport,
        exchange: Exchange | None = None,
        *,
        at: datetime | None = None,
        now: datetime | None = None,
    ) -> VerifiedExchange:
        """Judge an exchange of a saved report without any network.

        Args:
            report: the saved report; everything in it is untrusted.
            exchange: the exact bytes; those that the report holds when omitted.
            at: the time to judge for (aware); by default the time at which the report says it was recorded.
            now: our own clock (aware), against which the report's claim is held.

        Raises:
            SavedReportError: the report holds no exchange, and none was given.
            ConfigurationError: the report is of another provider or model, or a time is not aware.
        """
        chat = report.exchange if exchange is None else exchange
        if chat is None:
            raise SavedReportError("the saved report holds no exchange: give the request's and the response's bytes")
        attestation = self.verify_saved(report, at=at, now=now)
        self._own(attestation, chat)
        signature = run(self._signature(chat, attestation), ReplayTransport(report), sleep=_no_wait)
        judged = self._conclude(chat, attestation, signature, attestation.evaluated_at, replayed=True)
        return attrs.evolve(judged, evidence=attrs.evolve(report, exchange=chat))

    def _signature(self, exchange: Exchange, attestation: AttestationVerdict) -> Flow[ResponseSignature | Problem]:
        if exchange.chat_id is None:
            detail = "no signature was asked for, since the chat's id is not known"
            return Problem(kind=ProblemKind.UNAVAILABLE, code="no_chat_id", detail=detail, where="signature")
        assert attestation.evidence is not None
        place = self._signature_place(attestation.evidence)
        return (yield from signature_flow(place, exchange.chat_id))

    def _own(self, attestation: AttestationVerdict, exchange: Exchange) -> None:
        """Refuse a verdict that does not speak for this verifier and the exchange."""
        ours = (self.provider, exchange.model, self.policy.digest, self.roots.test)
        theirs = (attestation.provider, attestation.model, attestation.policy_digest, attestation.test_roots)
        if theirs != ours or attestation.evidence is None:
            raise ConfigurationError(
                "the attestation is of another provider, model, policy or kind of roots than this exchange's, or "
                "carries no evidence: pass a verdict of this verifier for the same model"
            )

    def _conclude(
        self,
        exchange: Exchange,
        attestation: AttestationVerdict,
        signature: ResponseSignature | Problem,
        now: datetime | None,
        *,
        replayed: bool = False,
    ) -> VerifiedExchange:
        return conclude_exchange(
            exchange,
            attestation,
            signature,
            policy=self.policy,
            checks=self.exchange_checks,
            gaps=self._exchange_gaps,
            at=self.time(now),
            seen_before=None if replayed else exchange.chat_id in self.accepted_chats,
        )


def _reasons(judged: VerifiedExchange) -> set[str]:
    return {result.reason for result in judged.checks if result.id == "exchange.signer_attested"}


def _with_evidence(judged: VerifiedExchange, exchange: Exchange, recording: Recording) -> VerifiedExchange:
    session = judged.attestation.evidence
    if session is None:
        return judged
    exchanges = (*session.exchanges, *recording.exchanges)
    return attrs.evolve(judged, evidence=attrs.evolve(session, exchanges=exchanges, exchange=exchange, digest=""))


def _no_wait(seconds: float) -> None:
    """A replay has nothing to wait for."""
    del seconds
