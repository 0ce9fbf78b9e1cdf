"""Attested sessions of ACI: what an aggregator saved of the verification of one upstream.

A session is known by the SHA-256 of its canonical JSON (RFC 8785); nobody signs it. Source: ACI specification,
section 8.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from attrs import frozen

from ..errors import FormatError
from ..limits import MAX_REPORT_BODY
from .aci_keyset import API_VERSION, parse_digest
from .canonical_json import jcs
from .encodings import decode_base64
from .strict_json import JsonValue

__all__ = ["CLAIM_NAMES", "SessionClaim", "UpstreamSession", "parse_session"]

CLAIM_NAMES: Final = (
    "tee_attested",
    "gpu_attested",
    "tcb_up_to_date",
    "os_known_good",
    "serving_software_known_good",
    "model_weights_provenance",
)
_STATUSES: Final = ("asserted", "refuted")
_SOURCES: Final = ("hardware_proven", "verifier_derived", "provider_asserted", "operator_asserted")
_DATA_URI: Final = re.compile(r"data:[\x21-\x2b\x2d-\x7e]{0,200};base64,")


@frozen(kw_only=True)
class SessionClaim:
    """What the aggregator says of its upstream: ``status`` asserted, refuted or unknown, and whose word it is."""

    name: str
    status: str
    source: str | None


@frozen(kw_only=True)
class UpstreamSession:
    """A session. ``id`` is 64 hex digits, recomputed; the times are Unix seconds.

    ``evidence_bytes`` is how many bytes of evidence the session holds, with their digest found right; 0 where it holds
    none, so that nobody can look behind the claims.
    """

    id: str
    established_at: int
    expires_at: int
    claims: tuple[SessionClaim, ...]
    evidence_bytes: int


def parse_session(document: JsonValue) -> UpstreamSession:
    """Read a session out of its parsed JSON.

    Raises:
        FormatError: ``session_version``, ``session_shape``, ``session_evidence`` where the evidence does not have its
            digest, ``not_a_digest``, ``not_base64``, ``wrong_length`` or ``json_number``.
    """
    if not isinstance(document, dict):
        raise FormatError("session_shape", "the session is not a JSON object")
    if document.get("api_version") != API_VERSION:
        raise FormatError("session_version", f"the session is not of version {API_VERSION}")
    start, end = document.get("established_at"), document.get("expires_at")
    if type(start) is not int or type(end) is not int or min(start, end) < 0:
        raise FormatError("session_shape", "established_at and expires_at of the session are not Unix seconds")
    claims = document.get("claims")
    if not isinstance(claims, dict):
        raise FormatError("session_shape", "the session has no object of claims")
    return UpstreamSession(
        id=hashlib.sha256(jcs(document)).hexdigest(),
        established_at=start,
        expires_at=end,
        claims=tuple(_claim(name, claims.get(name)) for name in CLAIM_NAMES),
        evidence_bytes=_evidence(document.get("evidence")),
    )


def _claim(name: str, value: JsonValue) -> SessionClaim:
    """A claim; one that does not have the form of a statement with a source is unknown (Appendix B)."""
    status, source = (value.get("status"), value.get("source")) if isinstance(value, dict) else (None, None)
    if isinstance(status, str) and isinstance(source, str) and status in _STATUSES and source in _SOURCES:
        return SessionClaim(name=name, status=status, source=source)
    return SessionClaim(name=name, status="unknown", source=None)


def _evidence(value: JsonValue) -> int:
    if value in (None, {}, []):
        return 0
    if not isinstance(value, dict):
        raise FormatError("session_evidence", "the evidence of the session is not an object")
    data, digest = value.get("data"), parse_digest(value.get("digest"), what="evidence.digest of the session")
    match = _DATA_URI.match(data) if isinstance(data, str) else None
    if match is None or not isinstance(data, str):
        raise FormatError("session_evidence", "evidence.data of the session is not a data URI in base64")
    raw = decode_base64(data[match.end() :], what="evidence.data of the session", limit=MAX_REPORT_BODY)
    if hashlib.sha256(raw).digest() != digest:
        raise FormatError("session_evidence", "the evidence of the session does not have the digest beside it")
    return len(raw)
