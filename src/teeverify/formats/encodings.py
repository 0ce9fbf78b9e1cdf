"""Hex and base64 (RFC 4648) read strictly: one spelling of the alphabet, exact lengths, no white space."""

from __future__ import annotations

import base64
import binascii
import re

from ..errors import FormatError

__all__ = ["decode_base64", "decode_hex"]

_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*\Z")


def decode_hex(text: object, *, what: str, size: int | None = None, limit: int | None = None) -> bytes:
    """Read hex digits of either case, without prefix.

    Args:
        text: the value as it came out of JSON; anything but a string is refused.
        what: what the value is, for the error's sentence.
        size: exact number of bytes expected.
        limit: most bytes accepted, where no exact size is known.

    Raises:
        FormatError: ``not_hex`` or ``wrong_length``.
    """
    if not isinstance(text, str):
        raise FormatError("not_hex", f"{what} is {_kind(text)}, a string of hex digits was expected")
    if limit is not None and len(text) > 2 * limit:
        raise FormatError("wrong_length", f"{what} is {len(text)} characters long, at most {2 * limit} are accepted")
    if size is not None and len(text) != 2 * size:
        raise FormatError("wrong_length", f"{what} is {len(text)} characters long, {2 * size} hex digits were expected")
    if not _HEX.match(text):
        raise FormatError("not_hex", f"{what} is not an even number of hex digits")
    return bytes.fromhex(text)


def decode_base64(text: object, *, what: str, limit: int) -> bytes:
    """Read standard base64 with padding (RFC 4648 section 4), at most ``limit`` decoded bytes.

    Raises:
        FormatError: ``not_base64`` or ``wrong_length``.
    """
    if not isinstance(text, str):
        raise FormatError("not_base64", f"{what} is {_kind(text)}, a base64 string was expected")
    if len(text) > 4 * (limit // 3 + 1):
        raise FormatError("wrong_length", f"{what} is {len(text)} characters long, more than {limit} bytes")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise FormatError("not_base64", f"{what} is not standard base64") from None
    if len(data) > limit:
        raise FormatError("wrong_length", f"{what} is {len(data)} bytes long, at most {limit} are accepted")
    if base64.b64encode(data).decode() != text:  # non-zero spare bits: a second spelling of the same bytes
        raise FormatError("not_base64", f"{what} is not canonical base64")
    return data


def _kind(value: object) -> str:
    return "missing" if value is None else f"of type {type(value).__name__}"
