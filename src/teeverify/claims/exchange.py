"""Claims about one request and response: what we hold, what was signed, and by whom."""

from __future__ import annotations

from datetime import datetime

from attrs import field, frozen

from .problem import Problem
from .upstream import UpstreamClaims

__all__ = ["AttestedSigner", "ExchangeSubject", "ResponseSignature", "SignedForm"]


@frozen(kw_only=True)
class AttestedSigner:
    """A response-signing key of a VERIFIED attestation; ``address`` is 32 (ed25519) or 20 bytes (ecdsa)."""

    subject: str
    role: str
    algorithm: str
    address: bytes


@frozen(kw_only=True)
class ResponseSignature:
    """A provider's signature over one exchange.

    ``kind`` is what the provider calls it (``provider_tee`` or ``gateway``), None where it does not say, and
    ``receipt`` for the receipt of an ACI service, which counts as a gateway. ``model`` is None where the signed text
    names no model. Digests are 32 bytes. ``address`` is the signer that the answer claims, and ``valid`` whether the
    signature is that signer's over exactly the signed text.
    """

    kind: str | None
    algorithm: str
    address: bytes
    model: str | None
    request_digest: bytes
    response_digest: bytes
    valid: bool

    @property
    def signer_role(self) -> str:
        """The role whose key has to have signed: a signature that does not say its kind is the model's."""
        if self.kind == "enclave":
            return "enclave"
        return "gateway" if self.kind in ("gateway", "receipt") else "model"


@frozen(kw_only=True)
class SignedForm:
    """What a provider signs where that is not the SHA-256 of request and response.

    The digests (32 bytes) are computed from our bytes. ``made_at`` is the aware time that was signed, and ``mark`` a
    text that is the same for every copy of the signed answer.
    """

    request_digest: bytes
    response_digest: bytes
    made_at: datetime
    mark: str


@frozen(kw_only=True)
class ExchangeSubject:
    """One exchange with everything that was derived about it.

    ``request_digest`` and ``response_digest`` are the SHA-256 (32 bytes) of the bytes that we sent and received.
    ``respelled_digest`` is that of a plain response's JSON in the spelling which the provider is known to sign
    (Python's), None where there is none. ``streamed`` is what our request asked for, ``finished`` whether a stream came
    to its ``[DONE]``. ``stated_chat_id`` is the id inside the response, None where it cannot be read. ``signers`` are
    the signing keys of the attestation, whose outcome and end stand beside them. ``peer_fingerprint`` and
    ``attested_fingerprint`` are the SHA-256 of the TLS keys of our connection (None when unknown) and of the
    attestation. ``seen_before`` is None where nothing remembers. An INVALID ``signature`` is one by a signer that is
    not known; ``upstream`` is None where the signature says nothing of the way behind the signer. ``carried`` says that
    the signature comes inside the response, so that without it there was no answer.
    """

    id: str = "exchange"
    role: str = "exchange"
    provider: str
    evaluated_at: datetime
    test_roots: bool
    record: tuple[Problem, ...] = ()
    model: str
    chat_id: str | None
    stated_chat_id: str | None
    request_digest: bytes
    response_digest: bytes
    respelled_digest: bytes | None = None
    streamed: bool
    finished: bool
    signature: ResponseSignature | Problem
    upstream: UpstreamClaims | Problem | None = None
    attestation_outcome: str
    attestation_expires_at: datetime | None
    signers: tuple[AttestedSigner, ...]
    seen_before: bool | None
    form: SignedForm | None = None
    carried: bool = False
    peer_fingerprint: bytes | None = None
    attested_fingerprint: bytes | None = field(default=None)
