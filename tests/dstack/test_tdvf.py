"""TDVF metadata and MRTD, on firmware files made by hand."""

from __future__ import annotations

import hashlib
import struct
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teeverify.errors import FormatError
from teeverify.formats.td_hob import ACCEPTED_RANGES
from teeverify.formats.tdvf import mrtd, parse_tdvf

from .encoders import METADATA, OTHER_GUID, TEMP_SECTIONS, entry, firmware

CODE = (0x1000, 0x2000, 0xFF_E000, 0x2000, 0, 1)
"""Two measured pages."""


def record(name: str, address: int) -> bytes:
    return name.encode().ljust(16, b"\0") + address.to_bytes(8, "little") + bytes(104)


def expected(file: bytes, sections: tuple[tuple[int, ...], ...], *, two_pass: bool) -> bytes:
    """MRTD by listing what goes into it, one page or chunk at a time."""
    stream: list[bytes] = []
    for offset, _, address, size, _, attributes in sections:
        adds, extends = [], []
        for page in range(0, size, 4096):
            adds.append([] if attributes & 2 else [record("MEM.PAGE.ADD", address + page)])
            chunks = range(page, page + 4096, 256) if attributes & 1 else ()
            extends.append(
                [x for c in chunks for x in (record("MR.EXTEND", address + c), file[offset + c : offset + c + 256])]
            )
        order = [*adds, *extends] if two_pass else [x for pair in zip(adds, extends, strict=True) for x in pair]
        stream += [item for part in order for item in part]
    return hashlib.sha384(b"".join(stream)).digest()


@pytest.mark.parametrize("two_pass", [False, True])
@pytest.mark.parametrize(
    "sections", [(CODE,), (CODE, *TEMP_SECTIONS), (*TEMP_SECTIONS, CODE), ((0, 0, 0x1000, 0x2000, 6, 2), CODE)]
)
def test_mrtd(sections: tuple[tuple[int, ...], ...], two_pass: bool) -> None:
    file = firmware(sections)
    assert mrtd(parse_tdvf(file), two_pass=two_pass) == expected(file, sections, two_pass=two_pass)


def test_the_two_orders_differ() -> None:
    file = parse_tdvf(firmware((CODE,)))
    assert mrtd(file, two_pass=True) != mrtd(file, two_pass=False)


def test_measured_bytes_count_and_others_do_not() -> None:
    file = firmware((CODE, *TEMP_SECTIONS))
    good = mrtd(parse_tdvf(file), two_pass=False)
    for place, same in ((0x0FFF, True), (0x1000, False), (0x2FFF, False), (0x3000, True)):
        changed = bytearray(file)
        changed[place] ^= 1
        assert (mrtd(parse_tdvf(bytes(changed)), two_pass=False) == good) is same


def test_what_the_firmware_accepts() -> None:
    assert parse_tdvf(firmware((CODE, *TEMP_SECTIONS))).accepted_ranges == tuple(sorted(ACCEPTED_RANGES))
    assert parse_tdvf(firmware((CODE,))).accepted_ranges == ()


def section(**changes: int) -> tuple[int, ...]:
    names = ("offset", "size", "address", "memory", "kind", "attributes")
    return tuple({**dict(zip(names, CODE, strict=True)), **changes}.values())


@pytest.mark.parametrize(
    "changes",
    [
        {"address": 0xFF_E001},
        {"address": 1 << 52},
        {"memory": 0x2001, "attributes": 0},
        {"memory": 0x1000},
        {"memory": 0x3000},
        {"size": 0},
        {"offset": 0x7000},
        {"offset": 0xFFFF_FFFF},
        {"attributes": 5},
        {"attributes": 1 << 31},
        {"memory": 1 << 40, "attributes": 0},
        {"memory": (65 << 20), "attributes": 2},
    ],
)
def test_sections_that_are_none(changes: dict[str, int]) -> None:
    with pytest.raises(FormatError) as caught:
        parse_tdvf(firmware((section(**changes),)))
    assert caught.value.code == "tdvf_section"


def _patched(place: int, value: bytes) -> bytes:
    file = bytearray(firmware((CODE,)))
    place %= len(file)
    file[place : place + len(value)] = value
    return bytes(file)


_DESCRIPTOR = 0x8000 - 0x800


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "tdvf_footer"),
        (bytes(49), "tdvf_footer"),
        (bytes(4096), "tdvf_footer"),
        (_patched(-48, b"\0"), "tdvf_footer"),
        (_patched(-50, b"\0\0"), "tdvf_table"),
        (firmware((CODE,), entries=()), "tdvf_table"),
        (firmware((CODE,), entries=(entry(OTHER_GUID, b""),)), "tdvf_table"),
        (firmware((CODE,), entries=(entry(METADATA, b"abc"),)), "tdvf_table"),
        (
            firmware((CODE,), entries=(entry(METADATA, struct.pack("<I", 0x800))[:-18] + b"\0\0" + OTHER_GUID,)),
            "tdvf_table",
        ),
        (firmware((CODE,), entries=(entry(METADATA, struct.pack("<I", 0xFFFF_FFFF)),)), "tdvf_descriptor"),
        (firmware((CODE,), entries=(entry(METADATA, struct.pack("<I", 4)),)), "tdvf_descriptor"),
        (firmware((CODE,), entries=(entry(METADATA, bytes(4)),)), "tdvf_descriptor"),
        (_patched(_DESCRIPTOR, b"X"), "tdvf_descriptor"),
        (_patched(_DESCRIPTOR + 8, b"\2"), "tdvf_descriptor"),
        (_patched(_DESCRIPTOR + 12, b"\0"), "tdvf_descriptor"),
        (_patched(_DESCRIPTOR + 12, b"\xff\xff\xff\xff"), "tdvf_descriptor"),
        (_patched(_DESCRIPTOR + 12, b"\x40"), "tdvf_section"),
    ],
)
def test_files_that_are_no_firmware(data: bytes, code: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_tdvf(data)
    assert caught.value.code == code


@settings(max_examples=200)
@given(st.data())
def test_reading_is_total(data: Any) -> None:
    file = bytearray(firmware((CODE, *TEMP_SECTIONS)))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(_DESCRIPTOR, _DESCRIPTOR + 0xC0) | st.integers(len(file) - 120, len(file) - 1))
        file[place] = data.draw(st.integers(0, 255))
    with suppress(FormatError):
        assert len(mrtd(parse_tdvf(bytes(file)), two_pass=False)) == 48
