"""Transports: what answers a flow's requests.

`ReplayTransport` answers from a saved report and never touches a network, `RecordingTransport` keeps what another
transport answered, and `MockTransport` answers from a function. `teeverify.requests_transport` talks to the network.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Final, TypeVar
from urllib.parse import parse_qsl, urlsplit

from .errors import FormatError, NotRecordedError, TransportError
from .flow import Answer, Flow, Request, Response, Transport
from .formats.strict_json import loads
from .limits import MAX_EXCHANGES, MAX_REPORT_BODY
from .saved import RecordedExchange, SavedReport

__all__ = ["MockTransport", "Recording", "RecordingTransport", "ReplayTransport", "recorded"]

T = TypeVar("T")

_HEX: Final = re.compile(r"[0-9a-fA-F]{8,}\Z")
_NOT_SAVED: Final = frozenset({"set-cookie"})
"""Response headers that belong to the caller's session and prove nothing."""


class ReplayTransport:
    """Answers requests from the exchanges of a saved report.

    Method, scheme, host, path and query parameters must be the recorded ones, in any order; hex values are compared
    without case. Of several recorded answers those to the same body count, else those to a body with the same
    ``nonce`` (NVIDIA's requests, whose labels are no part of the question), else those to a body with another nonce, or
    to one that was not recorded: what was answered then shows in the answer. Of these the first with status 200 counts,
    else the first. A request without an answer is a `NotRecordedError`.
    """

    def __init__(self, report: SavedReport) -> None:
        self._answers: dict[tuple[object, ...], list[RecordedExchange]] = {}
        self._nonces: dict[bytes, str | None] = {}
        for exchange in report.exchanges:
            self._answers.setdefault(_key(exchange.request), []).append(exchange)

    def send(self, request: Request) -> Response:
        """Answer from the recording.

        Raises:
            NotRecordedError: the report holds no answer to this request.
        """
        recorded = self._answers.get(_key(request), [])
        asked = None if all(exchange.request.body == request.body for exchange in recorded) else _nonce_of(request.body)
        likeness = [self._likeness(exchange.request.body, request.body, asked) for exchange in recorded]
        fitting = [one for one, like in zip(recorded, likeness, strict=True) if like and like == max(likeness)]
        if not fitting:
            place = request.url.partition("?")[0][:120]
            raise NotRecordedError(f"the saved report holds no answer to {request.method} {place}")
        answered = (exchange for exchange in fitting if exchange.response.status == 200)  # the others were tried again
        return next(answered, fitting[0]).response

    def _likeness(self, recorded: bytes | None, asked: bytes | None, nonce: str | None) -> int:
        """How far a body asks the same: 4 the same bytes, 3 the same nonce, 2 not recorded, 1 another nonce, 0 not."""
        if recorded == asked:
            return 4
        if recorded is None or asked is None:
            return 2
        if recorded not in self._nonces:
            self._nonces[recorded] = _nonce_of(recorded)
        known = self._nonces[recorded]
        if known is None or nonce is None:
            return 0
        return 3 if known == nonce else 1


class Recording:
    """Requests and their answers, kept in the order in which they were asked; safe under threads.

    Request headers are not kept, so no API key is; outages are not kept either, since they are no evidence.
    """

    def __init__(self) -> None:
        self._exchanges: list[RecordedExchange] = []
        self._lock = threading.Lock()

    @property
    def exchanges(self) -> tuple[RecordedExchange, ...]:
        """What was recorded so far, at most as many as a saved report may hold (the latest ones)."""
        with self._lock:
            return tuple(self._exchanges[-MAX_EXCHANGES:])

    def add(self, request: Request, answer: Answer) -> None:
        """Keep one answer."""
        if isinstance(answer, TransportError):
            return
        headers = {name: values for name, values in answer.headers.items() if name.lower() not in _NOT_SAVED}
        response = Response(status=answer.status, headers=headers, body=answer.body, peer_spki=answer.peer_spki)
        bare = Request(method=request.method, url=request.url, body=request.body, limit=request.limit)
        with self._lock:
            self._exchanges.append(RecordedExchange(request=bare, response=response))

    def saved_report(self, *, provider: str, model: str, nonce: bytes, recorded_at: datetime) -> SavedReport:
        """What was recorded as a saved report; ``nonce`` is the 32-byte challenge, ``recorded_at`` an aware time."""
        return SavedReport(
            provider=provider, model=model, nonce=nonce, recorded_at=recorded_at, exchanges=self.exchanges
        )


def recorded(flow: Flow[T], recording: Recording) -> Flow[T]:
    """The same flow, with every answer kept in ``recording``, whoever drives it."""
    try:
        batch = next(flow)
        while True:
            answers = yield batch
            for request, answer in zip(batch, answers, strict=True):
                recording.add(request, answer)
            batch = flow.send(answers)
    except StopIteration as done:
        result: T = done.value
        return result


class RecordingTransport(Recording):
    """A transport that keeps every answer of another one, and yields them as a saved report.

    A verdict carries its own session (``verdict.evidence``), so this is for recording several sessions in one file or
    flows of your own. What an `EndorsementCache` answered never reaches a transport, hence is not recorded here.
    """

    def __init__(self, transport: Transport) -> None:
        super().__init__()
        self._transport = transport
        self.concurrent = getattr(transport, "concurrent", False) is True

    def send(self, request: Request) -> Response:
        """Answer over the other transport and keep the answer.

        Raises:
            TransportError: no answer could be had.
        """
        response = self._transport.send(request)
        self.add(request, response)
        return response


class MockTransport:
    """Answers requests from a function of yours, for tests of code that embeds teeverify.

    The function may return a `Response` or raise a `TransportError`. ``requests`` holds what was asked.
    """

    def __init__(self, answer: Callable[[Request], Response]) -> None:
        self._answer = answer
        self.requests: list[Request] = []

    def send(self, request: Request) -> Response:
        """Answer with what the function returns.

        Raises:
            TransportError: the function raised one.
        """
        self.requests.append(request)
        return self._answer(request)


def _nonce_of(body: bytes | None) -> str | None:
    if body is None:
        return None
    try:
        document = loads(body, what="the request's body", limit=MAX_REPORT_BODY)
    except FormatError:
        return None
    nonce = document.get("nonce") if isinstance(document, dict) else None
    return nonce if isinstance(nonce, str) else None


def _key(request: Request) -> tuple[object, ...]:
    try:
        parts = urlsplit(request.url)
        query = parse_qsl(parts.query, keep_blank_values=True, max_num_fields=64)
    except ValueError:
        return (request.method, request.url)
    parameters = sorted((name, value.lower() if _HEX.match(value) else value) for name, value in query)
    return (request.method, parts.scheme, parts.netloc.lower(), parts.path, tuple(parameters))
