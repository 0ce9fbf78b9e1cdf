"""Ethereum's contract ABI: return data read in its one standard encoding, and calls with arguments of one word each.

Solidity's encoder always writes what the ABI specification calls strict mode: the data of dynamic values stands in
order, without gap and without overlap. Only that is read here, so a value has exactly one encoding and every pointer is
known before it is looked at. Types are written as in a Solidity signature: ``(address,bytes[],bool)``.
"""

from __future__ import annotations

import functools
import re
from typing import Any, Final, TypeAlias

from attrs import frozen

from ..crypto.digests import keccak256
from ..errors import FormatError
from ..limits import MAX_REGISTRY_ENTRIES

__all__ = ["WORD", "AbiValue", "decode_abi", "selector", "word_at", "write_call"]

AbiValue: TypeAlias = Any
"""``uintN`` is int, ``bool`` bool, ``address`` 20 bytes, ``bytesN`` and ``bytes`` bytes, ``string`` str; tuples and
arrays are tuples."""

WORD: Final = 32
"""Bytes of one word."""

_TOKEN: Final = re.compile(r"\(|\)|,|\[\]|[a-z]+[0-9]*")
_NAME: Final = re.compile(r"([a-z]+)([0-9]*)\Z")
_ADDRESS: Final = 20


@frozen
class _Type:
    """``size`` is the bits of a uint or the bytes of a bytesN; ``members`` are a tuple's, or an array's one."""

    kind: str
    size: int = 0
    members: tuple[_Type, ...] = ()

    @property
    def dynamic(self) -> bool:
        """True for what stands behind a pointer."""
        return self.kind in ("bytes", "string", "array") or any(member.dynamic for member in self.members)

    @property
    def head(self) -> int:
        """Bytes that the value takes where it is listed: itself, or the pointer to it."""
        if self.kind == "tuple" and not self.dynamic:
            return sum(member.head for member in self.members)
        return WORD


def decode_abi(types: str, data: bytes, *, what: str) -> tuple[AbiValue, ...]:
    """Read the return data of a call.

    Args:
        types: the return types, separated by commas.
        data: the data, which must be filled exactly.
        what: what the data is, for the error's sentence.

    Raises:
        FormatError: ``abi_length`` (no whole number of words), ``abi_truncated``, ``abi_trailing``, ``abi_pointer``
            (anything but the standard place), ``abi_padding``, ``abi_integer`` (wider than its type), ``abi_bool``,
            ``abi_address``, ``abi_count`` (an array that is too long) or ``abi_not_utf8``.
    """
    if len(data) % WORD:
        raise FormatError("abi_length", f"{what} is {len(data)} bytes long, a multiple of {WORD} was expected")
    reading = _Reading(data, what)
    values, end = reading.sequence(_members(types), 0)
    if end != len(data):
        raise FormatError("abi_trailing", f"{what} goes on for {len(data) - end} bytes after its last value")
    return values


def word_at(data: bytes, position: int, *, what: str) -> int:
    """The word at a byte position as a number.

    Raises:
        FormatError: ``abi_truncated``.
    """
    if not 0 <= position <= len(data) - WORD:
        raise FormatError("abi_truncated", f"{what} ends before byte {position + WORD}")
    return int.from_bytes(data[position : position + WORD], "big")


def selector(signature: str) -> bytes:
    """The first four bytes of a call: Keccak-256 of the function's signature, such as ``isTEEActive(bytes32)``."""
    return keccak256(signature.encode("ascii"))[:4]


def write_call(signature: str, *arguments: int | bool | bytes) -> bytes:
    """The data of a call whose arguments take one word each.

    Args:
        signature: name and types, without spaces.
        arguments: as many as there are types: int for ``uintN``, bool for ``bool``, bytes of the exact size for
            ``bytesN`` and ``address``.

    Raises:
        FormatError: ``abi_argument`` where an argument does not fit its type.
    """
    kinds = _members(signature[signature.index("(") + 1 : -1])
    if len(kinds) != len(arguments):
        raise FormatError("abi_argument", f"{len(arguments)} arguments were given, {signature} takes {len(kinds)}")
    words = (_word(kind, argument, signature) for kind, argument in zip(kinds, arguments, strict=True))
    return selector(signature) + b"".join(words)


def _word(kind: _Type, argument: int | bool | bytes, signature: str) -> bytes:
    if kind.kind == "uint" and type(argument) is int and 0 <= argument < 1 << kind.size:
        return argument.to_bytes(WORD, "big")
    if kind.kind == "bool" and type(argument) is bool:
        return int(argument).to_bytes(WORD, "big")
    if kind.kind == "address" and type(argument) is bytes and len(argument) == _ADDRESS:
        return argument.rjust(WORD, b"\0")
    if kind.kind == "fixed" and type(argument) is bytes and len(argument) == kind.size:
        return argument.ljust(WORD, b"\0")
    raise FormatError("abi_argument", f"an argument of {signature} does not fit its type")


class _Reading:
    """One pass over the data; positions are in bytes from its start."""

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._what = what

    def sequence(self, kinds: tuple[_Type, ...], base: int) -> tuple[tuple[AbiValue, ...], int]:
        """The values whose heads stand from ``base`` on, and where the data of the last one ends."""
        place = base
        end = base + sum(kind.head for kind in kinds)
        values: list[AbiValue] = []
        for kind in kinds:
            if kind.dynamic:
                if self._word(place) != end - base:
                    raise FormatError("abi_pointer", f"{self._what} points at byte {place} elsewhere than the standard")
                value, end = self._dynamic(kind, end)
            else:
                value = self._static(kind, place)
            values.append(value)
            place += kind.head
        return tuple(values), end

    def _dynamic(self, kind: _Type, start: int) -> tuple[AbiValue, int]:
        if kind.kind == "tuple":
            return self.sequence(kind.members, start)
        count = self._word(start)
        if kind.kind == "array":
            if count > MAX_REGISTRY_ENTRIES:
                detail = f"{self._what} holds an array of more than {MAX_REGISTRY_ENTRIES} elements"
                raise FormatError("abi_count", detail)
            return self.sequence(kind.members * count, start + WORD)
        content = self._bytes(start + WORD, count)
        end = start + WORD + -(-count // WORD) * WORD
        return (self._text(content) if kind.kind == "string" else content), end

    def _static(self, kind: _Type, place: int) -> AbiValue:
        if kind.kind == "tuple":
            return self.sequence(kind.members, place)[0]
        number = self._word(place)
        if kind.kind == "fixed":
            return self._bytes(place, kind.size)
        if kind.kind == "uint":
            return self._below(number, kind.size, "abi_integer", f"an integer of more than {kind.size} bits")
        if kind.kind == "bool":
            return bool(self._below(number, 1, "abi_bool", "a bool that is neither 0 nor 1"))
        address = self._below(number, 8 * _ADDRESS, "abi_address", f"an address of more than {_ADDRESS} bytes")
        return address.to_bytes(_ADDRESS, "big")

    def _below(self, number: int, bits: int, code: str, words: str) -> int:
        if number >> bits:
            raise FormatError(code, f"{self._what} holds {words}")
        return number

    def _bytes(self, start: int, size: int) -> bytes:
        """``size`` bytes that are padded with zeros to whole words."""
        end = start + -(-size // WORD) * WORD
        if end > len(self._data):
            raise FormatError("abi_truncated", f"{self._what} ends inside a value")
        if any(self._data[start + size : end]):
            raise FormatError("abi_padding", f"{self._what} holds padding that is not zero")
        return self._data[start : start + size]

    def _text(self, content: bytes) -> str:
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError:
            raise FormatError("abi_not_utf8", f"{self._what} holds a string that is not UTF-8") from None

    def _word(self, position: int) -> int:
        return word_at(self._data, position, what=self._what)


@functools.lru_cache(maxsize=64)
def _members(types: str) -> tuple[_Type, ...]:
    """The types of a comma-separated list; they come from this library, so a wrong one is a ValueError."""
    if not types:
        return ()
    tokens = _TOKEN.findall(types)
    if "".join(tokens) != types:
        raise ValueError(f"{types!r} is not a list of ABI types")
    members = _listed(tokens)
    if tokens:
        raise ValueError(f"{types!r} is not a list of ABI types")
    return members


def _listed(tokens: list[str]) -> tuple[_Type, ...]:
    """Takes types off the front of the tokens until none follows a comma."""
    found: list[_Type] = []
    while True:
        found.append(_one(tokens))
        if tokens[:1] != [","]:
            return tuple(found)
        tokens.pop(0)


def _one(tokens: list[str]) -> _Type:
    first = tokens.pop(0) if tokens else ""
    if first == "(":
        kind = _Type("tuple", 0, _listed(tokens))
        if tokens[:1] != [")"]:
            raise ValueError("an ABI tuple is not closed")
        tokens.pop(0)
    else:
        kind = _named(first)
    while tokens[:1] == ["[]"]:
        tokens.pop(0)
        kind = _Type("array", 0, (kind,))
    return kind


def _named(word: str) -> _Type:
    match = _NAME.match(word)
    name, size = (match.group(1), int(match.group(2) or 0)) if match else ("", 0)
    if name == "uint" and 0 < size <= 8 * WORD and size % 8 == 0:
        return _Type("uint", size)
    if name == "bytes" and 0 < size <= WORD:
        return _Type("fixed", size)
    if name in ("bytes", "string", "bool", "address") and not size:
        return _Type(name)
    raise ValueError(f"{word!r} is no ABI type that is known here")
