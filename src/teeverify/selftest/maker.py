"""Making alterations of a session: one place for the look-up in the tables."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from attrs import field, frozen

from ..saved import SavedReport
from .alteration import Alteration, Rules
from .json_places import Path, spell
from .traffic import Record, Traffic

__all__ = ["Maker"]


@frozen(kw_only=True)
class Maker:
    """Builds alterations of one session.

    ``rules`` are the provider's tables and ``facts`` those that some of their entries depend on; ``every_leaf`` leaves
    nothing out.
    """

    traffic: Traffic = field(repr=False)
    rules: Rules = field(repr=False)
    facts: frozenset[str]
    every_leaf: bool

    def alteration(
        self,
        subject: str,
        name: str,
        kind: str,
        place: str,
        make: Callable[[], SavedReport],
        *,
        concerns: tuple[str, ...] | None = None,
    ) -> Alteration:
        """One alteration, with what the tables say about its place; it concerns its subject where nothing is said."""
        return Alteration(
            subject=subject,
            field=name,
            kind=kind,
            place=place,
            unmeasured=self.rules.why_unmeasured(place, kind, self.facts),
            guards=self.rules.guards_of(place),
            concerns=self.traffic.concerned(subject) if concerns is None else concerns,
            make=make,
        )

    def in_record(
        self, record: Record, path: Path, kind: str, new: Any, *, of: str = "", detail: str = ""
    ) -> Alteration:
        """One alteration inside a record; ``path`` is relative to it, ``new`` a value or a function of the old one.

        ``of`` is put behind the place in the table and ``detail`` behind the field's name, for a part of a value.
        """
        make = partial(self.traffic.with_place, (*record.path, *path), new)
        name = " / ".join(part for part in (record.shown, spell(path), detail) if part)
        return self.alteration(record.subject, name, kind, f"{self.traffic.spell_place(record, path)}{of}", make)

    def in_answer(self, subject: str, name: str, kind: str, where: str, exchange: int, **changes: Any) -> Alteration:
        """One alteration of an answer; ``where`` is its place in the table, ``changes`` are members of the answer."""
        make = partial(self.traffic.with_answer, exchange, **changes)
        return self.alteration(subject, name, kind, where, make, concerns=self.traffic.concerned_by(exchange))
