"""NEAR's hosts: which machine answers behind which name, and at which TLS key connections end."""

from __future__ import annotations

from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import ec

from teeverify.errors import ConfigurationError
from teeverify.testing.keys import KeyRing, spki
from teeverify.testing.nvidia import Device, NvidiaPki
from teeverify.testing.simulation.front import EndorsedFront
from teeverify.testing.simulation.hosts import LOCAL_NAMES, PROVIDER
from teeverify.testing.simulation.messages import HttpRequest, Reply
from teeverify.testing.simulation.server import Connection
from teeverify.testing.simulation.tls import TlsIdentity

from .evidence import EvidenceDesk, NearShowing, Shape
from .fault import ROTATES, NearFault
from .hosts import CLOUD_HOST, DIRECT_HOST, DISCOVERY_HOST, backend_of, is_near
from .routes import NearRoutes

__all__ = ["NearFront"]


class NearFront(EndorsedFront[NearFault]):
    """See `Front`. ``fault`` says what the fault of the moment is."""

    desk: EvidenceDesk

    def __init__(
        self,
        *,
        shape: Shape,
        keys: KeyRing,
        desk: EvidenceDesk,
        routes: NearRoutes,
        fault: Callable[[], NearFault | None],
    ) -> None:
        self._shape, self._keys, self.desk, self._routes, self._fault = shape, keys, desk, routes, fault
        self._front_key = _front_key(shape, keys)

    def use(self, fault: NearFault | None) -> None:
        """See `Front.use`; a fault may say at which TLS key connections to the front end."""
        before = self.desk.fault
        try:
            self._front_key = self._key_of(self.desk.set_fault(fault), fault)
        except ConfigurationError:
            self.desk.set_fault(before)
            raise

    def forget(self) -> None:
        """See `Front.forget`."""
        self._routes.forget()

    def group_of(self, host: str) -> str | None:
        """See `Front.group_of`."""
        absent = (backend_of(host) or 0) >= self._shape.backends or (host == CLOUD_HOST and not self._shape.cloud)
        return PROVIDER if is_near(host) and not absent else None

    def identity(self, host: str, connection: Connection) -> TlsIdentity:
        """See `Front.identity`."""
        fault = self._fault()
        if fault is not None and fault.trick == ROTATES and host in (DIRECT_HOST, *LOCAL_NAMES):
            connection.backend = connection.number % self._shape.backends
        wildcards = (f"*.{DISCOVERY_HOST}", DISCOVERY_HOST)
        if host == DISCOVERY_HOST:
            return TlsIdentity(self._keys.p256("tls/discovery"), wildcards)
        backend, number = connection.backend, backend_of(host)
        is_front = host in LOCAL_NAMES or host == (CLOUD_HOST if self._shape.cloud else DIRECT_HOST)
        if is_front and not backend:
            names = (CLOUD_HOST,) if self._shape.cloud else wildcards
            return TlsIdentity(self._front_key, (*names, *LOCAL_NAMES))
        return TlsIdentity(_backend_key(self._keys, backend if number is None else number), (*wildcards, *LOCAL_NAMES))

    def answer(self, request: HttpRequest, connection: Connection) -> Reply:
        """See `Front.answer`."""
        return self._routes.answer(request, connection)

    def devices(self) -> list[Device]:
        """See `Front.devices`."""
        pki, shape = NvidiaPki(self._keys), self._shape
        return [
            pki.device(index, host=f"host-{backend + 1}", fabric=shape.gpus > 1)
            for backend in range(shape.backends)
            for index in range(shape.gpus)
        ]

    def judges_unseen(self) -> bool:
        """See `Front.judges_unseen`."""
        fault = self._fault()
        return fault is None or fault.spoil is None

    def _key_of(self, standing: NearShowing | None, fault: NearFault | None) -> ec.EllipticCurvePrivateKey:
        """The key at which connections to the front end, as the fault has it."""
        genuine = (_front_key(self._shape, self._keys), _backend_key(self._keys, 0))
        if standing is None or fault is None or fault.only_backend is not None:
            return genuine[0]
        for key in (*genuine, self._keys.p256("intruder/tls")):
            if standing.peer_spki in (None, spki(key)):
                return key
        raise ConfigurationError("the fault cannot be shown: nobody here has the TLS key at which its connections end")


def _backend_key(keys: KeyRing, number: int) -> ec.EllipticCurvePrivateKey:
    """The TLS key of one machine behind the model's host."""
    return keys.p256("tls/model" if number == 0 else f"tls/model-i{number}")


def _front_key(shape: Shape, keys: KeyRing) -> ec.EllipticCurvePrivateKey:
    """The attested TLS key at the end of a truthful connection to the front."""
    return keys.p256("tls/gateway") if shape.cloud else _backend_key(keys, 0)
