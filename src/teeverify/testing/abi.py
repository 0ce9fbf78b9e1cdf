"""Ethereum's contract ABI, as a node answers in it: an encoder of its own, not the reader's rules turned round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen

__all__ = ["AbiArray", "AbiBytes", "AbiTuple", "abi_encode", "selector", "word"]


@frozen
class AbiBytes:
    """``bytes`` or ``string``."""

    content: bytes


@frozen
class AbiArray:
    """An array without a fixed length."""

    items: tuple[Any, ...]


@frozen
class AbiTuple:
    """A struct. Its members are int (of any width, or bool), bytes (of 32), or values of this module."""

    members: tuple[Any, ...]


def word(number: int) -> bytes:
    """A number in 32 bytes, big-endian."""
    return number.to_bytes(32, "big")


def selector(signature: str) -> bytes:
    """The four bytes by which a call names a function, such as ``getTEE(bytes32)``."""
    from Crypto.Hash import keccak

    return keccak.new(digest_bits=256, data=signature.encode()).digest()[:4]


def abi_encode(values: Sequence[Any]) -> bytes:
    """What a function returns: a head for each value (itself, or how far its body lies behind the first head), then
    the bodies."""
    bodies = [_body(value) for value in values]
    moved = [_is_dynamic(value) for value in values]
    place = sum(32 if far else len(body) for far, body in zip(moved, bodies, strict=True))
    heads, tails = [], []
    for far, body in zip(moved, bodies, strict=True):
        if not far:
            heads.append(body)
            continue
        heads.append(word(place))
        tails.append(body)
        place += len(body)
    return b"".join((*heads, *tails))


def _is_dynamic(value: Any) -> bool:
    if isinstance(value, AbiTuple):
        return any(_is_dynamic(member) for member in value.members)
    return isinstance(value, (AbiBytes, AbiArray))


def _body(value: Any) -> bytes:
    match value:
        case int():
            return word(value)
        case bytes():
            return value.ljust(32, b"\0")
        case AbiBytes(content=content):
            return word(len(content)) + content + b"\0" * (-len(content) % 32)
        case AbiArray(items=items):
            return word(len(items)) + abi_encode(items)
        case AbiTuple(members=members):
            return abi_encode(members)
    raise TypeError(f"{type(value).__name__} is no value of the ABI")
