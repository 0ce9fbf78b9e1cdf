"""Alterations of a saved report, and the tables that say which of them must be refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import Final

import attrs
from attrs import frozen

from ..saved import SavedReport

__all__ = ["UNLISTED", "Alteration", "Rules", "Unmeasured"]

UNLISTED: Final = "teeverify does not know this field and does not read it, so nothing vouches for it"
"""Why a field that stands in no table may stay VERIFIED."""


@frozen
class Unmeasured:
    """Alterations that may stay VERIFIED, because no check depends on the field or the policy asks for nothing there.

    ``places`` and ``kinds`` are regular expressions for the whole text. ``given`` names a fact about the report and its
    policy without which the entry does not hold; empty where it always does.
    """

    places: str
    kinds: str
    why: str
    given: str = ""


@frozen(kw_only=True)
class Rules:
    """One table for all fields of a provider: what may stay VERIFIED, and which checks must refuse the rest.

    ``guards`` are pairs of a regular expression for a place and the ids of checks of which one has to refuse; the first
    match counts. A place in neither table is unlisted: nothing reads it.
    """

    unmeasured: tuple[Unmeasured, ...]
    guards: Sequence[tuple[str, frozenset[str]]]

    def why_unmeasured(self, place: str, kind: str, facts: Collection[str]) -> str:
        """Why an alteration may stay VERIFIED; empty where it must not."""
        for entry in self.unmeasured:
            given = not entry.given or entry.given in facts
            if given and re.fullmatch(entry.places, place) and re.fullmatch(entry.kinds, kind):
                return entry.why
        return "" if self.guards_of(place) else UNLISTED

    def guards_of(self, place: str) -> frozenset[str]:
        """The checks of which one must refuse a change at that place; empty where nothing reads it."""
        return next((ids for pattern, ids in self.guards if re.fullmatch(pattern, place)), frozenset())


@frozen(kw_only=True)
class Alteration:
    """One change to a saved report.

    ``subject`` says whose field it is (the id of an attesting environment, ``session``, ``Intel`` or ``NVIDIA``) and
    ``field`` which one, for people. ``kind`` is what is done to it: changed, removed, retyped (replaced by a value of
    another type) and so on. ``place`` is the field as the tables write it. ``unmeasured`` says why the altered report
    may stay VERIFIED, empty where it must not; ``guards`` are the checks of which one has to refuse it. ``make`` builds
    the altered report.

    ``concerns`` are the ids of the subjects whose evidence it touches. Where the policy takes any instance, these must
    not stay VERIFIED, whatever the others come to; empty where the outcome of the whole report counts.
    """

    subject: str
    field: str
    kind: str
    place: str
    unmeasured: str
    guards: frozenset[str]
    concerns: tuple[str, ...] = ()
    make: Callable[[], SavedReport] = attrs.field(eq=False, repr=False)

    @property
    def name(self) -> str:
        """Subject and field: ``model / intel_quote / TD report / MRTD``."""
        return f"{self.subject} / {self.field}"
