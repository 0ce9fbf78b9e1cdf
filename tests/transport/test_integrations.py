"""The transports over httpx and aiohttp clients: the same rules, whichever library does the I/O."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from teeverify.errors import AnswerTooLongError, ConfigurationError, KeyMismatchError, TransportError
from teeverify.flow import Request, Response
from teeverify.tls import pinned_context

from .parties import Parties
from .servers import Peer, Server, always, answer, head, once

pytestmark = pytest.mark.loopback

Serve = Callable[..., Server]


def over_httpx(context: ssl.SSLContext, *requests: Request, timeout: float = 5, **options: Any) -> list[Response]:
    httpx = pytest.importorskip("httpx")
    from teeverify.integrations.httpx import HttpxTransport

    settings: Any = {"headers": {"X-Mine": "quarz"}, "cookies": {"mine": "quarz"}, "auth": ("me", "quarz")}
    with httpx.Client(verify=context, timeout=timeout, follow_redirects=True, **settings) as client:
        transport = HttpxTransport(client, **options)
        return [transport.send(request) for request in requests]


def over_async_httpx(context: ssl.SSLContext, *requests: Request, timeout: float = 5, **options: Any) -> list[Response]:
    httpx = pytest.importorskip("httpx")
    from teeverify.integrations.httpx import AsyncHttpxTransport

    async def talk() -> list[Response]:
        settings: Any = {"headers": {"X-Mine": "quarz"}, "cookies": {"mine": "quarz"}, "auth": ("me", "quarz")}
        async with httpx.AsyncClient(verify=context, timeout=timeout, follow_redirects=True, **settings) as client:
            transport = AsyncHttpxTransport(client, **options)
            return [await transport.send(request) for request in requests]

    return asyncio.run(talk())


async def until_all_is_closed() -> None:
    """aiohttp ends TLS connections after the session: wait until the loop watches nothing but its own wake-up pipe."""
    selector: Any = getattr(asyncio.get_running_loop(), "_selector")  # noqa: B009 - not a public name
    for _ in range(1000):
        if len(selector.get_map()) <= 1:
            return
        await asyncio.sleep(0.002)
    raise AssertionError("a connection stayed open")


def over_aiohttp(context: ssl.SSLContext, *requests: Request, **options: Any) -> list[Response]:
    aiohttp = pytest.importorskip("aiohttp")
    from teeverify.integrations.aiohttp import AiohttpTransport

    async def talk() -> list[Response]:
        connector = aiohttp.TCPConnector(ssl=context)
        settings: Any = {"headers": {"Authorization": "quarz"}, "cookies": {"mine": "quarz"}, "trust_env": True}
        try:
            async with aiohttp.ClientSession(connector=connector, **settings) as own:
                transport = AiohttpTransport(own, **options)
                return [await transport.send(request) for request in requests]
        finally:
            await until_all_is_closed()

    return asyncio.run(talk())


ALL = [over_httpx, over_async_httpx, over_aiohttp]
Ask = Callable[..., list[Response]]


@pytest.fixture(params=ALL)
def ask(request: pytest.FixtureRequest, parties: Parties) -> Ask:
    """Send requests to a server over one of the libraries; the pins are the good party's unless ``pin`` is given."""

    def asked(server: Server, *requests: Request, pin: bytes | None = None, **options: Any) -> list[Response]:
        context = pinned_context(pin or parties.good.pin, ca_file=parties.ca_file)
        answers: list[Response] = request.param(context, *(requests or (get(server),)), **options)
        return answers

    return asked


def get(server: Server, path: str = "/", *, limit: int = 99_999, method: str = "GET", **headers: Any) -> Request:
    body = b"prompt" if method == "POST" else None
    url = f"https://127.0.0.1:{server.port}{path}"
    return Request(method=method, url=url, headers=headers, body=body, limit=limit)


def test_an_answer(serve: Serve, ask: Ask, parties: Parties) -> None:
    server = serve(always(answer(b'{"a":1}', "X-Thing: one", "x-thing: two")))
    responses = ask(server, get(server, "/x/%2E%2E/y?q=a%2Bb", X="y"), get(server, method="POST"))
    for response in responses:
        assert (response.status, response.body, response.peer_spki) == (200, b'{"a":1}', parties.good.spki)
        assert response.headers["x-thing"] == ("one", "two")
    assert server.heard[0].startswith(b"GET /x/%2E%2E/y?q=a%2Bb HTTP/1.1\r\n")
    assert b"\r\nx: y\r\n" in server.heard[0].lower()
    assert server.heard[1].endswith(b"\r\n\r\nprompt")


@pytest.mark.parametrize(
    ("method", "data"),
    [("GET", head("204 No Content")), ("GET", answer(b"")), ("HEAD", head("200 OK", "Content-Length: 123"))],
)
def test_the_key_is_noted_without_a_body(serve: Serve, ask: Ask, parties: Parties, method: str, data: bytes) -> None:
    server = serve(always(data))
    assert [each.peer_spki for each in ask(server, *[get(server, method=method)] * 2)] == [parties.good.spki] * 2


def test_another_key_gets_no_byte(serve: Serve, ask: Ask, parties: Parties) -> None:
    server = serve(always(answer()), parties.twin)
    with pytest.raises(KeyMismatchError):
        ask(server, get(server, method="POST"), bearer={f"https://127.0.0.1:{server.port}": "sk-key"})
    assert server.ends.get(timeout=5) in (None, b"")
    assert server.heard == []


@pytest.mark.parametrize(
    ("who", "words"), [("expired", "has expired"), ("foreign", "not trusted"), ("self_signed", "is signed by itself")]
)
def test_a_certificate_that_is_not_good(serve: Serve, ask: Ask, parties: Parties, who: str, words: str) -> None:
    party = getattr(parties, who)
    with pytest.raises(TransportError, match=words):
        ask(serve(always(answer()), party), pin=party.pin)


def test_a_client_that_does_not_verify_is_refused(serve: Serve) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for client in ALL:
        server = serve(always(answer()))
        with pytest.raises(TransportError, match="does not verify"):
            client(context, get(server))


def test_only_the_request_and_its_key_are_sent(
    serve: Serve, ask: Ask, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password quarz\ndefault login me password quarz\n", encoding="ascii")
    monkeypatch.setenv("NETRC", str(netrc))
    server = serve(always(answer(b"{}", "Set-Cookie: fresh=quarz; Path=/")))
    other = serve(always(answer(b"{}")))
    keys: Mapping[str, str] = {f"https://127.0.0.1:{server.port}": "sk-key", "https://127.0.0.1": "sk-other"}
    ask(server, get(server), get(server), get(other), bearer=keys)
    for heard in server.heard + other.heard:
        assert b"quarz" not in heard
        assert b"ookie" not in heard
        assert b"\r\naccept-encoding: identity\r\n" in heard.lower()
    assert [b"Authorization: Bearer sk-key\r\n" in heard for heard in server.heard] == [True, True]
    assert [b"uthorization" in heard for heard in other.heard] == [False]


@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_redirect_is_an_answer(serve: Serve, ask: Ask, status: int) -> None:
    other = serve(always(answer()))
    place = f"https://127.0.0.1:{other.port}/"
    server = serve(always(answer(b"", f"Location: {place}", status=f"{status} There")))
    assert [each.status for each in ask(server, get(server), get(server, method="POST"))] == [status] * 2
    assert other.connections == 0


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "https://user@127.0.0.1/", "https://good.test\\@x/", "x"])
def test_urls_that_are_refused(serve: Serve, ask: Ask, url: str) -> None:
    with pytest.raises(TransportError, match="was refused"):
        ask(serve(always(answer())), Request(method="GET", url=url, limit=9))


def test_headers_that_are_refused(serve: Serve, ask: Ask) -> None:
    server = serve(always(answer()))
    with pytest.raises(TransportError, match="may not set"):
        ask(server, get(server, Host="other.test"))
    odd: list[dict[str, Any]] = [{"X": "a\r\nY: b"}, {"X\r\nY": "a"}]
    for headers in odd:
        with pytest.raises(TransportError, match="a character that headers do not have"):
            ask(server, get(server, **headers))
    assert server.connections == 0


@pytest.mark.parametrize(
    "data",
    [
        head("200 OK", "Content-Length: 10") + b"half",
        head("200 OK", "Transfer-Encoding: chunked") + b"a\r\nhalf",
        head("200 OK", "Content-Length: 1", "Content-Length: 2") + b"ab",
        head("200 OK", "Content-Encoding: gzip", "Content-Length: 2") + b"ab",
        head("200 OK", *(f"X-{number}: {'y' * 5000}" for number in range(15))),
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"",
    ],
    ids=range(7),
)
def test_bad_answers(serve: Serve, ask: Ask, data: bytes) -> None:
    with pytest.raises(TransportError, match=r"https://127\.0\.0\.1"):
        ask(serve(once(data)))


@pytest.mark.parametrize("data", [answer(bytes(1001)), head() + bytes(1001)])
def test_the_limit(serve: Serve, ask: Ask, data: bytes) -> None:
    server = serve(once(data, lambda peer: peer.connection.unwrap()))  # type: ignore[attr-defined]
    assert len(ask(server, get(server, limit=1001))[0].body) == 1001
    with pytest.raises(AnswerTooLongError, match="longer than 1000 bytes"):
        ask(server, get(server, limit=1000))


def test_a_server_that_drips_is_left_at_the_deadline(serve: Serve, ask: Ask) -> None:
    server = serve(once(head("200 OK", "Content-Length: 9999"), lambda peer: peer.drip(b"1" * 9999)))
    began = time.monotonic()
    with pytest.raises(TransportError, match="whole answer may take"):
        ask(server, total_timeout=0.2)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("client", [over_async_httpx, over_aiohttp])
def test_dripping_headers_are_bounded_too(serve: Serve, parties: Parties, client: Ask) -> None:
    server = serve(once(b"HTTP/1.1 200 OK\r\nX: ", lambda peer: peer.drip(b"1" * 9999)))
    with pytest.raises(TransportError, match="whole answer may take"):
        client(pinned_context(parties.good.pin, ca_file=parties.ca_file), get(server), total_timeout=0.2)


def test_aiohttp_leaves_a_bad_server_at_once(serve: Serve, parties: Parties) -> None:
    """A proper end of TLS waits for the server to agree, which a bad one does not."""
    aiohttp = pytest.importorskip("aiohttp")
    from teeverify.integrations.aiohttp import AiohttpTransport

    server = serve(once(head("200 OK", "Content-Encoding: gzip"), Peer.wait))
    context = pinned_context(parties.good.pin, ca_file=parties.ca_file)

    async def talk() -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
            with pytest.raises(TransportError, match="is encoded"):
                await AiohttpTransport(session).send(get(server))
            await until_all_is_closed()  # while the session is still open

    asyncio.run(talk())


@pytest.mark.parametrize("client", [over_httpx, over_async_httpx])
def test_the_timeouts_of_the_client_hold(serve: Serve, parties: Parties, client: Ask) -> None:
    server = serve(once(b"", Peer.wait))
    with pytest.raises(TransportError, match=r"gave no answer that can be used \(ReadTimeout\)|stayed silent"):
        client(pinned_context(parties.good.pin, ca_file=parties.ca_file), get(server), timeout=0.1)


def test_outages(serve: Serve, ask: Ask) -> None:
    server = serve(once(head("200 OK", "Content-Length: 50") + b"half", Peer.reset))
    with pytest.raises(TransportError, match=r"broke the connection off|gave no answer"):
        ask(server)
    server.__exit__(None, None, None)
    with pytest.raises(TransportError, match="refused the connection"):
        ask(server)


@pytest.mark.parametrize("client", ALL)
def test_keys_that_cannot_be(client: Ask) -> None:
    with pytest.raises(ConfigurationError):
        client(ssl.create_default_context(), bearer={"http://good.test": "k"})
