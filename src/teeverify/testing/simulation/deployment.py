"""A simulated deployment: everything about it that does not depend on whether it is served."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

from teeverify.errors import ConfigurationError

from .fault import Fault
from .fault_box import FaultBox
from .front import Front

__all__ = ["Deployment"]

F = TypeVar("F", bound=Fault)


class Deployment(ABC, Generic[F]):
    """What one provider brings to `SimulatedTee`.

    Attributes:
        title: the provider and the shape, in words.
        model: the name of the model that is served.
        seed: of all keys.
        origins: the origins that want the API key.
        attesting: the words with which ``teeverify attest`` is told what to attest, ahead of addresses and policy.
        attesting_wants_key: whether it has to be told the API key as well.
        nodes: URLs of the chain's nodes, where the provider has any.
        enclave: base URL of the enclave, where clients reach it by itself.
        table: all faults of the provider, by name.
    """

    title: str
    model: str
    seed: str
    origins: tuple[str, ...]
    attesting: tuple[str, ...]
    attesting_wants_key: bool = True
    nodes: tuple[str, ...] = ()
    enclave: str | None = None
    table: Mapping[str, F]

    @abstractmethod
    def misfit(self, fault: F) -> str | None:
        """Why this deployment cannot show a fault, as a clause; None where it can."""

    @abstractmethod
    def policy_text(self, **changes: Any) -> str:
        """The policy that pins what the truthful deployment shows, as TOML."""

    @abstractmethod
    def front(self, *, api_key: str, clock: Callable[[], datetime], box: FaultBox[F]) -> Front[F]:
        """The provider's hosts, which ask ``box`` for the fault of the moment."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """The provider's hosts that clients ask."""
        urls = (*self.nodes, *(() if self.enclave is None else (self.enclave,)), *self.origins)
        return tuple(url.removeprefix("https://") for url in urls)

    @property
    def faults(self) -> dict[str, F]:
        """All faults that this deployment can show, by name."""
        return {name: fault for name, fault in self.table.items() if self.misfit(fault) is None}

    def fault_named(self, name: str) -> F:
        """The fault of that name.

        Raises:
            ConfigurationError: there is none, or the deployment cannot show it.
        """
        fault = self.table.get(name)
        if fault is None:
            raise ConfigurationError(
                f"no fault is called {name[:80]!r}: --list-faults and SimulatedTee.faults name them"
            )
        reason = self.misfit(fault)
        if reason is not None:
            raise ConfigurationError(f"the fault {name!r} cannot be shown: {reason}")
        return fault
