"""ed25519 (RFC 8032) and secp256k1 (Ethereum addresses): keys and signatures of TEE signers."""

from __future__ import annotations

from .digests import keccak256

__all__ = ["ethereum_address", "verify_ed25519"]


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
