"""What `RequestsTransport` sends to whom: keys, cookies, passwords, and what follows a redirect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from teeverify.errors import TransportError
from teeverify.flow import Request
from teeverify.requests_transport import RequestsTransport

from .parties import HOST, ORIGIN, Parties
from .servers import Server, always, answer

pytestmark = pytest.mark.loopback

Serve = Callable[..., Server]
Connect = Callable[..., RequestsTransport]


def get(origin: str = ORIGIN, path: str = "/", **headers: str) -> Request:
    return Request(method="GET", url=f"{origin}{path}", headers=headers, limit=999)


@pytest.fixture
def server(serve: Serve) -> Server:
    return serve(always(answer()))


@pytest.mark.parametrize("origin", [ORIGIN, "https://GOOD.test", "HTTPS://good.test:443", f"{ORIGIN}:443"])
def test_a_key_is_sent_to_its_origin_however_that_is_written(server: Server, connect: Connect, origin: str) -> None:
    connect(server, api_keys={ORIGIN: "sk-key"}).send(get(origin))
    assert b"\r\nAuthorization: Bearer sk-key\r\n" in server.heard[0]


@pytest.mark.parametrize(
    "owner",
    [
        f"{ORIGIN}:8443",
        "https://other.test",
        "https://good.test.evil.test",
        "https://evil-good.test",
        "https://test",
        "https://127.0.0.1",
    ],
)
def test_a_key_is_sent_nowhere_else(server: Server, connect: Connect, owner: str) -> None:
    connect(server, api_keys={owner: "sk-key"}).send(get())
    assert b"uthorization" not in server.heard[0]
    assert b"sk-key" not in server.heard[0]


def test_a_request_with_its_own_authorization_keeps_it(server: Server, connect: Connect) -> None:
    connect(server, api_keys={ORIGIN: "sk-key"}).send(get(authorization="Bearer own"))
    assert b"\r\nauthorization: Bearer own\r\n" in server.heard[0]
    assert b"sk-key" not in server.heard[0]


@pytest.mark.parametrize(
    "url",
    [
        "http://good.test/",
        "ftp://good.test/",
        "//good.test/",
        "good.test",
        "",
        "https://",
        "https:///path",
        "https://user@good.test/",
        "https://good.test@other.test/",
        "https://:pass@good.test/",
        "https://good.test\\@other.test/",
        "https://good.test\\.other.test/",
        "https://good.test /",
        "https://good.test/\\other.test/",
        "https://good.test/\r\nX: y",
        "https://good.test/a b",
        "https://good.test/ü",
        "https://göod.test/",
        "https://good%2etest/",
        "https://good.test./",
        "https://good..test/",
        "https://.test/",
        "https://good.test:/",
        "https://good.test:0/",
        "https://good.test:99999/",
        "https://good.test:44x/",
        "https://[::1/",
        "https://[::1%25eth0]/",
        "https://[good.test]/",
        "\thttps://good.test/",
    ],
)
def test_urls_that_are_refused(server: Server, connect: Connect, url: str) -> None:
    """Before anything is looked up or connected to."""
    with pytest.raises(TransportError, match="was refused") as caught:
        connect(server, connect_to={"*": server.address}).send(Request(method="GET", url=url, limit=9))
    assert "pass" not in str(caught.value)
    assert server.connections == 0


@pytest.mark.parametrize("host", [f"{'a' * 64}.test", f"{'a.' * 200}test"])
def test_names_that_are_too_long(connect: Connect, host: str) -> None:
    with pytest.raises(TransportError, match=r"not a name that a host can have|could not be resolved"):
        connect(None).send(Request(method="GET", url=f"https://{host}/", limit=9))


@pytest.mark.parametrize("path", ["/a//b/../c", "//other.test/x", "/%2E%2E/%2F?q=%20&n=a%2Bb", "/?a=b?c=d", "/;x"])
def test_the_path_is_sent_as_it_is(server: Server, connect: Connect, path: str) -> None:
    connect(server).send(get(path=path))
    assert server.heard[0].startswith(f"GET {path} HTTP/1.1\r\nHost: good.test\r\n".encode())


@pytest.mark.parametrize(
    ("url", "path"), [(ORIGIN, "/"), (f"{ORIGIN}?x=1", "/?x=1"), (f"{ORIGIN}/a#secret", "/a"), (f"{ORIGIN}/?", "/")]
)
def test_fragments_stay_here(server: Server, connect: Connect, url: str, path: str) -> None:
    connect(server).send(Request(method="GET", url=url, limit=99))
    assert server.heard[0].startswith(f"GET {path} HTTP/1.1\r\n".encode())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_redirect_is_an_answer(serve: Serve, server: Server, connect: Connect, status: int, method: str) -> None:
    origin = f"https://other.test:{server.port}/"
    redirecting = serve(always(answer(b"", f"Location: {origin}", status=f"{status} There")))
    transport = connect(
        None,
        connect_to={HOST: redirecting.address, "*": server.address},
        api_keys={ORIGIN: "sk-key", f"https://other.test:{server.port}": "sk-other"},
    )
    response = transport.send(Request(method=method, url=ORIGIN, body=b"x" if method == "POST" else None, limit=9))
    assert (response.status, response.headers["location"]) == (status, (origin,))
    assert (len(redirecting.heard), server.connections) == (1, 0)


def test_cookies_are_neither_sent_nor_kept(serve: Serve, connect: Connect) -> None:
    server = serve(always(answer(b"{}", "Set-Cookie: a=b; Path=/")))
    session = requests.Session()
    session.cookies.set("mine", "value", domain=HOST)
    transport = connect(server, session=session)
    for _ in range(2):
        assert transport.send(get()).headers["set-cookie"] == ("a=b; Path=/",)
    assert not any(b"ookie" in heard for heard in server.heard)
    assert dict(session.cookies) == {"mine": "value"}


def test_passwords_of_a_netrc_file_are_not_sent(
    server: Server, connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {HOST} login me password quarz\ndefault login me password quarz\n", encoding="ascii")
    monkeypatch.setenv("NETRC", str(netrc))
    assert requests.utils.get_netrc_auth(f"{ORIGIN}/") == ("me", "quarz")  # the file is one that counts
    connect(server).send(get())
    assert b"uthorization" not in server.heard[0]


def test_nothing_else_of_a_session_is_sent(server: Server, connect: Connect) -> None:
    session = requests.Session()
    session.headers["X-Mine"] = "quarz"
    session.headers["Authorization"] = "Bearer quarz"
    session.auth = ("me", "quarz")
    session.params = {"mine": "quarz"}
    seen: list[object] = []
    session.hooks["response"].append(lambda response, **options: seen.append(response))
    before = dict(session.adapters)
    connect(server, session=session).send(get())
    assert b"quarz" not in server.heard[0]
    assert b"uthorization" not in server.heard[0]
    assert seen == []
    assert dict(session.adapters) == before


@pytest.mark.parametrize(
    "name", ["Host", "cookie", "Content-Length", "TRANSFER-ENCODING", "Connection", "Proxy-Authorization"]
)
def test_headers_that_a_request_may_not_bring(server: Server, connect: Connect, name: str) -> None:
    with pytest.raises(TransportError, match=f"header {name.lower()}, which it may not set"):
        connect(server).send(get(**{name: "quarz"}))
    assert server.connections == 0


@pytest.mark.parametrize("header", [("X", "a\r\nY: b"), ("X: y\r\nZ", "a"), ("X", "\u4e2d"), ("", "a")])
def test_headers_that_cannot_be(server: Server, connect: Connect, header: tuple[str, str]) -> None:
    with pytest.raises(TransportError, match="a character that headers do not have"):
        connect(server).send(get(**dict([header])))
    assert server.connections == 0


def test_a_body_is_sent_whole(server: Server, connect: Connect, parties: Parties) -> None:
    body = bytes(range(256)) * 4000
    transport = connect(server, pins={ORIGIN: parties.good.pin})
    transport.send(Request(method="POST", url=ORIGIN, headers={"Content-Type": "x/y"}, body=body, limit=9))
    head, _, received = server.heard[0].partition(b"\r\n\r\n")
    assert received == body
    assert b"\r\nContent-Type: x/y\r\n" in head + b"\r\n"
    transport.send(Request(method="POST", url=ORIGIN, body=b"", limit=9))
    assert b"\r\nContent-Length: 0\r\n" in server.heard[1]
