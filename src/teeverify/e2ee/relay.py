"""Chats through OpenGradient's relay: sealed to an attested enclave, opened here, and verified before they are used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from ..errors import ConfigurationError, FormatError, TransportError
from ..exchange import Exchange
from ..flow import Flow, Request, Response
from ..formats.opengradient_answer import SignedAnswer
from ..formats.opengradient_request import chat_request
from ..limits import MAX_CHAT_BODY
from ..verdict import AttestationVerdict, AttestedKey, Outcome, VerifiedExchange
from .ohttp import REQUEST_TYPE, OhttpRequest, response_type, sealed_to

if TYPE_CHECKING:
    from ..providers.opengradient_exchange import OpenGradientExchanges

__all__ = ["RELAY", "RelayedChat", "chat_flow"]

RELAY: Final = "https://chat-api.opengradient.ai"
"""The operator's relay; it sees who asks and how much, and nothing of what."""
_PATH: Final = "/api/v1/chat/ohttp"


@frozen(kw_only=True)
class RelayedChat:
    """One chat through the relay.

    ``exchange`` holds the plaintext bytes as sent and received, ``verified`` the judgement on them, and ``answer`` the
    signed output with what is unsigned apart from it: None unless the judgement is VERIFIED, so that no unverified word
    is handed out.
    """

    exchange: Exchange = field(repr=False)
    verified: VerifiedExchange
    answer: SignedAnswer | None = field(repr=False)

    def require(self) -> SignedAnswer:
        """The answer.

        Raises:
            RejectedError: the judgement is REJECTED.
            InconclusiveError: the judgement is INCONCLUSIVE.
        """
        self.verified.require()
        if self.answer is None:
            raise ConfigurationError("the judgement is VERIFIED and no answer was read: report this as a bug")
        return self.answer


def chat_flow(
    verifier: OpenGradientExchanges,
    attestation: AttestationVerdict,
    request: bytes | Mapping[str, object],
    *,
    relay: str = RELAY,
    token: str | None = None,
) -> Flow[RelayedChat]:
    """Seal a chat request to the attested enclave, send it through the relay, open the answer and judge it.

    The whole answer is collected before anything of it is looked at, a streamed one as well. Nothing is sent unless
    the attestation is VERIFIED.

    Args:
        verifier: judges the answer; the attestation must be one of its own.
        attestation: a VERIFIED verdict with an attested key for Oblivious HTTP.
        request: a chat completion request, as JSON or as a mapping; ``stream`` is honoured.
        relay: base URL of the relay.
        token: the caller's bearer token at the relay.

    Raises:
        RejectedError, InconclusiveError: the attestation is not VERIFIED; nothing was sent.
        ConfigurationError: the request is none that the gateway would take, no key to encrypt to is attested, or the
            attestation is not one of this verifier's policy, or past its end; nothing was sent.
        TransportError: the relay gave no sealed answer, or one that was changed on the way. What it says in plaintext
            is nobody's word.
    """
    attestation.require()
    verifier.check_current(attestation)
    try:
        shaped = chat_request(request)
    except FormatError as error:
        raise ConfigurationError(f"the request cannot be sent: {error}") from None
    sealed = sealed_to(_key(attestation), shaped.wire)
    tee_id = next(key.address for key in _keys(attestation) if key.use == "signing")
    (answer,) = yield (_request(sealed, tee_id, relay, token, stream=shaped.stream),)
    body = _opened(answer, sealed, stream=shaped.stream)
    exchange = Exchange(model=attestation.model, request_body=shaped.wire, response_body=body)
    judged = yield from verifier.exchange_flow(exchange, attestation)
    if judged.outcome is Outcome.VERIFIED and judged.signer != tee_id:  # after a fresh attestation, of another enclave
        raise TransportError(
            "the answer is another enclave's than the one that the request was encrypted to: try again"
        )
    judged = verifier.accept(exchange, judged)
    return RelayedChat(exchange=exchange, verified=judged, answer=_answer(exchange, judged))


def _answer(exchange: Exchange, judged: VerifiedExchange) -> SignedAnswer | None:
    from ..providers.opengradient_exchange import read_answer

    return read_answer(exchange) if judged.outcome is Outcome.VERIFIED else None


def _keys(attestation: AttestationVerdict) -> tuple[AttestedKey, ...]:
    return tuple(key for subject in attestation.subjects for key in subject.attested_keys)


def _key(attestation: AttestationVerdict) -> AttestedKey:
    keys = [key for key in _keys(attestation) if key.use == "ohttp"]
    if len(keys) != 1:
        raise ConfigurationError("the attestation names no key that requests could be encrypted to: nothing was sent")
    return keys[0]


def _request(sealed: OhttpRequest, tee_id: str, relay: str, token: str | None, *, stream: bool) -> Request:
    headers = {"Content-Type": REQUEST_TYPE, "Accept": response_type(chunked=stream), "X-TEE-ID": f"0x{tee_id}"}
    if stream:
        headers["X-OHTTP-Stream"] = "true"
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    return Request(
        method="POST",
        url=f"{relay.rstrip('/')}{_PATH}",
        headers=headers,
        body=sealed.body,
        limit=MAX_CHAT_BODY,
        repeatable=False,  # a sealed request that is sent twice could be answered twice
    )


def _opened(answer: Response | Exception, sealed: OhttpRequest, *, stream: bool) -> bytes:
    if not isinstance(answer, Response):
        raise answer if isinstance(answer, TransportError) else TransportError(f"the relay was not reached: {answer}")
    kinds = [value.partition(";")[0].strip().lower() for value in answer.headers.get("content-type", ())]
    if answer.status != 200 or kinds != [response_type(chunked=stream)]:
        raise TransportError(
            f"the relay answered with HTTP status {answer.status} and nothing sealed, which is nobody's word: try again"
        )
    try:
        return sealed.open_chunked(answer.body) if stream else sealed.open(answer.body)
    except FormatError as error:
        raise TransportError(f"{error}; nothing of it was used") from None
