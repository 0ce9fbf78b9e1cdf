"""Reading that may be refused, for property tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from attrs import frozen

from teeverify.errors import FormatError

T = TypeVar("T")


@frozen
class Refused:
    """The only way in which a reader may refuse; any other exception goes through."""

    code: str


def attempt(read: Callable[[], T]) -> T | Refused:
    try:
        return read()
    except FormatError as refused:
        return Refused(refused.code)
