"""The flow: one generator that says which requests to make, and the driver that makes them.

A flow yields batches of requests that do not depend on each other and receives one answer for each, in order. The same
generator is driven live, asynchronously, by a caller with his own I/O, or from a saved report: it never does I/O itself
(the idea of httpx's ``auth_flow``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from typing import Protocol, TypeAlias, TypeVar

from attrs import field, frozen

from .errors import AnswerTooLongError, TransportError
from .limits import MAX_CONCURRENT_REQUESTS

__all__ = ["Answer", "Flow", "Request", "Response", "Transport", "capped", "run"]

T = TypeVar("T")


@frozen(kw_only=True)
class Request:
    """One HTTP request.

    ``limit`` is the most bytes of body that the answer may have. ``delay`` is how many seconds the driver waits before
    it makes the request, for an answer that may not be there yet; a replay does not wait.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    limit: int
    delay: float = 0.0


@frozen(kw_only=True)
class Response:
    """One HTTP answer.

    ``headers`` are lower-case names with their values. ``body`` holds the bytes after transfer coding and before
    anything else. ``peer_spki`` is the DER SubjectPublicKeyInfo of the certificate that the server showed on this very
    connection, or None where that was not recorded.
    """

    status: int
    headers: Mapping[str, tuple[str, ...]] = field(repr=False)
    body: bytes = field(repr=False)
    peer_spki: bytes | None = field(default=None, repr=False)


Answer: TypeAlias = Response | TransportError
"""What a request came to; an outage is a value, since the flow decides what it means."""

Flow: TypeAlias = Generator[tuple[Request, ...], tuple[Answer, ...], T]


class Transport(Protocol):
    """Anything that can answer requests.

    A transport that may be used from several threads at once has an attribute ``concurrent`` that is True; the requests
    of one batch are then made side by side.
    """

    def send(self, request: Request) -> Response:
        """Answer one request.

        Raises:
            TransportError: no answer could be had.
        """
        ...


def run(flow: Flow[T], transport: Transport, *, sleep: Callable[[float], None] = time.sleep) -> T:
    """Drive a flow to its end over a transport and return what the flow returns."""

    def ask(request: Request) -> Answer:
        if request.delay:
            sleep(request.delay)
        try:
            return capped(transport.send(request), request)
        except TransportError as error:
            return error

    try:
        batch = next(flow)
        while True:
            batch = flow.send(_ask_all(ask, batch, side_by_side=getattr(transport, "concurrent", False) is True))
    except StopIteration as done:
        result: T = done.value
        return result


def capped(response: Response, request: Request) -> Answer:
    """The response, or an error in its place when its body is longer than the request allows."""
    if len(response.body) <= request.limit:
        return response
    return AnswerTooLongError(f"the answer is {len(response.body)} bytes long, at most {request.limit} are accepted")


def _ask_all(ask: Callable[[Request], Answer], batch: tuple[Request, ...], *, side_by_side: bool) -> tuple[Answer, ...]:
    if len(batch) < 2 or not side_by_side:
        return tuple(ask(request) for request in batch)
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(len(batch), MAX_CONCURRENT_REQUESTS), thread_name_prefix="teeverify") as pool:
        return tuple(pool.map(ask, batch))
