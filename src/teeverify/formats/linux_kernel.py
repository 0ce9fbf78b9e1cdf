"""The kernel as QEMU hands it to the firmware: fields of its setup header are filled in, then the firmware measures it.

Sources: Linux x86 boot protocol (``Documentation/arch/x86/boot.rst``), QEMU ``x86_load_linux``, dstack ``dstack-mr``.
No digest of a published kernel was reproduced.
"""

from __future__ import annotations

import struct
from typing import Final

from ..errors import FormatError
from .authenticode import authenticode_sha384
from .td_hob import HIGH_MEMORY, checked_memory_size

__all__ = ["has_usual_digest", "kernel_digest", "patched_kernel"]

_SPLIT: Final = 0x8000_0000
_ACPI_DATA: Final = 0x2_8000
"""What QEMU keeps free for ACPI below the end of low memory."""
_LOW_INITRD: Final = 0x37FF_FFFF
_ABOVE_4G_QEMU, _ABOVE_4G_DSTACK = 0x02, 0x40
"""Bits of xloadflags: QEMU reads bit 1 (XLF_CAN_BE_LOADED_ABOVE_4G), dstack's tool bit 6. Today's kernels set both."""


def has_usual_digest(memory_size: int) -> bool:
    """Whether the kernel's digest is the one that most memory sizes (bytes) lead to: 2 GiB, and all from 2816 MiB on.

    QEMU puts the initrd at the end of low memory and writes its address into the header, so smaller machines differ.
    """
    return memory_size == _SPLIT or memory_size >= HIGH_MEMORY


def kernel_digest(kernel: bytes, initrd_size: int, memory_size: int) -> bytes:
    """Authenticode SHA-384 (48 bytes) of the patched kernel: the first row of RTMR1.

    Args:
        kernel: the file ``bzImage``.
        initrd_size: bytes of the initrd file.
        memory_size: the guest's memory in bytes.

    Raises:
        FormatError: ``kernel_size``, ``kernel_protocol``, ``kernel_flags``, ``initrd_size``, ``memory_size``, or a code
            of `authenticode_sha384`.
    """
    return authenticode_sha384(patched_kernel(kernel, initrd_size, memory_size))


def patched_kernel(kernel: bytes, initrd_size: int, memory_size: int) -> bytes:
    """The kernel with the fields that QEMU fills in; arguments and errors as of `kernel_digest`."""
    checked_memory_size(memory_size)
    if len(kernel) < 0x1000:
        raise FormatError("kernel_size", f"the kernel has {len(kernel)} bytes, 4096 or more were expected")
    if kernel[0x202:0x206] != b"HdrS":
        raise FormatError("kernel_protocol", "the kernel has no setup header (HdrS), an x86 bzImage was expected")
    (protocol,) = struct.unpack_from("<H", kernel, 0x206)
    if not 0x202 <= protocol < 0x300:
        raise FormatError("kernel_protocol", f"the kernel has boot protocol {protocol:#x}, 0x202 or later was expected")
    patched = bytearray(kernel)
    real, cmdline = (0x1_0000, 0x2_0000) if kernel[0x211] & 1 else (0x9_0000, 0x9_A000)
    patched[0x210] = 0xB0  # type_of_loader: QEMU
    patched[0x211] |= 0x80  # loadflags: CAN_USE_HEAP
    struct.pack_into("<II", patched, 0x224, cmdline - real - 0x200, cmdline)  # heap_end_ptr, cmd_line_ptr
    address = _initrd_address(kernel, protocol, initrd_size, memory_size)
    struct.pack_into("<II", patched, 0x218, address, initrd_size)  # ramdisk_image, ramdisk_size
    return bytes(patched)


def _initrd_address(kernel: bytes, protocol: int, initrd_size: int, memory_size: int) -> int:
    """Where QEMU puts the initrd: as high as the kernel allows, below the ACPI data at the end of low memory."""
    low = min(memory_size, HIGH_MEMORY if memory_size < HIGH_MEMORY else _SPLIT)
    highest = {min(limit, low - _ACPI_DATA - 1) for limit in _initrd_limits(kernel, protocol)}
    if len(highest) > 1:
        raise FormatError("kernel_flags", "the kernel's xloadflags are read differently by QEMU and by dstack's tool")
    limit = highest.pop()
    if not 0 < initrd_size < limit:
        raise FormatError("initrd_size", f"the initrd has {initrd_size} bytes, 1 to {limit - 1} fit into low memory")
    return (limit - initrd_size) & ~0xFFF


def _initrd_limits(kernel: bytes, protocol: int) -> tuple[int, ...]:
    """The highest address that the header allows, by each reading of it."""
    if protocol < 0x203:
        return (_LOW_INITRD,)
    stated: int = struct.unpack_from("<I", kernel, 0x22C)[0] or _LOW_INITRD
    if protocol < 0x20C:
        return (stated,)
    (flags,) = struct.unpack_from("<H", kernel, 0x236)
    by_qemu = 0xFFFF_FFFF if flags & _ABOVE_4G_QEMU else stated
    return by_qemu, 0xFFFF_FFFF if flags & _ABOVE_4G_DSTACK else _LOW_INITRD
