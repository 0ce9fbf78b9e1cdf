"""Certificates: chains (RFC 5280 section 6) that end in a pinned root, and the ECDSA signatures made with their keys.

Reading them is in `certificate_parsing`, whose names are repeated here. Signatures over certificates are verified once
per memo: eight GPUs of one host share three of their five certificates.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeAlias

from ..claims.problem import Problem, ProblemKind
from ..limits import MAX_CERTIFICATES
from .certificate_parsing import (
    Certificate,
    CertificateMemo,
    load_der,
    load_pem_chain,
    sha256_of_certificate,
    sha256_of_spki,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives import hashes

__all__ = [
    "Certificate",
    "CertificateMemo",
    "VerifiedLinks",
    "is_issued_by",
    "load_der",
    "load_pem_chain",
    "sha256_of_certificate",
    "sha256_of_spki",
    "verify_chain",
    "verify_p384",
]

VerifiedLinks: TypeAlias = dict[tuple[bytes, bytes], bool]
"""Outcome of every link already verified, by the DER of the certificate and of its issuer.

Keyed by the whole encodings, so a remembered outcome can only ever be that of these two certificates.
"""

_P384_HALF: Final = 48
_MIN_RSA_BITS: Final = 2048
_HASH_NAMES: Final = {
    "1.2.840.10045.4.3.2": ("EC", "SHA256"),
    "1.2.840.10045.4.3.3": ("EC", "SHA384"),
    "1.2.840.10045.4.3.4": ("EC", "SHA512"),
    "1.2.840.113549.1.1.11": ("RSA", "SHA256"),
    "1.2.840.113549.1.1.12": ("RSA", "SHA384"),
    "1.2.840.113549.1.1.13": ("RSA", "SHA512"),
}
"""Certificate signature algorithms by OID (RFC 5758, RFC 4055): key kind and hash. No SHA-1; no vendor uses RSA-PSS."""

_JUDGED_EXTENSIONS: Final = frozenset({"2.5.29.15", "2.5.29.19", "2.23.133.5.4.1", "2.23.133.5.4.1.1"})
"""keyUsage, basicConstraints, and the DICE TcbInfo forms: extensions that may be critical, since they are judged."""


def is_issued_by(child: Certificate, issuer: Certificate) -> bool:
    """True when the issuer name of ``child`` is the subject name of ``issuer`` and the signature verifies.

    Names are compared as DER. Knows ECDSA and RSA (PKCS #1 v1.5, 2048 bits or more) with SHA-2. Whether ``issuer`` may
    issue at all is `verify_chain`'s question, not this one's. Never raises.
    """
    return child.issuer_der == issuer.subject_der and _signature_verifies(child, issuer)


def verify_chain(
    chain: tuple[Certificate, ...], *, at: datetime, root_sha256: bytes, verified_links: VerifiedLinks | None = None
) -> Problem | None:
    """Judge a chain of EC certificates, leaf first, whose last one must be the pinned root.

    Args:
        chain: 2 to `MAX_CERTIFICATES` certificates in order.
        at: the time at which all of them must be valid (aware).
        root_sha256: SHA-256 of the root's DER.
        verified_links: outcomes of links already verified; new ones are added.

    Returns:
        None when the chain holds; else an INVALID `Problem` with ``chain_length``, ``chain_root``, ``chain_time``,
        ``chain_key``, ``chain_ca``, ``chain_extension``, ``chain_issuer`` or ``chain_signature``.
    """
    if not 2 <= len(chain) <= MAX_CERTIFICATES:
        return _problem("chain_length", f"the chain has {len(chain)} certificates, 2 to {MAX_CERTIFICATES} are needed")
    if sha256_of_certificate(chain[-1]) != root_sha256:
        return _problem("chain_root", f"the chain ends in {_name(chain[-1])}, which is not the pinned root")
    for depth, certificate in enumerate(chain):
        refused = _judge_alone(certificate, depth, at)
        if refused is not None:
            return refused
    links = {} if verified_links is None else verified_links
    for depth in range(len(chain) - 1):  # the root needs no signature: it is pinned byte for byte
        child, issuer = chain[depth], chain[depth + 1]
        if child.issuer_der != issuer.subject_der:
            return _problem("chain_issuer", f"certificate {depth} names another issuer than certificate {depth + 1}")
        link = (child.der, issuer.der)
        if link not in links:
            links[link] = _signature_verifies(child, issuer)
        if not links[link]:
            return _problem("chain_signature", f"certificate {depth} is not signed by certificate {depth + 1}'s key")
    return None


def verify_p384(key: Certificate | bytes, signature: bytes, message: bytes) -> bool:
    """True when ``signature`` (r then s, 48 bytes each, big-endian, neither zero) over ``message`` verifies.

    ECDSA on P-384 with SHA-384. ``key`` is a certificate or a DER SubjectPublicKeyInfo; a key of another kind verifies
    nothing. Never raises.
    """
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, utils

    r, s = int.from_bytes(signature[:_P384_HALF], "big"), int.from_bytes(signature[_P384_HALF:], "big")
    if len(signature) != 2 * _P384_HALF or r == 0 or s == 0:
        return False
    try:
        public = key.public_key if isinstance(key, Certificate) else serialization.load_der_public_key(key)
        if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP384R1):
            return False
        public.verify(utils.encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA384()))
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def _judge_alone(certificate: Certificate, depth: int, at: datetime) -> Problem | None:
    """Everything about the certificate at ``depth`` (0 is the leaf) that needs no other certificate."""
    if not certificate.not_before <= at <= certificate.not_after:
        return _problem(
            "chain_time",
            f"certificate {depth} is valid from {certificate.not_before:%Y-%m-%d %H:%M} to "
            f"{certificate.not_after:%Y-%m-%d %H:%M}, not at {at:%Y-%m-%d %H:%M}",
        )
    if not certificate.public_key_kind.startswith("EC "):
        return _problem("chain_key", f"certificate {depth} has a key of kind {certificate.public_key_kind}, not EC")
    if not certificate.critical <= _JUDGED_EXTENSIONS:
        return _problem("chain_extension", f"certificate {depth} has a critical extension that is not understood")
    return None if depth == 0 else _judge_issuer(certificate, depth)


def _judge_issuer(certificate: Certificate, depth: int) -> Problem | None:
    below = depth - 1
    if not certificate.is_ca or certificate.key_cert_sign is False:
        return _problem("chain_ca", f"certificate {depth} issues certificate {below} without being a CA")
    if certificate.path_length is not None and certificate.path_length < below:
        return _problem("chain_ca", f"certificate {depth} allows {certificate.path_length} CAs below it, not {below}")
    return None


def _signature_verifies(child: Certificate, issuer: Certificate) -> bool:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

    kind, hash_name = _HASH_NAMES.get(child.signature_oid, ("", ""))
    key = issuer.public_key
    try:
        if isinstance(key, ec.EllipticCurvePublicKey) and kind == "EC":
            key.verify(child.signature, child.tbs_der, ec.ECDSA(_hash(hash_name)))
        elif isinstance(key, rsa.RSAPublicKey) and kind == "RSA" and key.key_size >= _MIN_RSA_BITS:
            key.verify(child.signature, child.tbs_der, padding.PKCS1v15(), _hash(hash_name))
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def _hash(name: str) -> hashes.HashAlgorithm:
    from cryptography.hazmat.primitives import hashes

    if name == "SHA256":
        return hashes.SHA256()
    if name == "SHA384":
        return hashes.SHA384()
    return hashes.SHA512()


def _name(certificate: Certificate) -> str:
    return repr((certificate.subject_cn or "a certificate without a name")[:64])


def _problem(code: str, detail: str) -> Problem:
    return Problem(kind=ProblemKind.INVALID, code=code, detail=detail, where="certificate chain")
