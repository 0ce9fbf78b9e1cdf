"""JSON (RFC 8259) read so that no two readers can disagree: bounded, and without duplicate keys, NaN or surrogates."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, NoReturn, TypeAlias

from ..errors import FormatError
from ..limits import MAX_JSON_DEPTH, MAX_JSON_INT_DIGITS

__all__ = ["JsonValue", "json_digest", "loads", "member_text", "same_json"]

_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")

JsonValue: TypeAlias = Any
"""A JSON value: dict, list, str, int, float, bool or None."""


def loads(data: bytes | str, *, what: str, limit: int) -> JsonValue:
    """Read one JSON document.

    Args:
        data: UTF-8 bytes, or text that was itself inside a JSON string.
        what: what the document is, for the error's sentence.
        limit: most bytes (or characters) accepted.

    Raises:
        FormatError: ``json_too_large``, ``json_not_utf8``, ``json_syntax``, ``json_duplicate_key``, ``json_number``,
            ``json_too_deep`` or ``json_surrogate``.
    """
    if len(data) > limit:
        raise FormatError("json_too_large", f"{what} is {len(data)} bytes long, at most {limit} are accepted")
    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
    except UnicodeDecodeError as error:
        raise FormatError("json_not_utf8", f"{what} is not UTF-8 at byte {error.start}") from None
    try:
        value = _DECODER.decode(text)
    except _RefusedError as refused:
        raise FormatError(refused.code, f"{what} {refused}") from None
    except json.JSONDecodeError as error:
        raise FormatError("json_syntax", f"{what} is not JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise FormatError("json_too_deep", f"{what} is nested more than {MAX_JSON_DEPTH} levels deep") from None
    _bound_depth(value, what)
    if _SURROGATE_ESCAPE.search(text) or not (isinstance(data, bytes) or _encodable(text)):
        _refuse_lone_surrogates(value, what)
    return value


def member_text(document: str, key: str, *, what: str) -> str:
    """The exact text of one member of a JSON object, as it stands in the document.

    Intel signs these bytes (PCS API v4, "tcbInfo" and "enclaveIdentity"), so they must never be serialised again. The
    caller has read the document with `loads`, hence keys are unique; this finds the member by walking the object, so
    that a decoy of the same spelling inside a string or a nested object cannot be sliced instead.

    Raises:
        FormatError: ``json_syntax`` when the document is not an object, ``json_missing_member`` when the key is absent.
    """
    position = _skip_space(document, 0)
    if document[position : position + 1] != "{":
        raise FormatError("json_syntax", f"{what} is not a JSON object")
    position = _skip_space(document, position + 1)
    try:
        while document[position : position + 1] == '"':
            name, position = _DECODER.raw_decode(document, position)
            start = _skip_space(document, _skip_space(document, position) + 1)
            _, position = _DECODER.raw_decode(document, start)
            if name == key:
                return document[start:position]
            position = _skip_space(document, _skip_space(document, position) + 1)
    except (ValueError, RecursionError, _RefusedError):
        raise FormatError("json_syntax", f"{what} is not JSON") from None
    raise FormatError("json_missing_member", f"{what} has no member {key!r}")


def same_json(one: JsonValue, other: JsonValue) -> bool:
    """True when two JSON values are the same value of the same types; Python's own ``==`` takes true for 1 and 1.0."""
    if type(one) is not type(other):
        return False
    if type(one) is dict:
        return one.keys() == other.keys() and all(same_json(value, other[key]) for key, value in one.items())
    if type(one) is list:
        return len(one) == len(other) and all(map(same_json, one, other))
    return bool(one == other)


def json_digest(value: JsonValue) -> bytes:
    """32 bytes that two JSON values share exactly where `same_json` is true; for many comparisons of large values."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).digest()


class _RefusedError(Exception):
    """Legal for the standard library's reader and refused here."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def _unique(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _RefusedError("json_duplicate_key", "repeats a key in one object")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise _RefusedError("json_number", f"holds {name}, which is not JSON")


def _integer(digits: str) -> int:
    if len(digits) > MAX_JSON_INT_DIGITS:
        raise _RefusedError("json_number", f"holds a number of {len(digits)} digits")
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits) if len(digits) <= MAX_JSON_INT_DIGITS else float("inf")
    if number in (float("inf"), float("-inf")):
        raise _RefusedError("json_number", "holds a number out of range")
    return number


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_int=_integer, parse_float=_float
)


def _skip_space(text: str, position: int) -> int:
    while text[position : position + 1] in (" ", "\t", "\n", "\r"):
        position += 1
    return position


def _bound_depth(value: JsonValue, what: str) -> None:
    level = [value]
    for _ in range(MAX_JSON_DEPTH):
        level = [
            item
            for container in level
            if type(container) in (dict, list)
            for item in (container.values() if type(container) is dict else container)
        ]
        if not level:
            return
    raise FormatError("json_too_deep", f"{what} is nested more than {MAX_JSON_DEPTH} levels deep")


def _refuse_lone_surrogates(value: JsonValue, what: str) -> None:
    """A lone surrogate has no UTF-8 form, so nothing could hash the string that holds it."""
    level = [value]
    while level:
        for item in level:
            if isinstance(item, str) and not _encodable(item):
                raise FormatError("json_surrogate", f"{what} holds a lone surrogate, which is not text")
        level = [
            inner
            for item in level
            if isinstance(item, (dict, list))
            for inner in ([*item.keys(), *item.values()] if isinstance(item, dict) else item)
        ]


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
