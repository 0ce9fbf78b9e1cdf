"""What a provider brings to the simulated site."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from teeverify.testing.nvidia import Device

from .fault import Fault
from .hosts import LOCAL_NAMES
from .messages import HttpRequest, Reply
from .server import Connection
from .showings import ShowingDesk
from .tls import TlsIdentity

__all__ = ["EndorsedFront", "Front"]

F = TypeVar("F", bound=Fault)


class Front(ABC, Generic[F]):
    """A provider's hosts: whose they are, which certificates they show, and what they answer.

    Attributes:
        unnamed: the hosts of clients that name none in TLS, as is the way with IP addresses; of the last one the
            certificate is shown.
    """

    unnamed: tuple[str, ...] = LOCAL_NAMES

    @abstractmethod
    def group_of(self, host: str) -> str | None:
        """The group of servers that a host belongs to; None where it is none of this provider's."""

    @abstractmethod
    def identity(self, host: str, connection: Connection) -> TlsIdentity:
        """The key and the names that a host of this provider shows on a new connection."""

    @abstractmethod
    def answer(self, request: HttpRequest, connection: Connection) -> Reply:
        """Answer a request to one of this provider's hosts."""

    @abstractmethod
    def use(self, fault: F | None) -> None:
        """Show a fault from now on.

        Raises:
            ConfigurationError: the fault cannot be shown; what was shown before still is.
        """

    def forget(self) -> None:
        """Drop what was kept under the fault before; most providers keep nothing."""


class EndorsedFront(Front[F]):
    """The hosts of a provider whose evidence needs answers of Intel and NVIDIA, which are served beside it."""

    desk: ShowingDesk[F, Any]

    @abstractmethod
    def devices(self) -> Sequence[Device]:
        """Every GPU of every machine."""

    @abstractmethod
    def judges_unseen(self) -> bool:
        """Whether NVIDIA's service judges evidence that was not shown under the present fault."""

    def use(self, fault: F | None) -> None:
        """See `Front.use`; what shows is up to the desk."""
        self.desk.set_fault(fault)
