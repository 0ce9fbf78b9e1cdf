"""A simulated OpenGradient, put together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from teeverify.errors import ConfigurationError
from teeverify.testing.keys import KeyRing
from teeverify.testing.opengradient import ENCLAVE_URL, NODE_URLS
from teeverify.testing.opengradient_policy import opengradient_policy
from teeverify.testing.simulation.deployment import Deployment
from teeverify.testing.simulation.fault_box import FaultBox
from teeverify.testing.simulation.faults import OPENGRADIENT_FAULTS
from teeverify.testing.simulation.front import Front
from teeverify.testing.simulation.messages import HttpRequest, Reply
from teeverify.testing.simulation.server import Connection
from teeverify.testing.simulation.tls import TlsIdentity

from .desk import OpenGradientDesk, OpenGradientShape
from .fault import EVERY_LEVEL, OpenGradientFault
from .hosts import ENCLAVE, ENCLAVE_HOST, NODE_HOSTS, NODES, RELAY, RELAY_HOST, RELAY_ORIGIN
from .routes import OpenGradientRoutes

__all__ = ["OpenGradientDeployment", "OpenGradientFront"]


class OpenGradientDeployment(Deployment[OpenGradientFault]):
    """OpenGradient with one enclave; `SimulatedTee.opengradient` explains the shape.

    Raises:
        ConfigurationError: a value makes no sense.
    """

    table = OPENGRADIENT_FAULTS
    title = "OpenGradient"
    origins = (RELAY_ORIGIN,)
    attesting_wants_key = False
    enclave = ENCLAVE_URL

    def __init__(self, shape: OpenGradientShape, *, clock: Callable[[], datetime]) -> None:
        if not 1 <= shape.nodes <= len(NODE_URLS) or shape.assurance not in EVERY_LEVEL:
            raise ConfigurationError(
                f"nodes is not 1 to {len(NODE_URLS)}, or assurance is none of {', '.join(EVERY_LEVEL)}"
            )
        self._shape = shape
        self.model, self.seed, self.nodes = shape.model_name, shape.seed, NODE_URLS[: shape.nodes]
        self.attesting = ("opengradient", shape.model_name, *(word for url in self.nodes for word in ("--node", url)))
        self._truth = OpenGradientDesk(shape, clock).boot

    def misfit(self, fault: OpenGradientFault) -> str | None:
        """See `Deployment.misfit`."""
        return fault.misfit(nodes=self._shape.nodes, assurance=self._shape.assurance)

    def policy_text(self, **changes: Any) -> str:
        """The policy as TOML, with arguments of `opengradient_policy` changed."""
        settings = {"name": "opengradient-simulated", "assurance": self._shape.assurance}
        return opengradient_policy(self._truth, **{**settings, **changes})

    def front(
        self, *, api_key: str, clock: Callable[[], datetime], box: FaultBox[OpenGradientFault]
    ) -> OpenGradientFront:
        """See `Deployment.front`."""
        return OpenGradientFront(self._shape, OpenGradientDesk(self._shape, clock), api_key=api_key, box=box)


class OpenGradientFront(Front[OpenGradientFault]):
    """Nodes, enclave and relay. See `Front`."""

    unnamed = (ENCLAVE_HOST,)

    def __init__(
        self, shape: OpenGradientShape, desk: OpenGradientDesk, *, api_key: str, box: FaultBox[OpenGradientFault]
    ) -> None:
        self._desk, self._box, self._keys = desk, box, KeyRing(shape.seed)
        self._nodes = NODE_HOSTS[: shape.nodes]
        self._routes = OpenGradientRoutes(desk, api_key=api_key)

    def use(self, fault: OpenGradientFault | None) -> None:
        """See `Front.use`."""
        self._desk.use(fault)

    def group_of(self, host: str) -> str | None:
        """See `Front.group_of`."""
        if host in self._nodes:
            return NODES
        return {ENCLAVE_HOST: ENCLAVE, RELAY_HOST: RELAY}.get(host)

    def identity(self, host: str, connection: Connection) -> TlsIdentity:
        """See `Front.identity`; the enclave shows the certificate that it made itself."""
        del connection
        if host == ENCLAVE_HOST:
            tls = self._desk.boot.tls
            return TlsIdentity(tls.key, (ENCLAVE_HOST,), tls.der)
        return TlsIdentity(self._keys.p256(f"tls/{host}"), (host,))

    def answer(self, request: HttpRequest, connection: Connection) -> Reply:
        """See `Front.answer`."""
        del connection
        return self._routes.answer(request, self._box.fault)
