"""An encoder of CBOR (RFC 8949), written apart from the reader so that the two check each other.

It can also write what the reader must refuse: `Verbatim` bytes, repeated keys, and forms longer than the shortest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

__all__ = ["Indefinite", "Pairs", "Tag", "Verbatim", "encode", "head"]


@frozen
class Verbatim:
    """Bytes that are written as they are."""

    encoding: bytes


@frozen
class Tag:
    """A value behind a tag."""

    number: int
    value: Any


@frozen
class Indefinite:
    """An array or map that is written with indefinite length."""

    value: Any


@frozen
class Pairs:
    """A map as its members, so that keys may repeat."""

    members: Sequence[tuple[Any, Any]]


def head(major: int, argument: int, size: int | None = None) -> bytes:
    """The head of an item; ``size`` (0, 1, 2, 4 or 8 bytes of argument) may be longer than is needed."""
    if size is None:
        size = next(s for s in (0, 1, 2, 4, 8) if argument < (24 if s == 0 else 1 << 8 * s))
    if size == 0:
        return bytes([major << 5 | argument])
    return bytes([major << 5 | {1: 24, 2: 25, 4: 26, 8: 27}[size]]) + argument.to_bytes(size, "big")


def encode(value: Any) -> bytes:
    """The encoding of integers, bytes, texts, booleans, None, sequences, mappings and the classes of this module."""
    if isinstance(value, Verbatim):
        return value.encoding
    if value is None or isinstance(value, bool):
        return {None: b"\xf6", True: b"\xf5", False: b"\xf4"}[value]
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        text = value.encode("utf-8")
        return head(3, len(text)) + text
    if isinstance(value, Tag):
        return head(6, value.number) + encode(value.value)
    if isinstance(value, Indefinite):
        return bytes([_major(value.value) << 5 | 31]) + _items(value.value) + b"\xff"
    return head(_major(value), len(value.members if isinstance(value, Pairs) else value)) + _items(value)


def _major(value: Any) -> int:
    return 5 if isinstance(value, (Mapping, Pairs)) else 4


def _items(value: Any) -> bytes:
    if isinstance(value, Mapping):
        value = Pairs(tuple(value.items()))
    if isinstance(value, Pairs):
        return b"".join(encode(key) + encode(member) for key, member in value.members)
    return b"".join(encode(item) for item in value)
