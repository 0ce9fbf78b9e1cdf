"""What the registers of a dstack guest must hold, from published facts: memory size, ACPI digests, kernel, initrd.

Sources: dstack ``dstack-mr`` (the rows and their order), TCG PC Client firmware profile (what each row hashes). RTMR0,
and RTMR1 from the kernel's row, were reproduced on real quotes; kernel, command line and initrd of a real image were
not at hand. Firmware from edk2-stable202505 on (dstack 0.5.10, and from 0.6.1) measures other rows into RTMR0.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from typing import Final
from uuid import UUID

from ..errors import FormatError
from .td_hob import td_hob_digest

__all__ = ["INITRD_ARGUMENT", "extended", "rtmr0", "rtmr0_rows", "rtmr1", "rtmr1_rows", "rtmr2", "rtmr2_rows"]

INITRD_ARGUMENT: Final = " initrd=initrd"
"""What the loader appends to the command line of ``metadata.json``."""
_GLOBAL: Final = UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
"""EFI_GLOBAL_VARIABLE."""
_SECURITY: Final = UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f")
"""EFI_IMAGE_SECURITY_DATABASE."""
_VARIABLES: Final = ((_GLOBAL, "SecureBoot"), (_GLOBAL, "PK"), (_GLOBAL, "KEK"), (_SECURITY, "db"), (_SECURITY, "dbx"))
_FIRMWARE_VOLUME: Final = bytes.fromhex(
    "344bc51c980ba621aaa00da3ed7436f7d6e549197dfe699515dfa2c6583d95e6412af21c097d473155875ffd561d6790"
)
"""The configuration volume (CFV) as the firmware ships it, without variables."""
_BOOT_0000: Final = bytes.fromhex(
    "23ada07f5261f12f34a0bd8e46760962d6b4d576a416f1fea1c64bc656b1d28eacf7047ae6e967c58fd2a98bfa74c298"
)
"""The load option Boot0000: the firmware's own user interface."""
_DIGEST: Final = 48


def _sha384(data: bytes) -> bytes:
    return hashlib.sha384(data).digest()


_SEPARATOR: Final = _sha384(bytes(4))
_BOOT_ORDER: Final = _sha384(bytes(2))
_CALLING: Final = _sha384(b"Calling EFI Application from Boot Option")
_LEAVING: Final = _sha384(b"Exit Boot Services Invocation")
_LEFT: Final = _sha384(b"Exit Boot Services Returned with Success")


def extended(rows: Iterable[bytes]) -> bytes:
    """The register (48 bytes) that starts as zeros and is extended by these digests: R = SHA-384(R || digest).

    Raises:
        FormatError: ``digest_length`` where a digest has not 48 bytes.
    """
    register = bytes(_DIGEST)
    for row in rows:
        register = _sha384(register + _digest(row))
    return register


def _digest(value: bytes) -> bytes:
    if len(value) != _DIGEST:
        raise FormatError("digest_length", f"a digest has {len(value)} bytes, {_DIGEST} were expected")
    return value


def _variable(guid: UUID, name: str) -> bytes:
    """Digest of an empty EFI variable: guid || u64 length of the name || u64 length of the data || name in UTF-16."""
    return _sha384(guid.bytes_le + struct.pack("<QQ", len(name), 0) + name.encode("utf-16-le"))


_EMPTY_VARIABLES: Final = tuple(_variable(guid, name) for guid, name in _VARIABLES)


def rtmr0_rows(memory_size: int, loader: bytes, rsdp: bytes, tables: bytes) -> tuple[bytes, ...]:
    """The 13 digests of RTMR0, in the order in which they are extended.

    Args:
        memory_size: the guest's memory in bytes.
        loader: SHA-384 of QEMU's ACPI table loader script, 48 bytes.
        rsdp: SHA-384 of the ACPI root pointer, 48 bytes.
        tables: SHA-384 of the ACPI tables, 48 bytes.

    Raises:
        FormatError: ``memory_size`` or ``digest_length``.
    """
    acpi = (_digest(loader), _digest(rsdp), _digest(tables))
    before = (td_hob_digest(memory_size), _FIRMWARE_VOLUME, *_EMPTY_VARIABLES, _SEPARATOR)
    return (*before, *acpi, _BOOT_ORDER, _BOOT_0000)


def rtmr0(memory_size: int, loader: bytes, rsdp: bytes, tables: bytes) -> bytes:
    """RTMR0 (48 bytes) of a machine of that memory size and those ACPI digests; see `rtmr0_rows`.

    Raises:
        FormatError: ``memory_size`` or ``digest_length``.
    """
    return extended(rtmr0_rows(memory_size, loader, rsdp, tables))


def rtmr1_rows(kernel_digest: bytes) -> tuple[bytes, ...]:
    """The 5 digests of RTMR1; the first is the Authenticode digest of the kernel as QEMU patched it, 48 bytes.

    Raises:
        FormatError: ``digest_length``.
    """
    return (_digest(kernel_digest), _CALLING, _SEPARATOR, _LEAVING, _LEFT)


def rtmr1(kernel_digest: bytes) -> bytes:
    """RTMR1 (48 bytes) for the kernel's digest; see `rtmr1_rows` and `teeverify.formats.linux_kernel`.

    Raises:
        FormatError: ``digest_length``.
    """
    return extended(rtmr1_rows(kernel_digest))


def rtmr2_rows(cmdline: str, initrd_digest: bytes) -> tuple[bytes, bytes]:
    """The 2 digests of RTMR2.

    Args:
        cmdline: the command line as ``metadata.json`` has it; ``" initrd=initrd"`` is appended here.
        initrd_digest: SHA-384 of the initrd file, 48 bytes.

    Raises:
        FormatError: ``digest_length``, or ``cmdline`` where the text has a NUL or is not Unicode.
    """
    try:
        text = (cmdline + INITRD_ARGUMENT).encode("utf-16-le")
    except UnicodeEncodeError:
        raise FormatError("cmdline", "the command line holds half a surrogate pair, text was expected") from None
    if "\0" in cmdline:
        raise FormatError("cmdline", "the command line holds a NUL character, which would end it")
    return _sha384(text + bytes(2)), _digest(initrd_digest)


def rtmr2(cmdline: str, initrd_digest: bytes) -> bytes:
    """RTMR2 (48 bytes); see `rtmr2_rows`.

    Raises:
        FormatError: ``digest_length`` or ``cmdline``.
    """
    return extended(rtmr2_rows(cmdline, initrd_digest))
