"""The Authenticode digest of a PE image: SHA-384 over the file without its checksum and its certificates.

Source: Microsoft, "Windows Authenticode Portable Executable Signature Format"; UEFI firmware measures the images that
it starts this way. What the format leaves open, and tools answer differently (sections that overlap, leave gaps or
reach beyond the file, certificates that are not last), is refused.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from typing import Any, Final

from ..errors import FormatError

__all__ = ["authenticode_sha384"]

_PE32, _PE32_PLUS = 0x10B, 0x20B
_CERTIFICATES: Final = 4
"""Index of the certificate table among the data directories."""
_MAX_SECTIONS: Final = 96
"""The most that Windows loads."""


def authenticode_sha384(image: bytes) -> bytes:
    """The digest (48 bytes) of a PE32 or PE32+ image.

    Raises:
        FormatError: ``pe_header``, ``pe_directories``, ``pe_sections`` or ``pe_certificates``.
    """
    (header,) = _fields(image, 0x3C, "<I")
    signature, count, optional_size = _fields(image, header, "<4s2xH12xH2x")
    optional = header + 24
    (magic,) = _fields(image, optional, "<H")
    if signature != b"PE\0\0" or magic not in (_PE32, _PE32_PLUS):
        raise FormatError("pe_header", "the file has no PE32 or PE32+ header, a kernel with an EFI stub was expected")
    (headers_size,) = _fields(image, optional + 60, "<I")
    directories = optional + (112 if magic == _PE32_PLUS else 96)
    (directory_count,) = _fields(image, directories - 4, "<I")
    if directory_count <= _CERTIFICATES or optional_size < directories - optional + 8 * (_CERTIFICATES + 1):
        raise FormatError("pe_directories", "the PE header has no place for a certificate table")
    entry = directories + 8 * _CERTIFICATES
    certificates = _certificates(image, entry)
    table = optional + optional_size
    if not table + 40 * count <= headers_size <= len(image) - certificates:
        raise FormatError("pe_header", "the PE headers are not where the header says, or reach beyond the file")
    digest = hashlib.sha384(image[: optional + 64])
    digest.update(image[optional + 68 : entry])
    digest.update(image[entry + 8 : headers_size])
    end = headers_size
    for start, size in _sections(image, table, count):
        if start < end or start + size > len(image) - certificates:
            raise FormatError("pe_sections", "the sections of the PE image overlap or reach beyond the file")
        digest.update(image[start : start + size])
        end = start + size
    _refuse_gaps(image, headers_size, table, count, end)
    digest.update(image[end : len(image) - certificates])
    digest.update(bytes(-len(image) % 8))
    return digest.digest()


def _fields(image: bytes, place: int, layout: str) -> tuple[Any, ...]:
    if not 0 <= place <= len(image) - struct.calcsize(layout):
        raise FormatError("pe_header", "the file ends inside its PE header, a kernel with an EFI stub was expected")
    return struct.unpack_from(layout, image, place)


def _certificates(image: bytes, entry: int) -> int:
    """Bytes of the certificate table, which must be the end of the file."""
    address, size = _fields(image, entry, "<II")
    if (address, size) != (0, 0) and address + size != len(image):
        raise FormatError("pe_certificates", "the certificates of the PE image are not at the end of the file")
    return int(size)


def _sections(image: bytes, table: int, count: int) -> Iterator[tuple[int, int]]:
    """File offset and size of the sections that have bytes in the file, in the order of the file."""
    if count > _MAX_SECTIONS:
        raise FormatError("pe_sections", f"the PE image has {count} sections, at most {_MAX_SECTIONS} are accepted")
    found = (_fields(image, table + 40 * index + 16, "<II") for index in range(count))
    yield from sorted((start, size) for size, start in found if size)


def _refuse_gaps(image: bytes, headers_size: int, table: int, count: int, end: int) -> None:
    """The format counts the bytes that it hashed and takes the rest from there; with a gap that is another place."""
    if headers_size + sum(size for _, size in _sections(image, table, count)) != end:
        raise FormatError("pe_sections", "the PE image has bytes between its sections, which tools hash differently")
