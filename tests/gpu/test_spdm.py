"""SPDM evidence: every rule of the format refuses once, and nothing but FormatError escapes."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from teeverify.errors import FormatError
from teeverify.formats.dice import composite_device_fwid, multi_tcb_info_fwid
from teeverify.formats.spdm import SpdmEvidence, parse_spdm_evidence
from teeverify.limits import MAX_GPU_EVIDENCE

from . import synthetic as s

GOOD = s.device()
_GOOD_BYTES = GOOD.evidence()


def parse(evidence: bytes) -> SpdmEvidence:
    return parse_spdm_evidence(evidence, what="evidence")


def test_values() -> None:
    evidence = parse(_GOOD_BYTES)
    assert evidence.nonce == s.NONCE
    assert evidence.measurements == GOOD.blocks
    assert (evidence.driver_version, evidence.vbios_version) == ("570.172.08", "96.00.CF.00.02")
    assert evidence.fwid == s.FIRMWARE
    assert evidence.protected_pcie is True
    assert evidence.switch_pdis is not None
    assert set(evidence.switch_pdis) == set(s.SWITCHES)
    assert evidence.opaque[99] == b"unknown"
    assert evidence.signed + evidence.signature == _GOOD_BYTES


def test_absent_fields() -> None:
    evidence = parse(evolve(GOOD, opaque=()).evidence())
    assert (evidence.driver_version, evidence.vbios_version, evidence.fwid) == (None, None, None)
    assert (evidence.protected_pcie, evidence.switch_pdis) == (None, None)


def test_switch_has_its_version_as_text() -> None:
    switch = evolve(GOOD, blocks=GOOD.blocks[:31]).with_opaque(6, b"96.10.57.00.01\0")
    assert parse(switch.evidence()).vbios_version == "96.10.57.00.01"


def test_repr_is_short_and_without_identities() -> None:
    text = repr(parse(GOOD.evidence()))
    assert len(text) < 300
    assert s.SWITCHES[0].hex() not in text


def record_byte(offset: int, value: int, block: int = 3) -> Callable[[bytes], bytes]:
    position = block * 55 + offset
    return lambda record: record[:position] + bytes([value]) + record[position + 1 :]


@pytest.mark.parametrize(
    ("code", "device"),
    [
        ("spdm_header", evolve(GOOD, head=b"\x12\xe0\x01\xff")),
        ("spdm_header", evolve(GOOD, head=b"\x11\xe1\x01\xff")),
        ("spdm_header", evolve(GOOD, head=b"\x11\xe0\x00\xff")),
        ("spdm_header", evolve(GOOD, head=b"\x11\xe0\x01\x01")),
        ("spdm_header", evolve(GOOD, slot=1)),
        ("spdm_header", evolve(GOOD, response_head=b"\x12\x60\x00\x00")),
        ("spdm_header", evolve(GOOD, response_head=b"\x11\x7f\x00\x00")),
        ("spdm_header", evolve(GOOD, response_head=b"\x11\x60\x01\x00")),
        ("spdm_header", evolve(GOOD, response_head=b"\x11\x60\x00\x01")),
        ("spdm_measurements", evolve(GOOD, count=63)),
        ("spdm_measurements", evolve(GOOD, count=65)),
        ("spdm_measurements", evolve(GOOD, count=0)),
        ("spdm_measurements", evolve(GOOD, count=0, record_length=0)),
        ("spdm_measurements", evolve(GOOD, record_length=64 * 55 + 1)),
        ("spdm_measurements", evolve(GOOD, record_length=0xFFFFFF)),
        ("spdm_measurements", evolve(GOOD, record_edit=record_byte(0, 3))),
        ("spdm_measurements", evolve(GOOD, record_edit=record_byte(0, 0))),
        ("spdm_measurements", evolve(GOOD, record_edit=record_byte(1, 2))),
        ("spdm_measurements", evolve(GOOD, record_edit=record_byte(2, 50))),
        ("spdm_measurements", evolve(GOOD, record_edit=record_byte(3, 1))),
        ("spdm_measurements", evolve(GOOD, record_edit=record_byte(4, 0x81))),
        ("spdm_measurements", evolve(GOOD, record_edit=record_byte(5, 47))),
        ("spdm_measurements", evolve(GOOD, record_edit=record_byte(6, 1))),
        ("spdm_measurements", evolve(GOOD, blocks=(bytes(32),) * 64)),
        ("spdm_length", evolve(GOOD, trailing=b"\0")),
        ("spdm_length", evolve(GOOD, signature=bytes(95))),
        ("spdm_length", evolve(GOOD, signature=b"")),
        ("spdm_length", evolve(GOOD, edit=lambda evidence: evidence[:3570] + evidence[3580:])),
        ("spdm_length", evolve(GOOD, edit=lambda evidence: evidence + bytes(MAX_GPU_EVIDENCE))),
        ("spdm_opaque", evolve(GOOD, opaque=(*GOOD.opaque, (3, b"again")))),
        ("spdm_field", GOOD.with_opaque(20, bytes(47))),
        ("spdm_field", GOOD.with_opaque(21, b"\x00")),
        ("spdm_field", GOOD.with_opaque(21, b"\xaa\xaa")),
        ("spdm_field", GOOD.with_opaque(22, b"")),
        ("spdm_field", GOOD.with_opaque(22, bytes(9))),
        ("spdm_field", GOOD.with_opaque(3, b"")),
        ("spdm_field", GOOD.with_opaque(3, b"\0\0")),
        ("spdm_field", GOOD.with_opaque(3, b"570\xff")),
        ("spdm_field", GOOD.with_opaque(3, b"570\n")),
        ("spdm_field", GOOD.with_opaque(3, b"570\0.1")),
        ("spdm_field", GOOD.with_opaque(6, b"\0")),
    ],
)
def test_refused(code: str, device: s.Device) -> None:
    with pytest.raises(FormatError) as refused:
        parse(device.evidence())
    assert refused.value.code == code


@pytest.mark.parametrize("tail", [b"\x01", b"\x01\x00\x02", b"\x01\x00\x02\x00\x00"])
def test_opaque_data_that_ends_inside_a_field(tail: bytes) -> None:
    evidence = GOOD.evidence()
    opaque = b"".join(n.to_bytes(2, "little") + len(v).to_bytes(2, "little") + v for n, v in GOOD.opaque) + tail
    start = 45 + 64 * 55 + 32
    edited = evidence[:start] + len(opaque).to_bytes(2, "little") + opaque + evidence[-96:]
    with pytest.raises(FormatError) as refused:
        parse(edited)
    assert refused.value.code == "spdm_opaque"


@pytest.mark.parametrize("size", [0, 1, 36, 37, 44, 45, 46, 1000, 3596, 3597, 3598])
def test_truncated(size: int) -> None:
    with pytest.raises(FormatError):
        parse(GOOD.evidence()[:size])


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_arbitrary_bytes(data: bytes) -> None:
    for evidence in (data, b"\x11\xe0\x01\xff" + bytes(33) + b"\x11\x60\x00\x00" + data):
        with contextlib.suppress(FormatError):
            parse(evidence)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 4500), st.binary(min_size=1, max_size=4), st.sampled_from(["replace", "insert", "cut"]))
def test_mutated_evidence(position: int, data: bytes, how: str) -> None:
    evidence = _GOOD_BYTES
    kept = {"replace": position + len(data), "insert": position, "cut": position + len(data)}[how]
    with contextlib.suppress(FormatError):
        parse(evidence[:position] + (b"" if how == "cut" else data) + evidence[kept:])


# --- firmware ids in certificates ---


def test_firmware_ids() -> None:
    other = hashlib.sha384(b"other").digest()
    assert composite_device_fwid(s.composite_device_id(s.FIRMWARE)) == s.FIRMWARE
    assert multi_tcb_info_fwid(s.multi_tcb_info(s.FIRMWARE, other)) == s.FIRMWARE


@pytest.mark.parametrize(
    "extension",
    [
        b"",
        b"\x30\x00",
        b"\x30\x80\x00\x00",
        s.composite_device_id(s.FIRMWARE) + b"\0",
        s.composite_device_id(s.FIRMWARE)[:-1],
        s.composite_device_id(s.FIRMWARE[:47]),
        s.tlv(0x30, s.tlv(2, b"\x01") + s.fwid_element(s.FIRMWARE)),
        s.tlv(0x30, s.tlv(2, b"\x01") + s.tlv(0x30, b"") + s.tlv(0x30, s.tlv(6, b"\x60") + s.tlv(4, s.FIRMWARE))),
        s.tlv(0x30, s.tlv(2, b"\x01") + s.tlv(0x30, b"") + s.tlv(0x30, s.SHA384_OID + s.tlv(5, s.FIRMWARE))),
    ],
)
def test_bad_composite_device_id(extension: bytes) -> None:
    with pytest.raises(FormatError):
        composite_device_fwid(extension)


@pytest.mark.parametrize(
    "extension",
    [
        b"\x30\x00",
        s.multi_tcb_info(),
        s.multi_tcb_info(s.FIRMWARE[:32]),
        s.tlv(0x30, s.tlv(0x04, b"")),
        s.tlv(0x30, s.tlv(0x30, s.tlv(0x80, b"NVIDIA"))),
        s.tlv(0x30, s.tlv(0x30, s.tlv(0xA6, s.tlv(0x04, b"")))),
    ],
)
def test_bad_multi_tcb_info(extension: bytes) -> None:
    with pytest.raises(FormatError):
        multi_tcb_info_fwid(extension)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_extensions(data: bytes) -> None:
    for read in (composite_device_fwid, multi_tcb_info_fwid):
        with contextlib.suppress(FormatError):
            read(data)
