"""Firmware, kernel and image files made by hand, by writing the formats down, without the code under test."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

FOOTER = bytes.fromhex("de82b596b21ff745baeaa366c55a082d")
METADATA = bytes.fromhex("35657ae44a989847865e4685a7bf8ec2")
OTHER_GUID = b"\x77" * 16
TEMP_SECTIONS = (
    (0, 0, 0x80_9000, 0x2000, 2, 0),
    (0, 0, 0x80_0000, 0x6000, 3, 0),
    (0, 0, 0x80_B000, 0x2000, 3, 0),
    (0, 0, 0x81_0000, 0x1_0000, 3, 0),
)
"""TD_HOB and TEMP_MEM as dstack's firmware has them: data offset, data size, address, size, type, attributes."""


def firmware(
    sections: tuple[tuple[int, ...], ...], *, size: int = 0x8000, entries: tuple[bytes, ...] | None = None
) -> bytes:
    """A firmware file: patterned content, the TDVF descriptor, the GUID table, 32 bytes of reset vector."""
    file = bytearray((7 * place + place // 256) % 251 for place in range(size))
    descriptor = b"TDVF" + struct.pack("<III", 16 + 32 * len(sections), 1, len(sections))
    descriptor += b"".join(struct.pack("<IIQQII", *section) for section in sections)
    place = size - 0x800
    file[place : place + len(descriptor)] = descriptor
    if entries is None:
        entries = (entry(METADATA, struct.pack("<I", size - place)), entry(OTHER_GUID, b"abcdef"))
    table = b"".join(entries)
    table += struct.pack("<H", len(table) + 18) + FOOTER
    file[size - 32 - len(table) : size - 32] = table
    return bytes(file)


def entry(guid: bytes, data: bytes) -> bytes:
    """One entry of the GUID table, as it is read backwards."""
    return data + struct.pack("<H", len(data) + 18) + guid


def kernel(
    *,
    protocol: int = 0x20F,
    loadflags: int = 0x01,
    xloadflags: int = 0x7F,
    initrd_max: int = 0x7FFF_FFFF,
    sections: tuple[tuple[int, int], ...] = ((0x400, 0x200), (0x600, 0xE00)),
    headers_size: int = 0x400,
    certificate: bytes = b"",
    trailing: bytes = b"",
    magic: int = 0x20B,
    directories: int = 6,
    size: int = 0x1400,
) -> bytes:
    """A bzImage with a PE header: only the fields that somebody reads are set, the rest is patterned."""
    file = bytearray((5 * place + 3) % 253 for place in range(size))
    file += trailing
    struct.pack_into("<H", file, 0x20, 0)
    file[0:2] = b"MZ"
    pe = 0x80
    struct.pack_into("<I", file, 0x3C, pe)
    optional_size = (112 if magic == 0x20B else 96) + 8 * directories
    struct.pack_into("<4sHHIIIHH", file, pe, b"PE\0\0", 0x8664, len(sections), 0, 0, 0, optional_size, 0x206)
    optional = pe + 24
    struct.pack_into("<H", file, optional, magic)
    struct.pack_into("<II", file, optional + 60, headers_size, 0xC0FFEE)
    table = optional + optional_size
    struct.pack_into("<I", file, table - 8 * directories - 4, directories)
    address = len(file) if certificate else 0
    struct.pack_into("<II", file, table - 8 * directories + 32, address, len(certificate))
    for index, (start, length) in enumerate(sections):
        struct.pack_into("<8sIIII16x", file, table + 40 * index, b".part", length, 0x1000, length, start)
    file[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", file, 0x206, protocol)
    file[0x210], file[0x211] = 0, loadflags
    struct.pack_into("<I", file, 0x22C, initrd_max)
    struct.pack_into("<H", file, 0x236, xloadflags)
    return bytes(file) + certificate


def image(folder: Path, **changes: Any) -> dict[str, bytes]:
    """Write an unpacked dstack image; ``changes`` replace members of metadata.json. Returns the files."""
    metadata = {
        "bios": "ovmf.fd",
        "kernel": "bzImage",
        "initrd": "initramfs.cpio.gz",
        "cmdline": "console=ttyS0 dstack.rootfs_hash=00ff",
        "version": "0.5.8",
        "is_dev": False,
    }
    content = (0, 0x4000, 0xFF_C000, 0x4000, 0, 1)
    files = {
        "ovmf.fd": firmware((content, *TEMP_SECTIONS)),
        "bzImage": kernel(),
        "initramfs.cpio.gz": b"initrd" * 1000,
        "metadata.json": json.dumps({**metadata, **changes}).encode(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    list_files(folder, files)
    return files


def list_files(folder: Path, files: dict[str, bytes]) -> None:
    """Write ``sha256sum.txt`` for these files."""
    lines = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items())
    (folder / "sha256sum.txt").write_text(lines)
