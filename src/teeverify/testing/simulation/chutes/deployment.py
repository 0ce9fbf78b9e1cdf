"""A simulated Chutes, put together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from teeverify.errors import ConfigurationError
from teeverify.testing.chutes_policy import chutes_policy
from teeverify.testing.keys import KeyRing
from teeverify.testing.nvidia import Device
from teeverify.testing.simulation.deployment import Deployment
from teeverify.testing.simulation.fault_box import FaultBox
from teeverify.testing.simulation.faults import CHUTES_FAULTS
from teeverify.testing.simulation.front import EndorsedFront
from teeverify.testing.simulation.hosts import LOCAL_NAMES
from teeverify.testing.simulation.messages import HttpRequest, Reply
from teeverify.testing.simulation.server import Connection
from teeverify.testing.simulation.tls import TlsIdentity

from .evidence import ChutesDesk, ChutesShape
from .fault import ChutesFault
from .hosts import API_HOST, LLM_HOST, chutes_group
from .routes import ChutesRoutes

__all__ = ["ChutesDeployment", "ChutesFront"]

MAX_SHOWN_KEYS = 5
"""Chutes shows the keys of a random sample of at most so many instances; more would be refused as not covered."""


class ChutesDeployment(Deployment[ChutesFault]):
    """Chutes with one chute; `SimulatedTee.chutes` explains the shape.

    Raises:
        ConfigurationError: a value makes no sense.
    """

    table = CHUTES_FAULTS
    title = "Chutes"
    origins = (f"https://{LLM_HOST}", f"https://{API_HOST}")

    def __init__(self, shape: ChutesShape, *, clock: Callable[[], datetime]) -> None:
        if not 1 <= shape.gpus <= 32 or not 1 <= shape.instances <= MAX_SHOWN_KEYS:
            raise ConfigurationError(f"gpus is not 1 to 32, or instances is not 1 to {MAX_SHOWN_KEYS}")
        self._shape = shape
        self.model, self.seed = shape.model_name, shape.seed
        self.attesting = ("chutes", shape.model_name)
        self._truth = ChutesDesk(shape, clock).session(bytes(range(32)), clock())

    def misfit(self, fault: ChutesFault) -> str | None:
        """See `Deployment.misfit`."""
        return fault.misfit(instances=self._shape.instances, gpus=self._shape.gpus)

    def policy_text(self, **changes: Any) -> str:
        """The policy as TOML, with arguments of `chutes_policy` changed."""
        return chutes_policy(self._truth, **{"name": "chutes-simulated", **changes})

    def front(self, *, api_key: str, clock: Callable[[], datetime], box: FaultBox[ChutesFault]) -> ChutesFront:
        """See `Deployment.front`; what shows is up to the desk, so the box is not asked."""
        del box
        return ChutesFront(self._shape, ChutesDesk(self._shape, clock), api_key=api_key)


class ChutesFront(EndorsedFront[ChutesFault]):
    """Chutes' two hosts. See `Front`."""

    desk: ChutesDesk

    def __init__(self, shape: ChutesShape, desk: ChutesDesk, *, api_key: str) -> None:
        self._shape, self.desk, self._keys = shape, desk, KeyRing(shape.seed)
        self._routes = ChutesRoutes(shape=shape, desk=desk, api_key=api_key)

    def group_of(self, host: str) -> str | None:
        """See `Front.group_of`."""
        return chutes_group(host)

    def identity(self, host: str, connection: Connection) -> TlsIdentity:
        """See `Front.identity`; nothing attests these keys."""
        del connection
        names = (API_HOST,) if host == API_HOST else (LLM_HOST, *LOCAL_NAMES)
        return TlsIdentity(self._keys.p256(f"tls/{names[0]}"), names)

    def answer(self, request: HttpRequest, connection: Connection) -> Reply:
        """See `Front.answer`."""
        del connection
        return self._routes.answer(request)

    def devices(self) -> list[Device]:
        """See `Front.devices`."""
        session = self.desk.session(bytes(32), self.desk.now())
        return [device for instance in session.instances for device in instance.gpus]

    def judges_unseen(self) -> bool:
        """See `Front.judges_unseen`: NVIDIA does, whatever Chutes shows, for it is not Chutes that lies there."""
        return True
