"""What is special about faults of OpenGradient."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field, frozen

from teeverify.testing.opengradient import OpenGradientSession
from teeverify.testing.simulation.fault import Fault
from teeverify.testing.simulation.messages import Reply

from .relayed import Relayed

__all__ = ["ATTESTED", "EVERY_LEVEL", "LOWER", "OpenGradientFault"]

ATTESTED = ("attested",)
LOWER = ("registry+pcr", "registry")
EVERY_LEVEL = (*ATTESTED, *LOWER)


@frozen(kw_only=True)
class OpenGradientFault(Fault):
    """One named fault of a simulated OpenGradient.

    Attributes:
        nodes: how many nodes it needs at least.
        levels: the levels of assurance at which it shows, and comes to the same.
        stream: True where it shows in streamed answers only, False where in whole ones only, None where in both.
        spoil: makes a truthful session lie.
        enclave: changes a body of the enclave's own, by the path that was asked for.
        reply: makes the relay's reply to a chat, in place of the truthful one.
    """

    nodes: int = 1
    levels: tuple[str, ...] = ATTESTED
    stream: bool | None = None
    spoil: Callable[[OpenGradientSession], None] | None = field(default=None, repr=False)
    enclave: Callable[[str, bytes], bytes] | None = field(default=None, repr=False)
    reply: Callable[[Relayed], Reply] | None = field(default=None, repr=False)

    def misfit(self, *, nodes: int, assurance: str) -> str | None:
        """Why a deployment cannot show this fault, as a clause; None where it can."""
        if self.excluded is not None:
            return self.excluded
        if nodes < self.nodes:
            return f"it needs {self.nodes} nodes, and the simulation has {nodes}"
        if assurance not in self.levels:
            return f"it does not show at level {assurance!r}, only at {' and '.join(self.levels)}"
        return None
