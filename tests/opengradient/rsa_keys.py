"""RSA keys made for this run of the tests, their encodings, and signatures of every kind that must not pass."""

from __future__ import annotations

import functools
from typing import Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from teeverify.testing.der import object_identifier, sequence, tlv

__all__ = ["RSA_ENCRYPTION", "private_key", "pss", "signatures_of_other_schemes", "spki", "spki_of"]

RSA_ENCRYPTION: Final = "1.2.840.113549.1.1.1"
NULL: Final = b"\x05\x00"


@functools.cache
def private_key(bits: int = 2048, exponent: int = 65537, which: int = 0) -> rsa.RSAPrivateKey:
    """One key for each set of arguments."""
    return rsa.generate_private_key(public_exponent=exponent, key_size=bits)


def spki(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def spki_of(
    modulus: bytes, exponent: bytes, *, oid: str = RSA_ENCRYPTION, parameters: bytes = NULL, spare: int = 0
) -> bytes:
    """A SubjectPublicKeyInfo of INTEGERs with this very content."""
    key = sequence(tlv(0x02, modulus), tlv(0x02, exponent))
    return sequence(sequence(object_identifier(oid), parameters), tlv(0x03, bytes([spare]) + key))


def pss(message: bytes, *, key: rsa.RSAPrivateKey | None = None, salt: int = 32) -> bytes:
    scheme = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=salt)
    return (key or private_key()).sign(message, scheme, hashes.SHA256())


def signatures_of_other_schemes(message: bytes) -> dict[str, bytes]:
    """Signatures over ``message`` (32 bytes) by the right key, each wrong in one parameter."""
    key, sha256 = private_key(), hashes.SHA256()
    mgf = padding.MGF1(sha256)
    digest = hashes.Hash(sha256)
    digest.update(message)
    return {
        "salt 0": pss(message, salt=0),
        "salt 20": pss(message, salt=20),
        "salt 31": pss(message, salt=31),
        "salt 33": pss(message, salt=33),
        "longest salt": pss(message, salt=padding.calculate_max_pss_salt_length(key, sha256)),
        "PKCS #1 v1.5": key.sign(message, padding.PKCS1v15(), sha256),
        "MGF1 with SHA-1": key.sign(message, padding.PSS(mgf=padding.MGF1(hashes.SHA1()), salt_length=32), sha256),
        "SHA-512": key.sign(message, padding.PSS(mgf=mgf, salt_length=32), hashes.SHA512()),
        "the message as the digest": key.sign(message, padding.PSS(mgf=mgf, salt_length=32), Prehashed(sha256)),
        "hashed twice": pss(digest.finalize()),
        "another key": pss(message, key=private_key(which=1)),
    }
