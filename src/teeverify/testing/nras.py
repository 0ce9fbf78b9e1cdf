"""NVIDIA's Remote Attestation Service: the detached token bundle and the key set.

Shapes follow the "NVIDIA Attestation Suite" documentation of the v3 GPU endpoint: a bundle of one overall token and one
token per GPU, ES384, each GPU token named by its digest in the overall one; keys carry an ``x5c`` chain.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from attrs import define, field
from cryptography.hazmat.primitives import hashes

from .certificates import (
    TEST_MARK,
    Issued,
    authority_key,
    basic_constraints,
    day,
    issue,
    key_usage,
    name,
    subject_key,
)
from .keys import KeyRing, raw_public, raw_signature
from .nvidia import DRIVER_VERSION, VBIOS_VERSION, Device
from .recording import Answer, compact, http_date

__all__ = ["JWKS_URL", "NRAS_URL", "NrasService", "base64url", "nras_intermediate"]

NRAS_URL: Final = "https://nras.attestation.nvidia.com/v3/attest/gpu"
JWKS_URL: Final = "https://nras.attestation.nvidia.com/.well-known/jwks.json"
ISSUER: Final = "https://nras.attestation.nvidia.com"

_PASSES: Final = (
    "x-nvidia-gpu-arch-check",
    "x-nvidia-gpu-attestation-report-cert-chain-validated",
    "x-nvidia-gpu-attestation-report-nonce-match",
    "x-nvidia-gpu-attestation-report-parsed",
    "x-nvidia-gpu-attestation-report-signature-verified",
    "x-nvidia-gpu-driver-rim-fetched",
    "x-nvidia-gpu-driver-rim-cert-validated",
    "x-nvidia-gpu-driver-rim-schema-validated",
    "x-nvidia-gpu-driver-rim-signature-verified",
    "x-nvidia-gpu-driver-rim-measurements-available",
    "x-nvidia-gpu-vbios-rim-fetched",
    "x-nvidia-gpu-vbios-rim-cert-validated",
    "x-nvidia-gpu-vbios-rim-schema-validated",
    "x-nvidia-gpu-vbios-rim-signature-verified",
    "x-nvidia-gpu-vbios-rim-measurements-available",
    "x-nvidia-gpu-vbios-index-no-conflict",
    "secboot",
)

Signer = Callable[[Mapping[str, Any], bytes], bytes]
"""Makes a signature from the header and the signing input; the default signs as the service does."""


def base64url(data: bytes) -> str:
    """Base64url without padding (RFC 7515)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@lru_cache(maxsize=16)
def nras_intermediate(keys: KeyRing, label: str = "nras") -> Issued:
    """The CA that issues token-signing keys; like the real one's, its own issuer stands in no file."""
    parent_name = name(("C", "US"), ("O", "NVIDIA Corporation"), ("CN", "NVIDIA Attestation Service CA 001"))
    parent = issue(
        subject=parent_name,
        issuer=None,
        key=keys.p384(f"{label}/ca"),
        serial=keys.serial(f"{label}/ca"),
        not_before=day("2025-01-01"),
        not_after=day("2039-01-01"),
        extensions=[basic_constraints(True), key_usage(certs=True, crls=True)],
    )
    key = keys.p384(f"{label}/intermediate")
    return issue(
        subject=name(
            ("CN", "NVIDIA Attestation Service GPU Intermediate 004"),
            ("O", "NVIDIA Corporation"),
            ("C", "US"),
            ("OU", TEST_MARK),
        ),
        issuer=parent,
        key=key,
        serial=keys.serial(f"{label}/intermediate"),
        not_before=day("2025-12-08"),
        not_after=day("2036-12-08"),
        extensions=[
            basic_constraints(True),
            key_usage(certs=True, crls=True),
            subject_key(key),
            authority_key(parent.key),
        ],
    )


@lru_cache(maxsize=64)
def _signing_key(keys: KeyRing, service: str, since: datetime, number: int) -> Issued:
    label = f"{service}/signing/{since:%Y%m%d}/{number}"
    key, issuer = keys.p384(label), nras_intermediate(keys, service)
    return issue(
        subject=name(("C", "US"), ("O", "NVIDIA Corporation"), ("CN", "NVIDIA Attestation Service GPU GH100")),
        issuer=issuer,
        key=key,
        serial=keys.serial(label),
        not_before=since - timedelta(seconds=30),
        not_after=since + timedelta(days=2),
        extensions=[key_usage(sign=True), subject_key(key), authority_key(issuer.key)],
    )


@define(kw_only=True)
class NrasService:
    """The service at one time; attributes are knobs that tests turn before they ask.

    ``overall_changes`` replaces claims of the overall token, ``gpu_changes`` those of one GPU's token by its position,
    None removes a claim. ``header_changes`` changes every token's header, ``sign`` every token's signature.
    ``spare_keys`` is how many unrelated keys the key set holds beside the signing one.
    """

    keys: KeyRing
    issued: datetime
    label: str = "nras"
    overall_changes: dict[str, Any] = field(factory=dict)
    gpu_changes: dict[int, dict[str, Any]] = field(factory=dict)
    header_changes: dict[str, Any] = field(factory=dict)
    sign: Signer | None = None
    spare_keys: int = 1

    @property
    def intermediate(self) -> Issued:
        """The CA above the signing keys."""
        return nras_intermediate(self.keys, self.label)

    def signing_key(self, number: int = 0) -> Issued:
        """A token-signing certificate, valid for two days around the time of issue."""
        since = self.issued.replace(hour=0, minute=0, second=0, microsecond=0)
        return _signing_key(self.keys, self.label, since, number)

    def kid(self, number: int = 0) -> str:
        """The key id of a signing key."""
        return f"nv-eat-kid-test-{self.issued:%Y%m%d}000000000-{self.keys.uuid(f'{self.label}/kid/{number}')}"

    def token(self, claims: Mapping[str, Any]) -> str:
        """A compact JWS (RFC 7515)."""
        header = {"kid": self.kid(), "alg": "ES384", **self.header_changes}
        message = f"{base64url(compact(header))}.{base64url(compact(claims))}".encode()
        if self.sign is not None:
            signature = self.sign(header, message)
        else:
            signature = raw_signature(self.signing_key().key, message, hashes.SHA384())
        return f"{message.decode()}.{base64url(signature)}"

    def gpu_token(self, index: int, device: Device, nonce: bytes) -> str:
        """The token about one GPU."""
        claims: dict[str, Any] = {
            "iss": ISSUER,
            **self._times(f"gpu/{index}"),
            "eat_nonce": nonce.hex(),
            "ueid": device.ueid,
            "hwmodel": "GH100",
            "oemid": "5703",
            "dbgstat": "disabled",
            "measres": "success",
            "x-nvidia-attestation-warning": None,
            "x-nvidia-gpu-driver-version": DRIVER_VERSION,
            "x-nvidia-gpu-vbios-version": VBIOS_VERSION,
            **dict.fromkeys(_PASSES, True),
        }
        return self.token(_changed(claims, self.gpu_changes.get(index, {})))

    def bundle(self, devices: Sequence[Device], nonce: bytes) -> list[Any]:
        """The detached bundle about some devices."""
        tokens = {f"GPU-{index}": self.gpu_token(index, device, nonce) for index, device in enumerate(devices)}
        return self.bundle_of(tokens, nonce)

    def bundle_of(self, tokens: Mapping[str, str], nonce: bytes) -> list[Any]:
        """The detached bundle around given GPU tokens."""
        claims: dict[str, Any] = {
            "sub": "NVIDIA-PLATFORM-ATTESTATION",
            "x-nvidia-ver": "2.0",
            "iss": ISSUER,
            "x-nvidia-overall-att-result": True,
            "submods": {
                device: ["DIGEST", ["SHA-256", hashlib.sha256(token.encode()).hexdigest()]]
                for device, token in tokens.items()
            },
            "eat_nonce": nonce.hex(),
            **self._times("overall"),
        }
        return [["JWT", self.token(_changed(claims, self.overall_changes))], dict(tokens)]

    def failed_bundle(self, devices: Sequence[Device], nonce: bytes) -> list[Any]:
        """What the service says when the nonce inside the evidence is not the one that it was asked with."""
        details = {
            "code": 4010,
            "message": "NONCE_NOT_MATCHING",
            "description": "nonce in the evidence is not the one of the request",
            "fieldName": "nonce",
            "httpStatus": "400 BAD_REQUEST",
        }
        tokens = {
            f"GPU-{index}": self.token(
                {"iss": ISSUER, **self._times(f"gpu/{index}"), "x-nvidia-error-details": details}
            )
            for index in range(len(devices))
        }
        self.overall_changes = {**self.overall_changes, "x-nvidia-overall-att-result": False}
        return self.bundle_of(tokens, nonce)

    def answer(self, bundle: Any) -> Answer:
        """The HTTP answer that carries a bundle."""
        return Answer(200, self._headers(), compact(bundle))

    def key_set(self) -> dict[str, Any]:
        """The key set (RFC 7517); like the real one its keys name neither ``alg`` nor ``use``."""
        return {"keys": [self._jwk(number) for number in range(1 + self.spare_keys)]}

    def key_set_answer(self) -> Answer:
        """The HTTP answer that carries the key set."""
        return Answer(200, self._headers(), compact(self.key_set()))

    def _jwk(self, number: int) -> dict[str, Any]:
        leaf = self.signing_key(number)
        point = raw_public(leaf.key)
        return {
            "kty": "EC",
            "crv": "P-384",
            "kid": self.kid(number),
            "x5c": [base64.b64encode(certificate.der).decode() for certificate in (leaf, self.intermediate)],
            "x": base64url(point[:48]),
            "y": base64url(point[48:]),
        }

    def _times(self, label: str) -> dict[str, Any]:
        issued = int(self.issued.timestamp())
        jti = self.keys.uuid(f"jti/{label}/{issued}")
        return {"iat": issued, "nbf": issued, "exp": issued + 3600, "jti": jti}

    def _headers(self) -> dict[str, str]:
        return {
            "Content-Type": "application/json",
            "Date": http_date(self.issued),
            "Server": "envoy",
            "X-Request-Id": self.keys.uuid(f"nras-request/{self.issued}"),
        }


def _changed(claims: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    changed = {**claims, **changes}
    return {claim: value for claim, value in changed.items() if value is not None or claim.endswith("-warning")}
