"""GPU evidence as providers ship it: what NVIDIA's attestation service takes as a request.

Two forms are read. A JSON string that holds the request document ``{nonce, arch, evidence_list}`` (dstack providers),
and a bare list of ``{certificate, evidence}`` (Chutes). Members that are not named here are ignored: they are not
evidence.
"""

from __future__ import annotations

from typing import Final

from attrs import field, frozen

from ..errors import FormatError
from ..limits import MAX_CERTIFICATE_PEM, MAX_GPU_EVIDENCE, MAX_GPUS, MAX_REPORT_BODY
from .encodings import decode_base64, decode_hex
from .strict_json import JsonValue, loads

__all__ = ["GpuEntry", "GpuPayload", "parse_gpu_payload"]

_NONCE: Final = 32
_MAX_ARCH: Final = 32


@frozen(kw_only=True)
class GpuEntry:
    """What one device sent: PEM chain (leaf first), SPDM evidence, and the sender's labels ``arch`` and ``nonce``."""

    certificate: bytes = field(repr=False)
    evidence: bytes = field(repr=False)
    arch: str | None
    nonce: bytes | None


@frozen(kw_only=True)
class GpuPayload:
    """All entries in the sender's order; ``nonce`` (32 bytes) and ``arch`` are the sender's labels, not evidence."""

    nonce: bytes | None
    arch: str | None
    entries: tuple[GpuEntry, ...]


def parse_gpu_payload(value: JsonValue, *, what: str) -> GpuPayload:
    """Read a payload from the JSON value that stands in the record: a string holding JSON, or a list.

    Raises:
        FormatError: ``gpu_payload_shape``, ``gpu_count``, and the codes of `strict_json.loads`, `decode_base64` and
            `decode_hex`.
    """
    if isinstance(value, list):
        return GpuPayload(nonce=None, arch=None, entries=_entries(value, what))
    if not isinstance(value, str):
        raise FormatError("gpu_payload_shape", f"{what} is of type {type(value).__name__}, not text or a list")
    document = loads(value, what=what, limit=MAX_REPORT_BODY)
    if not isinstance(document, dict):
        raise FormatError("gpu_payload_shape", f"{what} does not hold a JSON object")
    return GpuPayload(
        nonce=_nonce(document, what),
        arch=_arch(document, what),
        entries=_entries(document.get("evidence_list"), what),
    )


def _entries(value: JsonValue, what: str) -> tuple[GpuEntry, ...]:
    if not isinstance(value, list):
        raise FormatError("gpu_payload_shape", f"{what} has no list of evidence")
    if not 1 <= len(value) <= MAX_GPUS:
        raise FormatError("gpu_count", f"{what} has {len(value)} entries, 1 to {MAX_GPUS} are accepted")
    return tuple(_entry(item, f"entry {index} of {what}") for index, item in enumerate(value))


def _entry(item: JsonValue, what: str) -> GpuEntry:
    if not isinstance(item, dict):
        raise FormatError("gpu_payload_shape", f"{what} is not a JSON object")
    return GpuEntry(
        certificate=decode_base64(
            item.get("certificate"), what=f"the certificate in {what}", limit=MAX_CERTIFICATE_PEM
        ),
        evidence=decode_base64(item.get("evidence"), what=f"the evidence in {what}", limit=MAX_GPU_EVIDENCE),
        arch=_arch(item, what),
        nonce=_nonce(item, what),
    )


def _nonce(members: dict[str, JsonValue], what: str) -> bytes | None:
    if "nonce" not in members:
        return None
    return decode_hex(members["nonce"], what=f"the nonce in {what}", size=_NONCE)


def _arch(members: dict[str, JsonValue], what: str) -> str | None:
    if "arch" not in members:
        return None
    arch = members["arch"]
    if not isinstance(arch, str) or not 1 <= len(arch) <= _MAX_ARCH or not (arch.isascii() and arch.isprintable()):
        raise FormatError("gpu_payload_shape", f"the architecture in {what} is not a short word")
    return arch
