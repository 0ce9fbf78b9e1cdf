"""asyncio: the same flows, driven without blocking the event loop.

Nothing here starts an event loop, so it works inside a running one, a notebook included.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from attrs import frozen

from .errors import TransportError
from .flow import Answer, Flow, Request, Response, capped
from .limits import MAX_CONCURRENT_REQUESTS

if TYPE_CHECKING:
    from .exchange import Exchange
    from .flow import Transport
    from .saved import SavedReport
    from .verdict import AttestationVerdict, VerifiedExchange
    from .verifier import Verifier

__all__ = ["AsyncTransport", "AsyncVerifier", "ThreadedTransport", "run_async"]

T = TypeVar("T")


class AsyncTransport(Protocol):
    """Anything that can answer requests without blocking."""

    async def send(self, request: Request) -> Response:
        """Answer one request.

        Raises:
            TransportError: no answer could be had.
        """
        ...


class ThreadedTransport:
    """Makes an `AsyncTransport` of a `Transport`, each request in a thread.

    Requests are made side by side only where the transport says that it is ``concurrent``.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        side_by_side = getattr(transport, "concurrent", False) is True
        # Threads of our own: the event loop's default executor may have fewer than one batch has requests.
        self._threads = _Threads(MAX_CONCURRENT_REQUESTS if side_by_side else 1, "teeverify")

    async def send(self, request: Request) -> Response:
        """Answer one request in a thread.

        Raises:
            TransportError: no answer could be had.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads.pool(), self._transport.send, request)


async def run_async(flow: Flow[T], transport: AsyncTransport) -> T:
    """Drive a flow to its end; the requests of one batch are made side by side.

    The steps between requests (parsing, cryptography) run in a thread, since they take milliseconds.
    """
    width = asyncio.Semaphore(MAX_CONCURRENT_REQUESTS)
    answers: tuple[Answer, ...] | None = None
    while True:
        step: tuple[tuple[Request, ...], _Finished[T] | None] = await _off_loop(_step, flow, answers)
        batch, finished = step
        if finished is not None:
            return finished.value
        answers = tuple(await asyncio.gather(*(_ask(transport, request, width) for request in batch)))


async def _off_loop(work: Callable[..., T], *arguments: object) -> T:
    """Run work that takes milliseconds and waits for nothing in a thread.

    Not in the event loop's default executor: its threads may all be waiting for the very flight that needs one.
    """
    context = contextvars.copy_context()
    loop = asyncio.get_running_loop()
    result: T = await loop.run_in_executor(_STEPS.pool(), functools.partial(context.run, work, *arguments))
    return result


class _Threads:
    """Threads that are made on first use, and made anew in a process that was forked, which has none of them."""

    def __init__(self, width: int, name: str) -> None:
        self._width, self._name = width, name
        self._pool: tuple[int, ThreadPoolExecutor] | None = None
        self._making = threading.Lock()

    def pool(self) -> ThreadPoolExecutor:
        with self._making:
            if self._pool is None or self._pool[0] != os.getpid():
                self._pool = os.getpid(), ThreadPoolExecutor(self._width, self._name)
            return self._pool[1]


_STEPS: Final = _Threads(min(8, (os.cpu_count() or 1) + 2), "teeverify-steps")


@frozen
class _Finished(Generic[T]):
    """What a flow returned, since StopIteration cannot pass through a future."""

    value: T


def _step(flow: Flow[T], answers: tuple[Answer, ...] | None) -> tuple[tuple[Request, ...], _Finished[T] | None]:
    try:
        return (next(flow) if answers is None else flow.send(answers)), None
    except StopIteration as done:
        return (), _Finished(done.value)


async def _ask(transport: AsyncTransport, request: Request, width: asyncio.Semaphore) -> Answer:
    async with width:
        if request.delay:
            await asyncio.sleep(request.delay)
        try:
            return capped(await transport.send(request), request)
        except TransportError as error:
            return error


class AsyncVerifier:
    """A verifier for asyncio: the same checks, policy and caches as the `Verifier` it wraps.

    Args:
        verifier: judges; it may serve threads at the same time, and its cache then serves both.
        transport: answers requests; by default the verifier's own transport, in threads.
    """

    def __init__(self, verifier: Verifier, *, transport: AsyncTransport | None = None) -> None:
        self.verifier = verifier
        self._transport = transport
        self._making = threading.Lock()

    @property
    def provider(self) -> str:
        """Name of the provider."""
        return self.verifier.provider

    @property
    def transport(self) -> AsyncTransport:
        """What answers this verifier's requests."""
        with self._making:
            if self._transport is None:
                self._transport = ThreadedTransport(self.verifier.transport)
            return self._transport

    async def verify_attestation(
        self, model: str, *, nonce: bytes | None = None, now: datetime | None = None
    ) -> AttestationVerdict:
        """See `Verifier.verify_attestation`."""
        verdict = await run_async(self.verifier.attestation_flow(model, nonce=nonce, now=now), self.transport)
        self.verifier.hold(verdict, now=now)
        return verdict

    async def attestation_cached(self, model: str, *, now: datetime | None = None) -> AttestationVerdict:
        """See `Verifier.attestation_cached`; a caller that is cancelled does not disturb the others."""
        key = self.verifier.cache_key(model)
        return await self.verifier.cache.get_or_verify_async(
            key, lambda: self.verify_attestation(model, now=now), now=self.verifier.time(now)
        )

    def held_attestation(
        self, model: str, *, tls_spki: bytes | None = None, now: datetime | None = None
    ) -> AttestationVerdict | None:
        """See `Verifier.held_attestation`; it never waits."""
        return self.verifier.held_attestation(model, tls_spki=tls_spki, now=now)

    async def verify_exchange(
        self, exchange: Exchange, *, attestation: AttestationVerdict | None = None, now: datetime | None = None
    ) -> VerifiedExchange:
        """See `Verifier.verify_exchange`."""
        held = await self.attestation_cached(exchange.model, now=now) if attestation is None else attestation
        judged = await run_async(self.verifier.exchange_flow(exchange, held, now=now), self.transport)
        return self.verifier.accept(exchange, judged)  # at once: a call that was cancelled has accepted nothing

    async def verify_saved(self, report: SavedReport, *, at: datetime | None = None) -> AttestationVerdict:
        """See `Verifier.verify_saved`; it runs in a thread."""
        return await _off_loop(functools.partial(self.verifier.verify_saved, report, at=at))

    async def verify_saved_exchange(
        self, report: SavedReport, exchange: Exchange | None = None, *, at: datetime | None = None
    ) -> VerifiedExchange:
        """See `Verifier.verify_saved_exchange`; it runs in a thread."""
        return await _off_loop(functools.partial(self.verifier.verify_saved_exchange, report, exchange, at=at))
