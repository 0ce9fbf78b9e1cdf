"""What `RequestsTransport` accepts as an answer, and what it refuses."""

from __future__ import annotations

import gzip
import time
import tracemalloc
from collections.abc import Callable

import pytest

from teeverify.errors import AnswerTooLongError, TransportError
from teeverify.flow import Request, Response
from teeverify.requests_transport import RequestsTransport

from .parties import ORIGIN, Parties
from .servers import Peer, Script, Server, always, answer, head, once

pytestmark = pytest.mark.loopback

Serve = Callable[..., Server]
Connect = Callable[..., RequestsTransport]


def get(path: str = "/", *, method: str = "GET", limit: int = 100_000) -> Request:
    return Request(method=method, url=f"{ORIGIN}{path}", limit=limit)


@pytest.fixture
def ask(serve: Serve, connect: Connect) -> Callable[..., Response]:
    """The answer to one request to a server with that script."""

    def asked(script: Script, request: Request | None = None, **options: float) -> Response:
        return connect(serve(script), **options).send(request or get())

    return asked


Ask = Callable[..., Response]


def test_an_answer(ask: Ask, parties: Parties) -> None:
    response = ask(always(answer(b'{"a":1}', "X-Thing: one", "x-thing: two", "Content-Type: text/html")))
    assert (response.status, response.body) == (200, b'{"a":1}')
    assert response.headers["x-thing"] == ("one", "two")
    assert response.headers["content-type"] == ("text/html",)
    assert response.peer_spki == parties.good.spki


@pytest.mark.parametrize(
    ("method", "data", "status"),
    [
        ("GET", head("204 No Content"), 204),
        ("GET", head("304 Not Modified", "Content-Length: 5"), 304),
        ("GET", answer(b""), 200),
        ("HEAD", head("200 OK", "Content-Length: 12345678"), 200),
        ("GET", head("200 OK", "Content-Length: 0", "Connection: close"), 200),
    ],
)
def test_the_key_is_noted_without_a_body_too(ask: Ask, parties: Parties, method: str, data: bytes, status: int) -> None:
    response = ask(once(data), get(method=method))
    assert (response.status, response.body, response.peer_spki) == (status, b"", parties.good.spki)


def test_the_key_is_noted_on_a_connection_that_is_used_again(serve: Serve, connect: Connect, parties: Parties) -> None:
    server = serve(always(answer(b"x")))
    transport = connect(server)
    spkis = [transport.send(get(f"/{number}")).peer_spki for number in range(3)]
    assert spkis == [parties.good.spki] * 3
    assert (server.connections, len(server.heard)) == (1, 3)


@pytest.mark.parametrize("status", ["400 Bad", "401 No", "403 No", "404 Not Found", "418 Teapot", "500 Oops", "503 No"])
def test_errors_of_the_server_are_answers(ask: Ask, status: str) -> None:
    response = ask(always(answer(b"<html>no</html>", status=status)))
    assert (response.status, response.body) == (int(status[:3]), b"<html>no</html>")


def test_a_chunked_body(ask: Ask) -> None:
    data = head("200 OK", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: 1\r\n\r\n"
    assert ask(always(data)).body == b"abcde"


def test_a_body_that_ends_with_the_connection(ask: Ask) -> None:
    def say_goodbye(peer: Peer) -> None:
        peer.connection.unwrap()  # type: ignore[attr-defined]

    assert ask(once(head() + b"whole", say_goodbye)).body == b"whole"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(head() + b"half", id="no length, no TLS end"),
        pytest.param(head("200 OK", "Content-Length: 10") + b"half", id="shorter than announced"),
        pytest.param(head("200 OK", "Content-Length: 10"), id="nothing of what was announced"),
        pytest.param(head("200 OK", "Transfer-Encoding: chunked") + b"a\r\nhalf", id="half a chunk"),
        pytest.param(head("200 OK", "Transfer-Encoding: chunked") + b"4\r\nhalf\r\n", id="no last chunk"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-", id="half a head"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", id="head without its end"),
        pytest.param(b"", id="nothing at all"),
    ],
)
def test_an_answer_that_ends_too_early(ask: Ask, data: bytes) -> None:
    with pytest.raises(TransportError, match=r"https://good\.test"):
        ask(once(data))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(head("200 OK", "Content-Length: 1", "Content-Length: 2") + b"ab", id="two lengths"),
        pytest.param(head("200 OK", "Content-Length: 1, 2") + b"ab", id="two lengths in a line"),
        pytest.param(head("200 OK", "Content-Length: -1") + b"ab", id="negative length"),
        pytest.param(head("200 OK", "Content-Length: 0x2") + b"ab", id="odd length"),
        pytest.param(head("200 OK", "Content-Length: +2") + b"ab", id="signed length"),
        pytest.param(head("200 OK", f"Content-Length: {'9' * 5000}"), id="length without end"),
        pytest.param(
            head("200 OK", "Content-Length: 3", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n0\r\n\r\n", id="both"
        ),
        pytest.param(head("200 OK", "Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n", id="other coding"),
        pytest.param(head("200 OK", "Transfer-Encoding: chunked") + b"zz\r\nabc\r\n0\r\n\r\n", id="bad chunk"),
        pytest.param(head("103 Early Hints"), id="not final"),
        pytest.param(head("101 Switching Protocols"), id="other protocol"),
        pytest.param(head("200 OK", "Content-Length : 2", "no colon here") + b"ab", id="broken headers"),
        pytest.param(head("200 OK", "Content-Length: 2", "no colon here", "X: y") + b"ab", id="lost headers"),
        pytest.param(head("200 OK", *(f"X-{number}: y" for number in range(200))), id="many headers"),
        pytest.param(head("200 OK", *(f"X-{number}: {'y' * 1000}" for number in range(70))), id="much header"),
        pytest.param(head("200 OK", f"X: {'y' * 70_000}"), id="long header"),
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", id="not HTTP"),
        pytest.param(b"HTTP/1.1 abc OK\r\n\r\n", id="no status"),
        pytest.param(b"\0" * 100_000, id="zeros"),
    ],
)
def test_an_answer_that_is_not_proper(ask: Ask, data: bytes) -> None:
    with pytest.raises(TransportError, match=r"https://good\.test"):
        ask(once(data))


def test_the_same_length_twice_is_a_length(ask: Ask) -> None:
    assert ask(always(head("200 OK", "Content-Length: 2", "Content-Length: 2") + b"{}")).body == b"{}"


@pytest.mark.parametrize("surplus", [1, 300, 100_000])
def test_bytes_beyond_the_length_do_not_belong_to_any_answer(serve: Serve, connect: Connect, surplus: int) -> None:
    """They may lie in the buffer of http.client, in OpenSSL's (the second), or in the kernel's (the third)."""
    server = serve(always(answer(b"true") + answer(b"forged") * surplus))
    transport = connect(server)
    assert [transport.send(get(f"/{number}")).body for number in range(3)] == [b"true"] * 3


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "GZIP", "identity, gzip", "x"])
def test_an_encoded_answer_is_refused(ask: Ask, encoding: str) -> None:
    bomb = gzip.compress(bytes(50_000_000), compresslevel=1)
    with pytest.raises(TransportError, match=r"of https://good\.test is encoded"):
        ask(always(answer(bomb[:50_000], f"Content-Encoding: {encoding}")))


def test_identity_is_asked_for_and_accepted(serve: Serve, connect: Connect) -> None:
    server = serve(always(answer(b"{}", "Content-Encoding: identity")))
    request = Request(method="GET", url=ORIGIN, headers={"accept-encoding": "gzip"}, limit=10)
    assert connect(server).send(request).body == b"{}"
    assert b"\r\nAccept-Encoding: identity\r\n" in server.heard[0]
    assert b"gzip" not in server.heard[0]


@pytest.mark.parametrize("framing", ["Content-Length", "chunked", "end"])
def test_the_limit_is_the_last_size_that_is_accepted(ask: Ask, framing: str) -> None:
    def script(size: int) -> Script:
        body = b"x" * size
        if framing == "Content-Length":
            return once(answer(body))
        if framing == "chunked":
            return once(head("200 OK", "Transfer-Encoding: chunked") + b"%x\r\n%s\r\n0\r\n\r\n" % (size, body))
        return once(head() + body, lambda peer: peer.connection.unwrap())  # type: ignore[attr-defined]

    assert len(ask(script(1000), get(limit=1000)).body) == 1000
    with pytest.raises(AnswerTooLongError, match="longer than 1000 bytes"):
        ask(script(1001), get(limit=1000))


def test_an_announced_length_above_the_limit_is_refused_unread(ask: Ask) -> None:
    with pytest.raises(AnswerTooLongError):
        ask(once(head("200 OK", "Content-Length: 1000001"), Peer.wait), get(limit=1_000_000))


@pytest.mark.parametrize("chunked", [True, False])
def test_an_endless_body_is_cut_off_and_not_kept(ask: Ask, chunked: bool) -> None:
    piece = b"10000\r\n" + bytes(0x10000) + b"\r\n" if chunked else bytes(0x10000)
    sent = []

    def pour(peer: Peer) -> None:
        for _ in range(2000):
            peer.send(piece)
            sent.append(len(piece))

    script = once(head("200 OK", "Transfer-Encoding: chunked") if chunked else head(), pour)
    limit = 4 << 20
    tracemalloc.start()
    try:
        with pytest.raises(AnswerTooLongError):
            ask(script, get(limit=limit))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * limit + (1 << 20)
    assert sum(sent) < 2000 * 0x10000


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(b"", id="status line"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: ", id="header"),
        pytest.param(head("200 OK", "Content-Length: 100000"), id="body"),
        pytest.param(head("200 OK", "Transfer-Encoding: chunked"), id="chunk size"),
        pytest.param(head("200 OK", "Transfer-Encoding: chunked") + b"0\r\nT: ", id="trailer"),
        pytest.param(head("100 Continue"), id="after an informational answer"),
    ],
)
def test_a_server_that_drips_is_left_at_the_deadline(ask: Ask, start: bytes) -> None:
    began = time.monotonic()
    with pytest.raises(TransportError, match="did not answer in the time that a whole answer may take"):
        ask(once(start, lambda peer: peer.drip(b"1" * 10_000)), total_timeout=0.3)
    assert time.monotonic() - began < 2


def test_a_stream_of_informational_answers_ends_at_the_deadline(ask: Ask) -> None:
    def repeat(peer: Peer) -> None:
        while not peer.stop.wait(0.005):
            peer.send(head("100 Continue"))

    with pytest.raises(TransportError, match="whole answer"):
        ask(once(b"", repeat), total_timeout=0.2)


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\n", head("200 OK", "Content-Length: 10") + b"half"])
def test_a_server_that_falls_silent(ask: Ask, start: bytes) -> None:
    with pytest.raises(TransportError, match="stayed silent"):
        ask(once(start, Peer.wait), read_timeout=0.1)
