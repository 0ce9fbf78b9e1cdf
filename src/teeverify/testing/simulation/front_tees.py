"""The simulated fronts and ACI services as objects; `SimulatedTee` inherits how they are made."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, TypeVar

from teeverify.testing.aci import ACI_MODEL
from teeverify.testing.keys import DEFAULT_SEED
from teeverify.testing.near_world import MODEL

from .aci.deployment import AciDeployment
from .aci.evidence import AciShape
from .clock import utc_clock
from .fronts.deployment import FrontDeployment
from .fronts.evidence import FrontShape
from .life import Simulation

__all__ = ["API_KEY", "FrontTees"]

API_KEY: Final = "teeverify-simulation-key"
"""The API key that the simulated provider takes unless it is told another."""

When = datetime | Callable[[], datetime] | None
T = TypeVar("T", bound="FrontTees")


class FrontTees(Simulation):
    """How fronts and ACI services are made; ``fault``, ``latency``, ``at``, ``seed`` and ``port`` are those of `near`.

    All raise ConfigurationError where the fault is unknown or does not fit, or a value makes no sense.
    """

    @classmethod
    def phala(
        cls: type[T],
        *,
        shape: str = "dstack",
        gpus: int = 1,
        instances: int = 2,
        fault: str | None = None,
        latency: float = 0.0,
        api_key: str = API_KEY,
        at: When = None,
        seed: str = DEFAULT_SEED,
        model: str = MODEL,
        port: int = 0,
    ) -> T:
        """Phala's RedPill: reports, chats, and signatures of chats; in shape "aci" receipts in their place.

        Args:
            shape: of the reports: "dstack" (a machine of Phala's), "near", "chutes" or "aci".
            gpus: how many GPUs each machine has.
            instances: how many instances there are, in the shape of Chutes.
            fault: the name of a fault to begin with; `faults` lists them.
            latency: seconds that pass before each request is answered.
            api_key: the bearer token that it wants.
            at: the time of the simulation, as for `SimulatedTee.near`.
            seed: of all keys; test roots belong to a seed.
            model: the name of the model.
            port: 0 for any that is free.
        """
        own: dict[str, Any] = {"fault": fault, "latency": latency, "api_key": api_key, "port": port}
        clock = utc_clock(at)
        deployment: FrontDeployment | AciDeployment
        if shape == "aci":
            served = AciShape(serving="aggregator", model_name=model, seed=seed, provider="phala")
            deployment = AciDeployment(served, clock=clock)
        else:
            shown = FrontShape(
                provider="phala", shape=shape, gpus=gpus, instances=instances, tls_bound=False, model_name=model,
                seed=seed,
            )  # fmt: skip
            deployment = FrontDeployment(shown, clock=clock)
        return cls(deployment, clock=clock, **own)

    @classmethod
    def vllm_proxy(
        cls: type[T],
        *,
        tls_bound: bool = True,
        gpus: int = 1,
        fault: str | None = None,
        latency: float = 0.0,
        api_key: str = API_KEY,
        at: When = None,
        seed: str = DEFAULT_SEED,
        model: str = MODEL,
        port: int = 0,
    ) -> T:
        """A vllm-proxy in a confidential VM of one's own, in which connections end.

        Args:
            tls_bound: whether it is of the newer builds, whose quotes bind the TLS key when they are asked to
                (``version=2``). The policy of the other ones waives channel.tls_spki.
            gpus: how many GPUs each machine has.
            fault: the name of a fault to begin with; `faults` lists them.
            latency: seconds that pass before each request is answered.
            api_key: the bearer token that it wants.
            at: the time of the simulation, as for `SimulatedTee.near`.
            seed: of all keys; test roots belong to a seed.
            model: the name of the model.
            port: 0 for any that is free.
        """
        own: dict[str, Any] = {"fault": fault, "latency": latency, "api_key": api_key, "port": port}
        clock = utc_clock(at)
        shown = FrontShape(
            provider="vllm-proxy", shape="dstack", gpus=gpus, instances=1, tls_bound=tls_bound, model_name=model,
            seed=seed,
        )  # fmt: skip
        deployment = FrontDeployment(shown, clock=clock)
        return cls(deployment, clock=clock, **own)

    @classmethod
    def nanogpt(
        cls: type[T],
        *,
        shape: str = "dstack",
        gpus: int = 1,
        instances: int = 2,
        fault: str | None = None,
        latency: float = 0.0,
        api_key: str = API_KEY,
        at: When = None,
        seed: str = DEFAULT_SEED,
        model: str = MODEL,
        port: int = 0,
    ) -> T:
        """NanoGPT: reports, and chats that nobody signs.

        Args:
            shape: of the reports: "dstack", "near" or "chutes".
            gpus: how many GPUs each machine has.
            instances: how many instances there are, in the shape of Chutes.
            fault: the name of a fault to begin with; `faults` lists them.
            latency: seconds that pass before each request is answered.
            api_key: the bearer token that it wants.
            at: the time of the simulation, as for `SimulatedTee.near`.
            seed: of all keys; test roots belong to a seed.
            model: the name of the model.
            port: 0 for any that is free.
        """
        own: dict[str, Any] = {"fault": fault, "latency": latency, "api_key": api_key, "port": port}
        clock = utc_clock(at)
        shown = FrontShape(
            provider="nanogpt", shape=shape, gpus=gpus, instances=instances, tls_bound=False, model_name=model,
            seed=seed,
        )  # fmt: skip
        deployment = FrontDeployment(shown, clock=clock)
        return cls(deployment, clock=clock, **own)

    @classmethod
    def venice(
        cls: type[T],
        *,
        gpus: int = 1,
        fault: str | None = None,
        latency: float = 0.0,
        api_key: str = API_KEY,
        at: When = None,
        seed: str = DEFAULT_SEED,
        model: str = MODEL,
        port: int = 0,
    ) -> T:
        """Venice: reports of NEAR's machines with its opinion beside them, and chats that nobody signs.

        Args:
            gpus: how many GPUs each machine has.
            fault: the name of a fault to begin with; `faults` lists them.
            latency: seconds that pass before each request is answered.
            api_key: the bearer token that it wants.
            at: the time of the simulation, as for `SimulatedTee.near`.
            seed: of all keys; test roots belong to a seed.
            model: the name of the model.
            port: 0 for any that is free.
        """
        own: dict[str, Any] = {"fault": fault, "latency": latency, "api_key": api_key, "port": port}
        clock = utc_clock(at)
        shown = FrontShape(
            provider="venice", shape="dstack", gpus=gpus, instances=1, tls_bound=False, model_name=model,
            seed=seed,
        )  # fmt: skip
        deployment = FrontDeployment(shown, clock=clock)
        return cls(deployment, clock=clock, **own)

    @classmethod
    def aci(
        cls: type[T],
        *,
        serving: str = "direct",
        fault: str | None = None,
        latency: float = 0.0,
        api_key: str = API_KEY,
        at: When = None,
        seed: str = DEFAULT_SEED,
        model: str = ACI_MODEL,
        port: int = 0,
    ) -> T:
        """A service of attested confidential inference (aci/1): reports, chats, receipts and sessions.

        Args:
            serving: "direct", or "aggregator" for a gateway with a machine behind it.
            fault: the name of a fault to begin with; `faults` lists them.
            latency: seconds that pass before each request is answered.
            api_key: the bearer token that it wants.
            at: the time of the simulation, as for `SimulatedTee.near`.
            seed: of all keys; test roots belong to a seed.
            model: the name of the model.
            port: 0 for any that is free.
        """
        own: dict[str, Any] = {"fault": fault, "latency": latency, "api_key": api_key, "port": port}
        clock = utc_clock(at)
        served = AciShape(serving=serving, model_name=model, seed=seed, provider="aci")
        deployment = AciDeployment(served, clock=clock)
        return cls(deployment, clock=clock, **own)
