"""JSON in one spelling, so that a signature over it can be verified from the parsed value."""

from __future__ import annotations

import json
from typing import Final

from ..errors import FormatError
from .strict_json import JsonValue

__all__ = ["ascii_canonical", "jcs"]

_EXACT: Final = 2**53
"""Beyond this, doubles do not hold every integer (RFC 8785, appendix D)."""


def ascii_canonical(value: JsonValue) -> bytes:
    """The spelling that vllm-proxy signs: keys sorted by code point, no spaces, ASCII with lower-case escapes.

    It is Python's ``json.dumps(value, sort_keys=True, separators=(",", ":"))`` (chain API of vllm-proxy), so fractions
    have the shortest spelling that Python reads back as the same double.

    Raises:
        FormatError: ``json_number`` where a number is no JSON number (NaN, infinities).
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")
    except ValueError:
        raise FormatError("json_number", "a signed document holds a number that JSON cannot spell") from None


def jcs(value: JsonValue) -> bytes:
    """RFC 8785 for documents without fractions, which is all that ACI signs: UTF-8, keys sorted, no spaces.

    RFC 8785 sorts keys by UTF-16 code units.

    Raises:
        FormatError: ``json_number`` where a number is a fraction, or larger than a double holds exactly;
            ``json_surrogate`` where a text holds a lone surrogate.
    """
    try:
        if _is_plain(value):  # no key for which the two orders of sorting differ
            text = json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
            return text.encode("utf-8")
        return _spelled(value).encode("utf-8")
    except UnicodeEncodeError:
        raise FormatError("json_surrogate", "a signed document holds a lone surrogate, which is not text") from None


def _is_plain(value: JsonValue) -> bool:
    """True where no key holds a character beyond the first 65,536, so that code points and code units sort alike.

    Raises:
        FormatError: ``json_number``.
    """
    plain, level = True, [value]
    while level:
        below: list[JsonValue] = []
        for item in level:
            if isinstance(item, dict):
                plain = plain and all(name.isascii() or max(name) <= "\uffff" for name in item)
                below += item.values()
            elif isinstance(item, list):
                below += item
            elif isinstance(item, float) or (type(item) is int and abs(item) > _EXACT):
                raise FormatError("json_number", "a signed document holds a number that has more than one spelling")
        level = below
    return plain


def _spelled(value: JsonValue) -> str:
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{_spelled(name)}:{_spelled(value[name])}" for name in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_spelled, value)) + "]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
