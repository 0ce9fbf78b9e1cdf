"""Servers that cannot be reached, or not as the ones they should be: `RequestsTransport` says which it was."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

import pytest

from teeverify.errors import ConfigurationError, KeyMismatchError, TransportError
from teeverify.flow import Request
from teeverify.requests_transport import RequestsTransport

from .parties import HOST, ORIGIN, Parties
from .servers import Peer, Server, always, answer, head, once

pytestmark = pytest.mark.loopback

Serve = Callable[..., Server]
Connect = Callable[..., RequestsTransport]
SECRETS = ("quarz", "sk-key", "prompt")


def ask(transport: RequestsTransport, method: str = "GET", origin: str = ORIGIN) -> Any:
    """A request full of what no error may repeat."""
    headers = {"X-Note": "sk-key"}
    body = b"prompt" if method == "POST" else None
    return transport.send(
        Request(method=method, url=f"{origin}/quarz?nonce=quarz", headers=headers, body=body, limit=99)
    )


def refusal(transport: RequestsTransport, **options: Any) -> TransportError:
    with pytest.raises(TransportError) as caught:
        ask(transport, **options)
    sentence = str(caught.value)
    assert HOST in sentence
    assert "\n" not in sentence
    assert not any(secret in sentence for secret in SECRETS)
    assert caught.value.__suppress_context__
    return caught.value


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_refused(connect: Connect, closed_port: int) -> None:
    transport = connect(None, connect_to={"*": ("127.0.0.1", closed_port)})
    assert "refused the connection" in str(refusal(transport))


@pytest.mark.parametrize("failure", [socket.gaierror(-2, "quarz"), UnicodeError("label too long: quarz")])
def test_a_name_that_is_not_resolved(connect: Connect, monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    def fail(*arguments: object, **options: object) -> NoReturn:
        raise failure

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    sentence = str(refusal(connect(None)))
    assert "could not be resolved" in sentence or "not a name that a host can have" in sentence


def test_a_name_without_addresses(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: [])
    refusal(connect(None))


def test_the_next_address_is_tried(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    server = serve(always(answer()))
    places = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port)) for port in (closed_port, server.port)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: places)
    assert ask(connect(None)).status == 200


@pytest.fixture
def full_port() -> Iterator[int]:
    """A port whose queue of connections is full, so that nobody is let in."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        yield port


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ({"connect_timeout": 0.1}, "was not reached in time"),
        ({"total_timeout": 0.1}, "in the time that a whole answer may take"),
    ],
)
def test_not_reached_in_time(connect: Connect, full_port: int, times: dict[str, float], words: str) -> None:
    began = time.monotonic()
    assert words in str(refusal(connect(None, connect_to={"*": ("127.0.0.1", full_port)}, **times)))
    assert time.monotonic() - began < 2


def test_a_handshake_that_drips_is_bounded(serve: Serve, connect: Connect) -> None:
    server = serve(lambda peer: peer.drip(b"\x16\x03\x03\x40\x00" + b"\2" * 10_000), None)
    began = time.monotonic()
    assert "stayed silent" in str(refusal(connect(server, connect_timeout=0.2)))
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_reset_half_way(serve: Serve, connect: Connect, method: str) -> None:
    server = serve(once(head("200 OK", "Content-Length: 50") + b"half", Peer.reset))
    assert "broke the connection off" in str(refusal(connect(server), method=method))


def test_not_tls(serve: Serve, connect: Connect) -> None:
    server = serve(lambda peer: peer.send(b"HTTP/1.1 400 This is http\r\n\r\n"), None)
    assert "TLS with https://good.test failed" in str(refusal(connect(server)))
    assert server.heard == []


@pytest.mark.parametrize(
    ("who", "words"),
    [
        ("expired", "has expired"),
        ("early", "is not valid yet"),
        ("misnamed", "is for another host name"),
        ("foreign", "authority that is not trusted"),
        ("self_signed", "is signed by itself"),
    ],
)
@pytest.mark.parametrize("pinned", [False, True])
def test_a_certificate_that_is_not_good(
    serve: Serve, connect: Connect, parties: Parties, who: str, words: str, pinned: bool
) -> None:
    """A fitting pin does not replace the verification; nothing is sent, and nothing is tried again."""
    party = getattr(parties, who)
    server = serve(always(answer()), party)
    naps: list[float] = []
    transport = connect(server, pins={ORIGIN: party.pin} if pinned else {}, retries=3, sleep=naps.append)
    error = refusal(transport)
    assert type(error) is TransportError
    assert words in str(error)
    assert server.ends.get(timeout=5) in (None, b"")
    assert (naps, server.heard, server.connections) == ([], [], 1)


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_another_key_than_the_pinned_one_gets_no_byte(
    serve: Serve, connect: Connect, parties: Parties, method: str
) -> None:
    server = serve(always(answer()), parties.twin)
    naps: list[float] = []
    transport = connect(
        server, pins={ORIGIN: parties.good.pin}, api_keys={ORIGIN: "sk-key"}, retries=3, sleep=naps.append
    )
    assert isinstance(refusal(transport, method=method), KeyMismatchError)
    assert server.ends.get(timeout=5) in (None, b"")  # None: the server did not see its handshake end
    assert (naps, server.heard, server.connections) == ([], [], 1)


def test_the_pinned_key_is_let_in(serve: Serve, connect: Connect, parties: Parties) -> None:
    server = serve(always(answer()), parties.twin)
    transport = connect(server, pins={ORIGIN: [parties.good.pin, parties.twin.pin]})
    assert ask(transport).peer_spki == parties.twin.spki


def test_a_pin_at_run_time_reaches_open_connections(serve: Serve, connect: Connect, parties: Parties) -> None:
    server = serve(always(answer()), parties.twin)
    transport = connect(server)
    assert ask(transport).peer_spki == parties.twin.spki  # the connection stays open
    transport.pin(ORIGIN, parties.good.pin)
    assert isinstance(refusal(transport), KeyMismatchError)
    transport.pin("https://GOOD.test:443", parties.twin.pin)
    assert ask(transport).status == 200
    assert len(server.heard) == 2


def test_a_pin_is_for_one_origin(serve: Serve, connect: Connect, parties: Parties) -> None:
    server = serve(always(answer()), parties.twin)
    transport = connect(server, pins={f"{ORIGIN}:8443": parties.good.pin})
    assert ask(transport).status == 200
    assert isinstance(refusal(transport, origin=f"{ORIGIN}:8443"), KeyMismatchError)


@pytest.mark.parametrize(
    "options",
    [
        {"pins": {"https://good.test/path": bytes(32)}},
        {"pins": {"http://good.test": bytes(32)}},
        {"pins": {"https://good.test/": bytes(32)}},
        {"pins": {"https://user@good.test": bytes(32)}},
        {"pins": {"good.test": bytes(32)}},
        {"pins": {ORIGIN: bytes(31)}},
        {"pins": {ORIGIN: []}},
        {"pins": {ORIGIN: [bytes(32), b""]}},
        {"api_keys": {"https://good.test?x": "k"}},
        {"api_keys": {ORIGIN: ""}},
        {"api_keys": {ORIGIN: "a b"}},
        {"api_keys": {ORIGIN: "a\r\nX: y"}},
        {"api_keys": {ORIGIN: "schlüssel"}},
        {"connect_timeout": 0.0},
        {"read_timeout": -1.0},
        {"total_timeout": 0.0},
        {"ca_file": "/no/such/file.pem"},
        {"ca_file": __file__},
    ],
)
def test_settings_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RequestsTransport(**options)
    assert "schlüssel" not in str(caught.value)


def test_a_pin_that_cannot_be(connect: Connect, parties: Parties) -> None:
    transport = connect(None)
    for origin, pin in (("https://good.test/x", bytes(32)), (ORIGIN, b"short"), (ORIGIN, [])):
        with pytest.raises(ConfigurationError):
            transport.pin(origin, pin)


def test_a_ca_bundle_that_went_away(serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(always(answer()))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(Path("/no/such/bundle.pem")))
    with pytest.raises(TransportError, match="CA bundle or client certificate of the settings cannot be read"):
        ask(connect(server, ca_file=None))
    assert server.connections == 0
