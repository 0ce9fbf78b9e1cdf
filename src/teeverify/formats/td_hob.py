"""The TD HOB: the list of memory ranges that the host hands to a TD's firmware, and that the firmware measures first.

QEMU writes it, TDVF (the OVMF build of dstack images) extends its SHA-384 into RTMR0. Its content follows from the
size of the guest's memory and from the ranges that the firmware has accepted before, which are those of the TEMP_MEM
and TD_HOB sections in the firmware's metadata. Sources: UEFI Platform Initialization specification (HOB formats), Intel
TDVF design guide, QEMU's ``tdx.c``; reproduced on real logs of dstack guests.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from typing import Final

from ..errors import FormatError

__all__ = ["ACCEPTED_RANGES", "HIGH_MEMORY", "checked_memory_size", "td_hob", "td_hob_digest"]

ACCEPTED_RANGES: Final = ((0x80_0000, 0x6000), (0x80_9000, 0x2000), (0x80_B000, 0x2000), (0x81_0000, 0x1_0000))
"""Start and length of what the firmware of dstack images before edk2-stable202505 has accepted; the second is the HOB's
own place."""
HIGH_MEMORY: Final = 0xB000_0000
"""From 2816 MiB on QEMU puts everything above 2 GiB behind the PCI hole, at 4 GiB."""
_HOB_BASE: Final = 0x80_9000
_SPLIT: Final = 0x8000_0000
_ABOVE_HOLE: Final = 0x1_0000_0000
_PAGE: Final = 4096
_LOWEST: Final = 0x82_0000
_LIMIT: Final = 1 << 52
"""A TD has at most 52 bits of guest-physical address."""
_ACCEPTED, _UNACCEPTED = 0, 7
_ATTRIBUTES: Final = 7
"""Present, initialized, tested."""


def checked_memory_size(value: object) -> int:
    """A guest's memory size in bytes, in the range that machines can have.

    Raises:
        FormatError: ``memory_size`` where it is no integer (a boolean is none), does not reach beyond the firmware's
            own ranges (8320 KiB), or is more than 2**52.
    """
    if type(value) is not int:
        raise FormatError("memory_size", f"the memory size is of type {type(value).__name__}, an integer was expected")
    if not _LOWEST < value <= _LIMIT:
        shown = value if abs(value) < 1 << 64 else "a number of more than 64 bits"
        raise FormatError(
            "memory_size", f"the memory size is {shown}, more than {_LOWEST} and up to 2**52 bytes were expected"
        )
    return value


def td_hob(memory_size: int) -> bytes:
    """The measured bytes of the HOB list for a memory size in bytes: a hand-off block, then one block per range.

    Raises:
        FormatError: ``memory_size``: out of range, see `checked_memory_size`, or no multiple of 4096.
    """
    size = checked_memory_size(memory_size)
    if size % _PAGE:
        raise FormatError("memory_size", f"the memory size is {size} bytes, a multiple of {_PAGE} was expected")
    blocks = b"".join(_resource(kind, start, length) for kind, start, length in _ranges(size))
    # The end-of-list block (8 bytes) is counted in the pointer to the end, and is not measured.
    end = _HOB_BASE + 56 + len(blocks) + 8
    return struct.pack("<HHIII32xQ", 1, 56, 0, 9, 0, end) + blocks


def td_hob_digest(memory_size: int) -> bytes:
    """SHA-384 of the HOB list (48 bytes): the first row of RTMR0.

    Raises:
        FormatError: ``memory_size``, see `td_hob`.
    """
    return hashlib.sha384(td_hob(memory_size)).digest()


def _resource(kind: int, start: int, length: int) -> bytes:
    """A resource descriptor block: 48 bytes, owner zero."""
    return struct.pack("<HHI16xB3xIQQ", 3, 48, 0, kind, _ATTRIBUTES, start, length)


def _ranges(size: int) -> Iterator[tuple[int, int, int]]:
    """(resource type, start, length) in ascending order; the last range is split around the PCI hole."""
    position = 0
    for start, length in ACCEPTED_RANGES:
        if start > position:
            yield _UNACCEPTED, position, start - position
        yield _ACCEPTED, start, length
        position = start + length
    if size < HIGH_MEMORY:
        yield _UNACCEPTED, position, size - position
    else:
        yield _UNACCEPTED, position, _SPLIT - position
        yield _UNACCEPTED, _ABOVE_HOLE, size - _SPLIT
