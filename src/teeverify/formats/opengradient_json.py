"""JSON as OpenGradient's gateway spells what it hashes, and strict reading of what it sends."""

from __future__ import annotations

import json
from typing import Final

from ..crypto.digests import keccak256
from ..errors import FormatError
from ..limits import MAX_CHAT_BODY
from .strict_json import JsonValue, loads

__all__ = ["gateway_json", "joined_text", "only_choice", "optional_object", "optional_text", "read_object", "text_hash"]

_TEXT_BYTES: Final = "utf-8"


def gateway_json(value: JsonValue) -> str:
    """Python's ``json.dumps(value, sort_keys=True)``: keys by code point, ``", "`` and ``": "``, ASCII with escapes.

    Fractions have Python's ``repr``. The value must have come out of `strict_json.loads`.

    Raises:
        FormatError: ``json_number`` for NaN and infinities.
    """
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False)
    except ValueError:
        raise FormatError("json_number", "a hashed document holds a number that JSON cannot spell") from None


def text_hash(text: str) -> bytes:
    """Keccak-256 (32 bytes) of the text's UTF-8."""
    return keccak256(text.encode(_TEXT_BYTES))


def read_object(body: bytes | str, *, what: str) -> dict[str, JsonValue]:
    """A JSON object, strictly read.

    Raises:
        FormatError: ``answer_shape`` and the codes of `strict_json.loads`.
    """
    document = loads(body, what=what, limit=MAX_CHAT_BODY)
    if not isinstance(document, dict):
        raise FormatError("answer_shape", f"{what} is not a JSON object")
    return document


def only_choice(document: dict[str, JsonValue], *, what: str) -> dict[str, JsonValue] | None:
    """The one member of ``choices``; None where there are none.

    Raises:
        FormatError: ``answer_choices`` for several choices, and for one of another index than 0: one alone is signed.
    """
    choices = document.get("choices")
    if choices is None or choices == []:
        return None
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        raise FormatError("answer_choices", f"{what} does not hold one choice, and only one is signed")
    choice = choices[0]
    if "index" in choice and (type(choice["index"]) is not int or choice["index"] != 0):
        raise FormatError("answer_choices", f"{what} holds a choice of another index than 0")
    return choice


def optional_object(value: JsonValue, *, what: str) -> dict[str, JsonValue]:
    """An object, or an empty one for null and what is absent.

    Raises:
        FormatError: ``answer_shape``.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise FormatError("answer_shape", f"{what} is not an object")
    return value


def optional_text(value: JsonValue, *, what: str) -> str | None:
    """A string, or None for null and what is absent.

    Raises:
        FormatError: ``answer_shape``.
    """
    if value is not None and not isinstance(value, str):
        raise FormatError("answer_shape", f"{what} is not a string")
    return value


def joined_text(content: JsonValue, *, what: str) -> str:
    """The text of ``content``: a string, a list of parts joined, or nothing for null.

    A part is a string, or an object whose ``text`` is one.

    Raises:
        FormatError: ``answer_content`` for anything else, which is no text that could have been signed.
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [None]
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    known = [text for text in texts if isinstance(text, str)]
    if len(known) != len(texts):
        raise FormatError("answer_content", f"{what} holds content that is not text")
    return "".join(known)
