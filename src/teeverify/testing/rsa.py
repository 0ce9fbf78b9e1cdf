"""RSA keys of the simulated gateways: derived from the seed like all others, with reproducible PSS signatures.

TEST ONLY. Whoever knows the seed has the private keys.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import textwrap
from typing import Any, Final

from attrs import field, frozen

from .keys import DEFAULT_SEED, KeyRing

__all__ = ["RsaTestKey", "rsa_key"]

_EXPONENT: Final = 65537
_STEPS: Final = {
    (DEFAULT_SEED, "opengradient/signing"): (362, 910),
    (DEFAULT_SEED, "opengradient/other"): (670, 730),
    (DEFAULT_SEED, "opengradient/attacker"): (112, 880),
}
"""How far the first primes lie above their places, so that the usual keys need no search (a second each)."""


@frozen(kw_only=True, slots=False)
class RsaTestKey:
    """A private RSA key; ``label`` names it within its seed."""

    label: str
    _key: Any = field(repr=False, eq=False)

    @functools.cached_property
    def spki(self) -> bytes:
        """DER SubjectPublicKeyInfo, 294 bytes for 2048 bits."""
        der: bytes = self._key.public_key().export_key(format="DER")
        return der

    @property
    def pem(self) -> str:
        """The public key as PEM text with a line feed at its end."""
        lines = textwrap.wrap(base64.b64encode(self.spki).decode(), 64)
        return "\n".join(("-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""))

    def sign(self, message: bytes, *, salt_size: int = 32) -> bytes:
        """RSASSA-PSS with SHA-256 over ``message``; the salt is made of the message, so signatures are reproducible."""
        from Crypto.Hash import SHA256
        from Crypto.Signature import pss

        def salt(size: int) -> bytes:
            return hashlib.shake_256(b"TEST salt" + message).digest(size)

        signature: bytes = pss.new(self._key, salt_bytes=salt_size, rand_func=salt).sign(SHA256.new(message))
        return signature


def rsa_key(keys: KeyRing, label: str, *, bits: int = 2048) -> RsaTestKey:
    """The key of a label."""
    return _derived(keys.seed, label, bits)


@functools.lru_cache(maxsize=16)
def _derived(seed: str, label: str, bits: int) -> RsaTestKey:
    """Primes are the first ones at and above two places that seed and label give."""
    from Crypto.PublicKey import RSA

    material = KeyRing(seed).material(f"rsa{bits}/{label}", bits // 8)
    steps = _STEPS.get((seed, label), (0, 0)) if bits == 2048 else (0, 0)
    halves = (material[: bits // 16], material[bits // 16 :])
    p, q = (_prime_from(half, bits // 2, step) for half, step in zip(halves, steps, strict=True))
    d = pow(_EXPONENT, -1, (p - 1) * (q - 1))
    return RsaTestKey(label=label, key=RSA.construct((p * q, _EXPONENT, d, p, q), consistency_check=False))


def _prime_from(material: bytes, bits: int, step: int) -> int:
    """The first prime at or above a number of ``bits`` bits whose two highest are set, so a product has all bits."""
    from Crypto.Util.number import isPrime

    candidate = (int.from_bytes(material, "big") | 3 << (bits - 2) | 1) + step
    while (candidate - 1) % _EXPONENT == 0 or not isPrime(candidate, false_positive_prob=1e-12):
        candidate += 2
    return candidate
