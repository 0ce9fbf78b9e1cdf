"""The flow: one generator that says which requests to make, and the driver that makes them.

A flow yields batches of requests that do not depend on each other and receives one answer for each, in order. The same
generator is driven live, asynchronously, by a caller with his own I/O, or from a saved report: it never does I/O itself
(the idea of httpx's ``auth_flow``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from typing import Generic, Protocol, TypeAlias, TypeVar

from attrs import field, frozen
from attrs.converters import optional

from .errors import AnswerTooLongError, ConfigurationError, TransportError
from .limits import MAX_CONCURRENT_REQUESTS, MAX_HEADER, MAX_HEADERS

__all__ = ["Answer", "Flow", "Request", "Response", "Transport", "capped", "run", "together"]

S = TypeVar("S")
T = TypeVar("T")


@frozen(kw_only=True)
class Request:
    """One HTTP request.

    ``limit`` is the most bytes of body that the answer may have. ``repeatable`` says that asking twice does no harm; it
    is what GET and HEAD are, unless said otherwise. ``delay`` is how many seconds the driver waits before
    it makes the request, for an answer that may not be there yet; a replay does not wait. ``self_proving`` says that
    the answer is judged by signatures inside it, whoever delivers it: a live transport may then leave the server's
    certificate unverified (enclaves make their own), notes no key of the connection, and sends no credentials.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    limit: int
    delay: float = 0.0
    self_proving: bool = False
    repeatable: bool = field()

    @repeatable.default
    def _by_method(self) -> bool:
        return self.method in ("GET", "HEAD")


def _by_lower_case(headers: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
    """Header names are compared without case (RFC 9110, section 5.1), whatever a transport made of them."""
    given: object = headers
    if not isinstance(given, Mapping) or not all(map(_is_header, given.items())):
        raise ConfigurationError("the headers of a Response are not texts with tuples of texts: correct the transport")
    merged: dict[str, tuple[str, ...]] = {}
    for name, values in headers.items():
        merged[name.lower()] = (*merged.get(name.lower(), ()), *values)
    return merged


def _is_header(entry: tuple[object, object]) -> bool:
    name, values = entry
    return isinstance(name, str) and isinstance(values, tuple | list) and all(isinstance(v, str) for v in values)


def _as_bytes(data: object) -> bytes:
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    raise ConfigurationError(f"a Response was made with {type(data).__name__} for bytes: correct the transport")


@frozen(kw_only=True)
class Response:
    """One HTTP answer.

    ``headers`` are names, which become lower-case, with their values. ``body`` holds the bytes after transfer coding
    and before anything else. ``peer_spki`` is the DER SubjectPublicKeyInfo of the certificate that the server showed on
    this very connection, or None where that was not recorded.

    Raises:
        ConfigurationError: a value is of another type.
    """

    status: int
    headers: Mapping[str, tuple[str, ...]] = field(repr=False, converter=_by_lower_case)
    body: bytes = field(repr=False, converter=_as_bytes)
    peer_spki: bytes | None = field(default=None, repr=False, converter=optional(_as_bytes))


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
            TransportError: no answer could be had; anything else that is raised is not caught.
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


def together(one: Flow[S], other: Flow[T]) -> Flow[tuple[S, T]]:
    """Two flows side by side: their batches become one, and what both ask for is asked once."""
    first, second = _Stepped(one), _Stepped(other)
    try:
        while first.batch or second.batch:
            batch = (*first.batch, *(request for request in second.batch if request not in first.batch))
            answers = yield batch
            first.step(batch, answers)
            second.step(batch, answers)
    finally:
        one.close()
        other.close()
    return first.result, second.result


class _Stepped(Generic[T]):
    """A flow at one of its batches; the batch is empty at its end."""

    result: T

    def __init__(self, flow: Flow[T]) -> None:
        self._flow = flow
        self.batch: tuple[Request, ...] = ()
        self._advance(None)

    def step(self, asked: tuple[Request, ...], answers: tuple[Answer, ...]) -> None:
        """Hand the flow the answers to its batch, out of those to a larger one."""
        if self.batch:
            self._advance(tuple(answers[asked.index(request)] for request in self.batch))

    def _advance(self, answers: tuple[Answer, ...] | None) -> None:
        try:
            self.batch = next(self._flow) if answers is None else self._flow.send(answers)
        except StopIteration as done:
            self.batch, self.result = (), done.value


def capped(response: Response, request: Request) -> Answer:
    """The response, or an error in its place when it is longer than the request allows or cannot be an answer at all.

    What a saved report cannot hold is no answer, so that a verdict's evidence can always be saved and read back.
    """
    given: object = response
    if not isinstance(given, Response) or type(response.status) is not int:
        raise ConfigurationError("a transport returned something else than a Response: correct the transport")
    if len(response.body) > request.limit:
        return AnswerTooLongError(
            f"the answer is {len(response.body)} bytes long, at most {request.limit} are accepted"
        )
    if not 100 <= response.status <= 599:
        return TransportError(f"the answer has the status {response.status}, which HTTP does not know")
    values = [value for values in response.headers.values() for value in values]
    if len(response.headers) > MAX_HEADERS or sum(map(len, values)) > MAX_HEADER:
        return TransportError("the answer has more or longer headers than are accepted")
    try:
        "".join((*response.headers, *values)).encode("utf-8")
    except UnicodeEncodeError:  # lone surrogates, which some libraries make of bytes that are no text
        return TransportError("the answer has a header that is not text")
    return response


def _ask_all(ask: Callable[[Request], Answer], batch: tuple[Request, ...], *, side_by_side: bool) -> tuple[Answer, ...]:
    if len(batch) < 2 or not side_by_side:
        return tuple(ask(request) for request in batch)
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(len(batch), MAX_CONCURRENT_REQUESTS), thread_name_prefix="teeverify") as pool:
        return tuple(pool.map(ask, batch))
