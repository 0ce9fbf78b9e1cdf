"""All simulated hosts behind one port: who is greeted with which certificate, and who answers."""

from __future__ import annotations

import threading
from typing import Any

from teeverify.testing.keys import KeyRing

from .endorsers import EndorserRoutes
from .fault import Fault
from .fault_box import FaultBox
from .front import Front
from .hosts import INTEL, INTEL_HOSTS, NVIDIA, NVIDIA_HOSTS, endorser_of
from .messages import HttpRequest, Reply, error_reply
from .server import Connection
from .stream import UNKNOWN_NAME, Greeting
from .tls import SOUND, CertificateShelf, TlsIdentity
from .tricks import CERTIFICATE_TRICKS, HANDSHAKE_TRICKS, BusyOnce, perform

__all__ = ["SimulatedSite"]


class SimulatedSite:
    """Serves every host; `use` says which fault shows.

    Args:
        keys: where the keys of Intel's and NVIDIA's hosts come from.
        shelf: the TLS certificates.
        front: the provider.
        endorsers: Intel and NVIDIA, where they are asked at all.
        latency: seconds before each answer.
        box: takes the fault of the moment.
    """

    def __init__(
        self,
        *,
        keys: KeyRing,
        shelf: CertificateShelf,
        front: Front[Any],
        endorsers: EndorserRoutes | None,
        latency: float,
        box: FaultBox[Any],
    ) -> None:
        self._shelf, self._front, self._endorsers, self._latency, self._box = shelf, front, endorsers, latency, box
        self._changing = threading.Lock()
        self._busy = BusyOnce()
        self._endorser_identities = {}
        if endorsers is not None:
            self._endorser_identities = {
                INTEL: TlsIdentity(keys.p256("tls/intel"), INTEL_HOSTS),
                NVIDIA: TlsIdentity(keys.p256("tls/nvidia"), NVIDIA_HOSTS),
            }

    def use(self, fault: Fault | None) -> None:
        """Show a fault from now on.

        Raises:
            ConfigurationError: the provider cannot show it.
        """
        with self._changing:
            self._front.use(fault)
            self._busy, self._box.fault = BusyOnce(), fault
            self._front.forget()

    def greet(self, server_name: str | None, connection: Connection) -> Greeting:
        """The certificate of the host that is asked for, or a refusal."""
        fault, host = self._box.fault, server_name or self._front.unnamed[-1]
        group = self._group_of(host)
        if group is None:
            return UNKNOWN_NAME
        trick = fault.trick if fault is not None and fault.group == group else None
        if trick in HANDSHAKE_TRICKS:
            return HANDSHAKE_TRICKS[trick]
        identity = self._endorser_identities.get(group) or self._front.identity(host, connection)
        return self._shelf.context(identity, CERTIFICATE_TRICKS.get(trick or "", SOUND))

    def answer(self, request: HttpRequest, connection: Connection) -> bool:
        """Answer a request; False where the connection is over."""
        connection.closing.wait(self._latency)
        fault = self._box.fault
        group = self._group_of(request.host)
        if not self._belongs(request, connection):
            connection.reply(error_reply(421, "this host is not served over this connection"), keep_alive=False)
            return False

        def make() -> Reply:
            if self._endorsers is not None and group in self._endorser_identities:
                return self._endorsers.answer(request)
            return self._front.answer(request, connection)

        if fault is not None and fault.trick is not None and fault.group == group:
            return perform(fault.trick, request, connection, make, self._busy)
        connection.reply(make(), keep_alive=request.keep_alive)
        return request.keep_alive

    def _group_of(self, host: str) -> str | None:
        endorser = endorser_of(host) if self._endorsers is not None else None
        return endorser or self._front.group_of(host)

    def _belongs(self, request: HttpRequest, connection: Connection) -> bool:
        """Whether the host of a request is the one that its TLS connection was made for."""
        if connection.server_name is None:
            return request.host in self._front.unnamed
        return request.host == connection.server_name
