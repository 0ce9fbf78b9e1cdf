"""The simulated providers as objects: start one, point a client at it, tell it how to lie."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from teeverify.testing import chutes_world
from teeverify.testing.keys import DEFAULT_SEED
from teeverify.testing.near_world import MODEL
from teeverify.testing.opengradient import GATEWAY_MODEL

from .chutes.deployment import ChutesDeployment
from .chutes.evidence import ChutesShape
from .clock import utc_clock
from .front_tees import API_KEY, FrontTees
from .near.deployment import NearDeployment
from .near.evidence import Shape
from .near.signatures import PROVIDER_TEE
from .opengradient.deployment import OpenGradientDeployment
from .opengradient.desk import OpenGradientShape

__all__ = ["API_KEY", "SimulatedTee"]


class SimulatedTee(FrontTees):
    """A provider, Intel and NVIDIA on one HTTPS port of 127.0.0.1, for tests without hardware.

    Make one with `near`, `chutes`, `opengradient`, `phala`, `vllm_proxy`, `aci`, `nanogpt` or `venice`. Use it as a
    context manager, or call `start` and `close`. It speaks the real protocols under the real host names: a client has
    to connect to `address` whatever the host (``connect_to`` of `RequestsTransport`), and to trust the authority in
    ``ca_file``. Everything is signed under test roots, which no production verifier accepts.

    Attributes:
        model: the name of the model that is served.
        api_key: the bearer token that the provider wants.
        nodes, enclave: URLs of the chain's nodes and of the enclave, where there are any.
        connect_to, ca_file, port, address, base_url, directory: how it is reached, once it is started.
    """

    @classmethod
    def near(
        cls,
        *,
        cloud: bool = True,
        gpus: int = 2,
        fault: str | None = None,
        latency: float = 0.0,
        backends: int = 1,
        api_key: str = API_KEY,
        at: datetime | Callable[[], datetime] | None = None,
        seed: str = DEFAULT_SEED,
        model: str = MODEL,
        signature_kind: str | None = PROVIDER_TEE,
        port: int = 0,
    ) -> SimulatedTee:
        """NEAR AI.

        Args:
            cloud: whether the front is the gateway, or the model's own host. Model hosts are there in both shapes.
            gpus: how many GPUs each machine has.
            fault: the name of a fault to begin with; `faults` lists them.
            latency: seconds that pass before each request is answered.
            backends: how many machines stand behind the model's host; the first of them answers in its name.
            api_key: the bearer token that reports, chats and signatures want.
            at: the time of the simulation, aware: one moment, or a function that says the time. By default the
                machine's clock. TLS certificates are valid from 2024 to the end of 2035 whatever this says.
            seed: of all keys; test roots belong to a seed.
            model: the name of the model.
            signature_kind: how signatures of chats call themselves: "provider_tee" (the model signs, and its name is in
                the text), "gateway" (the gateway signs; cloud only), or None (the model signs as older proxies do).
            port: 0 for any that is free.

        Raises:
            ConfigurationError: the fault is unknown or does not fit, or a value makes no sense.
        """
        shape = Shape(cloud=cloud, gpus=gpus, backends=backends, model_name=model, seed=seed)
        clock = utc_clock(at)
        deployment = NearDeployment(shape, signature_kind=signature_kind, clock=clock)
        return cls(deployment, fault=fault, latency=latency, api_key=api_key, clock=clock, port=port)

    @classmethod
    def chutes(
        cls,
        *,
        instances: int = 2,
        gpus: int = 2,
        fault: str | None = None,
        latency: float = 0.0,
        api_key: str = API_KEY,
        at: datetime | Callable[[], datetime] | None = None,
        seed: str = DEFAULT_SEED,
        model: str = chutes_world.MODEL,
        port: int = 0,
    ) -> SimulatedTee:
        """Chutes.

        Args:
            instances: how many instances the chute has, 1 to 5: Chutes shows the keys of five at most.
            gpus: how many GPUs each instance has.
            fault: the name of a fault to begin with; `faults` lists them.
            latency: seconds that pass before each request is answered.
            api_key: the bearer token that keys and evidence want.
            at: the time of the simulation, as for `near`.
            seed: of all keys; test roots belong to a seed.
            model: the name of the model.
            port: 0 for any that is free.

        Raises:
            ConfigurationError: the fault is unknown or does not fit, or a value makes no sense.
        """
        clock = utc_clock(at)
        shape = ChutesShape(instances=instances, gpus=gpus, model_name=model, seed=seed)
        deployment = ChutesDeployment(shape, clock=clock)
        return cls(deployment, fault=fault, latency=latency, api_key=api_key, clock=clock, port=port)

    @classmethod
    def opengradient(
        cls,
        *,
        nodes: int = 2,
        assurance: str = "attested",
        fault: str | None = None,
        latency: float = 0.0,
        api_key: str = API_KEY,
        at: datetime | Callable[[], datetime] | None = None,
        seed: str = DEFAULT_SEED,
        model: str = GATEWAY_MODEL,
        port: int = 0,
    ) -> SimulatedTee:
        """OpenGradient: nodes of a chain, one enclave that they list, and the relay before it.

        Args:
            nodes: how many nodes there are, 1 to 4; the policy demands that all of them agree.
            assurance: the level that the policy demands: "attested", "registry+pcr" or "registry".
            fault: the name of a fault to begin with; `faults` lists them.
            latency: seconds that pass before each request is answered.
            api_key: the bearer token that the relay wants.
            at: the time of the simulation, as for `near`.
            seed: of all keys; test roots belong to a seed. RSA keys of another seed than the default take seconds.
            model: the name of a model. Any name is answered.
            port: 0 for any that is free.

        Raises:
            ConfigurationError: the fault is unknown or does not fit, or a value makes no sense.
        """
        clock = utc_clock(at)
        shape = OpenGradientShape(nodes=nodes, assurance=assurance, model_name=model, seed=seed)
        deployment = OpenGradientDeployment(shape, clock=clock)
        return cls(deployment, fault=fault, latency=latency, api_key=api_key, clock=clock, port=port)
