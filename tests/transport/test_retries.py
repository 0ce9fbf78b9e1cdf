"""What is tried again: GET and HEAD, after an outage, for as long as the time allows."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from teeverify.errors import AnswerTooLongError, TransportError
from teeverify.flow import Request
from teeverify.requests_transport import RequestsTransport

from .parties import ORIGIN
from .servers import Peer, Script, Server, answer, head

pytestmark = pytest.mark.loopback

Serve = Callable[..., Server]
Connect = Callable[..., RequestsTransport]


def asking(method: str = "GET", limit: int = 99) -> Request:
    return Request(method=method, url=ORIGIN, body=b"prompt" if method == "POST" else None, limit=limit)


def in_turn(*steps: bytes | Script) -> Script:
    """One step for each request, across connections: bytes are sent, a script ends the connection. The last stays."""
    left = list(steps)

    def script(peer: Peer) -> None:
        while peer.request() is not None:
            step = left.pop(0) if len(left) > 1 else left[0]
            if not isinstance(step, bytes):
                step(peer)
                return
            peer.send(step)

    return script


def too_short(peer: Peer) -> None:
    peer.send(head("200 OK", "Content-Length: 3") + b"no")


GOOD = answer(b"")
BAD = [answer(b"", status=f"{status} Bad") for status in (429, 500, 502, 503, 504)]
OUTAGES: list[bytes | Script] = [*BAD, Peer.reset, lambda peer: None]


@pytest.mark.parametrize(
    ("method", "first"), [("GET", too_short), *((method, first) for method in ("GET", "HEAD") for first in OUTAGES)]
)
def test_an_outage_is_tried_again(serve: Serve, connect: Connect, first: bytes | Script, method: str) -> None:
    server = serve(in_turn(first, GOOD))
    naps: list[float] = []
    assert connect(server, retries=1, sleep=naps.append).send(asking(method)).status == 200
    assert len(server.heard) == 2
    assert len(naps) == 1
    assert 0.1 <= naps[0] <= 0.3


def test_the_last_answer_stands(serve: Serve, connect: Connect) -> None:
    server = serve(in_turn(BAD[0], BAD[1], BAD[3]))
    naps: list[float] = []
    assert connect(server, retries=2, sleep=naps.append).send(asking()).status == 503
    assert len(server.heard) == 3
    assert len(naps) == 2
    assert 0.2 <= naps[1] <= 0.6


def test_the_last_outage_is_raised(serve: Serve, connect: Connect) -> None:
    server = serve(in_turn(Peer.reset))
    naps: list[float] = []
    with pytest.raises(TransportError, match="broke the connection off"):
        connect(server, retries=3, sleep=naps.append).send(asking())
    assert (len(server.heard), len(naps)) == (4, 3)


@pytest.mark.parametrize("first", OUTAGES)
def test_a_post_is_never_repeated(serve: Serve, connect: Connect, first: bytes | Script) -> None:
    server = serve(in_turn(first, GOOD))
    naps: list[float] = []
    transport = connect(server, retries=3, sleep=naps.append)
    if not isinstance(first, bytes):
        with pytest.raises(TransportError):
            transport.send(asking("POST"))
    else:
        assert transport.send(asking("POST")).status >= 429
    assert (len(server.heard), naps) == (1, [])


def test_a_post_on_a_connection_that_the_server_has_left_is_not_repeated(serve: Serve, connect: Connect) -> None:
    """It may have been read: only a connection that is seen to be closed before is replaced."""
    server = serve(in_turn(GOOD, Peer.reset))
    transport = connect(server, retries=3, sleep=lambda seconds: None)
    transport.send(asking("POST"))
    with pytest.raises(TransportError):
        transport.send(asking("POST"))
    assert (len(server.heard), server.connections) == (2, 1)


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 409, 501])
def test_other_answers_are_not_asked_for_again(serve: Serve, connect: Connect, status: int) -> None:
    server = serve(in_turn(answer(b"", status=f"{status} X"), GOOD))
    assert connect(server, retries=3).send(asking()).status == status
    assert len(server.heard) == 1


@pytest.mark.parametrize(
    "data",
    [
        head("200 OK", "Content-Length: 100"),
        head("200 OK", "Content-Encoding: gzip"),
        head("200 OK", "Content-Length: 1", "Content-Length: 2"),
        b"no HTTP at all\r\n\r\n",
    ],
)
def test_bad_answers_are_not_asked_for_again(serve: Serve, connect: Connect, data: bytes) -> None:
    server = serve(in_turn(data, GOOD))
    naps: list[float] = []
    with pytest.raises(TransportError) as caught:
        connect(server, retries=3, sleep=naps.append).send(asking())
    assert isinstance(caught.value, AnswerTooLongError) == (b": 100" in data)
    assert (len(server.heard), naps) == (1, [])


@pytest.mark.parametrize(("asked", "least", "most"), [("3", 3, 3), ("0", 0.1, 0.3), (" 10 ", 10, 10)])
def test_the_wait_that_the_server_asks_for(
    serve: Serve, connect: Connect, asked: str, least: float, most: float
) -> None:
    server = serve(in_turn(answer(b"", f"Retry-After: {asked}", status="429 Wait"), GOOD))
    naps: list[float] = []
    assert connect(server, retries=1, sleep=naps.append).send(asking()).status == 200
    assert len(naps) == 1
    assert least <= naps[0] <= most


@pytest.mark.parametrize("asked", ["11", "9" * 500, "Fri, 31 Dec 1999 23:59:59 GMT", "-1", "soon", "\xb2", "1.5"])
def test_a_server_that_asks_for_a_long_wait_is_not_asked_again(serve: Serve, connect: Connect, asked: str) -> None:
    server = serve(in_turn(answer(b"", f"Retry-After: {asked}", status="503 Wait"), GOOD))
    assert connect(server, retries=1).send(asking()).status == 503
    assert len(server.heard) == 1


def test_no_attempt_begins_after_the_deadline(serve: Serve, connect: Connect) -> None:
    server = serve(in_turn(answer(b"", "Retry-After: 2", status="503 Wait"), GOOD))
    naps: list[float] = []
    assert connect(server, retries=1, total_timeout=1.5, sleep=naps.append).send(asking()).status == 503
    assert (len(server.heard), naps) == (1, [])
