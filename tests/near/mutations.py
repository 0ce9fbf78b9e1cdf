"""What is done to one place of a report: values changed, types confused, members removed, entries moved."""

from __future__ import annotations

import json
from collections.abc import Iterator

from .tampering import REMOVED, Json, Path

__all__ = ["flip_hex", "mutations", "other_value"]

_HEX = frozenset("0123456789abcdef")
_SAMPLES = (0, 22)
"""Entries of a list that get every mutation; in captured event logs the second is the compose-hash event."""


def mutations(path: Path, value: Json) -> Iterator[tuple[str, Json]]:
    """Name and new value of everything that is done to one place.

    Entries of long lists are alike: only two of them (in an event log a boot event and an identity event) get every
    mutation, every leaf of the others is changed once.
    """
    if isinstance(value, dict | list):
        yield from _of_container(path, value)
    else:
        yield from _of_leaf(path, value)


def other_value(value: Json) -> Json:
    """Another value of the same type and, for hex, of the same form."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return flip_hex(value, len(value) // 2) if _is_hex(value) else f"{value}x"
    raise AssertionError(f"no leaf is of type {type(value)}")


def flip_hex(text: str, place: int) -> str:
    """The text with one hex digit changed."""
    return text[:place] + ("0" if text[place] != "0" else "1") + text[place + 1 :]


def _of_leaf(path: Path, value: Json) -> Iterator[tuple[str, Json]]:
    yield "changed", other_value(value)
    if not _is_sample(path):
        return
    yield "removed", REMOVED
    yield "null", None
    if "vm_config" in path[:-1] and path[-1] != "os_image_hash":
        return  # eleven settings that nothing reads
    yield "list", [value]
    yield "object", {"value": value}
    yield "true", True
    if isinstance(value, str):
        yield "number", 0
        yield "empty", ""
        yield "nested", json.dumps(value)
        if _is_hex(value) and value:
            yield "first digit", flip_hex(value, 0)
            yield "last digit", flip_hex(value, len(value) - 1)
            yield "short", value[:-2]
            yield "long", f"{value}00"
            yield "odd", value[:-1]
            yield "prefixed", f"0x{value}"
            yield "spaced", f" {value}"
    else:
        yield "text", str(value)
        yield "negative", -1 - value
        yield "huge", 1 << 70
        yield "fraction", value + 0.5


def _of_container(path: Path, value: Json) -> Iterator[tuple[str, Json]]:
    if _is_sample(path):
        yield "removed", REMOVED
        yield "null", None
        yield "empty list", []
        yield "empty object", {}
        yield "number", 0
        yield "true", True
        yield "word", "word"
        yield "wrapped", [value]
    if isinstance(value, list) and value:
        yield "first dropped", value[1:]
        yield "last dropped", value[:-1]
        yield "last repeated", [*value, value[-1]]
        yield "first repeated", [value[0], *value]
        yield "junk appended", [*value, {}]
        if len(value) > 1:
            yield "reversed", value[::-1]
            yield "ends swapped", [value[-1], *value[1:-1], value[0]]
            yield "last two swapped", [*value[:-2], value[-1], value[-2]]


def _is_sample(path: Path) -> bool:
    """True unless the place is in one of the many like entries of a list that are no samples."""
    indices = [step for step in path if isinstance(step, int)]
    if not indices or path[0] == "model_attestations":
        indices = indices[1:]
    return all(index in _SAMPLES for index in indices)


def _is_hex(text: str) -> bool:
    return len(text) >= 8 and set(text.lower()) <= _HEX
