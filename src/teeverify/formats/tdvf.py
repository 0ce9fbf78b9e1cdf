"""TDVF: the virtual firmware of a TD (``ovmf.fd``), the metadata at its end, and the MRTD of a TD built from it.

Sources: Intel TDVF design guide (metadata), Intel TDX module specification (what TDH.MEM.PAGE.ADD and TDH.MR.EXTEND put
into MRTD), dstack ``dstack-mr`` (the two orders in which QEMU adds pages). No MRTD of a published image was reproduced.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

from attrs import frozen

from ..errors import FormatError

__all__ = ["Tdvf", "TdvfSection", "mrtd", "parse_tdvf"]

_FOOTER: Final = UUID("96b582de-1fb2-45f7-baea-a366c55a082d").bytes_le
_METADATA: Final = UUID("e47a6535-984a-4798-865e-4685a7bf8ec2").bytes_le
_PAGE: Final = 4096
_CHUNK: Final = 256
_TD_HOB, _TEMP_MEM = 2, 3
_MR_EXTEND, _PAGE_AUG = 1, 2
_MAX_FIRMWARE: Final = 64 << 20
"""Published images have 4 MiB."""
_MAX_SECTIONS: Final = 64
"""TDVF has about six."""
_MAX_MEMORY: Final = 64 << 20
"""Bytes of guest memory that all sections describe together; every page costs a hash."""


@frozen(kw_only=True)
class TdvfSection:
    """One section: where its bytes stand in the file, and where and how they come into the guest's memory.

    ``memory_address`` and ``memory_size`` are bytes, both multiples of 4096. ``extends`` says that the content is
    measured, ``is_added`` that the pages themselves are (others are accepted later by the guest).
    """

    data_offset: int
    data_size: int
    memory_address: int
    memory_size: int
    kind: int
    extends: bool
    is_added: bool


@frozen(kw_only=True)
class Tdvf:
    """A firmware file and its sections, in the order of the metadata."""

    data: bytes
    sections: tuple[TdvfSection, ...]

    @property
    def accepted_ranges(self) -> tuple[tuple[int, int], ...]:
        """Start and length of the ranges that the firmware has accepted before it reads the TD HOB, ascending."""
        kinds = (_TD_HOB, _TEMP_MEM)
        return tuple(sorted((s.memory_address, s.memory_size) for s in self.sections if s.kind in kinds))


def parse_tdvf(data: bytes) -> Tdvf:
    """Read the metadata of a firmware file.

    Raises:
        FormatError: ``tdvf_size``, ``tdvf_footer``, ``tdvf_table``, ``tdvf_descriptor`` or ``tdvf_section``.
    """
    if len(data) > _MAX_FIRMWARE:
        raise FormatError("tdvf_size", f"the firmware has {len(data)} bytes, at most {_MAX_FIRMWARE} are accepted")
    place = len(data) - _metadata_offset(data)
    signature, _, version, count = _fields(data, place, "<4sIII", "tdvf_descriptor")
    if signature != b"TDVF" or version != 1:
        raise FormatError("tdvf_descriptor", "the firmware has no TDVF descriptor of version 1 where its table says")
    if not 0 < count <= _MAX_SECTIONS:
        raise FormatError("tdvf_descriptor", f"the firmware has {count} sections, 1 to {_MAX_SECTIONS} are accepted")
    sections = tuple(_section(data, place + 16 + 32 * index, index) for index in range(count))
    if sum(section.memory_size for section in sections) > _MAX_MEMORY:
        raise FormatError("tdvf_section", f"the firmware's sections take more than {_MAX_MEMORY} bytes of memory")
    return Tdvf(data=data, sections=sections)


def _metadata_offset(data: bytes) -> int:
    """Distance of the TDVF descriptor from the end of the file, by the table of GUIDs before the last 32 bytes.

    The table is read backwards: each entry is data || u16 length || GUID, and the length counts all three.
    """
    end = len(data) - 50
    if end < 0 or data[end + 2 : end + 18] != _FOOTER:
        raise FormatError(
            "tdvf_footer", "the file has no GUID table before its last 32 bytes, OVMF firmware was expected"
        )
    (length,) = _fields(data, end, "<H", "tdvf_table")
    start = max(0, end - length)
    while end - start >= 18:
        size, guid = _fields(data, end - 18, "<H16s", "tdvf_table")
        if not 18 <= size <= end - start:
            raise FormatError("tdvf_table", "an entry of the firmware's GUID table does not fit into the table")
        if guid == _METADATA:
            if size < 22:
                break
            (distance,) = _fields(data, end - 22, "<I", "tdvf_table")
            return int(distance)
        end -= size
    raise FormatError("tdvf_table", "the firmware's GUID table says nowhere where the TDVF metadata is")


def _fields(data: bytes, place: int, layout: str, code: str) -> tuple[Any, ...]:
    if not 0 <= place <= len(data) - struct.calcsize(layout):
        raise FormatError(code, "the firmware's metadata points beyond the file")
    return struct.unpack_from(layout, data, place)


def _section(data: bytes, place: int, index: int) -> TdvfSection:
    offset, size, address, memory, kind, attributes = _fields(data, place, "<IIQQII", "tdvf_section")
    what = f"section {index} of the firmware"
    if attributes & ~(_MR_EXTEND | _PAGE_AUG):
        raise FormatError("tdvf_section", f"{what} has attributes {attributes:#x}, only bits 0 and 1 are known")
    if address % _PAGE or memory % _PAGE or address + memory > 1 << 52:
        raise FormatError("tdvf_section", f"{what} does not lie on whole pages of 4096 bytes")
    if offset + size > len(data) or size > memory:
        raise FormatError("tdvf_section", f"{what} has more bytes than the file or its memory holds")
    extends = bool(attributes & _MR_EXTEND)
    if extends and size != memory:
        # What would be measured behind the data is said differently by the design guide and by dstack's tool.
        raise FormatError("tdvf_section", f"{what} is measured and has {size} bytes of data for {memory} of memory")
    return TdvfSection(
        data_offset=offset,
        data_size=size,
        memory_address=address,
        memory_size=memory,
        kind=kind,
        extends=extends,
        is_added=not attributes & _PAGE_AUG,
    )


def mrtd(firmware: Tdvf, *, two_pass: bool) -> bytes:
    """MRTD (48 bytes) of a TD that QEMU builds from the firmware.

    Args:
        firmware: a parsed file.
        two_pass: False for QEMU 9.0 and later, which measures each page's content right after it added the page; True
            for QEMU 8, which adds all pages of a section before it measures the first one.
    """
    digest = hashlib.sha384()
    for section in firmware.sections:
        pages = range(section.memory_size // _PAGE)
        for page in pages:
            if section.is_added:
                digest.update(_record(b"MEM.PAGE.ADD", section.memory_address + page * _PAGE))
            if not two_pass:
                digest.update(b"".join(_content(firmware, section, page)))
        if two_pass:
            for page in pages:
                digest.update(b"".join(_content(firmware, section, page)))
    return digest.digest()


def _record(name: bytes, address: int) -> bytes:
    """What a call of the TDX module puts into MRTD: 128 bytes, name at 0, guest-physical address at 16, else zero."""
    return struct.pack("<16sQ104x", name, address)


def _content(firmware: Tdvf, section: TdvfSection, page: int) -> Iterator[bytes]:
    """The 16 chunks of one measured page, each behind its record; nothing where the section is not measured."""
    if not section.extends:
        return
    for offset in range(page * _PAGE, (page + 1) * _PAGE, _CHUNK):
        start = section.data_offset + offset
        yield _record(b"MR.EXTEND", section.memory_address + offset)
        yield firmware.data[start : start + _CHUNK]
