"""The simulated provider as one object: start it, point a client at it, tell it how to lie."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from teeverify.errors import ConfigurationError
from teeverify.testing.keys import DEFAULT_SEED
from teeverify.testing.near_world import MODEL

from .asked import Asked, AskedLog
from .assembly import assembled_site
from .clock import utc_clock
from .evidence import Ask, EvidenceDesk, Shape
from .fault import Fault
from .faults import FAULTS, fault_named
from .hosts import CLOUD_HOST, DIRECT_HOST, backend_host
from .paperwork import AUTHORITY_FILE, Paperwork
from .server import LOOPBACK, Server
from .signatures import GATEWAY, PROVIDER_TEE
from .site import FaultBox, SimulatedSite

if TYPE_CHECKING:
    from teeverify.policy import Policy
    from teeverify.requests_transport import RequestsTransport
    from teeverify.roots import TrustRoots

__all__ = ["API_KEY", "SimulatedTee"]

T = TypeVar("T")

API_KEY: Final = "teeverify-simulation-key"
"""The API key that the simulated provider takes unless it is told another."""

_KINDS: Final = (PROVIDER_TEE, GATEWAY, None)


class SimulatedTee:
    """A provider, Intel and NVIDIA on one HTTPS port of 127.0.0.1, for tests without hardware.

    Use it as a context manager, or call `start` and `close`. It speaks the real protocols under the real host names: a
    client has to connect to `address` whatever the host (``connect_to`` of `RequestsTransport`), and to trust the
    authority in ``ca_file``. Everything is signed under test roots, which no production verifier accepts.

    Attributes:
        model: the name of the model that is served.
        api_key: the bearer token that the provider wants.
        connect_to, ca_file, port, address, base_url, directory: how it is reached, once it is started.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        fault: str | None,
        latency: float,
        api_key: str,
        clock: Callable[[], datetime],
        signature_kind: str | None,
        port: int,
    ) -> None:
        self._shape, self._clock, self._port = shape, clock, port
        self._first_fault, self.model, self.api_key = fault, shape.model_name, api_key
        self.log = AskedLog()
        self._box = FaultBox()
        self._server: Server | None = None
        self._site: SimulatedSite | None = None
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        if fault is not None:
            self._fault_named(fault)  # a name that does not fit is told before anything starts
        ask = Ask(nonce=bytes(range(32)), cloud=shape.cloud, algorithm="ed25519", tls_bound=True)
        truth = EvidenceDesk(shape, clock).session(ask, clock())
        self._paperwork = Paperwork(shape, truth, signature_kind)
        settings: dict[str, Any] = {"api_key": api_key, "signature_kind": signature_kind, "latency": latency}
        self._assembled = partial(assembled_site, shape, truth=truth, clock=clock, box=self._box, **settings)

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
        if not 1 <= gpus <= 32 or not 1 <= backends <= 100 or latency < 0:
            raise ConfigurationError("gpus is not 1 to 32, backends is not 1 to 100, or latency is negative")
        if signature_kind not in _KINDS or (signature_kind == GATEWAY and not cloud):
            raise ConfigurationError("signature_kind is not 'provider_tee', None, or (with cloud) 'gateway'")
        shape = Shape(cloud=cloud, gpus=gpus, backends=backends, model_name=model, seed=seed)
        return cls(
            shape,
            fault=fault,
            latency=latency,
            api_key=api_key,
            clock=utc_clock(at),
            signature_kind=signature_kind,
            port=port,
        )

    # --- life ------------------------------------------------------------------------------------------------------

    def start(self) -> SimulatedTee:
        """Listen; returns the simulation itself.

        Raises:
            ConfigurationError: the port cannot be had, or the simulation was started before.
        """
        if self._directory is not None:
            raise ConfigurationError("the simulation was started before: make another one")
        self._directory = tempfile.TemporaryDirectory(prefix="teeverify-simulation-")
        try:
            site = self._assembled(directory=self.directory)
            site.use(None if self._first_fault is None else self._fault_named(self._first_fault))
            self.write(self.directory)
            self._server = Server(site, self.log, port=self._port)
        except BaseException:
            self._directory.cleanup()
            raise
        self._site = site
        return self

    def close(self) -> None:
        """Stop listening, end all connections and threads, and remove the temporary directory."""
        if self._server is not None:
            self._server.close()
        if self._directory is not None:
            self._directory.cleanup()

    def __enter__(self) -> SimulatedTee:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if self.failures and error is None:
            raise RuntimeError(f"the simulation itself failed {len(self.failures)} times") from self.failures[0]

    @property
    def failures(self) -> tuple[Exception, ...]:
        """Exceptions of the simulation's own, which are bugs; leaving the context raises where there are any."""
        return () if self._server is None else tuple(self._server.failures)

    # --- how it is reached -----------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return self._running(self._server).port

    @property
    def address(self) -> tuple[str, int]:
        """Where to connect to, whatever the host."""
        return LOOPBACK, self.port

    @property
    def connect_to(self) -> dict[str, tuple[str, int]]:
        """`address` in the form in which `RequestsTransport` takes it."""
        return {"*": self.address}

    @property
    def base_url(self) -> str:
        """What an ordinary OpenAI client takes as its base URL."""
        return f"https://{LOOPBACK}:{self.port}/v1"

    @property
    def directory(self) -> Path:
        """A temporary directory with the files of `write`, removed by `close`."""
        return Path(self._running(self._directory).name)

    @property
    def ca_file(self) -> Path:
        """A PEM file with the authority that issued the TLS certificates."""
        return self.directory / AUTHORITY_FILE

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins that want the API key."""
        hosts = (DIRECT_HOST, *(backend_host(number) for number in range(self._shape.backends)))
        return tuple(f"https://{host}" for host in ((CLOUD_HOST, *hosts) if self._shape.cloud else hosts))

    def transport(self, **more: Any) -> RequestsTransport:
        """A live transport that ends here; ``more`` goes to `RequestsTransport`."""
        from teeverify.requests_transport import RequestsTransport

        settings: dict[str, Any] = {
            "connect_to": self.connect_to,
            "ca_file": str(self.ca_file),
            "api_keys": dict.fromkeys(self.origins, self.api_key),
        }
        return RequestsTransport(**{**settings, **more})

    # --- what it is judged by --------------------------------------------------------------------------------------

    @property
    def roots(self) -> TrustRoots:
        """The test roots."""
        return self._paperwork.roots

    @property
    def policy(self) -> Policy:
        """The policy that pins what the truthful simulation shows."""
        return self._paperwork.policy

    @property
    def policy_text(self) -> str:
        """The policy as TOML."""
        return self._paperwork.policy_text()

    def policy_text_with(self, **changes: Any) -> str:
        """The policy with fields of `PolicyText` changed, for example ``waive``."""
        return self._paperwork.policy_text(**changes)

    def write(self, directory: str | Path) -> None:
        """Write ``roots/``, ``policy.toml`` and ``tls-ca.pem`` into a directory, for use from another process.

        Raises:
            ConfigurationError: the directory cannot be written to.
        """
        self._paperwork.write(Path(directory))

    # --- lies ------------------------------------------------------------------------------------------------------

    @property
    def faults(self) -> tuple[str, ...]:
        """The names of all faults that this deployment can show; `FAULTS` explains them."""
        return tuple(name for name, fault in FAULTS.items() if fault.misfit(**self._fit) is None)

    @property
    def fault(self) -> str | None:
        """The fault of the moment, None for the truth."""
        fault = self._box.fault
        return None if fault is None else fault.name

    def set_fault(self, name: str | None) -> None:
        """Show a fault from now on, or the truth. Open connections are closed, so that the next request meets it.

        Raises:
            ConfigurationError: the fault is unknown or does not fit, or the simulation is not running.
        """
        site, server = self._running(self._site), self._running(self._server)
        site.use(None if name is None else self._fault_named(name))
        server.drop_connections()

    @property
    def asked(self) -> tuple[Asked, ...]:
        """What was asked so far, in the order of arrival; `log` has more."""
        return self.log.entries

    def clock(self) -> datetime:
        """The time of the simulation, in UTC."""
        return self._clock()

    @staticmethod
    def _running(part: T | None) -> T:
        if part is None:
            raise ConfigurationError("the simulation is not started: call start(), or use it in a with statement")
        return part

    @property
    def _fit(self) -> dict[str, Any]:
        return {"cloud": self._shape.cloud, "gpus": self._shape.gpus, "backends": self._shape.backends}

    def _fault_named(self, name: str) -> Fault:
        return fault_named(name, **self._fit)
