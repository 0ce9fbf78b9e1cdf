"""A front's host: which certificate it shows, and who answers."""

from __future__ import annotations

from collections.abc import Callable

from teeverify.errors import ConfigurationError
from teeverify.testing.keys import KeyRing
from teeverify.testing.nvidia import Device
from teeverify.testing.simulation.front import EndorsedFront
from teeverify.testing.simulation.hosts import LOCAL_NAMES, PROVIDER
from teeverify.testing.simulation.messages import HttpRequest, Reply
from teeverify.testing.simulation.peer_keys import key_shown
from teeverify.testing.simulation.server import Connection
from teeverify.testing.simulation.tls import TlsIdentity

from .evidence import Ask, FrontDesk, FrontShape
from .fault import FrontFault
from .routes import FrontRoutes

__all__ = ["OneHostFront"]


class OneHostFront(EndorsedFront[FrontFault]):
    """See `Front`. ``fault`` says what the fault of the moment is."""

    desk: FrontDesk

    def __init__(
        self,
        *,
        shape: FrontShape,
        host: str,
        desk: FrontDesk,
        routes: FrontRoutes,
        fault: Callable[[], FrontFault | None],
    ) -> None:
        self._shape, self._host, self.desk, self._routes, self._fault = shape, host, desk, routes, fault
        self._keys = KeyRing(shape.seed)
        # The connection to a proxy of one's own ends in its machine, those to other fronts before it.
        label = "model" if shape.provider == "vllm-proxy" else shape.provider
        self._genuine = self._keys.p256(f"tls/{label}")
        self._key = self._genuine

    def use(self, fault: FrontFault | None) -> None:
        """See `Front.use`; a fault may say at which TLS key connections end."""
        before = self.desk.fault
        standing = self.desk.set_fault(fault)
        try:
            self._key = key_shown(self._keys, self._genuine, None if standing is None else standing.peer_spki)
        except ConfigurationError:
            self.desk.set_fault(before)
            raise

    def group_of(self, host: str) -> str | None:
        """See `Front.group_of`."""
        return PROVIDER if host in (self._host, *LOCAL_NAMES) else None

    def identity(self, host: str, connection: Connection) -> TlsIdentity:
        """See `Front.identity`."""
        del host, connection
        return TlsIdentity(self._key, (self._host, *LOCAL_NAMES))

    def answer(self, request: HttpRequest, connection: Connection) -> Reply:
        """See `Front.answer`."""
        del connection
        return self._routes.answer(request)

    def devices(self) -> list[Device]:
        """See `Front.devices`."""
        session = self.desk.session(Ask(nonce=bytes(32)), self.desk.now())
        if self._shape.shape != "chutes":
            return session.machines.gpus
        return [device for instance in session.instances.instances for device in instance.gpus]

    def judges_unseen(self) -> bool:
        """See `Front.judges_unseen`."""
        fault = self._fault()
        return fault is None or fault.spoil is None
