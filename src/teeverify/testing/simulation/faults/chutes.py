"""Faults of a simulated Chutes: the table of defects, and evidence that is dated wrongly."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from teeverify.testing.chutes_defects import CHUTES_DEFECTS, ChutesDefect
from teeverify.testing.simulation.chutes.fault import ChutesFault
from teeverify.testing.simulation.fault import CLOCK, EVIDENCE, REJECTED

__all__ = ["API_CHECKS", "MODELS_CHECKS", "chutes_clock_faults", "chutes_evidence_faults"]

API_CHECKS: Final = frozenset({"evidence.complete", "evidence.wellformed"})
"""The checks that an outage of Chutes' API leaves undecided, or that a garbled answer of it fails."""
MODELS_CHECKS: Final = API_CHECKS
"""The same of the list of models, without which nothing else is asked."""


def chutes_evidence_faults() -> tuple[ChutesFault, ...]:
    """The defects of `teeverify.testing.chutes_defects` as faults; all of them can be shown live."""
    return tuple(_of_defect(defect) for defect in CHUTES_DEFECTS.values())


def chutes_clock_faults() -> tuple[ChutesFault, ...]:
    """Evidence that is dated wrongly."""
    hour = timedelta(hours=1)
    return (
        ChutesFault(
            name="clock-ahead",
            area=CLOCK,
            description="Everything that is signed is dated an hour ahead.",
            outcomes=(REJECTED,),
            checks=frozenset({"tcb.collateral_current", "gpu.nras_token"}),
            shift=hour,
        ),
        ChutesFault(
            name="clock-behind",
            area=CLOCK,
            description="Everything that is signed is dated an hour back, so NVIDIA's tokens are too old.",
            outcomes=(REJECTED,),
            checks=frozenset({"gpu.nras_token"}),
            shift=-hour,
        ),
    )


def _of_defect(defect: ChutesDefect) -> ChutesFault:
    return ChutesFault(
        name=defect.name,
        area=EVIDENCE,
        description=defect.description,
        outcomes=defect.outcomes,
        checks=defect.checks,
        gpus=defect.gpus,
        instances=defect.instances,
        spoil=defect.spoil,
    )
