"""CBOR (RFC 8949) read strictly: the subset that COSE and Nitro attestation documents use.

Integers, byte strings, text strings, arrays, maps, tags, true, false and null. Arrays and maps may be of indefinite
length, as the Nitro hypervisor writes them. Lengths and numbers must have their shortest form, keys must not repeat.
Floats, other simple values and strings of indefinite length are refused: no document that is read here has any.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from attrs import frozen

from ..errors import FormatError
from ..limits import MAX_CBOR_DEPTH

__all__ = ["CborKey", "CborValue", "Tagged", "read_cbor"]

CborKey: TypeAlias = "int | bytes | str"
CborValue: TypeAlias = "int | bytes | str | bool | tuple[CborValue, ...] | Mapping[CborKey, CborValue] | Tagged | None"
"""Arrays are tuples, maps are read-only mappings in the order of the document."""

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG = range(7)
_ONE_BYTE: Final = 24
"""Additional information 24 to 27: the argument follows in 1, 2, 4 or 8 bytes."""
_EIGHT_BYTES: Final = 27
_INDEFINITE: Final = 31
_BREAK: Final = 0xFF
_SIMPLE: Final[Mapping[int, bool | None]] = {0xF4: False, 0xF5: True, 0xF6: None}


@frozen
class Tagged:
    """A value with the tag in front of it."""

    tag: int
    value: CborValue


def read_cbor(data: bytes, *, what: str, limit: int) -> CborValue:
    """Read the one data item that ``data`` is.

    Args:
        data: the encoding.
        what: what the value is, for the error's sentence.
        limit: most bytes accepted.

    Raises:
        FormatError: ``cbor_too_large``, ``cbor_truncated``, ``cbor_trailing``, ``cbor_type`` (a kind that is not read
            here), ``cbor_length`` (not the shortest form), ``cbor_indefinite`` (a string of indefinite length, or a
            break where none belongs), ``cbor_text`` (not UTF-8), ``cbor_key`` (a key that is no integer or string),
            ``cbor_repeated_key`` or ``cbor_depth``.
    """
    if len(data) > limit:
        raise FormatError("cbor_too_large", f"{what} is {len(data)} bytes long, at most {limit} are accepted")
    reader = _Reader(data, what)
    value = reader.value(0)
    if reader.position != len(data):
        raise reader.refuse("cbor_trailing", f"has {len(data) - reader.position} bytes after its end")
    return value


class _Reader:
    """A place in the encoding."""

    def __init__(self, data: bytes, what: str) -> None:
        self._data, self._what, self.position = data, what, 0

    def refuse(self, code: str, sentence: str) -> FormatError:
        return FormatError(code, f"{self._what} {sentence}")

    def value(self, depth: int) -> CborValue:
        if depth > MAX_CBOR_DEPTH:
            raise self.refuse("cbor_depth", f"is nested deeper than {MAX_CBOR_DEPTH} levels")
        initial = self._take(1)[0]
        if initial in _SIMPLE:
            return _SIMPLE[initial]
        if initial == _BREAK:
            raise self.refuse("cbor_indefinite", "has a break where nothing can end")
        major, information = initial >> 5, initial & 0x1F
        if major > _TAG:
            raise self.refuse("cbor_type", "holds a float or a simple value other than true, false and null")
        if information == _INDEFINITE:
            return self._indefinite(major, depth)
        argument = self._argument(information)
        if major == _UNSIGNED:
            return argument
        if major == _NEGATIVE:
            return -1 - argument
        if major == _BYTES:
            return self._take(argument)
        if major == _TEXT:
            return self._text(argument)
        if major == _TAG:
            return Tagged(argument, self.value(depth + 1))
        return self._array(argument, depth) if major == _ARRAY else self._map(argument, depth)

    def _take(self, count: int) -> bytes:
        start, self.position = self.position, self.position + count
        if self.position > len(self._data):
            raise self.refuse("cbor_truncated", "ends inside a value")
        return self._data[start : self.position]

    def _argument(self, information: int) -> int:
        if information < _ONE_BYTE:
            return information
        if information > _EIGHT_BYTES:
            raise self.refuse("cbor_type", "holds a reserved form of length")
        size = 1 << (information - _ONE_BYTE)
        argument = int.from_bytes(self._take(size), "big")
        if argument < (_ONE_BYTE if size == 1 else 1 << 4 * size):  # it would fit into half the bytes
            raise self.refuse("cbor_length", "holds a number or a length that is not in its shortest form")
        return argument

    def _text(self, count: int) -> str:
        try:
            return self._take(count).decode("utf-8")
        except UnicodeDecodeError:
            raise self.refuse("cbor_text", "holds a text that is not UTF-8") from None

    def _array(self, count: int, depth: int) -> tuple[CborValue, ...]:
        return tuple(self.value(depth + 1) for _ in range(self._plausible(count)))

    def _map(self, count: int, depth: int) -> Mapping[CborKey, CborValue]:
        members: dict[CborKey, CborValue] = {}
        for _ in range(self._plausible(count)):
            self._member(members, depth)
        return MappingProxyType(members)

    def _plausible(self, count: int) -> int:
        """A declared number of items; each takes a byte at least."""
        if count > len(self._data) - self.position:
            raise self.refuse("cbor_truncated", "declares more items than it has bytes")
        return count

    def _indefinite(self, major: int, depth: int) -> CborValue:
        if major == _ARRAY:
            items: list[CborValue] = []
            while not self._at_break():
                items.append(self.value(depth + 1))
            return tuple(items)
        if major == _MAP:
            members: dict[CborKey, CborValue] = {}
            while not self._at_break():
                self._member(members, depth)
            return MappingProxyType(members)
        raise self.refuse("cbor_indefinite", "holds something else than an array or a map of indefinite length")

    def _member(self, members: dict[CborKey, CborValue], depth: int) -> None:
        key = self.value(depth + 1)
        if isinstance(key, bool) or not isinstance(key, (int, bytes, str)):
            raise self.refuse("cbor_key", "has a key that is neither an integer nor a string")
        if key in members:
            raise self.refuse("cbor_repeated_key", "has the same key twice")
        members[key] = self.value(depth + 1)

    def _at_break(self) -> bool:
        if self.position >= len(self._data):
            raise self.refuse("cbor_truncated", "ends inside a value")
        if self._data[self.position] != _BREAK:
            return False
        self.position += 1
        return True
