"""RSA: public keys in their one encoding, and RSASSA-PSS signatures (RFC 8017 section 8.1) with fixed parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from ..errors import FormatError
from ..formats.der import SEQUENCE, elements, only_element
from ..limits import MAX_RSA_BITS

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

__all__ = ["RsaKey", "load_rsa_key", "verify_pss"]

_RSA_ENCRYPTION: Final = bytes.fromhex("300d06092a864886f70d0101010500")
"""AlgorithmIdentifier of rsaEncryption with NULL parameters (RFC 3279 section 2.3.1)."""
_EXPONENT: Final = 65537
_MIN_BITS: Final = 2048
_SALT: Final = 32
_MAX_DER: Final = MAX_RSA_BITS // 8 + 64


@frozen(kw_only=True)
class RsaKey:
    """A public key; ``der`` is its SubjectPublicKeyInfo as it was read, ``bits`` the length of the modulus."""

    der: bytes = field(repr=lambda der: f"<{len(der)} bytes>")
    bits: int
    _public: RSAPublicKey = field(eq=False, repr=False)

    @property
    def signature_size(self) -> int:
        """Bytes of every signature of this key."""
        return (self.bits + 7) // 8


def load_rsa_key(der: bytes, *, what: str) -> RsaKey:
    """Read a DER SubjectPublicKeyInfo that only one encoder could have written.

    Args:
        der: the key, which must fill the bytes.
        what: what the key is, for the error's sentence.

    Raises:
        FormatError: ``rsa_syntax``, ``rsa_kind`` (not rsaEncryption, so also a key of another kind), ``rsa_size``
            (below 2048 bits, or above `MAX_RSA_BITS`), ``rsa_exponent`` (other than 65537) or ``rsa_encoding`` (a
            second spelling of the same key).
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    if len(der) > _MAX_DER:
        raise FormatError("rsa_size", f"{what} is {len(der)} bytes long, at most {_MAX_DER} are accepted")
    _require_rsa_encryption(der, what)
    try:
        public = serialization.load_der_public_key(der)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise FormatError("rsa_syntax", f"{what} is not an RSA public key") from None
    if not isinstance(public, rsa.RSAPublicKey):
        raise FormatError("rsa_kind", f"{what} is not an RSA public key")
    if not _MIN_BITS <= public.key_size <= MAX_RSA_BITS:
        raise FormatError("rsa_size", f"{what} has {public.key_size} bits, {_MIN_BITS} to {MAX_RSA_BITS} are accepted")
    if public.public_numbers().e != _EXPONENT:
        raise FormatError("rsa_exponent", f"{what} has another public exponent than {_EXPONENT}")
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    if public.public_bytes(serialization.Encoding.DER, spki) != der:
        raise FormatError("rsa_encoding", f"{what} is not encoded as DER encodes it")
    return RsaKey(der=der, bits=public.key_size, public=public)


def verify_pss(key: RsaKey, signature: bytes, message: bytes) -> bool:
    """True when ``signature`` over ``message`` verifies with RSASSA-PSS: SHA-256, MGF1 with SHA-256, 32 bytes of salt.

    ``message`` is hashed here, also where it is itself a hash. The signature must be as long as the modulus. Never
    raises.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    if len(signature) != key.signature_size:
        return False
    scheme = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=_SALT)
    try:
        key._public.verify(signature, message, scheme, hashes.SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def _require_rsa_encryption(der: bytes, what: str) -> None:
    try:
        parts = elements(only_element(der, SEQUENCE, what=what), what=what)
    except FormatError as refused:
        raise FormatError("rsa_syntax", str(refused)) from None
    if not parts or parts[0].encoding != _RSA_ENCRYPTION:
        raise FormatError("rsa_kind", f"{what} is not a key of the algorithm rsaEncryption")
