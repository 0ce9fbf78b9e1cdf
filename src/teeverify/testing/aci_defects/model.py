"""What a defect of an ACI service is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import field, frozen

from teeverify.testing.aci import AciSession

__all__ = ["AciDefect", "AciSpoil", "ReceiptDefect", "ReceiptEdit", "ReportEdit"]

AciSpoil = Callable[[AciSession], object]
"""Turns knobs of a truthful session."""
ReportEdit = Callable[[dict[str, Any]], object]
"""Changes a report in place."""
ReceiptEdit = Callable[[dict[str, Any]], object]
"""Changes a receipt in place."""


@frozen(kw_only=True)
class AciDefect:
    """One named fault of a report.

    Attributes:
        name: unique.
        number: of the attack in the list of failure modes that every verifier must reject; 0 where it is in none.
        description: one line.
        findings: check and reason of all that fails, so far as it depends on nothing else that fails.
        spoil: turns knobs before the report is made.
        edit: changes the report after it was made; what depends on the change may then fail besides.
    """

    name: str
    number: int
    description: str
    findings: frozenset[tuple[str, str]]
    spoil: AciSpoil | None = field(default=None, repr=False)
    edit: ReportEdit | None = field(default=None, repr=False)

    @property
    def checks(self) -> frozenset[str]:
        """The checks that must find it."""
        return frozenset(check for check, _ in self.findings)

    def report(self, session: AciSession) -> dict[str, Any]:
        """The defective report; ``session`` is a truthful one, which is spoiled."""
        if self.spoil is not None:
            self.spoil(session)
        report = session.report()
        if self.edit is not None:
            self.edit(report)
        return report


@frozen(kw_only=True)
class ReceiptDefect:
    """One named fault of a receipt, or of the session that it cites.

    Attributes:
        name: unique.
        number: as in `AciDefect`.
        description: one line.
        findings: reason by check.
        edit: changes the receipt.
        signed: whether the gateway's key signs the changed receipt.
        aggregator: whether it needs a gateway with a machine behind it.
        session: makes members of the session in place of the truthful ones out of Unix seconds of the service.
        stranger: whether another session than the cited one is shown.
    """

    name: str
    number: int
    description: str
    findings: Mapping[str, str]
    edit: ReceiptEdit | None = field(default=None, repr=False)
    signed: bool = True
    aggregator: bool = False
    session: Callable[[int], dict[str, Any]] | None = field(default=None, repr=False)
    stranger: bool = False
