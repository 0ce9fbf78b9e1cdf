"""SPDM 1.1 measurements of an NVIDIA device: the request and the signed response, as one block of evidence.

DMTF DSP0274 1.1.x, sections "GET_MEASUREMENTS request message" and "MEASUREMENTS response message": the device's
attestation key signs request || response-without-signature, so the requester's nonce is under the signature. What
NVIDIA puts into the opaque data is documented by its open verifier (github.com/NVIDIA/nvtrust). All integers are
little-endian.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from attrs import field, frozen

from ..errors import FormatError
from ..limits import MAX_GPU_EVIDENCE

__all__ = ["SpdmEvidence", "parse_spdm_evidence"]

_REQUEST_HEAD: Final = bytes((0x11, 0xE0, 0x01, 0xFF))
"""SPDM 1.1 GET_MEASUREMENTS, signature requested, all measurements."""
_RESPONSE_HEAD: Final = bytes((0x11, 0x60, 0x00, 0x00))
"""SPDM 1.1 MEASUREMENTS."""
_NONCE: Final = 32
_REQUEST: Final = len(_REQUEST_HEAD) + _NONCE + 1
_RECORD_START: Final = _REQUEST + len(_RESPONSE_HEAD) + 4
_SIGNATURE: Final = 96
_DIGEST: Final = 48

_BLOCK_HEAD: Final = 7
_BLOCK: Final = _BLOCK_HEAD + _DIGEST
_BLOCK_CONSTANTS: Final = ((1, 1), (2, 3 + _DIGEST), (3, 0), (4, 1), (5, _DIGEST), (6, 0))
"""Offsets and values in every block: DMTF specification, size (2 bytes), firmware value type, value size (2 bytes)."""

_DRIVER_VERSION: Final = 3
_VBIOS_VERSION: Final = 6
_FWID: Final = 20
_PROTECTED_PCIE: Final = 21
_SWITCH_PDI: Final = 22
_PDI: Final = 8
_STATUS_WORDS: Final = {b"\xaa": True, b"\x55": False}


@frozen(kw_only=True)
class SpdmEvidence:
    """One device's measurements, signed for one nonce.

    ``nonce`` is the requester's (32 bytes). ``measurement_record`` holds the blocks; ``measurements`` their SHA-384
    values in order, block 1 first. ``opaque`` maps NVIDIA's field numbers to raw values; the fields below are read out
    of it and are None where it has no such field. ``signature`` is r then s, 48 bytes each, over ``signed``.
    """

    nonce: bytes
    measurement_record: bytes = field(repr=False)
    opaque: Mapping[int, bytes] = field(repr=False)
    signature: bytes = field(repr=False)
    signed: bytes = field(repr=False)
    driver_version: str | None
    """Version of the GPU driver, such as ``570.172.08``."""
    vbios_version: str | None
    """Version of the VBIOS, such as ``96.00.CF.00.02``."""
    fwid: bytes | None = field(repr=False)
    """SHA-384 of the firmware that runs now (48 bytes)."""
    protected_pcie: bool | None
    """True on multi-GPU systems in protected-PCIe mode."""
    switch_pdis: tuple[bytes, ...] | None = field(repr=False)
    """Permanent id (8 bytes) of the NVSwitch at the other end of each link; zero where the link is off."""

    @property
    def measurements(self) -> tuple[bytes, ...]:
        """The SHA-384 values of the blocks, 48 bytes each, block 1 first."""
        record = self.measurement_record
        return tuple(record[start + _BLOCK_HEAD : start + _BLOCK] for start in range(0, len(record), _BLOCK))


def parse_spdm_evidence(evidence: bytes, *, what: str) -> SpdmEvidence:
    """Read request || response, which must fill ``evidence`` exactly.

    Raises:
        FormatError: ``spdm_length``, ``spdm_header``, ``spdm_measurements``, ``spdm_opaque`` or ``spdm_field``.
    """
    if not _RECORD_START <= len(evidence) <= MAX_GPU_EVIDENCE:
        raise FormatError("spdm_length", f"{what} is {len(evidence)} bytes long, which no SPDM evidence is")
    slot, response_head = evidence[_REQUEST - 1], evidence[_REQUEST : _REQUEST + len(_RESPONSE_HEAD)]
    if evidence[: len(_REQUEST_HEAD)] != _REQUEST_HEAD or slot != 0:
        raise FormatError("spdm_header", f"{what} does not begin with an SPDM 1.1 request for all signed measurements")
    if response_head != _RESPONSE_HEAD:
        raise FormatError("spdm_header", f"{what} holds no SPDM 1.1 MEASUREMENTS response")
    record_end = _RECORD_START + int.from_bytes(evidence[_RECORD_START - 3 : _RECORD_START], "little")
    record = evidence[_RECORD_START:record_end]
    _require_blocks(record, evidence[_RECORD_START - 4], what)
    opaque_start = record_end + _NONCE + 2
    opaque_end = opaque_start + int.from_bytes(evidence[opaque_start - 2 : opaque_start], "little")
    if len(evidence) != opaque_end + _SIGNATURE:
        raise FormatError("spdm_length", f"{what} is {len(evidence)} bytes long, its lengths add up to another number")
    opaque = _opaque_fields(evidence[opaque_start:opaque_end], what)
    return SpdmEvidence(
        nonce=evidence[len(_REQUEST_HEAD) : _REQUEST - 1],
        measurement_record=record,
        opaque=MappingProxyType(opaque),
        signature=evidence[opaque_end:],
        signed=evidence[:opaque_end],
        driver_version=_text(opaque.get(_DRIVER_VERSION), f"the driver version in {what}"),
        vbios_version=_vbios_version(opaque.get(_VBIOS_VERSION), f"the VBIOS version in {what}"),
        fwid=_fwid(opaque.get(_FWID), what),
        protected_pcie=_protected_pcie(opaque.get(_PROTECTED_PCIE), what),
        switch_pdis=_switch_pdis(opaque.get(_SWITCH_PDI), what),
    )


def _require_blocks(record: bytes, count: int, what: str) -> None:
    """``count`` blocks of one SHA-384 value each, numbered from 1, and nothing else."""
    if count == 0 or len(record) != count * _BLOCK:
        raise FormatError("spdm_measurements", f"{what} has {len(record)} bytes for {count} blocks of {_BLOCK} bytes")
    if record[::_BLOCK] != bytes(range(1, count + 1)):
        raise FormatError("spdm_measurements", f"{what} does not number its measurement blocks from 1 in order")
    if any(record[offset::_BLOCK] != bytes((value,)) * count for offset, value in _BLOCK_CONSTANTS):
        raise FormatError("spdm_measurements", f"{what} has a measurement block that is not one DMTF SHA-384 value")


def _opaque_fields(data: bytes, what: str) -> dict[int, bytes]:
    """NVIDIA's fields: number (2 bytes), length (2 bytes), value. Unknown numbers are kept, repeated ones refused."""
    fields: dict[int, bytes] = {}
    position = 0
    while position < len(data):
        number = int.from_bytes(data[position : position + 2], "little")
        start = position + 4
        position = start + int.from_bytes(data[position + 2 : start], "little")
        if position > len(data):
            raise FormatError("spdm_opaque", f"{what} has opaque data that ends inside field {number}")
        if number in fields:
            raise FormatError("spdm_opaque", f"{what} repeats opaque field {number}")
        fields[number] = data[start:position]
    return fields


def _text(value: bytes | None, what: str) -> str | None:
    if value is None:
        return None
    text = value.rstrip(b"\0")
    if not text or not text.isascii() or not text.decode().isprintable():
        raise FormatError("spdm_field", f"{what} is not a line of ASCII text")
    return text.decode()


def _vbios_version(value: bytes | None, what: str) -> str | None:
    """Eight binary bytes on a GPU: two little-endian words, of which the second contributes its lowest byte only."""
    if value is None or len(value) != 8:
        return _text(value, what)
    return ".".join(f"{part:02X}" for part in (*value[3::-1], value[4]))


def _fwid(value: bytes | None, what: str) -> bytes | None:
    if value is not None and len(value) != _DIGEST:
        raise FormatError("spdm_field", f"the firmware id in {what} is {len(value)} bytes long, not {_DIGEST}")
    return value


def _protected_pcie(value: bytes | None, what: str) -> bool | None:
    if value is None:
        return None
    if value not in _STATUS_WORDS:
        raise FormatError("spdm_field", f"the protected-PCIe status in {what} is neither on (aa) nor off (55)")
    return _STATUS_WORDS[value]


def _switch_pdis(value: bytes | None, what: str) -> tuple[bytes, ...] | None:
    if value is None:
        return None
    if not value or len(value) % _PDI:
        raise FormatError("spdm_field", f"the switch ids in {what} are {len(value)} bytes, not a multiple of {_PDI}")
    return tuple(value[start : start + _PDI] for start in range(0, len(value), _PDI))
