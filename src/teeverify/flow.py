"""The flow: one generator that says which requests to make, and the driver that makes them.

A flow yields batches of requests that do not depend on each other and receives one answer for each, in order. The same
generator is driven live, asynchronously, by a caller with his own I/O, or from a saved report: it never does I/O itself
(the idea of httpx's ``auth_flow``).
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Protocol, TypeAlias, TypeVar

from attrs import field, frozen

from .errors import AnswerTooLongError, TransportError

__all__ = ["Answer", "Flow", "Request", "Response", "Transport", "run"]

T = TypeVar("T")


@frozen(kw_only=True)
class Request:
    """One HTTP request. ``limit`` is the most bytes of body that the answer may have."""

    method: str
    url: str
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    limit: int


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
    """Anything that can answer requests."""

    def send(self, request: Request) -> Response:
        """Answer one request.

        Raises:
            TransportError: no answer could be had.
        """
        ...


def run(flow: Flow[T], transport: Transport) -> T:
    """Drive a flow to its end over a transport and return what the flow returns."""
    try:
        batch = next(flow)
        while True:
            batch = flow.send(tuple(_ask(transport, request) for request in batch))
    except StopIteration as done:
        result: T = done.value
        return result


def _ask(transport: Transport, request: Request) -> Answer:
    try:
        response = transport.send(request)
    except TransportError as error:
        return error
    if len(response.body) > request.limit:
        return AnswerTooLongError(
            f"the answer is {len(response.body)} bytes long, at most {request.limit} are accepted"
        )
    return response
