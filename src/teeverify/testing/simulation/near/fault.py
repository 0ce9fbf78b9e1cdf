"""What is special about faults of NEAR AI."""

from __future__ import annotations

from typing import Final

from attrs import field, frozen

from teeverify.testing.defects.model import Spoil
from teeverify.testing.simulation.fault import Fault

__all__ = ["ROTATES", "NearFault"]

ROTATES: Final = "rotates"
"""The trick of a load balancer: each connection ends at the next machine."""


@frozen(kw_only=True)
class NearFault(Fault):
    """One named fault of a simulated NEAR AI.

    Attributes:
        base: "direct" or "cloud" where the fault exists in one shape only.
        backends: how many machines behind the model's host it needs at least.
        algorithm: the only signing algorithm that may be asked for, None where it does not matter.
        tls_bound: whether the TLS-bound form must be asked for.
        streamed: whether it shows in streamed answers only.
        spoil: makes a truthful session lie.
        lean: whether the session is the one of `teeverify.testing.defects`, without what its defects do not need.
        copies: whether such a session repeats the record in ``all_attestations``.
        only_backend: the one machine that is spoilt.
    """

    base: str | None = None
    backends: int = 1
    algorithm: str | None = None
    tls_bound: bool = False
    streamed: bool = False
    spoil: Spoil | None = field(default=None, repr=False)
    lean: bool = False
    copies: bool = False
    only_backend: int | None = None

    def misfit(self, *, cloud: bool, gpus: int, backends: int) -> str | None:
        """Why a deployment cannot show this fault, as a clause; None where it can."""
        if self.excluded is not None:
            return self.excluded
        shape = "cloud" if cloud else "direct"
        if self.base not in (None, shape):
            return f"it is a fault of the {self.base} shape, and the simulation has the {shape} one"
        if gpus < self.gpus:
            return f"it needs {self.gpus} GPUs, and the simulation has {gpus}"
        if backends < self.backends:
            return f"it needs {self.backends} backends, and the simulation has {backends}"
        return None

    def spoils(self, *, cloud: bool, backend: int) -> bool:
        """Whether the fault shows in a report of that shape by that machine."""
        fits = self.base is None or (self.base == "cloud") == cloud
        return self.spoil is not None and fits and self.only_backend in (None, backend)

    def unfit_question(self, *, algorithm: str, tls_bound: bool) -> str | None:
        """Why the fault cannot be shown to a client that asks so, as a clause; None where it can."""
        if self.algorithm not in (None, algorithm):
            return f"it shows in reports with signing_algo={self.algorithm} only"
        if self.tls_bound and not tls_bound:
            return "it shows in reports with include_tls_fingerprint=true only"
        return None
