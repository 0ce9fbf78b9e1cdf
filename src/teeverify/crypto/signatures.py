"""ed25519 (RFC 8032) and secp256k1 (Ethereum addresses): keys and signatures of TEE signers."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

from .digests import keccak256

if TYPE_CHECKING:
    from eth_keys.backends.base import BaseECCBackend
    from eth_keys.datatypes import PublicKey

__all__ = ["ethereum_address", "recover_personal_signer", "recover_secp256k1", "verify_ed25519"]

_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Order of secp256k1 (SEC 2, section 2.4.1)."""


def verify_ed25519(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """True when ``signature`` (64 bytes) over ``message`` verifies under ``public_key`` (32 bytes)."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def ethereum_address(public_key: bytes) -> bytes | None:
    """Address (20 bytes) of a secp256k1 public key given as X then Y (64 bytes); None when it is not on the curve."""
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256K1, EllipticCurvePublicKey

    try:
        EllipticCurvePublicKey.from_encoded_point(SECP256K1(), b"\x04" + public_key)
    except ValueError:
        return None
    return keccak256(public_key)[12:]


def recover_personal_signer(message: bytes, signature: bytes) -> bytes | None:
    """Address (20 bytes) that signed ``message`` by personal_sign (EIP-191, version 0x45); None where none did.

    ``signature`` is r, s (32 bytes each, big-endian) and v (27 or 28; 0 and 1 are accepted). The second of the two
    signatures that ECDSA allows for one key and message (high s) is refused, so that a signature has one form.
    """
    if len(signature) != 65:
        return None
    if int.from_bytes(signature[32:64], "big") > _ORDER // 2:
        return None
    prefixed = b"\x19Ethereum Signed Message:\n" + str(len(message)).encode("ascii") + message
    public = _recovered(prefixed, signature)
    return None if public is None else bytes(public.to_canonical_address())


def recover_secp256k1(message: bytes, signature: bytes) -> bytes | None:
    """The key (33 bytes, compressed) that signed Keccak-256 of ``message``; None where none did.

    ``signature`` is r, s (32 bytes each, big-endian) and v, 0 to 3 or 27 to 30. A v beyond the first two of each stands
    for an r beyond the order, which no signature has; it is refused.
    """
    public = _recovered(message, signature) if len(signature) == 65 else None
    return None if public is None else bytes(public.to_compressed_bytes())


def _recovered(message: bytes, signature: bytes) -> PublicKey | None:
    """The key that made a signature of 65 bytes over Keccak-256 of ``message``."""
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    v = signature[64] - 27 if signature[64] >= 27 else signature[64]
    if v not in (0, 1) or not 0 < r < _ORDER or not 0 < s < _ORDER:
        return None
    from eth_keys.datatypes import Signature
    from eth_keys.exceptions import BadSignature
    from eth_utils.exceptions import ValidationError

    try:
        return Signature(vrs=(v, r, s), backend=_backend()).recover_public_key_from_msg_hash(keccak256(message))
    except (BadSignature, ValidationError, ValueError):
        return None


@functools.lru_cache(maxsize=1)
def _backend() -> BaseECCBackend:
    """coincurve's where that is installed, else eth_keys' own; looked for once."""
    from eth_keys.backends import get_backend

    return get_backend()
