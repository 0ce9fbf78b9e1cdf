"""The enclave's end of Oblivious HTTP: opens requests and seals responses, written from RFC 9180 and RFC 9458.

Only X25519, HMAC and ChaCha20-Poly1305 are used, and no HPKE library, so that the client's end is held against the
documents and not against itself.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

from attrs import define, field, frozen
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

__all__ = ["BILLING", "OhttpServer", "OpenedRequest", "billing_frame", "quic_varint"]

_SUITE: Final = bytes.fromhex("002000010003")
_KEM: Final = b"KEM" + bytes.fromhex("0020")
_HPKE: Final = b"HPKE" + _SUITE
_HEAD: Final = 7
BILLING: Final = b"\n--opengradient-ohttp-billing-v1--\n"
"""What stands at the beginning of the frame that the gateway writes for the relay."""


def billing_frame(content: bytes = b'{"cost_opg": "1"}') -> bytes:
    """The frame for the relay, which is not encrypted."""
    return BILLING + len(content).to_bytes(4, "big") + content


def quic_varint(number: int, size: int | None = None) -> bytes:
    """A number as RFC 9000 section 16 writes it, in ``size`` bytes (1, 2, 4 or 8) or as few as it takes."""
    size = size or next(size for size in (1, 2, 4, 8) if number < 1 << (8 * size - 2))
    return (number | (size.bit_length() - 1) << (8 * size - 2)).to_bytes(size, "big")


@define(kw_only=True)
class OhttpServer:
    """One key that requests are encrypted to."""

    private: bytes = field(repr=False)
    key_id: int = 1

    @property
    def public(self) -> bytes:
        """The X25519 key, 32 bytes."""
        return X25519PrivateKey.from_private_bytes(self.private).public_key().public_bytes_raw()

    @property
    def key_config(self) -> bytes:
        """RFC 9458 section 3, 41 bytes."""
        return bytes([self.key_id]) + _SUITE[:2] + self.public + b"\x00\x04" + _SUITE[2:]

    def open(self, body: bytes) -> OpenedRequest:
        """Open an encapsulated request.

        Raises:
            ValueError: it is not for this key, or too short.
            cryptography.exceptions.InvalidTag: it was changed, or is for another key.
        """
        head, enc, sealed = body[:_HEAD], body[_HEAD : _HEAD + 32], body[_HEAD + 32 :]
        if head != bytes([self.key_id]) + _SUITE:
            raise ValueError("the request is for another key or suite")
        dh = X25519PrivateKey.from_private_bytes(self.private).exchange(X25519PublicKey.from_public_bytes(enc))
        prk = _labeled_extract(_KEM, b"", b"eae_prk", dh)
        shared = _labeled_expand(_KEM, prk, b"shared_secret", enc + self.public, 32)
        info = b"message/bhttp request\x00" + head
        context = b"\x00" + _labeled_extract(_HPKE, b"", b"psk_id_hash", b"")
        context += _labeled_extract(_HPKE, b"", b"info_hash", info)
        secret = _labeled_extract(_HPKE, shared, b"secret", b"")
        key = _labeled_expand(_HPKE, secret, b"key", context, 32)
        nonce = _labeled_expand(_HPKE, secret, b"base_nonce", context, 12)
        exporter = _labeled_expand(_HPKE, secret, b"exp", context, 32)
        return OpenedRequest(plaintext=ChaCha20Poly1305(key).decrypt(nonce, sealed, b""), enc=enc, exporter=exporter)


@frozen(kw_only=True)
class OpenedRequest:
    """An opened request, and what its response is sealed with."""

    plaintext: bytes = field(repr=False)
    enc: bytes
    exporter: bytes = field(repr=False)

    def export(self, label: bytes) -> bytes:
        """A secret of 32 bytes that both ends have."""
        return _labeled_expand(_HPKE, self.exporter, b"sec", label, 32)

    def seal(self, plaintext: bytes, *, nonce: bytes | None = None, label: bytes = b"message/bhttp response") -> bytes:
        """A whole response."""
        nonce = nonce or self._nonce(plaintext)
        key, first = self._keys(label, nonce)
        return nonce + ChaCha20Poly1305(key).encrypt(first, plaintext, b"")

    def seal_chunks(
        self,
        chunks: Sequence[bytes],
        *,
        nonce: bytes | None = None,
        billing: bytes = b"",
        label: bytes = b"message/bhttp chunked response",
        varint_size: int | None = None,
    ) -> bytes:
        """A response in chunks, the last of which is the final one; ``billing`` stands in front of it."""
        return b"".join(self.sealed_parts(chunks, nonce=nonce, billing=billing, label=label, varint_size=varint_size))

    def sealed_parts(
        self,
        chunks: Sequence[bytes],
        *,
        nonce: bytes | None = None,
        billing: bytes = b"",
        label: bytes = b"message/bhttp chunked response",
        varint_size: int | None = None,
    ) -> list[bytes]:
        """The nonce, then each chunk with its length, as separate parts for those who want to mix them up."""
        nonce = nonce or self._nonce(b"".join(chunks))
        key, first = self._keys(label, nonce)
        cipher, parts = ChaCha20Poly1305(key), [nonce]
        for index, chunk in enumerate(chunks):
            counted = (int.from_bytes(first, "big") ^ index).to_bytes(12, "big")
            if index + 1 == len(chunks):
                parts += [*([billing] if billing else []), quic_varint(0) + cipher.encrypt(counted, chunk, b"final")]
            else:
                sealed = cipher.encrypt(counted, chunk, b"")
                parts.append(quic_varint(len(sealed), varint_size) + sealed)
        return parts

    def _nonce(self, plaintext: bytes) -> bytes:
        return hashlib.shake_256(b"TEST nonce" + self.enc + plaintext).digest(32)

    def _keys(self, label: bytes, nonce: bytes) -> tuple[bytes, bytes]:
        prk = hmac.digest(self.enc + nonce, self.export(label), "sha256")
        return _expand(prk, b"key", 32), _expand(prk, b"nonce", 12)


def _labeled_extract(suite: bytes, salt: bytes, label: bytes, material: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + material, "sha256")


def _labeled_expand(suite: bytes, prk: bytes, label: bytes, info: bytes, size: int) -> bytes:
    return _expand(prk, size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info, size)


def _expand(prk: bytes, info: bytes, size: int) -> bytes:
    return hmac.digest(prk, info + b"\x01", "sha256")[:size]  # one block of HKDF-Expand, which is as much as is asked
