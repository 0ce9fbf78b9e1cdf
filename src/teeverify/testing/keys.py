"""Deterministic key material: the same seed and label always give the same key, serial number and filler bytes.

Nothing made here is secret. Whoever knows the seed (it is in this package) can sign as any of these keys, which is why
evidence made with them verifies under test roots only.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

__all__ = ["DEFAULT_SEED", "KeyRing", "raw_public", "raw_signature", "spki"]

DEFAULT_SEED: Final = "teeverify TEST seed 1"
"""Seed of the roots in `fixtures/roots`."""

# Orders of the groups: SEC 2 version 2.0 and FIPS 186-5.
_ORDER_P256: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_ORDER_P384: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973
_ORDER_SECP256K1: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


class KeyRing:
    """All keys of one simulated world, derived on demand from one seed."""

    def __init__(self, seed: str = DEFAULT_SEED) -> None:
        self.seed = seed
        self._keys: dict[tuple[str, str], ec.EllipticCurvePrivateKey] = {}

    def material(self, label: str, size: int) -> bytes:
        """``size`` pseudo-random bytes that depend on the seed and the label only."""
        return hashlib.shake_256(f"{self.seed}\0{label}".encode()).digest(size)

    def serial(self, label: str, size: int = 16) -> int:
        """A positive certificate serial number of exactly ``size`` bytes."""
        raw = self.material(f"serial/{label}", size)
        return int.from_bytes(bytes([raw[0] & 0x3F | 0x40]) + raw[1:], "big")

    def uuid(self, label: str) -> str:
        """A version 4 UUID."""
        return str(uuid.UUID(bytes=self.material(f"uuid/{label}", 16), version=4))

    def p256(self, label: str) -> ec.EllipticCurvePrivateKey:
        """A P-256 key."""
        return self._derive("p256", label, ec.SECP256R1(), _ORDER_P256)

    def p384(self, label: str) -> ec.EllipticCurvePrivateKey:
        """A P-384 key."""
        return self._derive("p384", label, ec.SECP384R1(), _ORDER_P384)

    def secp256k1(self, label: str) -> ec.EllipticCurvePrivateKey:
        """A secp256k1 key."""
        return self._derive("secp256k1", label, ec.SECP256K1(), _ORDER_SECP256K1)

    def ed25519(self, label: str) -> ed25519.Ed25519PrivateKey:
        """An Ed25519 key."""
        return ed25519.Ed25519PrivateKey.from_private_bytes(self.material(f"ed25519/{label}", 32))

    def _derive(self, kind: str, label: str, curve: ec.EllipticCurve, order: int) -> ec.EllipticCurvePrivateKey:
        key = self._keys.get((kind, label))
        if key is None:
            # Twice the length of the order, so that the reduction is uniform for all practical purposes.
            wide = int.from_bytes(self.material(f"{kind}/{label}", 2 * ((order.bit_length() + 7) // 8)), "big")
            key = ec.derive_private_key(wide % (order - 1) + 1, curve)
            self._keys[kind, label] = key
        return key


def _field_size(key: ec.EllipticCurvePrivateKey) -> int:
    return (key.curve.key_size + 7) // 8


def raw_public(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The public point as ``x || y``, without a prefix byte."""
    numbers, size = key.public_key().public_numbers(), _field_size(key)
    return numbers.x.to_bytes(size, "big") + numbers.y.to_bytes(size, "big")


def raw_signature(
    key: ec.EllipticCurvePrivateKey, message: bytes, algorithm: hashes.HashAlgorithm | None = None
) -> bytes:
    """Deterministic ECDSA (RFC 6979) as ``r || s``, both big-endian; SHA-256 unless told otherwise."""
    signature = key.sign(message, ec.ECDSA(algorithm or hashes.SHA256(), deterministic_signing=True))
    r, s = decode_dss_signature(signature)
    size = _field_size(key)
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    """DER SubjectPublicKeyInfo of the public key."""
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
