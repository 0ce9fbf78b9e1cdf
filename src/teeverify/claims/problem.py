"""What was derived from the bytes of one attesting environment: values that the checks judge.

RFC 9334 calls the environment an attester, what it sent evidence, and the statements taken out of it claims. Deriving
is total: where bytes are absent or bad, the claim is a `Problem` instead of a value, so a check can only ever see a
value that was really there.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from types import MappingProxyType
from typing import TypeVar

import attrs
from attrs import frozen

__all__ = ["Problem", "ProblemKind", "UnjudgeableError", "need", "problems_in"]

T = TypeVar("T")

_CLAIMS = "teeverify.claims."


class ProblemKind(enum.Enum):
    """Why a claim has no value."""

    MALFORMED = "malformed"
    """The evidence is there and does not have its format (fails evidence.wellformed)."""
    ABSENT = "absent"
    """The evidence should be there and is not (fails evidence.complete)."""
    INVALID = "invalid"
    """The bytes are well-formed and cryptography or arithmetic refuses them (fails the check that owns it)."""
    UNAVAILABLE = "unavailable"
    """An endorsement or a connection key could not be had (leaves checks unevaluated; never a pass)."""


@frozen(kw_only=True)
class Problem:
    """The place of a claim that could not be derived.

    ``code`` is a stable snake_case reason, ``detail`` a sentence, ``where`` the part of the evidence concerned.
    """

    kind: ProblemKind
    code: str
    detail: str
    where: str = ""


class UnjudgeableError(Exception):
    """Raised inside a check whose claim is a `Problem`; the appraisal turns it into ``unevaluated``."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def need(claim: T | Problem) -> T:
    """Return the claim's value, or raise `UnjudgeableError` when it is a `Problem`."""
    if isinstance(claim, Problem):
        raise UnjudgeableError(claim)
    return claim


def problems_in(value: object) -> Iterator[Problem]:
    """Yield every `Problem` inside a claims value, tuple or mapping, depth first.

    evidence.wellformed and evidence.complete use it, so that no part of the evidence has to be listed by hand there.
    Values of `teeverify.formats` are whole by construction and hold no Problem, so they are not searched.
    """
    kind = type(value)
    if kind is Problem:
        yield value  # type: ignore[misc]
    elif kind is tuple:
        for item in value:  # type: ignore[attr-defined]
            yield from problems_in(item)
    elif kind in (dict, MappingProxyType):
        for item in value.values():  # type: ignore[attr-defined]
            yield from problems_in(item)
    elif kind.__module__.startswith(_CLAIMS) and attrs.has(kind):
        for field in attrs.fields(kind):
            yield from problems_in(getattr(value, field.name))
