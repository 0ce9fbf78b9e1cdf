"""All simulated hosts behind one port: who is greeted with which certificate, and who answers."""

from __future__ import annotations

import threading

from cryptography.hazmat.primitives.asymmetric import ec

from teeverify.errors import ConfigurationError
from teeverify.testing.keys import KeyRing, spki
from teeverify.testing.nvidia import Device, NvidiaPki

from .evidence import EvidenceDesk, Shape, Showing
from .fault import Fault
from .faults.evidence import ROTATES
from .hosts import (
    CLOUD_HOST,
    DIRECT_HOST,
    DISCOVERY_HOST,
    INTEL,
    INTEL_HOSTS,
    LOCAL_NAMES,
    NVIDIA,
    NVIDIA_HOSTS,
    PROVIDER,
    backend_of,
    group_of,
)
from .messages import HttpRequest, Reply, error_reply
from .routes.endorsers import EndorserRoutes
from .routes.near import NearRoutes
from .server import Connection
from .stream import UNKNOWN_NAME, Greeting
from .tls import SOUND, CertificateShelf, TlsIdentity
from .tricks import CERTIFICATE_TRICKS, HANDSHAKE_TRICKS, BusyOnce, perform

__all__ = ["FaultBox", "SimulatedSite", "all_devices", "backend_key", "front_key"]


class FaultBox:
    """Holds the fault of the moment, for everybody who has to know."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fault: Fault | None = None

    @property
    def fault(self) -> Fault | None:
        """The fault of the moment, None for the truth."""
        with self._lock:
            return self._fault

    @fault.setter
    def fault(self, fault: Fault | None) -> None:
        with self._lock:
            self._fault = fault


class SimulatedSite:
    """Serves every host; `use` says which fault shows."""

    def __init__(
        self,
        *,
        shape: Shape,
        keys: KeyRing,
        shelf: CertificateShelf,
        desk: EvidenceDesk,
        near: NearRoutes,
        endorsers: EndorserRoutes,
        latency: float,
        box: FaultBox,
    ) -> None:
        self._shape, self._keys, self._shelf, self._desk = shape, keys, shelf, desk
        self._near, self._endorsers, self._latency, self._box = near, endorsers, latency, box
        self._changing = threading.Lock()
        self._busy = BusyOnce()
        self._front_key = front_key(shape, keys)

    def use(self, fault: Fault | None) -> None:
        """Show a fault from now on.

        Raises:
            ConfigurationError: nobody here has the TLS key at which the fault lets connections end.
        """
        with self._changing:
            before = self._box.fault
            try:
                key = self._key_of(self._desk.set_fault(fault), fault)
            except ConfigurationError:
                self._desk.set_fault(before)
                raise
            self._busy, self._front_key, self._box.fault = BusyOnce(), key, fault
            self._near.forget()

    def greet(self, server_name: str | None, connection: Connection) -> Greeting:
        """The certificate of the host that is asked for, or a refusal."""
        fault, host = self._box.fault, server_name or LOCAL_NAMES[1]
        backend = backend_of(host)
        group = group_of(host)
        if group is None or (backend or 0) >= self._shape.backends or (host == CLOUD_HOST and not self._shape.cloud):
            return UNKNOWN_NAME
        trick = fault.trick if fault is not None and fault.group == group else None
        if trick in HANDSHAKE_TRICKS:
            return HANDSHAKE_TRICKS[trick]
        if fault is not None and fault.trick == ROTATES and host in (DIRECT_HOST, *LOCAL_NAMES):
            connection.backend = connection.number % self._shape.backends
        identity = self._identity(host, group, connection.backend)
        return self._shelf.context(identity, CERTIFICATE_TRICKS.get(trick or "", SOUND))

    def answer(self, request: HttpRequest, connection: Connection) -> bool:
        """Answer a request; False where the connection is over."""
        connection.closing.wait(self._latency)
        fault = self._box.fault
        group = group_of(request.host)
        if not self._belongs(request, connection):
            connection.reply(error_reply(421, "this host is not served over this connection"), keep_alive=False)
            return False

        def make() -> Reply:
            return self._near.answer(request, connection) if group == PROVIDER else self._endorsers.answer(request)

        if fault is not None and fault.trick is not None and fault.group == group:
            return perform(fault.trick, request, connection, make, self._busy)
        connection.reply(make(), keep_alive=request.keep_alive)
        return request.keep_alive

    def _belongs(self, request: HttpRequest, connection: Connection) -> bool:
        """Whether the host of a request is the one that its TLS connection was made for."""
        if connection.server_name is None:
            return request.host in LOCAL_NAMES
        return request.host == connection.server_name

    def _identity(self, host: str, group: str, backend: int) -> TlsIdentity:
        if group == INTEL:
            return TlsIdentity(self._keys.p256("tls/intel"), INTEL_HOSTS)
        if group == NVIDIA:
            return TlsIdentity(self._keys.p256("tls/nvidia"), NVIDIA_HOSTS)
        wildcards = (f"*.{DISCOVERY_HOST}", DISCOVERY_HOST)
        if host == DISCOVERY_HOST:
            return TlsIdentity(self._keys.p256("tls/discovery"), wildcards)
        number = backend_of(host)
        is_front = host in LOCAL_NAMES or host == (CLOUD_HOST if self._shape.cloud else DIRECT_HOST)
        if is_front and not backend:
            names = (CLOUD_HOST,) if self._shape.cloud else wildcards
            return TlsIdentity(self._front_key, (*names, *LOCAL_NAMES))
        return TlsIdentity(backend_key(self._keys, backend if number is None else number), (*wildcards, *LOCAL_NAMES))

    def _key_of(self, standing: Showing | None, fault: Fault | None) -> ec.EllipticCurvePrivateKey:
        """The key at which connections to the front end, as the fault has it."""
        genuine = (front_key(self._shape, self._keys), backend_key(self._keys, 0))
        if standing is None or fault is None or fault.only_backend is not None:
            return genuine[0]
        for key in (*genuine, self._keys.p256("intruder/tls")):
            if standing.peer_spki in (None, spki(key)):
                return key
        raise ConfigurationError("the fault cannot be shown: nobody here has the TLS key at which its connections end")


def backend_key(keys: KeyRing, number: int) -> ec.EllipticCurvePrivateKey:
    """The TLS key of one machine behind the model's host."""
    return keys.p256("tls/model" if number == 0 else f"tls/model-i{number}")


def front_key(shape: Shape, keys: KeyRing) -> ec.EllipticCurvePrivateKey:
    """The attested TLS key at the end of a truthful connection to the front."""
    return keys.p256("tls/gateway") if shape.cloud else backend_key(keys, 0)


def all_devices(shape: Shape, keys: KeyRing) -> list[Device]:
    """Every GPU of every machine."""
    pki = NvidiaPki(keys)
    return [
        pki.device(index, host=f"host-{backend + 1}", fabric=shape.gpus > 1)
        for backend in range(shape.backends)
        for index in range(shape.gpus)
    ]
