"""The answer of NVIDIA's Remote Attestation Service: a detached EAT bundle of signed tokens.

The bundle (RFC 9711 section 5) is ``[["JWT", overall], {"GPU-0": token, ...}]``. The overall token signs the SHA-256 of
each device token's text. Claim names are those of NVIDIA's attestation documentation, claims version 2.0. Reading them
proves nothing; `teeverify.checks.gpu_nras` judges them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeVar

from attrs import field, frozen

from ..errors import FormatError
from ..limits import MAX_ENDORSEMENT_BODY, MAX_GPUS, MAX_TOKEN
from .encodings import decode_hex
from .jose import CompactJws, parse_compact_jws
from .strict_json import JsonValue, loads

__all__ = ["DEVICE_FLAGS", "DeviceToken", "NrasAnswer", "OverallToken", "TokenTimes", "parse_nras_answer"]

T = TypeVar("T")

_RIM_STEPS: Final = (
    "fetched",
    "schema-validated",
    "cert-validated",
    "signature-verified",
    "measurements-available",
)
DEVICE_FLAGS: Final = (
    "x-nvidia-gpu-arch-check",
    "x-nvidia-gpu-attestation-report-parsed",
    "x-nvidia-gpu-attestation-report-cert-chain-validated",
    "x-nvidia-gpu-attestation-report-signature-verified",
    "x-nvidia-gpu-attestation-report-nonce-match",
    *(f"x-nvidia-gpu-driver-rim-{step}" for step in _RIM_STEPS),
    *(f"x-nvidia-gpu-vbios-rim-{step}" for step in _RIM_STEPS),
    "x-nvidia-gpu-vbios-index-no-conflict",
)
"""The booleans of a device token, claims version 2.0; each is a step of NVIDIA's own verification."""

_DIGEST_NAMES: Final = ("SHA-256", "SHA256")
"""The service writes the first, NVIDIA's SDK the second."""
_MAX_TIME: Final = 1 << 37
"""Year 6325; a calendar date can be made of anything below it."""
_NONCE: Final = 32


@frozen(kw_only=True)
class TokenTimes:
    """Seconds since 1970-01-01 UTC: issued at, not before, expires."""

    iat: int
    nbf: int
    exp: int


@frozen(kw_only=True)
class OverallToken:
    """The token about the platform; ``submods`` maps device names to the SHA-256 of their tokens' text."""

    jws: CompactJws
    issuer: str
    subject: str
    version: str
    times: TokenTimes
    nonce: bytes
    result: bool
    submods: Mapping[str, bytes] = field(repr=False)


@frozen(kw_only=True)
class DeviceToken:
    """The token about one device. A claim that the token does not make is None: a failed device makes hardly any.

    ``text_sha256`` is the digest that the overall token must hold. ``flags`` has the members of `DEVICE_FLAGS` that are
    there. ``without_warning`` is True only where the warning claim is there and null, ``has_error`` wherever the error
    claim is there.
    """

    name: str
    text_sha256: bytes = field(repr=False)
    issuer: str
    times: TokenTimes
    nonce: bytes | None
    ueid: str | None = field(repr=False)
    hwmodel: str | None
    measres: str | None
    secboot: bool | None
    dbgstat: str | None
    driver_version: str | None
    vbios_version: str | None
    flags: Mapping[str, bool] = field(repr=False)
    without_warning: bool
    has_error: bool


@frozen(kw_only=True)
class NrasAnswer:
    """A whole answer; device tokens in the order of the document."""

    overall: OverallToken
    devices: tuple[DeviceToken, ...]


def parse_nras_answer(body: bytes) -> NrasAnswer:
    """Read the body of a 200 answer.

    Raises:
        FormatError: ``bundle_shape``, ``token_claim``, and the codes of `strict_json.loads`, `parse_compact_jws` and
            `decode_hex`.
    """
    match loads(body, what="NVIDIA's answer", limit=MAX_ENDORSEMENT_BODY):
        case [["JWT", str(overall)], dict(devices)] if 1 <= len(devices) <= MAX_GPUS:
            return NrasAnswer(
                overall=_overall_token(overall),
                devices=tuple(_device_token(name, text) for name, text in devices.items()),
            )
    raise FormatError("bundle_shape", "NVIDIA's answer is not a pair of an overall token and a token per device")


def _overall_token(text: str) -> OverallToken:
    what = "the overall token"
    jws = parse_compact_jws(text, what=what)
    claims = _claims(jws, what)
    return OverallToken(
        jws=jws,
        issuer=_required(claims, "iss", str, what),
        subject=_required(claims, "sub", str, what),
        version=_required(claims, "x-nvidia-ver", str, what),
        times=_times(claims, what),
        nonce=decode_hex(claims.get("eat_nonce"), what=f"eat_nonce of {what}", size=_NONCE),
        result=_required(claims, "x-nvidia-overall-att-result", bool, what),
        submods=MappingProxyType(_submods(_required(claims, "submods", dict, what))),
    )


def _device_token(name: str, text: JsonValue) -> DeviceToken:
    what = f"the token of {name[:16]!r}"
    jws = parse_compact_jws(text, what=what)
    claims = _claims(jws, what)
    nonce = claims.get("eat_nonce")
    flags = {flag: _required(claims, flag, bool, what) for flag in DEVICE_FLAGS if flag in claims}
    return DeviceToken(
        name=name,
        text_sha256=hashlib.sha256(jws.text.encode("ascii")).digest(),
        issuer=_required(claims, "iss", str, what),
        times=_times(claims, what),
        nonce=None if nonce is None else decode_hex(nonce, what=f"eat_nonce of {what}", size=_NONCE),
        ueid=_optional(claims, "ueid", str, what),
        hwmodel=_optional(claims, "hwmodel", str, what),
        measres=_optional(claims, "measres", str, what),
        secboot=_optional(claims, "secboot", bool, what),
        dbgstat=_optional(claims, "dbgstat", str, what),
        driver_version=_optional(claims, "x-nvidia-gpu-driver-version", str, what),
        vbios_version=_optional(claims, "x-nvidia-gpu-vbios-version", str, what),
        flags=MappingProxyType(flags),
        without_warning="x-nvidia-attestation-warning" in claims and claims["x-nvidia-attestation-warning"] is None,
        has_error="x-nvidia-error-details" in claims,
    )


def _claims(jws: CompactJws, what: str) -> dict[str, JsonValue]:
    try:
        claims = loads(jws.payload, what=what, limit=MAX_TOKEN)
    except FormatError as error:
        raise FormatError("token_claim", str(error)) from None
    if not isinstance(claims, dict):
        raise FormatError("token_claim", f"{what} holds no JSON object")
    return claims


def _times(claims: dict[str, JsonValue], what: str) -> TokenTimes:
    iat, nbf, exp = (_required(claims, name, int, what) for name in ("iat", "nbf", "exp"))
    if not all(0 < moment < _MAX_TIME for moment in (iat, nbf, exp)):
        raise FormatError("token_claim", f"{what} has a time out of range")
    return TokenTimes(iat=iat, nbf=nbf, exp=exp)


def _submods(value: dict[str, JsonValue]) -> dict[str, bytes]:
    digests: dict[str, bytes] = {}
    for name, submod in value.items():
        match submod:
            case ["DIGEST", [str(label), digest]] if label in _DIGEST_NAMES:
                digests[name] = decode_hex(digest, what="a device's digest in the overall token", size=32)
            case _:
                raise FormatError("token_claim", "the overall token refers to a device token by no SHA-256 digest")
    return digests


def _required(claims: dict[str, JsonValue], name: str, kind: type[T], what: str) -> T:
    """The claim, of exactly that type: JSON's true is no integer, and 1 is not true."""
    value = claims.get(name)
    if type(value) is not kind:
        raise FormatError("token_claim", f"{name} of {what} is not of type {kind.__name__}")
    return value


def _optional(claims: dict[str, JsonValue], name: str, kind: type[T], what: str) -> T | None:
    return None if claims.get(name) is None else _required(claims, name, kind, what)
