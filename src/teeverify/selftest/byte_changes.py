"""Bytes changed without changing their form: one bit of a region, one certificate of a PEM chain, one part of a token.

A change that keeps the form reaches the check behind the parser, which is the one that it is meant for.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from typing import Final

from attrs import frozen

from ..formats.strict_json import JsonValue

__all__ = [
    "BASE64",
    "HEX",
    "Encoding",
    "change_pem",
    "change_token",
    "flip",
    "flip_hex",
    "pem_blocks",
    "read_token_part",
]

_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----\r?\n?", re.DOTALL)


@frozen
class Encoding:
    """How bytes stand in a text."""

    decode: Callable[[str], bytes]
    encode: Callable[[bytes], str]

    def changed(self, change: Callable[[bytes], bytes], text: str) -> str:
        """The text with a change made to the bytes that it encodes."""
        return self.encode(change(self.decode(text)))


def _to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


HEX: Final = Encoding(bytes.fromhex, bytes.hex)
BASE64: Final = Encoding(base64.b64decode, _to_base64)


def flip(data: bytes, place: int) -> bytes:
    """The bytes with the lowest bit of one byte turned over; a negative place counts from the end."""
    place %= len(data)
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def flip_hex(text: str, place: int) -> str:
    """The same for hex digits; ``place`` counts bytes."""
    return flip(bytes.fromhex(text), place).hex()


def pem_blocks(pem: bytes) -> tuple[bytes, ...]:
    """The certificates of a PEM text as they stand in it, each with its line end."""
    return tuple(match[0] for match in _PEM.finditer(pem))


def change_pem(pem: bytes, index: int, change: Callable[[bytes], bytes]) -> bytes:
    """The text with the DER of one certificate changed; the length of the DER and all line breaks stay."""
    match = list(_PEM.finditer(pem))[index]
    old = match[1]
    new = iter(base64.b64encode(change(base64.b64decode(b"".join(old.split())))))
    body = bytes(byte if byte in b" \t\r\n" else next(new) for byte in old)
    return pem[: match.start(1)] + body + pem[match.end(1) :]


def read_token_part(token: str, part: int) -> JsonValue:
    """Header (0) or payload (1) of a compact token."""
    text = token.split(".")[part]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def change_token(token: str, part: int, change: Callable[[JsonValue], JsonValue]) -> str:
    """The token with its header (0) or payload (1) changed as JSON, or its signature (2) as bytes."""
    parts = token.split(".")
    if part == 2:
        data = change(base64.urlsafe_b64decode(parts[2] + "=" * (-len(parts[2]) % 4)))
    else:
        data = json.dumps(change(read_token_part(token, part)), separators=(",", ":")).encode()
    parts[part] = base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    return ".".join(parts)
