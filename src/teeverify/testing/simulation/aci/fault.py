"""What is special about faults of ACI services."""

from __future__ import annotations

from attrs import field, frozen

from teeverify.testing.aci_defects import AciDefect, ReceiptDefect
from teeverify.testing.simulation.fault import Fault

__all__ = ["AciFault"]


@frozen(kw_only=True)
class AciFault(Fault):
    """One named fault of a simulated ACI service.

    Attributes:
        number: of the attack in the list of failure modes that every verifier must reject; 0 where it is in none.
        serving: "direct" or "aggregator" where it shows in one of them only.
        streamed: whether it shows in streamed answers only.
        rotates: whether the service has another keyset from its second report on.
        defect: of the report.
        receipt: of receipts or sessions.
    """

    number: int = 0
    serving: str | None = None
    streamed: bool = False
    rotates: bool = False
    defect: AciDefect | None = field(default=None, repr=False)
    receipt: ReceiptDefect | None = field(default=None, repr=False)

    def misfit(self, *, serving: str) -> str | None:
        """Why a deployment cannot show this fault, as a clause; None where it can."""
        if self.excluded is not None:
            return self.excluded
        if self.serving not in (None, serving):
            return f"it shows where serving is {self.serving!r}, and the simulation has {serving!r}"
        return None
