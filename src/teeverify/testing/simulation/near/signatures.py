"""Signatures over one request and response, as inference proxies and gateways give them, and as liars do."""

from __future__ import annotations

from typing import Any, Final

from attrs import evolve, frozen
from Crypto.Hash import keccak

from teeverify.testing.keys import KeyRing
from teeverify.testing.signing import SigningKey

__all__ = ["GATEWAY", "PROVIDER_TEE", "SignedChat", "sign_text", "signature_document"]

PROVIDER_TEE: Final = "provider_tee"
GATEWAY: Final = "gateway"

_ORDER_SECP256K1: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""SEC 2, section 2.4.1."""
_ORDER_ED25519: Final = 2**252 + 27742317777372353535851937790883648493
"""RFC 8032, section 5.1."""
_OTHER: Final = {"ecdsa": "ed25519", "ed25519": "ecdsa"}


@frozen(kw_only=True)
class SignedChat:
    """What is signed about one chat. Digests are SHA-256 in lower-case hex; ``kind`` None is that of old proxies."""

    model: str
    request_digest: str
    response_digest: str
    kind: str | None

    @property
    def text(self) -> str:
        """The signed text."""
        digests = f"{self.request_digest}:{self.response_digest}"
        return f"{self.model}:{digests}" if self.kind == PROVIDER_TEE else digests


def sign_text(text: str, key: SigningKey, algorithm: str) -> tuple[str, bytes]:
    """Sign a text; returns the signer's address as it is reported, and 64 (ed25519) or 65 bytes (r, s, v of ecdsa).

    ecdsa is Ethereum's personal_sign (EIP-191, version 0x45) with a low s and v 27 or 28.
    """
    address, message = evolve(key, algorithm=algorithm).address_text, text.encode()
    if algorithm == "ed25519":
        return address, key.ed25519.sign(message)
    from eth_keys.datatypes import PrivateKey

    prefixed = b"\x19Ethereum Signed Message:\n" + str(len(message)).encode() + message
    secret = key.secp256k1.private_numbers().private_value.to_bytes(32, "big")
    digest = keccak.new(digest_bits=256, data=prefixed).digest()
    signature = PrivateKey(secret).sign_msg_hash(digest).to_bytes()
    return address, signature[:64] + bytes([27 + signature[64]])


def signature_document(
    chat: SignedChat, *, keys: KeyRing, model: SigningKey, gateway: SigningKey | None, algorithm: str, fault: str | None
) -> dict[str, Any]:
    """The answer to a question for a signature; ``fault`` is the name of an exchange fault, None or another's."""
    signer = gateway if chat.kind == GATEWAY and gateway is not None else model
    intruder = SigningKey.derive(keys, "intruder", "ed25519")
    if fault == "gateway-signature-as-model" and gateway is not None:
        chat, signer = evolve(chat, kind=PROVIDER_TEE), gateway
    if fault == "text-names-other-model":
        chat = evolve(chat, kind=PROVIDER_TEE, model="teeverify-test/other-model")
    if fault == "wrong-signer":
        signer = intruder
    if fault == "other-algorithm":
        algorithm = _OTHER[algorithm]
    address, signature = sign_text(chat.text, signer, algorithm)
    if fault == "forged-signature":
        signature = sign_text(chat.text, intruder, algorithm)[1]
    if fault == "malleable-signature":
        signature = _other_encoding(signature, algorithm)
    if fault == "short-signature":
        signature = signature[:-1]
    document = {
        "text": chat.text,
        "signature": signature.hex() if algorithm == "ed25519" else f"0x{signature.hex()}",
        "signing_address": address,
        "signing_algo": algorithm,
    }
    return document if chat.kind is None else {**document, "signature_kind": chat.kind}


def _other_encoding(signature: bytes, algorithm: str) -> bytes:
    """The second encoding that the equations allow: S + L of Ed25519, n - s of ECDSA."""
    if algorithm == "ed25519":
        return signature[:32] + (int.from_bytes(signature[32:], "little") + _ORDER_ED25519).to_bytes(32, "little")
    s = _ORDER_SECP256K1 - int.from_bytes(signature[32:64], "big")
    return signature[:32] + s.to_bytes(32, "big") + bytes([55 - signature[64]])
