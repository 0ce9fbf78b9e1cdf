"""The rows of the registers, against published values and against hashing by hand."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable

import pytest

from teeverify.errors import FormatError
from teeverify.formats.dstack_measurement import extended, rtmr0, rtmr0_rows, rtmr1, rtmr1_rows, rtmr2, rtmr2_rows

ACPI = (b"\x0a" * 48, b"\x0b" * 48, b"\x0c" * 48)


def sha384(data: bytes) -> bytes:
    return hashlib.sha384(data).digest()


def test_the_constant_rows_of_rtmr0() -> None:
    rows = rtmr0_rows(1 << 40, *ACPI)
    assert len(rows) == 13
    assert rows[1].hex().startswith("344bc51c980ba621")
    guid = bytes.fromhex("61dfe48bca93d211aa0d00e098032b8c")
    assert rows[2] == sha384(guid + struct.pack("<QQ", 10, 0) + b"S\0e\0c\0u\0r\0e\0B\0o\0o\0t\0")
    assert rows[3] == sha384(guid + struct.pack("<QQ", 2, 0) + b"P\0K\0")
    assert rows[4] == sha384(guid + struct.pack("<QQ", 3, 0) + b"K\0E\0K\0")
    database = bytes.fromhex("cbb219d73a3d9645a3bcdad00e67656f")
    assert rows[5] == sha384(database + struct.pack("<QQ", 2, 0) + b"d\0b\0")
    assert rows[6] == sha384(database + struct.pack("<QQ", 3, 0) + b"d\0b\0x\0")
    assert rows[7].hex().startswith("394341b7")
    assert rows[8:11] == ACPI
    assert rows[11].hex().startswith("1dd6f7b4")
    assert rows[12].hex().startswith("23ada07f5261f12f")


def test_the_constant_rows_of_rtmr1() -> None:
    starts = ("77a0dab2", "394341b7", "214b0bef", "0a2e01c8")
    rows = rtmr1_rows(b"\x01" * 48)
    assert rows[0] == b"\x01" * 48
    assert tuple(row.hex()[:8] for row in rows[1:]) == starts


def test_rtmr1_of_a_published_kernel_row() -> None:
    row = "d2403b9bc55f18b6b9136a293417b1cbe3bee633e4f6966c9ff7b7cced9ced17d5240ea79331023b01a545950161ee13"
    assert rtmr1(bytes.fromhex(row)).hex().startswith("c0445b704e4c48139496ae337423ddb1")


def test_rtmr2_rows() -> None:
    cmdline, initrd = rtmr2_rows("a=1", b"\x02" * 48)
    assert cmdline == sha384("a=1 initrd=initrd".encode("utf-16-le") + b"\0\0")
    assert initrd == b"\x02" * 48
    assert rtmr2("a=1", b"\x02" * 48) == extended((cmdline, initrd))
    assert rtmr2("a=2", b"\x02" * 48) != rtmr2("a=1", b"\x02" * 48)
    assert rtmr2("a=1", b"\x03" * 48) != rtmr2("a=1", b"\x02" * 48)
    assert rtmr2("grüße \U0001f600", b"\x02" * 48)


@pytest.mark.parametrize("cmdline", ["a\0b", "\0", "half \ud800"])
def test_a_command_line_that_is_none(cmdline: str) -> None:
    with pytest.raises(FormatError) as caught:
        rtmr2(cmdline, b"\x02" * 48)
    assert caught.value.code == "cmdline"


@pytest.mark.parametrize("size", [0, 32, 47, 49, 96])
def test_digests_of_another_length(size: int) -> None:
    good, bad = b"\x01" * 48, b"\x01" * size
    calls: list[Callable[[], object]] = [
        lambda: extended([bytes(48), bad]),
        lambda: rtmr1(bad),
        lambda: rtmr2("a", bad),
        lambda: rtmr0(1 << 40, bad, good, good),
        lambda: rtmr0(1 << 40, good, bad, good),
        lambda: rtmr0(1 << 40, good, good, bad),
    ]
    for call in calls:
        with pytest.raises(FormatError) as caught:
            call()
        assert caught.value.code == "digest_length"


def test_acpi_digests_in_another_order() -> None:
    loader, rsdp, tables = ACPI
    values = {
        rtmr0(1 << 40, *order) for order in ((loader, rsdp, tables), (rsdp, loader, tables), (tables, rsdp, loader))
    }
    assert len(values) == 3


def test_extending_is_in_order_and_starts_at_zero() -> None:
    one, two = b"\x01" * 48, b"\x02" * 48
    assert extended(()) == bytes(48)
    assert extended((one, two)) == sha384(sha384(bytes(48) + one) + two)
    assert extended((one, two)) != extended((two, one))
