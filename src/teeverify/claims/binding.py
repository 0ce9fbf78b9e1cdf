"""Claims about what the quote binds: nonce, keys, the channel."""

from __future__ import annotations

from typing import Final

from attrs import frozen

from ..formats.tdx_quote import TdxQuote
from .problem import Problem, ProblemKind

__all__ = ["NO_REPORT_DATA", "BindingClaims", "ChannelClaims", "KemKey", "OhttpKey", "SigningKey"]

NO_REPORT_DATA: Final = Problem(
    kind=ProblemKind.UNAVAILABLE, code="no_report_data", detail="this kind of environment has no REPORTDATA"
)
"""Stands for REPORTDATA where there is none to speak of; a check that needs it stays unevaluated."""


@frozen(kw_only=True)
class SigningKey:
    """A response-signing key as the report states it.

    ``algorithm`` is the one we asked for (``ed25519`` or ``ecdsa``), ``address`` 32 or 20 bytes. ``public_key`` is 32
    or 64 bytes, None where this kind of record carries none; ``derived_address`` is the address computed from it, None
    where that is impossible.
    """

    algorithm: str
    address: bytes
    stated_algorithm: str
    public_key: bytes | None
    derived_address: bytes | None


@frozen(kw_only=True)
class OhttpKey:
    """An Oblivious HTTP key configuration and the ed25519 signature over it.

    ``signature_valid`` is the result of verifying it under ``signing_key`` (32 bytes); ``served_config`` is the copy
    that the report shows beside it, if any.
    """

    key_config: bytes
    signing_key: bytes
    signature_valid: bool
    served_config: bytes | None


@frozen(kw_only=True)
class KemKey:
    """A key that prompts are encapsulated to; ``algorithm`` is ``ml-kem-768``, ``public_key`` 1184 bytes."""

    algorithm: str
    public_key: bytes


@frozen(kw_only=True)
class BindingClaims:
    """The challenge, what the two halves of a quote's REPORTDATA must be for it, and the keys that hang on them.

    ``nonce`` is our challenge (32 bytes). ``asked_nonce`` is the nonce of the request that was really sent, and
    ``echoed_nonces`` what the report says it answers. ``first_half`` is the expected first half of REPORTDATA (None
    where nothing is demanded of it), and ``layout`` its name in words. Where the first half answers the challenge,
    ``fresh_first_half`` is what it must be for our nonce (``fresh_layout`` in words), and ``second_half`` what the
    other half must be (``second_layout`` in words), None where that cannot be known; else the second half is the nonce
    itself. ``sharing`` names, in words, what this environment has in common with another one that it should have for
    itself. Sections that do not exist for the role are None. A Nitro enclave has no REPORTDATA: its document is in
    `NitroClaims`.
    """

    nonce: bytes
    asked_nonce: bytes | Problem
    echoed_nonces: tuple[bytes | Problem, ...] = ()
    nonce_source: str | Problem | None = None
    first_half: bytes | Problem | None = NO_REPORT_DATA
    fresh_first_half: bytes | Problem | None = None
    fresh_layout: str = "the hash of our nonce and the key that is shown"
    second_half: bytes | Problem | None = None
    second_layout: str = "SHA-256 of the certificate's key"
    layout: str = ""
    report_data: bytes | Problem = NO_REPORT_DATA
    stated_report_data: bytes | Problem | None = None
    signing_key: SigningKey | Problem | None = None
    tls_fingerprint: bytes | Problem | None = None
    ohttp: OhttpKey | Problem | None = None
    kem_key: KemKey | Problem | None = None
    sharing: tuple[str, ...] = ()
    host_quote: TdxQuote | Problem | None = None


@frozen(kw_only=True)
class ChannelClaims:
    """The TLS connection over which the report came.

    ``peer_fingerprint`` is the SHA-256 of the SubjectPublicKeyInfo of the certificate that the server showed (32
    bytes), a Problem where it was not recorded. ``origin`` is scheme and host.
    """

    peer_fingerprint: bytes | Problem
    origin: str
