"""HTTP as hostile servers speak it, over the transports: an answer is whole and that of its request, or none."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from teeverify.errors import TransportError
from teeverify.flow import Request, Response
from teeverify.requests_transport import RequestsTransport
from transport.parties import HOST, ORIGIN, Parties, make_parties
from transport.servers import Peer, Script, Server, answer, head, once

pytestmark = pytest.mark.loopback

CHUNKED = head("200 OK", "Transfer-Encoding: chunked")
Connect = Callable[..., tuple[Server, RequestsTransport]]


@pytest.fixture(scope="module")
def parties(tmp_path_factory: pytest.TempPathFactory) -> Parties:
    return make_parties(tmp_path_factory.mktemp("adversary-parties"))


@pytest.fixture
def connect(parties: Parties) -> Iterator[Connect]:
    with ExitStack() as stack:

        def made(script: Script, **options: object) -> tuple[Server, RequestsTransport]:
            server = stack.enter_context(Server(script, parties.good.context()))
            settings = {"ca_file": parties.ca_file, "retries": 0, "connect_to": {HOST: server.address}, **options}
            return server, stack.enter_context(RequestsTransport(**settings))  # type: ignore[arg-type]

        yield made


def get(path: str = "/", limit: int = 99_999) -> Request:
    return Request(method="GET", url=f"{ORIGIN}{path}", limit=limit)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 \u0662\u0660\u0660 OK\r\nContent-Length: 2\r\n\r\n{}".encode(),
        b"HTTP/1.1 200 " + b"a" * 70_000 + b"\r\n\r\n",
        head("101 Switching Protocols") + b"{}",
        head("103 Early Hints") + answer(),
        head("200 OK", *(f"X-{number}: a" for number in range(101)), "Content-Length: 2") + b"{}",
        head("200 OK", "Transfer-Encoding: xchunked") + b"2\r\n{}\r\n0\r\n\r\n",
        head("200 OK", "Transfer-Encoding: gzip, chunked") + b"2\r\n{}\r\n0\r\n\r\n",
        head("200 OK", "Transfer-Encoding: chunked", "Content-Length: 2") + b"2\r\n{}\r\n0\r\n\r\n",
        head("200 OK", "Content-Length: 2", "Content-Length: 3") + b"{}",
        head("200 OK", "Content-Length: 2, 2") + b"{}",
        head("200 OK", "Content-Length: +2") + b"{}",
        head("200 OK", "Content-Length: 0x2") + b"{}",
        head("200 OK", "Content-Length: -1") + b"{}",
        head("200 OK", "Content-Length: 9" + "9" * 30) + b"{}",
        b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nX: a\rContent-Length: 5\r\nContent-Length: 2\r\n\r\n{}",
        CHUNKED + b"-1\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"f" * 5000 + b"\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"ffffffff\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"2\r\n{}\r\n",
    ],
)
def test_what_is_not_a_whole_answer_is_none(connect: Connect, data: bytes) -> None:
    _, transport = connect(once(data))
    with pytest.raises(TransportError) as caught:
        transport.send(get("/secret-path?q=secret"))
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "surplus", [b"x", b"\r\n", answer(b"forged"), head("200 OK", "Content-Length: 6"), b"0" * 20_000]
)
def test_what_comes_after_an_answer_is_no_answer(connect: Connect, surplus: bytes) -> None:
    def script(peer: Peer) -> None:
        while (request := peer.request()) is not None:
            peer.send(answer(request.split(b" ")[1]) + surplus)

    _, transport = connect(script)
    assert [transport.send(get(f"/{number}")).body for number in range(4)] == [b"/0", b"/1", b"/2", b"/3"]


def test_a_late_second_answer_ends_the_connection(connect: Connect) -> None:
    sent, go_on = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        while (request := peer.request()) is not None:
            peer.send(answer(request.split(b" ")[1]))
            if go_on.wait(5):
                peer.send(answer(b"forged"))
                sent.set()

    server, transport = connect(script)
    assert transport.send(get("/0")).body == b"/0"
    go_on.set()
    assert sent.wait(5)
    assert transport.send(get("/1")).body == b"/1"
    assert server.connections == 2


def test_threads_get_the_answers_to_their_own_requests(connect: Connect, parties: Parties) -> None:
    def script(peer: Peer) -> None:
        while (request := peer.request()) is not None:
            peer.send(answer(request.split(b" ")[1]))

    _, transport = connect(script)
    wrong: list[object] = []

    def ask(number: int) -> None:
        for turn in range(8):
            response: Response = transport.send(get(f"/{number}-{turn}"))
            spki = response.peer_spki or b""
            if response.body != f"/{number}-{turn}".encode() or hashlib.sha256(spki).digest() != parties.good.pin:
                wrong.append(response)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []


def test_a_pin_that_changes_while_threads_send_lets_no_old_connection_through(
    connect: Connect, parties: Parties
) -> None:
    def script(peer: Peer) -> None:
        while peer.request() is not None:
            peer.send(answer(b"{}"))

    server, transport = connect(script)
    for _ in range(3):
        transport.send(get())
    transport.pin(ORIGIN, parties.twin.pin)
    heard = len(server.heard)
    for _ in range(3):
        with pytest.raises(TransportError, match="another TLS key"):
            transport.send(get())
    assert len(server.heard) == heard
    transport.pin(ORIGIN, [parties.twin.pin, parties.good.pin])
    assert transport.send(get()).status == 200


def test_a_pin_is_held_through_a_redirect_to_the_same_name(connect: Connect, parties: Parties) -> None:
    location = f"Location: https://{HOST}:1/"
    server, transport = connect(once(answer(b"", location, status="307 Temporary Redirect")))
    transport.pin(ORIGIN, parties.good.pin)
    assert transport.send(get()).status == 307
    assert server.connections == 1


def test_no_secret_is_written_to_a_log(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    _, transport = connect(once(answer()), api_keys={ORIGIN: "secret-key"})
    request = Request(method="POST", url=f"{ORIGIN}/v1", headers={"X": "secret-header"}, body=b"secret-body", limit=99)
    assert transport.send(request).status == 200
    shown = caplog.text + repr(transport) + repr(request) + repr(vars(request) if hasattr(request, "__dict__") else "")
    assert "secret" not in shown
