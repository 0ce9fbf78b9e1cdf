"""A simulated ACI service, put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from teeverify.errors import ConfigurationError
from teeverify.testing.aci import aci_policy
from teeverify.testing.keys import KeyRing
from teeverify.testing.nvidia import Device
from teeverify.testing.simulation.deployment import Deployment
from teeverify.testing.simulation.fault_box import FaultBox
from teeverify.testing.simulation.faults.aci import ACI_FAULTS, REDPILL_ACI_FAULTS
from teeverify.testing.simulation.front import EndorsedFront
from teeverify.testing.simulation.hosts import LOCAL_NAMES, PROVIDER
from teeverify.testing.simulation.messages import HttpRequest, Reply
from teeverify.testing.simulation.peer_keys import key_shown
from teeverify.testing.simulation.server import Connection
from teeverify.testing.simulation.tls import TlsIdentity

from .chat import AciChat
from .evidence import AciDesk, AciShape
from .fault import AciFault
from .routes import AciRoutes

__all__ = ["AciDeployment", "AciFront"]

_SERVING: Final = ("direct", "aggregator")


class AciDeployment(Deployment[AciFault]):
    """One ACI service, or RedPill's own gateway; the methods of `SimulatedTee` explain the arguments.

    Raises:
        ConfigurationError: a value makes no sense.
    """

    def __init__(self, shape: AciShape, *, clock: Callable[[], datetime]) -> None:
        if shape.serving not in _SERVING:
            raise ConfigurationError(f"serving {shape.serving[:40]!r} is none of {', '.join(_SERVING)}")
        self._shape = shape
        self.model, self.seed = shape.model_name, shape.seed
        self.origins = (f"https://{shape.host}",)
        redpill = shape.provider == "phala"
        self.table = REDPILL_ACI_FAULTS if redpill else ACI_FAULTS
        self.title = "Phala's RedPill (shape aci)" if redpill else f"ACI service ({shape.serving})"
        place = () if redpill else ("--url", f"https://{shape.host}/v1")
        self.attesting = (shape.provider, shape.model_name, *place)
        self._truth = AciDesk(shape, clock).session()

    def misfit(self, fault: AciFault) -> str | None:
        """See `Deployment.misfit`."""
        return fault.misfit(serving=self._shape.serving)

    def policy_text(self, **changes: Any) -> str:
        """The policy as TOML, with ``provider``, or arguments of `aci_policy`, changed.

        Under "aci" the receipts of RedPill's own gateway are judged, under "phala" its reports.
        """
        provider = changes.pop("provider", self._shape.provider)
        text = aci_policy(self._truth, **changes)
        return text.replace('provider = "aci"', f'provider = "{provider}"').replace('"aci-test"', '"aci-simulated"')

    def front(self, *, api_key: str, clock: Callable[[], datetime], box: FaultBox[AciFault]) -> AciFront:
        """See `Deployment.front`."""
        shape, keys, desk = self._shape, KeyRing(self._shape.seed), AciDesk(self._shape, clock)
        chat = AciChat(keys, model_name=shape.model_name, desk=desk, fault=lambda: box.fault)
        routes = AciRoutes(shape=shape, desk=desk, chat=chat, api_key=api_key, fault=lambda: box.fault)
        return AciFront(shape, desk, routes)


class AciFront(EndorsedFront[AciFault]):
    """The service's host. See `Front`."""

    desk: AciDesk

    def __init__(self, shape: AciShape, desk: AciDesk, routes: AciRoutes) -> None:
        self._host, self.desk, self._routes = shape.host, desk, routes
        self._keys = KeyRing(shape.seed)
        self._genuine = self._key = desk.session().gateway.tls_key

    def use(self, fault: AciFault | None) -> None:
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

    def devices(self) -> Sequence[Device]:
        """See `Front.devices`: no GPU shows evidence here."""
        return ()

    def judges_unseen(self) -> bool:
        """See `Front.judges_unseen`."""
        return False
