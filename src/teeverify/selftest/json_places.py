"""Places inside a JSON value, and what is put there.

A place is a path of member names and indices. Some members hold JSON as text; the step `TEXT` goes into one, and what
is written back keeps the text's own style, so that nothing else in it changes.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from ..formats.strict_json import JsonValue

__all__ = [
    "REMOVED",
    "TEXT",
    "Path",
    "get",
    "holds_json",
    "is_hex",
    "nodes",
    "other_value",
    "put",
    "shape",
    "spell",
    "styled",
]

Path: TypeAlias = tuple[str | int, ...]

TEXT: Final = "<json>"
"""Step into a member whose text is itself JSON."""
REMOVED: Final = object()
"""Put in the place of a member or entry that is to be deleted."""

_HEX: Final = re.compile(r"[0-9a-fA-F]{8,}\Z")
_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z\Z")
_COMPACT: Final[Mapping[str, Any]] = {"separators": (",", ":"), "ensure_ascii": False}
_STYLES: Final[tuple[Mapping[str, Any], ...]] = (
    _COMPACT,
    {"separators": (",", ":")},
    *({"indent": indent, "ensure_ascii": ascii_only} for indent in (None, 2, 4) for ascii_only in (False, True)),
)


def nodes(value: JsonValue, *, text_members: frozenset[str], path: Path = ()) -> Iterator[tuple[Path, JsonValue]]:
    """Every member and entry of a JSON value with its path, containers before what they hold.

    Members named in ``text_members`` that hold a JSON object or array as text are gone into.
    """
    if path:
        yield path, value
    if path and path[-1] in text_members and holds_json(value):
        value, path = json.loads(value), (*path, TEXT)
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield from nodes(inner, text_members=text_members, path=(*path, step))


def holds_json(value: JsonValue) -> bool:
    """True for a text that begins like a JSON object or array."""
    return isinstance(value, str) and value.lstrip()[:1] in ("{", "[")


def get(value: JsonValue, path: Path) -> JsonValue:
    """What stands at a place; KeyError or IndexError where there is no such place."""
    for step in path:
        value = json.loads(value) if step == TEXT else value[step]
    return value


def put(value: JsonValue, path: Path, new: JsonValue | Callable[[JsonValue], JsonValue]) -> JsonValue:
    """A copy with another value at one place; a function is given the old value. Only what changes is copied."""
    if not path:
        return new(value) if callable(new) else new
    step, rest = path[0], path[1:]
    if step == TEXT:
        return styled(put(json.loads(value), rest, new), like=value)
    copy: JsonValue = dict(value) if isinstance(value, dict) else list(value)
    if not rest and new is REMOVED:
        del copy[step]
    else:
        old = copy.get(step) if isinstance(value, dict) else copy[step]
        copy[step] = put(old, rest, new)
    return copy


def styled(value: JsonValue, *, like: str) -> str:
    """The value as JSON text, written the way ``like`` is: compact, spaced or indented; compact where unknown."""
    return json.dumps(value, **_style(like))


def spell(path: Path) -> str:
    """A path for people: ``info / tcb_info / event_log[12].digest``; steps into text are not shown."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif step != TEXT:
            text += step if not text else f".{step}" if text.endswith("]") else f" / {step}"
    return text


def shape(path: Path) -> str:
    """A path for tables: ``info.tcb_info.event_log.#.digest``, every index as ``#``."""
    return ".".join("#" if isinstance(step, int) else step for step in path)


def is_hex(text: str) -> bool:
    """True for eight hex digits or more."""
    return _HEX.match(text) is not None


def other_value(value: JsonValue) -> JsonValue:
    """Another value of the same type and of the same form: hex stays hex, a time stays a time, null becomes a text."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if not isinstance(value, str):
        return "x"
    if is_hex(value):
        return _other_digit(value, len(value) // 2)
    return _other_digit(value, len(value) - 2) if _TIME.match(value) else f"{value}x"


def _other_digit(text: str, place: int) -> str:
    return text[:place] + ("0" if text[place] != "0" else "1") + text[place + 1 :]


@functools.lru_cache(maxsize=64)
def _style(text: str) -> Mapping[str, Any]:
    value = json.loads(text)
    return next((style for style in _STYLES if json.dumps(value, **style) == text), _COMPACT)
