"""The kernel as QEMU patches it, and its Authenticode digest, on images made by hand."""

from __future__ import annotations

import hashlib
import struct
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teeverify.errors import FormatError
from teeverify.formats.authenticode import authenticode_sha384
from teeverify.formats.linux_kernel import has_usual_digest, kernel_digest, patched_kernel

from .encoders import kernel

MIB, GIB = 1 << 20, 1 << 30
INITRD = 20 * MIB + 123


def expected_digest(file: bytes, *, magic: int = 0x20B, directories: int = 6, certificate: int = 0) -> bytes:
    """The digest of a hand-made image whose sections follow each other: all bytes but three places, padded."""
    checksum = 0x80 + 24 + 64
    entry = 0x80 + 24 + (112 if magic == 0x20B else 96) + 32
    body = file[: len(file) - certificate]
    kept = body[:checksum] + body[checksum + 4 : entry] + body[entry + 8 :]
    return hashlib.sha384(kept + bytes(-len(file) % 8)).digest()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"magic": 0x10B},
        {"sections": ((0x600, 0xE00), (0x400, 0x200))},
        {"sections": ((0x400, 0x200), (0, 0), (0x600, 0xE00))},
        {"certificate": b"certificate " * 4},
        {"trailing": b"x" * 13},
        {"trailing": b"x" * 13, "certificate": b"c" * 16},
        {"directories": 16},
    ],
)
def test_authenticode(changes: dict[str, Any]) -> None:
    file = kernel(**changes)
    form = {name: changes[name] for name in ("magic", "directories") if name in changes}
    wanted = expected_digest(file, certificate=len(changes.get("certificate", b"")), **form)
    assert authenticode_sha384(file) == wanted


def test_only_checksum_and_certificates_do_not_count() -> None:
    file = kernel(certificate=b"c" * 16)
    good = authenticode_sha384(file)
    free = {*range(0x80 + 88, 0x80 + 92), *range(len(file) - 16, len(file))}
    for place in (0x80 + 88, 0x80 + 91, 0x80 + 92, 0x210, 0x400, 0x13FF, len(file) - 1):
        changed = bytearray(file)
        changed[place] ^= 0x80
        try:
            same = authenticode_sha384(bytes(changed)) == good
        except FormatError:
            same = False
        assert same is (place in free), hex(place)


@pytest.mark.parametrize(
    ("file", "code"),
    [
        (b"", "pe_header"),
        (bytes(0x40), "pe_header"),
        (kernel()[:0x90], "pe_header"),
        (kernel(magic=0x107), "pe_header"),
        (kernel(headers_size=0x100), "pe_header"),
        (kernel(headers_size=0x10_0000), "pe_header"),
        (kernel(directories=4), "pe_directories"),
        (kernel(sections=((0x400, 0x200), (0x5FF, 0xE01))), "pe_sections"),
        (kernel(sections=((0x200, 0x200),)), "pe_sections"),
        (kernel(sections=((0x400, 0x200), (0x700, 0xD00))), "pe_sections"),
        (kernel(sections=((0x400, 0x1001),)), "pe_sections"),
        (kernel(sections=((0x400, 0xFFFF_FFFF),)), "pe_sections"),
        (kernel(certificate=b"c" * 16) + b"behind the certificates", "pe_certificates"),
    ],
)
def test_images_that_are_refused(file: bytes, code: str) -> None:
    with pytest.raises(FormatError) as caught:
        authenticode_sha384(file)
    assert caught.value.code == code


def fields(file: bytes) -> dict[str, int]:
    """The fields of the setup header that QEMU writes."""
    places = {"ramdisk": 0x218, "ramdisk_size": 0x21C, "heap_end": 0x224, "cmdline": 0x228}
    found = {name: struct.unpack_from("<I", file, place)[0] for name, place in places.items()}
    return {**found, "loader": file[0x210], "flags": file[0x211]}


@pytest.mark.parametrize(("loadflags", "cmdline", "heap"), [(1, 0x2_0000, 0xFE00), (0, 0x9_A000, 0x9E00)])
def test_what_is_patched(loadflags: int, cmdline: int, heap: int) -> None:
    before = kernel(loadflags=loadflags)
    after = patched_kernel(before, INITRD, 1 << 40)
    assert fields(after) == {
        "ramdisk": (0x8000_0000 - 0x2_8000 - 1 - INITRD) & ~4095,
        "ramdisk_size": INITRD,
        "heap_end": heap,
        "cmdline": cmdline,
        "loader": 0xB0,
        "flags": loadflags | 0x80,
    }
    patched = {0x210, 0x211, *range(0x218, 0x220), *range(0x224, 0x22C)}
    assert {place for place in range(len(before)) if before[place] != after[place]} <= patched
    assert len(after) == len(before)


@pytest.mark.parametrize(
    ("memory_size", "highest"),
    [
        (GIB, GIB),
        (2 * GIB - 4096, 2 * GIB - 4096),
        (2 * GIB, 2 * GIB),
        (2 * GIB + 4096, 2 * GIB + 4096),
        (2816 * MIB - 4096, 2816 * MIB - 4096),
        (2816 * MIB, 2 * GIB),
        (2 << 40, 2 * GIB),
    ],
)
def test_where_the_initrd_goes(memory_size: int, highest: int) -> None:
    address = fields(patched_kernel(kernel(), INITRD, memory_size))["ramdisk"]
    assert address == (highest - 0x2_8000 - 1 - INITRD) & ~4095
    usual = kernel_digest(kernel(), INITRD, memory_size) == kernel_digest(kernel(), INITRD, 1 << 40)
    assert usual is has_usual_digest(memory_size)


@pytest.mark.parametrize(
    ("changes", "limit"),
    [
        ({"protocol": 0x202}, 0x37FF_FFFF),
        ({"protocol": 0x203, "initrd_max": 0}, 0x37FF_FFFF),
        ({"protocol": 0x20B, "initrd_max": 0x3000_0000}, 0x3000_0000),
        ({"protocol": 0x20C, "xloadflags": 0, "initrd_max": 0x37FF_FFFF}, 0x37FF_FFFF),
    ],
)
def test_kernels_with_another_limit(changes: dict[str, Any], limit: int) -> None:
    assert fields(patched_kernel(kernel(**changes), INITRD, 1 << 40))["ramdisk"] == (limit - INITRD) & ~4095


def test_the_digest_depends_on_kernel_and_size_of_the_initrd() -> None:
    digests = {
        kernel_digest(kernel(), INITRD, 1 << 40),
        kernel_digest(kernel(), INITRD + 1, 1 << 40),
        kernel_digest(kernel(trailing=b"y" * 8), INITRD, 1 << 40),
        kernel_digest(kernel(), INITRD, GIB),
        authenticode_sha384(kernel()),
    }
    assert len(digests) == 5
    assert kernel_digest(kernel(), INITRD, 8 * GIB) in digests


@pytest.mark.parametrize(
    ("file", "initrd", "memory", "code"),
    [
        (kernel()[:0xFFF], INITRD, 1 << 40, "kernel_size"),
        (kernel().replace(b"HdrS", b"hdrs"), INITRD, 1 << 40, "kernel_protocol"),
        (kernel(protocol=0x201), INITRD, 1 << 40, "kernel_protocol"),
        (kernel(protocol=0x300), INITRD, 1 << 40, "kernel_protocol"),
        (kernel(xloadflags=0x02, initrd_max=0x37FF_FFFF), INITRD, 1 << 40, "kernel_flags"),
        (kernel(xloadflags=0x40, initrd_max=0x3000_0000), INITRD, 1 << 40, "kernel_flags"),
        (kernel(xloadflags=0x00), INITRD, 1 << 40, "kernel_flags"),
        (kernel(), 0, 1 << 40, "initrd_size"),
        (kernel(), -1, 1 << 40, "initrd_size"),
        (kernel(), 2 * GIB, 1 << 40, "initrd_size"),
        (kernel(), INITRD, 16 * MIB, "initrd_size"),
        (kernel(), INITRD, 0, "memory_size"),
        (kernel(), INITRD, 2**70, "memory_size"),
    ],
)
def test_kernels_that_are_refused(file: bytes, initrd: int, memory: int, code: str) -> None:
    with pytest.raises(FormatError) as caught:
        kernel_digest(file, initrd, memory)
    assert caught.value.code == code


@settings(max_examples=200)
@given(st.data())
def test_reading_is_total(data: Any) -> None:
    file = bytearray(kernel(certificate=b"c" * 16))
    for _ in range(data.draw(st.integers(1, 4))):
        file[data.draw(st.integers(0x38, 0x240))] = data.draw(st.integers(0, 255))
    cut = bytes(file[: data.draw(st.integers(0, len(file)))])
    with suppress(FormatError):
        assert len(kernel_digest(cut, INITRD, 1 << 40)) == 48
