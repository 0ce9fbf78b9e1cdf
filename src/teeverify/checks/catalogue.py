"""The catalogue: what a check is, what it returns, and the decorator that registers it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias

from attrs import frozen

from ..check_ids import KNOWN, MANDATORY
from ..errors import UnknownCheckError
from ..policy import Policy
from ..verdict import Status

__all__ = [
    "Check",
    "Finding",
    "all_checks",
    "check",
    "failed",
    "get_check",
    "info",
    "not_applicable",
    "passed",
    "unevaluated",
]


@frozen
class Finding:
    """What a check found: status, stable reason code (empty on a pass), a sentence, and the two values compared."""

    status: Status
    reason: str
    summary: str
    expected: str | None = None
    observed: str | None = None


def passed(summary: str, *, expected: str | None = None, observed: str | None = None) -> Finding:
    """The claim is what it should be."""
    return Finding(Status.PASS, "", summary, expected, observed)


def failed(reason: str, summary: str, *, expected: str | None = None, observed: str | None = None) -> Finding:
    """The claim is not what it should be."""
    return Finding(Status.FAIL, reason, summary, expected, observed)


def unevaluated(reason: str, summary: str, *, expected: str | None = None, observed: str | None = None) -> Finding:
    """Something that the check needs could not be had."""
    return Finding(Status.UNEVALUATED, reason, summary, expected, observed)


def not_applicable(reason: str, summary: str) -> Finding:
    """There is nothing to judge here, and the policy asks for nothing."""
    return Finding(Status.NOT_APPLICABLE, reason, summary)


def info(reason: str, summary: str, *, expected: str | None = None, observed: str | None = None) -> Finding:
    """A fact that the reader should know; nothing enforces it."""
    return Finding(Status.INFO, reason, summary, expected, observed)


CheckFunction: TypeAlias = Callable[[Any, Policy], Finding]
"""Of a `Subject`, or of an `ExchangeSubject` for the checks of the exchange theme."""


@frozen(kw_only=True)
class Check:
    """One entry of the catalogue.

    ``requires`` are ids of prerequisites. ``reasons`` maps every reason code that the check itself can give to one
    sentence; ``unwaivable`` names those of them that a waiver of the check does not reach; ``anchor`` is what a pass
    rests on; ``source`` the public document that the check follows.
    """

    id: str
    title: str
    explanation: str
    requires: tuple[str, ...]
    source: str
    anchor: str
    reasons: dict[str, str]
    judge: CheckFunction
    unwaivable: frozenset[str] = frozenset()

    @property
    def mandatory(self) -> bool:
        """True when no policy may waive this check."""
        return self.id in MANDATORY


_REGISTRY: dict[str, Check] = {}
_THEMES = (
    "evidence", "freshness", "tdx", "tcb", "binding", "dstack", "dstack_config", "pins", "compose_pins", "gpu",
    "nitro", "enclave", "channel", "receipt", "aci", "exchange", "upstream", "session",
)  # fmt: skip


def check(
    check_id: str,
    *,
    title: str,
    explanation: str,
    source: str,
    anchor: str,
    reasons: dict[str, str],
    requires: tuple[str, ...] = (),
    unwaivable: tuple[str, ...] = (),
) -> Callable[[CheckFunction], CheckFunction]:
    """Register the decorated function in the catalogue under ``check_id``."""

    def register(judge: CheckFunction) -> CheckFunction:
        if check_id not in KNOWN or check_id in _REGISTRY:
            raise RuntimeError(f"check id {check_id} is unknown or registered twice")
        _REGISTRY[check_id] = Check(
            id=check_id,
            title=title,
            explanation=explanation,
            requires=requires,
            source=source,
            anchor=anchor,
            reasons=reasons,
            judge=judge,
            unwaivable=frozenset(unwaivable),
        )
        return judge

    return register


@lru_cache(maxsize=1)
def all_checks() -> tuple[Check, ...]:
    """Every check of the catalogue, in the order of `teeverify.check_ids.KNOWN`."""
    for theme in _THEMES:
        importlib.import_module(f"teeverify.checks.{theme}")
    return tuple(_REGISTRY[check_id] for check_id in KNOWN if check_id in _REGISTRY)


def get_check(check_id: str) -> Check:
    """The check with that id.

    Raises:
        UnknownCheckError: no check has that id.
    """
    for entry in all_checks():
        if entry.id == check_id:
            return entry
    raise UnknownCheckError(f"there is no check {check_id!r}: `teeverify checks` lists the ids")
