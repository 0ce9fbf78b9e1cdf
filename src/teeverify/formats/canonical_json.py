"""JSON in one spelling, so that a signature over it can be verified from the parsed value."""

from __future__ import annotations

import json

from ..errors import FormatError
from .strict_json import JsonValue

__all__ = ["ascii_canonical", "jcs"]


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
        return _spelled(value).encode("utf-8")
    except UnicodeEncodeError:
        raise FormatError("json_surrogate", "a signed document holds a lone surrogate, which is not text") from None


def _spelled(value: JsonValue) -> str:
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{_spelled(name)}:{_spelled(value[name])}" for name in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_spelled, value)) + "]"
    if isinstance(value, float) or (type(value) is int and abs(value) > 2**53):
        raise FormatError("json_number", "a signed document holds a number that has more than one spelling")
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
