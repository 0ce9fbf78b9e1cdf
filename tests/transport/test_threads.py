"""`RequestsTransport` shared between threads, and at its end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from teeverify.errors import KeyMismatchError, TransportError
from teeverify.flow import Flow, Request, Response, run
from teeverify.requests_transport import RequestsTransport

from .parties import ORIGIN, Parties
from .servers import Peer, Server, always, answer, echo

pytestmark = pytest.mark.loopback

Serve = Callable[..., Server]
Connect = Callable[..., RequestsTransport]
THREADS = 64


def get(number: int) -> Request:
    return Request(method="GET", url=f"{ORIGIN}/number/{number}/", limit=9999)


def test_each_of_64_threads_gets_its_own_answers(serve: Serve, connect: Connect, parties: Parties) -> None:
    transport = connect(serve(echo), pins={ORIGIN: parties.good.pin})
    start = threading.Barrier(THREADS)

    def work(number: int) -> bool:
        start.wait(10)
        mine = range(3 * number, 3 * number + 3)
        answers = [transport.send(get(each)) for each in mine]
        return all(
            answer.body.startswith(f"GET /number/{each}/ ".encode()) and answer.peer_spki == parties.good.spki
            for each, answer in zip(mine, answers, strict=True)
        )

    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(work, range(THREADS))) == [True] * THREADS


def test_requests_really_run_side_by_side(serve: Serve, connect: Connect) -> None:
    """The server answers none before it has all."""
    together = threading.Barrier(8)

    def script(peer: Peer) -> None:
        while peer.request() is not None:
            together.wait(5)
            peer.send(answer())

    transport = connect(serve(script))
    assert transport.concurrent is True

    def flow() -> Flow[list[int]]:
        answers = yield tuple(get(number) for number in range(8))
        return [answer.status for answer in answers if isinstance(answer, Response)]

    assert run(flow(), transport) == [200] * 8


def test_one_thread_pins_while_others_ask(serve: Serve, connect: Connect, parties: Parties) -> None:
    """Once `pin` has returned, no request reaches a server with another key."""
    server = serve(echo)
    transport = connect(server)
    pinned, start = threading.Event(), threading.Barrier(9)

    def work(number: int) -> int:
        start.wait(5)
        sent_after = 0
        while True:
            known = pinned.is_set()
            try:
                transport.send(get(number))
            except KeyMismatchError:
                return sent_after
            sent_after += known

    with ThreadPoolExecutor(8) as pool:
        late = [pool.submit(work, number) for number in range(8)]
        start.wait(5)
        transport.pin(ORIGIN, parties.twin.pin)
        pinned.set()
        assert [each.result(10) for each in late] == [0] * 8


def test_a_closed_transport_opens_new_connections(serve: Serve, connect: Connect) -> None:
    server = serve(always(answer()))
    with connect(server) as transport:
        transport.send(get(1))
    assert server.ends.get(timeout=5) == b""  # the connection was really closed
    transport.send(get(2))
    assert server.connections == 2


def test_an_error_that_the_caller_is_handling_is_not_taken_for_ours(serve: Serve, connect: Connect) -> None:
    server = serve(lambda peer: None)
    transport = connect(server)
    try:
        raise KeyMismatchError("an older one")
    except KeyMismatchError:
        with pytest.raises(TransportError) as caught:
            transport.send(get(1))
    assert not isinstance(caught.value, KeyMismatchError)
