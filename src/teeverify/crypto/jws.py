"""ES384 tokens (RFC 7515, RFC 7518 section 3.4): the signature, and whether the key that made it is NVIDIA's."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Final

from ..claims.problem import Problem, ProblemKind
from ..errors import FormatError
from ..formats.jose import CompactJws, JsonWebKey, KeySet
from ..roots import TrustRoots
from .certificates import Certificate, is_issued_by, load_der, sha256_of_spki

__all__ = ["trusted_signing_key", "verify_es384"]

_ORGANIZATION: Final = "NVIDIA Corporation"
_P384_SPKI_HEAD: Final = bytes.fromhex("3076301006072a8648ce3d020106052b8104002203620004")
"""SubjectPublicKeyInfo of a P-384 key (RFC 5480) up to its two coordinates."""


def verify_es384(jws: CompactJws, key: JsonWebKey) -> bool:
    """True when the token's signature verifies under ``key`` with ES384 and no other algorithm. Never raises."""
    import jwt.algorithms

    document = {"kty": "EC", "crv": "P-384", "x": _base64url(key.x), "y": _base64url(key.y)}
    algorithm = jwt.algorithms.get_default_algorithms()["ES384"]
    try:
        return bool(algorithm.verify(jws.signing_input, algorithm.from_jwk(document), jws.signature))
    except (jwt.PyJWTError, ValueError, TypeError):
        return False


def trusted_signing_key(keys: KeySet, kid: str, *, at: datetime, roots: TrustRoots) -> JsonWebKey | Problem:
    """The key of id ``kid``, if a CA whose public key is pinned certified it for NVIDIA at the time of the token.

    The root above that CA is in no key set and is published nowhere, so the pin is on the issuing CA's key. No TLS
    connection vouches for a recorded key set; the chain must.

    Args:
        keys: the key set of the attestation service.
        kid: key id of the token's header.
        at: the token's ``iat``; both certificates must be valid then.
        roots: holds the pins.

    Returns:
        The key, or an INVALID `Problem` with ``key_unknown``, ``key_set_malformed``, ``key_chain_missing``,
        ``key_issuer_unpinned``, ``key_not_issued``, ``key_mismatch`` or ``key_time``.
    """
    try:
        key = keys.find(kid)
        if key is None:
            return _problem("key_unknown", "NVIDIA's key set has no P-384 key of the id that the token names")
        if len(key.x5c) < 2:
            return _problem("key_chain_missing", "the token's key comes without the certificates that vouch for it")
        leaf, issuer = (load_der(der, what="a certificate of the token's key") for der in key.x5c[:2])
    except FormatError as error:
        return _problem("key_set_malformed", f"the token's key cannot be read: {error}")
    return _distrust(key, leaf, issuer, at, roots) or key


def _distrust(
    key: JsonWebKey, leaf: Certificate, issuer: Certificate, at: datetime, roots: TrustRoots
) -> Problem | None:
    if sha256_of_spki(issuer) not in roots.nras_intermediates:
        return _problem("key_issuer_unpinned", "the CA above the token's key is not one that is pinned")
    if not issuer.is_ca or issuer.key_cert_sign is False or not is_issued_by(leaf, issuer):
        return _problem("key_not_issued", "the pinned CA did not issue the certificate of the token's key")
    if leaf.organization != _ORGANIZATION:
        return _problem("key_not_issued", f"the certificate of the token's key is not for {_ORGANIZATION}")
    if leaf.spki_der != _P384_SPKI_HEAD + key.x + key.y:
        return _problem("key_mismatch", "the token's key is not the one that its certificate holds")
    if not all(certificate.not_before <= at <= certificate.not_after for certificate in (leaf, issuer)):
        return _problem("key_time", f"the certificates of the token's key are not valid at {at:%Y-%m-%d %H:%M}")
    return None


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _problem(code: str, detail: str) -> Problem:
    return Problem(kind=ProblemKind.INVALID, code=code, detail=detail, where="NVIDIA's key set")
