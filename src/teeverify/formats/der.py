"""DER (ITU-T X.690) taken apart into its elements: definite, minimal lengths and one-byte tags only."""

from __future__ import annotations

from typing import Final, NamedTuple

from ..errors import FormatError

__all__ = ["CONTEXT_0", "OCTET_STRING", "SEQUENCE", "SET", "Element", "elements", "only_element"]

SEQUENCE: Final = 0x30
SET: Final = 0x31
OCTET_STRING: Final = 0x04
CONTEXT_0: Final = 0xA0

_LONG_FORM = 0x80
_HIGH_TAG = 0x1F
_MAX_LENGTH_BYTES = 4


class Element(NamedTuple):
    """One element: its identifier octet, its content, and the whole encoding that it was cut from."""

    tag: int
    content: bytes
    encoding: bytes


def elements(data: bytes, *, what: str) -> tuple[Element, ...]:
    """The elements that fill ``data`` exactly.

    Raises:
        FormatError: ``der_syntax``.
    """
    found: list[Element] = []
    position, end = 0, len(data)
    while position < end:
        if position + 2 > end:
            raise _refuse(what)
        tag, length, start = data[position], data[position + 1], position + 2
        if tag & _HIGH_TAG == _HIGH_TAG:
            raise _refuse(what)
        if length & _LONG_FORM:
            length, start = _long_length(data, start, length & ~_LONG_FORM, what)
        stop = start + length
        if stop > end:
            raise _refuse(what)
        found.append(Element(tag, data[start:stop], data[position:stop]))
        position = stop
    return tuple(found)


def only_element(data: bytes, tag: int, *, what: str) -> bytes:
    """The content of the single element that ``data`` is.

    Raises:
        FormatError: ``der_syntax``.
    """
    found = elements(data, what=what)
    if len(found) != 1 or found[0].tag != tag:
        raise _refuse(what)
    return found[0].content


def _long_length(data: bytes, start: int, count: int, what: str) -> tuple[int, int]:
    if not 1 <= count <= _MAX_LENGTH_BYTES or start + count > len(data):
        raise _refuse(what)
    length = int.from_bytes(data[start : start + count], "big")
    if length < _LONG_FORM or length >> 8 * (count - 1) == 0:  # a shorter form exists, so this one is not DER
        raise _refuse(what)
    return length, start + count


def _refuse(what: str) -> FormatError:
    return FormatError("der_syntax", f"{what} is not DER")
