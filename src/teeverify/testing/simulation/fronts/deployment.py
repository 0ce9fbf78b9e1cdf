"""A simulated front, put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from attrs import evolve

from teeverify.errors import ConfigurationError
from teeverify.testing.front import FRONT_URLS, front_policy
from teeverify.testing.keys import KeyRing
from teeverify.testing.near_policy import PolicyText
from teeverify.testing.signing import SigningKey
from teeverify.testing.simulation.deployment import Deployment
from teeverify.testing.simulation.fault_box import FaultBox
from teeverify.testing.simulation.faults.fronts import front_faults

from .chat import FrontChat
from .evidence import Ask, FrontDesk, FrontShape
from .fault import FrontFault
from .front import OneHostFront
from .routes import FrontRoutes

__all__ = ["FrontDeployment"]

_TITLES: Final[Mapping[str, str]] = {
    "phala": "Phala's RedPill",
    "vllm-proxy": "vllm-proxy",
    "nanogpt": "NanoGPT",
    "venice": "Venice",
}
_SHAPES: Final[Mapping[str, tuple[str, ...]]] = {
    "phala": ("dstack", "near", "chutes"),
    "vllm-proxy": ("dstack",),
    "nanogpt": ("dstack", "near", "chutes"),
    "venice": ("dstack",),
}
_SIGNING: Final = ("phala", "vllm-proxy")
"""The fronts whose signature endpoint is known."""
MAX_INSTANCES: Final = 5


class FrontDeployment(Deployment[FrontFault]):
    """One front in one shape; the methods of `SimulatedTee` explain the arguments.

    Raises:
        ConfigurationError: a value makes no sense.
    """

    def __init__(self, shape: FrontShape, *, clock: Callable[[], datetime]) -> None:
        if shape.shape not in _SHAPES[shape.provider]:
            shapes = (*_SHAPES[shape.provider], *(("aci",) if shape.provider == "phala" else ()))
            raise ConfigurationError(f"shape {shape.shape[:40]!r} is none of {', '.join(shapes)}")
        if not 1 <= shape.gpus <= 32 or not 1 <= shape.instances <= MAX_INSTANCES:
            raise ConfigurationError(f"gpus is not 1 to 32, or instances is not 1 to {MAX_INSTANCES}")
        self._shape = shape
        self.model, self.seed = shape.model_name, shape.seed
        self.table = front_faults(shape.provider, shape.shape)
        url = FRONT_URLS[shape.provider]
        self._host = urlsplit(url).netloc
        self.origins = (f"https://{self._host}",)
        own = shape.provider == "vllm-proxy"
        form = ("TLS-bound" if shape.tls_bound else "padded") if own else f"shape {shape.shape}"
        self.title = f"{_TITLES[shape.provider]} ({form})"
        bound = ("--tls-bound",) if shape.tls_bound else ()
        place = ("--url", url.removesuffix("/attestation/report"), *bound) if own else ()
        self.attesting = (shape.provider, shape.model_name, *place)
        self._truth = FrontDesk(shape, clock).session(Ask(nonce=bytes(range(32)), tls_bound=shape.tls_bound), clock())

    def misfit(self, fault: FrontFault) -> str | None:
        """See `Deployment.misfit`."""
        shape = self._shape
        return fault.misfit(gpus=shape.gpus, instances=shape.instances, tls_bound=shape.tls_bound)

    def policy_text(self, **changes: Any) -> str:
        """The policy as TOML, with fields of `PolicyText` changed; ``nras`` alone in the shape of Chutes."""
        nras = changes.pop("nras", "required")
        name = f"{self._shape.provider}-simulated"
        if self._shape.shape == "chutes":
            if changes:
                raise ConfigurationError(f"{min(changes)} cannot be changed in the shape of Chutes: leave it out")
            return front_policy(self._truth, nras=nras).replace(f"{self._shape.provider}-test", name)
        text = PolicyText(name=name, min_count=self._shape.gpus)
        return front_policy(self._truth, nras=nras, text=evolve(text, **changes))

    def front(self, *, api_key: str, clock: Callable[[], datetime], box: FaultBox[FrontFault]) -> OneHostFront:
        """See `Deployment.front`."""
        shape, keys = self._shape, KeyRing(self._shape.seed)
        desk = FrontDesk(shape, clock)
        signs = shape.provider in _SIGNING and shape.shape != "chutes"
        chat = FrontChat(
            keys,
            model_name=shape.model_name,
            model=self._truth.machines.model.signing if signs else SigningKey.derive(keys, "nobody", "ecdsa"),
            gateway=None,
            now=lambda: int(clock().timestamp()),
        )
        routes = FrontRoutes(
            shape=shape, desk=desk, chat=chat, signs=signs, api_key=api_key, fault=lambda: box.fault
        )  # fmt: skip
        return OneHostFront(shape=shape, host=self._host, desk=desk, routes=routes, fault=lambda: box.fault)
