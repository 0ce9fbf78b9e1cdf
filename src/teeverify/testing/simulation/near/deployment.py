"""A simulated NEAR AI, put together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from teeverify.errors import ConfigurationError
from teeverify.testing.keys import KeyRing
from teeverify.testing.near_policy import PolicyText, near_policy
from teeverify.testing.simulation.deployment import Deployment
from teeverify.testing.simulation.fault_box import FaultBox
from teeverify.testing.simulation.faults import FAULTS

from .chat import ChatDesk
from .evidence import Ask, EvidenceDesk, Shape
from .fault import NearFault
from .front import NearFront
from .hosts import CLOUD_HOST, DIRECT_HOST, backend_host
from .routes import NearRoutes
from .signatures import GATEWAY, PROVIDER_TEE

__all__ = ["NearDeployment"]

_KINDS: Final = (PROVIDER_TEE, GATEWAY, None)


class NearDeployment(Deployment[NearFault]):
    """NEAR AI in one shape; `SimulatedTee.near` explains the arguments.

    Raises:
        ConfigurationError: a value makes no sense.
    """

    table = FAULTS

    def __init__(self, shape: Shape, *, signature_kind: str | None, clock: Callable[[], datetime]) -> None:
        if not 1 <= shape.gpus <= 32 or not 1 <= shape.backends <= 100:
            raise ConfigurationError("gpus is not 1 to 32, or backends is not 1 to 100")
        if signature_kind not in _KINDS or (signature_kind == GATEWAY and not shape.cloud):
            raise ConfigurationError("signature_kind is not 'provider_tee', None, or (with cloud) 'gateway'")
        self._shape, self._kind = shape, signature_kind
        self.model, self.seed = shape.model_name, shape.seed
        word = "cloud" if shape.cloud else "direct"
        self.title, self.attesting = f"NEAR AI ({word})", ("near", shape.model_name, f"--{word}")
        hosts = (DIRECT_HOST, *(backend_host(number) for number in range(shape.backends)))
        self.origins = tuple(f"https://{host}" for host in ((CLOUD_HOST, *hosts) if shape.cloud else hosts))
        ask = Ask(nonce=bytes(range(32)), cloud=shape.cloud, algorithm="ed25519", tls_bound=True)
        self._truth = EvidenceDesk(shape, clock).session(ask, clock())

    def misfit(self, fault: NearFault) -> str | None:
        """See `Deployment.misfit`."""
        return fault.misfit(cloud=self._shape.cloud, gpus=self._shape.gpus, backends=self._shape.backends)

    def policy_text(self, **changes: Any) -> str:
        """The policy as TOML, with fields of `PolicyText` changed."""
        text = PolicyText(**{"name": "near-simulated", "min_count": self._shape.gpus, **changes})
        signed_by = '\n[exchange]\nsigned_by = "gateway"\n' if self._kind == GATEWAY else ""
        return near_policy(self._truth, text) + signed_by

    def front(self, *, api_key: str, clock: Callable[[], datetime], box: FaultBox[NearFault]) -> NearFront:
        """See `Deployment.front`."""
        shape, truth, keys = self._shape, self._truth, KeyRing(self._shape.seed)
        desk = EvidenceDesk(shape, clock)
        chat = ChatDesk(
            keys,
            model_name=shape.model_name,
            model=truth.model.signing,
            gateway=None if truth.gateway is None else truth.gateway.signing,
            now=lambda: int(clock().timestamp()),
        )
        routes = NearRoutes(
            shape=shape,
            keys=keys,
            desk=desk,
            chat=chat,
            api_key=api_key,
            signature_kind=self._kind,
            fault=lambda: box.fault,
        )
        return NearFront(shape=shape, keys=keys, desk=desk, routes=routes, fault=lambda: box.fault)
