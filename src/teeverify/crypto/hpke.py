"""HPKE (RFC 9180, base mode) and the keys of Oblivious HTTP responses, in the one suite that is used here.

DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305. pycryptodome has the export interface that responses need.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

from attrs import field, frozen

from ..errors import FormatError

__all__ = ["SealedRequest", "open_chacha", "response_keys", "seal_request"]

_KEY_SIZE = 32
_NONCE_SIZE = 12


@frozen(kw_only=True)
class SealedRequest:
    """What sealing to a key gives: the encapsulated key (32 bytes), the ciphertext, and the exporter of the context."""

    enc: bytes
    ciphertext: bytes = field(repr=False)
    export: Callable[[bytes, int], bytes] = field(repr=False, eq=False)


def seal_request(public_key: bytes, info: bytes, plaintext: bytes) -> SealedRequest:
    """Seal ``plaintext`` to an X25519 key (32 bytes) under a fresh ephemeral key; no associated data.

    Raises:
        FormatError: ``x25519_key``, when nothing can be encrypted to the key.
    """
    from Crypto.Protocol import HPKE
    from Crypto.Protocol.DH import import_x25519_public_key

    try:
        receiver = import_x25519_public_key(public_key)
        context = HPKE.new(receiver_key=receiver, aead_id=HPKE.AEAD.CHACHA20_POLY1305, info=info)
        ciphertext = bytes(context.seal(plaintext))
    except ValueError:
        raise FormatError("x25519_key", "the key is no X25519 key that anything can be encrypted to") from None
    return SealedRequest(
        enc=bytes(context.enc),
        ciphertext=ciphertext,
        export=lambda label, size: bytes(context.export(label, size)),
    )


def response_keys(secret: bytes, enc: bytes, nonce: bytes) -> tuple[bytes, bytes]:
    """Key (32 bytes) and nonce (12 bytes) of a response (RFC 9458 section 4.4; the chunked draft, section 6)."""
    prk = hmac.digest(enc + nonce, secret, hashlib.sha256)
    return _expand(prk, b"key", _KEY_SIZE), _expand(prk, b"nonce", _NONCE_SIZE)


def _expand(prk: bytes, info: bytes, size: int) -> bytes:
    """HKDF-Expand (RFC 5869) of at most one block."""
    return hmac.digest(prk, info + b"\x01", hashlib.sha256)[:size]


def open_chacha(key: bytes, nonce: bytes, ciphertext: bytes, associated: bytes = b"") -> bytes | None:
    """The plaintext of a ChaCha20-Poly1305 ciphertext with its tag at the end; None when it is not authentic."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    try:
        return ChaCha20Poly1305(key).decrypt(nonce, ciphertext, associated)
    except (InvalidTag, ValueError):
        return None
