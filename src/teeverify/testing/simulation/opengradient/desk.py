"""The simulated deployment at any time: what its nodes tell of a block, and what its enclave shows now."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Final

from attrs import frozen

from teeverify.testing.opengradient import OpenGradientSession

from .fault import OpenGradientFault

__all__ = ["OpenGradientDesk", "OpenGradientShape"]

_BLOCK_SECONDS: Final = 2
_AGE: Final = 3
"""How many seconds a session is younger than the block that it tells of."""
_MAX_KEPT: Final = 32
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)


@frozen(kw_only=True)
class OpenGradientShape:
    """What the simulated deployment looks like; the arguments of `SimulatedTee.opengradient` explain it."""

    nodes: int
    assurance: str
    model_name: str
    seed: str


class OpenGradientDesk:
    """Makes sessions; safe under threads.

    Args:
        shape: the deployment.
        clock: says what time it is there, aware and in UTC.
    """

    def __init__(self, shape: OpenGradientShape, clock: Callable[[], datetime]) -> None:
        self._shape, self._clock = shape, clock
        self._boot = self._built(clock())
        self._lock = threading.Lock()
        self._fault: OpenGradientFault | None = None
        self._kept: OrderedDict[int, OpenGradientSession] = OrderedDict()
        self.memory: dict[bytes, bytes] = {}

    @property
    def boot(self) -> OpenGradientSession:
        """The truthful deployment as it started; keys and the enclave's certificate stay those."""
        return self._boot

    def use(self, fault: OpenGradientFault | None) -> None:
        """Show one fault from now on."""
        with self._lock:
            self._fault = fault
            self._kept.clear()
            self.memory.clear()

    def now(self) -> OpenGradientSession:
        """The deployment now; its nodes know the newest block."""
        return self.at_block((int((self._clock() - _EPOCH).total_seconds()) - _AGE) // _BLOCK_SECONDS)

    def at_block(self, number: int) -> OpenGradientSession:
        """The deployment of the time when a block was the newest; the same for all who ask for it."""
        with self._lock:
            fault, session = self._fault, self._kept.get(number)
        if session is not None:
            return session
        session = self._made(number, fault)
        with self._lock:
            if fault is self._fault:
                self._kept[number] = session
                if len(self._kept) > _MAX_KEPT:
                    self._kept.popitem(last=False)
        return session

    def _made(self, number: int, fault: OpenGradientFault | None) -> OpenGradientSession:
        shift = timedelta(0) if fault is None else fault.shift
        session = self._built(_EPOCH + timedelta(seconds=_BLOCK_SECONDS * number + _AGE) + shift)
        session.tls = self._boot.tls
        session.enclave.tls_certificate = session.record.tls_certificate = session.tls.der
        for node in session.nodes:
            node.block_number = number
        if fault is not None and fault.spoil is not None:
            fault.spoil(session)
        return session

    def _built(self, at: datetime) -> OpenGradientSession:
        shape = self._shape
        return OpenGradientSession.build(nodes=shape.nodes, at=at, seed=shape.seed, model=shape.model_name)
