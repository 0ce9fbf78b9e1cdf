"""Reading simulated Chutes sessions with code that shares nothing with the package that made them."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from evidence_reading import body


def keys_of(document: dict[str, Any]) -> dict[str, str]:
    """Instance id and key text."""
    rows = json.loads(body(document, "/e2e/instances/"))["instances"]
    return {row["instance_id"]: row["e2e_pubkey"] for row in rows}


def evidence_of(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Instance id and entry of the evidence."""
    return {entry["instance_id"]: entry for entry in json.loads(body(document, "/evidence?nonce="))["evidence"]}


def quote_of(entry: dict[str, Any]) -> bytes:
    return base64.b64decode(entry["quote"] if "quote" in entry else entry["intel_quote"], validate=True)


def binding_of(nonce: str, key: str) -> bytes:
    return hashlib.sha256(nonce.encode("ascii") + key.encode("ascii")).digest()


def spki_digest(entry: dict[str, Any]) -> bytes:
    """SHA-256 of the SubjectPublicKeyInfo inside the shown certificate."""
    certificate = x509.load_der_x509_certificate(base64.b64decode(entry["certificate"], validate=True))
    info = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(info).digest()


def brom_serial(entry: dict[str, str]) -> str:
    """The GPU's own serial number: it stands in the name of the second certificate."""
    chain = x509.load_pem_x509_certificates(base64.b64decode(entry["certificate"], validate=True))
    return str(chain[1].subject.get_attributes_for_oid(x509.NameOID.SERIAL_NUMBER)[0].value)


def submissions(document: dict[str, Any]) -> list[tuple[dict[str, Any], list[Any]]]:
    """Request and answer of every POST to NVIDIA."""
    return [
        tuple(json.loads(base64.b64decode(entry[side]["body"])) for side in ("request", "response"))
        for entry in document["exchanges"]
        if entry["request"]["method"] == "POST"
    ]


def token_claims(document: dict[str, Any], token: str) -> dict[str, Any]:
    """Claims of a token of NVIDIA's that verifies under the recorded key set; times are not looked at."""
    keys = {key["kid"]: key for key in json.loads(body(document, "jwks.json"))["keys"]}
    key = jwt.PyJWK(keys[jwt.get_unverified_header(token)["kid"]], algorithm="ES384").key
    options: Any = {"require": ["exp", "iat", "nbf", "iss"], "verify_exp": False, "verify_nbf": False}
    options |= {"verify_iat": False, "verify_aud": False}
    claims: dict[str, Any] = jwt.decode(
        token, key, algorithms=["ES384"], issuer="https://nras.attestation.nvidia.com", options=options
    )
    return claims
