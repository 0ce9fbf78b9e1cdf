"""What is special about faults of fronts."""

from __future__ import annotations

from attrs import field, frozen

from teeverify.testing.front_defects.model import FrontSpoil
from teeverify.testing.simulation.fault import Fault

__all__ = ["FrontFault"]


@frozen(kw_only=True)
class FrontFault(Fault):
    """One named fault of a simulated front.

    Attributes:
        number: of the attack in the list of failure modes that every verifier must reject; 0 where it is in none.
        instances: how many instances it needs at least, in the shape of Chutes.
        tls_bound: whether the form that binds the TLS key must be asked for.
        streamed: True where it shows in streamed answers only, False where in whole ones only, None where in both.
        renews: whether the machine has another signing key from its second report on.
        spoil: makes a truthful session lie.
    """

    number: int = 0
    instances: int = 1
    tls_bound: bool = False
    streamed: bool | None = None
    renews: bool = False
    spoil: FrontSpoil | None = field(default=None, repr=False)

    def misfit(self, *, gpus: int, instances: int, tls_bound: bool) -> str | None:
        """Why a deployment cannot show this fault, as a clause; None where it can."""
        if self.excluded is not None:
            return self.excluded
        if gpus < self.gpus:
            return f"it needs {self.gpus} GPUs, and the simulation has {gpus}"
        if instances < self.instances:
            return f"it needs {self.instances} instances, and the simulation has {instances}"
        if self.tls_bound and not tls_bound:
            return "it needs a proxy that binds its TLS key (tls_bound)"
        return None
