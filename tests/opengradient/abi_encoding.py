"""Ethereum's ABI encoder, written for the tests from its specification: values carry their own types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from attrs import evolve, frozen

__all__ = ["Array", "Record", "Text", "encode_values", "ohttp", "tee", "word"]


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


@frozen
class Text:
    """A string or dynamic bytes."""

    content: bytes


@frozen
class Array:
    items: tuple[Any, ...]


@frozen
class Record:
    """A tuple; members are ints, 32 bytes, `Text`, `Array` or `Record`."""

    members: tuple[Any, ...]

    def with_member(self, place: int, value: Any) -> Record:
        return evolve(self, members=(*self.members[:place], value, *self.members[place + 1 :]))


def _dynamic(value: Any) -> bool:
    return isinstance(value, (Text, Array)) or (isinstance(value, Record) and any(map(_dynamic, value.members)))


def _encoded(value: Any) -> bytes:
    if isinstance(value, int):
        return word(value)
    if isinstance(value, bytes):
        return value
    if isinstance(value, Text):
        return word(len(value.content)) + value.content + bytes(-len(value.content) % 32)
    if isinstance(value, Array):
        return word(len(value.items)) + encode_values(value.items)
    return encode_values(value.members)


def encode_values(values: Sequence[Any]) -> bytes:
    """Heads, then tails, each pointer relative to the start of the heads."""
    parts = [(_dynamic(value), _encoded(value)) for value in values]
    place = sum(32 if dynamic else len(encoded) for dynamic, encoded in parts)
    heads, tails = b"", b""
    for dynamic, encoded in parts:
        heads += word(place + len(tails)) if dynamic else encoded
        tails += encoded if dynamic else b""
    return heads + tails


HPKE_KEY: Final = bytes.fromhex("b1f1b840de7a3241b02748cf9b05b74dc8c5e8451298738817bd76aa8ebe8c2b")


def ohttp(key: bytes = HPKE_KEY, config: bytes | None = None, numbers: tuple[int, ...] = (1, 32, 1, 3)) -> Record:
    """OhttpConfig; the encoded configuration is that of the key unless given."""
    blob = b"\x01\x00\x20" + key + bytes.fromhex("000400010003") if config is None else config
    return Record((*numbers, Text(key), Text(blob), 0x698E1433))


def tee(signing_key: bytes = b"\x30\x03\x02\x01\x05", ohttp_config: Record | None = None) -> Record:
    """TEEInfo; without an OhttpConfig it has the legacy layout."""
    members = (
        int("11" * 20, 16),
        int("22" * 20, 16),
        Text(b"https://192.0.2.7"),
        Text(signing_key),
        Text(b"\x30\x00"),
        b"\xab" * 32,
        0,
        1,
        0x698E1432,
        0x698E1458,
    )
    return Record(members if ohttp_config is None else (*members, ohttp_config))
