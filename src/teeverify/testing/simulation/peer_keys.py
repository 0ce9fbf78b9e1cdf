"""At which TLS key connections end, as a fault has it."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec

from teeverify.errors import ConfigurationError
from teeverify.testing.keys import KeyRing, spki

__all__ = ["key_shown"]

_STRANGERS = ("intruder/tls", "tls/stranger")


def key_shown(
    keys: KeyRing, genuine: ec.EllipticCurvePrivateKey, peer_spki: bytes | None
) -> ec.EllipticCurvePrivateKey:
    """The key that belongs to a SubjectPublicKeyInfo (DER), the genuine one where that is None.

    Raises:
        ConfigurationError: nobody here has it.
    """
    for key in (genuine, *(keys.p256(label) for label in _STRANGERS)):
        if peer_spki in (None, spki(key)):
            return key
    raise ConfigurationError("the fault cannot be shown: nobody here has the TLS key at which its connections end")
