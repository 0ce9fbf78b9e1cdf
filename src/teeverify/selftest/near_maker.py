"""Making alterations of a NEAR session: one place for the look-up in the table."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from attrs import field, frozen

from ..saved import SavedReport
from .alteration import Alteration
from .json_places import Path, shape, spell
from .near_rules import NEAR_RULES
from .near_traffic import NearTraffic, Record

__all__ = ["Maker"]


@frozen(kw_only=True)
class Maker:
    """Builds alterations of one session. ``facts`` are those of `near_rules`; ``every_leaf`` leaves nothing out."""

    traffic: NearTraffic = field(repr=False)
    facts: frozenset[str]
    every_leaf: bool

    def alteration(self, subject: str, name: str, kind: str, place: str, make: Callable[[], SavedReport]) -> Alteration:
        """One alteration, with what the table says about its place."""
        return Alteration(
            subject=subject,
            field=name,
            kind=kind,
            place=place,
            unmeasured=NEAR_RULES.why_unmeasured(place, kind, self.facts),
            guards=NEAR_RULES.guards_of(place),
            make=make,
        )

    def in_record(
        self, record: Record, path: Path, kind: str, new: Any, *, of: str = "", detail: str = ""
    ) -> Alteration:
        """One alteration inside a record; ``path`` is relative to it, ``new`` a value or a function of the old one.

        ``of`` is put behind the place in the table and ``detail`` behind the field's name, for a part of a value.
        """
        make = partial(self.traffic.with_place, (*record.path, *path), new)
        return self.alteration(
            record.subject,
            f"{spell(path)} / {detail}" if detail else spell(path),
            kind,
            f"{record.role}.{shape(path).replace('tcb_info.<json>', 'tcb_info')}{of}",
            make,
        )

    def in_answer(self, subject: str, name: str, kind: str, where: str, exchange: int, **changes: Any) -> Alteration:
        """One alteration of an answer; ``where`` is its place in the table, ``changes`` are members of the answer."""
        make = partial(self.traffic.with_answer, exchange, **changes)
        return self.alteration(subject, name, kind, where, make)
