"""What is special about faults of Chutes."""

from __future__ import annotations

from attrs import field, frozen

from teeverify.testing.chutes_defects import ChutesSpoil
from teeverify.testing.simulation.fault import Fault

__all__ = ["ChutesFault"]


@frozen(kw_only=True)
class ChutesFault(Fault):
    """One named fault of a simulated Chutes.

    Attributes:
        instances: how many instances it needs at least.
        spoil: makes a truthful session lie.
    """

    instances: int = 1
    spoil: ChutesSpoil | None = field(default=None, repr=False)

    def misfit(self, *, instances: int, gpus: int) -> str | None:
        """Why a deployment cannot show this fault, as a clause; None where it can."""
        if self.excluded is not None:
            return self.excluded
        if instances < self.instances:
            return f"it needs {self.instances} instances, and the simulation has {instances}"
        if gpus < self.gpus:
            return f"it needs {self.gpus} GPUs, and the simulation has {gpus}"
        return None
