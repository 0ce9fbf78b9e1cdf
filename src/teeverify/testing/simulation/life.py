"""The life of a simulation: start it, point a client at it, tell it how to lie."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from teeverify.errors import ConfigurationError

from .asked import Asked, AskedLog
from .assembly import assembled_site
from .deployment import Deployment
from .fault import Fault
from .fault_box import FaultBox
from .paperwork import AUTHORITY_FILE, Paperwork
from .server import LOOPBACK, Server
from .site import SimulatedSite

if TYPE_CHECKING:
    from teeverify.policy import Policy
    from teeverify.requests_transport import RequestsTransport
    from teeverify.roots import TrustRoots

__all__ = ["Simulation"]

T = TypeVar("T")
S = TypeVar("S", bound="Simulation")


class Simulation:
    """A deployment that can be served; `SimulatedTee` makes them.

    Attributes:
        model: the name of the model that is served.
        api_key: the bearer token that the provider wants.
        title: the provider and its shape, in words.
        attesting: what follows ``teeverify attest``, ahead of addresses and policy.
        attesting_wants_key: whether it wants the API key.
        nodes, enclave, hosts: the chain's nodes and the enclave as URLs, where there are any; all the provider's hosts.
        log: what was asked so far.
    """

    def __init__(
        self,
        deployment: Deployment[Any],
        *,
        fault: str | None,
        latency: float,
        api_key: str,
        clock: Callable[[], datetime],
        port: int,
    ) -> None:
        if latency < 0:
            raise ConfigurationError(f"latency is {latency} seconds: 0 or more was expected")
        self._deployment, self._clock, self._port = deployment, clock, port
        self._first_fault, self.model, self.api_key = fault, deployment.model, api_key
        self.title, self.attesting = deployment.title, deployment.attesting
        self.attesting_wants_key, self.hosts = deployment.attesting_wants_key, deployment.hosts
        self.nodes, self.enclave = deployment.nodes, deployment.enclave
        self.log = AskedLog()
        self._box: FaultBox[Any] = FaultBox()
        self._server: Server | None = None
        self._site: SimulatedSite | None = None
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        if fault is not None:
            deployment.fault_named(fault)  # a name that does not fit is told before anything starts
        self._paperwork = Paperwork(deployment.seed, deployment.policy_text)
        settings: dict[str, Any] = {"api_key": api_key, "latency": latency}
        self._assembled = partial(assembled_site, deployment, clock=clock, box=self._box, **settings)

    # --- life ------------------------------------------------------------------------------------------------------

    def start(self: S) -> S:
        """Listen; returns the simulation itself.

        Raises:
            ConfigurationError: the port cannot be had, or the simulation was started before.
        """
        if self._directory is not None:
            raise ConfigurationError("the simulation was started before: make another one")
        self._directory = tempfile.TemporaryDirectory(prefix="teeverify-simulation-")
        try:
            site = self._assembled(directory=self.directory)
            site.use(None if self._first_fault is None else self._deployment.fault_named(self._first_fault))
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

    def __enter__(self: S) -> S:
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
        return self._deployment.origins

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
        return self._deployment.policy_text()

    def policy_text_with(self, **changes: Any) -> str:
        """The policy with fields of `PolicyText` changed, or for Chutes arguments of `chutes_policy`."""
        return self._deployment.policy_text(**changes)

    def write(self, directory: str | Path) -> None:
        """Write ``roots/``, ``policy.toml`` and ``tls-ca.pem`` into a directory, for use from another process.

        Raises:
            ConfigurationError: the directory cannot be written to.
        """
        self._paperwork.write(Path(directory))

    # --- lies ------------------------------------------------------------------------------------------------------

    @property
    def faults(self) -> tuple[str, ...]:
        """The names of all faults that this deployment can show; `explained_faults` has them whole."""
        return tuple(self._deployment.faults)

    @property
    def explained_faults(self) -> Mapping[str, Fault]:
        """The faults that this deployment can show, by name."""
        return self._deployment.faults

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
        site.use(None if name is None else self._deployment.fault_named(name))
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
