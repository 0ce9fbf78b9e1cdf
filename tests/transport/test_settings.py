"""Settings of `requests`: certificate authorities and proxies are honoured, turning verification off is refused."""

from __future__ import annotations

import base64
import hashlib
import re
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from teeverify.errors import ConfigurationError, KeyMismatchError, TransportError
from teeverify.flow import Request
from teeverify.requests_transport import RequestsTransport

from .parties import HOST, ORIGIN, Parties
from .servers import Peer, Script, Server, always, answer

pytestmark = pytest.mark.loopback

Serve = Callable[..., Server]
Connect = Callable[..., RequestsTransport]
PLAIN = Request(method="GET", url=f"{ORIGIN}/quarz", limit=999)


def tunnel_to(port: int, status: bytes = b"200 Connection established") -> Script:
    """A CONNECT proxy that leads every name to one port of this machine."""

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while chunk := source.recv(65536):
                sink.sendall(chunk)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def script(peer: Peer) -> None:
        if peer.request() is None:
            return
        peer.send(b"HTTP/1.1 " + status + b"\r\nVia: test\r\n\r\n")
        if not status.startswith(b"200"):
            return
        with socket.socket() as onward:
            onward.connect(("127.0.0.1", port))
            back = threading.Thread(target=pump, args=(onward, peer.connection))
            back.start()
            pump(peer.connection, onward)
            back.join()

    return script


@pytest.fixture
def proxied(serve: Serve) -> tuple[Server, Server]:
    server = serve(always(answer()))
    return server, serve(tunnel_to(server.port), None)


@pytest.mark.parametrize("how", ["environment", "session"])
def test_a_proxy_of_the_settings_is_used(
    proxied: tuple[Server, Server], connect: Connect, parties: Parties, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    server, proxy = proxied
    session = requests.Session()
    url = f"http://user:pass@127.0.0.1:{proxy.port}"
    if how == "environment":
        monkeypatch.setenv("HTTPS_PROXY", url)
    else:
        session.proxies = {"https": url}
    transport = connect(None, session=session, api_keys={ORIGIN: "sk-key"})
    response = transport.send(PLAIN)
    assert response.peer_spki == parties.good.spki  # of the server behind the proxy
    transport.send(PLAIN)
    assert (len(proxy.heard), len(server.heard), server.connections) == (1, 2, 1)
    assert proxy.heard[0].startswith(f"CONNECT {HOST}:443 HTTP/1.".encode())
    assert b"Proxy-Authorization: Basic " + base64.b64encode(b"user:pass") in proxy.heard[0]
    assert not re.search(rb"quarz|sk-key", proxy.heard[0])
    assert b"Proxy-Authorization" not in server.heard[0]


def test_a_proxy_may_be_spoken_to_over_tls(
    serve: Serve, connect: Connect, parties: Parties, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(always(answer()))
    proxy = serve(tunnel_to(server.port), parties.twin)
    monkeypatch.setenv("HTTPS_PROXY", f"https://{HOST}:{proxy.port}")  # urllib3 1.26 takes no address here
    here = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", proxy.port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: here)
    assert connect(None).send(PLAIN).peer_spki == parties.good.spki
    transport = connect(None, pins={ORIGIN: parties.twin.pin})  # the key of the proxy is not the server's
    with pytest.raises(KeyMismatchError):
        transport.send(PLAIN)
    assert len(server.heard) == 1


def test_a_pin_holds_behind_a_proxy(
    proxied: tuple[Server, Server], connect: Connect, parties: Parties, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, proxy = proxied
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
    with pytest.raises(KeyMismatchError):
        connect(None, pins={ORIGIN: parties.twin.pin}).send(PLAIN)
    assert server.ends.get(timeout=5) in (None, b"")
    assert connect(None, pins={ORIGIN: parties.good.pin}).send(PLAIN).status == 200


@pytest.mark.parametrize("setting", [("NO_PROXY", HOST), ("NO_PROXY", "*")])
def test_exceptions_from_the_proxy(
    proxied: tuple[Server, Server], connect: Connect, monkeypatch: pytest.MonkeyPatch, setting: tuple[str, str]
) -> None:
    server, proxy = proxied
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setenv(*setting)
    here = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", server.port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: here)
    assert connect(None).send(PLAIN).status == 200
    assert proxy.connections == 0


def test_connect_to_goes_past_all_proxies(
    proxied: tuple[Server, Server], connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, proxy = proxied
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
    assert connect(server).send(PLAIN).status == 200
    assert connect(None, connect_to={"*": server.address}).send(PLAIN).status == 200
    assert proxy.connections == 0


def test_connect_to_keeps_the_names(serve: Serve, connect: Connect) -> None:
    """SNI and Host are those of the URL, whatever the address."""
    server = serve(always(answer()))
    seen: list[str | None] = []
    assert server._context is not None
    server._context.sni_callback = lambda tls, name, context: seen.append(name)
    connect(None, connect_to={"GOOD.test": server.address}).send(Request(method="GET", url=f"{ORIGIN}:8443/", limit=9))
    assert seen == [HOST]
    assert b"\r\nHost: good.test:8443\r\n" in server.heard[0]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (tunnel_to(0, b"403 Forbidden"), "the proxy refused to connect to https://good.test"),
        (tunnel_to(0, b"407 Who are you"), "the proxy refused to connect to https://good.test"),
        (lambda peer: peer.drip(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 9999), "in the time that a whole answer may take"),
    ],
)
def test_a_proxy_that_does_not_help(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch, script: Script, words: str
) -> None:
    proxy = serve(script, None)
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:pass@127.0.0.1:{proxy.port}")
    with pytest.raises(TransportError, match=words) as caught:
        connect(None, total_timeout=0.3).send(PLAIN)
    assert "pass" not in str(caught.value)


def test_a_proxy_that_is_not_there(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
    with pytest.raises(TransportError, match=r"the proxy on the way to https://good\.test refused the connection"):
        connect(None).send(PLAIN)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "socks5h://127.0.0.1:1", "ftp://127.0.0.1:1"])
def test_other_proxies_are_refused(connect: Connect, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """Silently going without one would tell the network what the caller wanted to hide."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(TransportError, match="not an HTTP proxy"):
        connect(None).send(PLAIN)


@pytest.mark.parametrize("how", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "session", "folder"])
def test_certificate_authorities_of_the_settings(
    serve: Serve, connect: Connect, parties: Parties, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str
) -> None:
    server = serve(always(answer()))
    session = requests.Session()
    with pytest.raises(TransportError, match="not trusted"):
        connect(server, session=session, ca_file=None).send(PLAIN)
    if how == "session":
        session.verify = parties.ca_file
    elif how == "folder":
        session.verify = str(hashed_folder(tmp_path, parties.ca_file))
    else:
        monkeypatch.setenv(how, parties.ca_file)
    assert connect(server, session=session, ca_file=None).send(PLAIN).status == 200


def hashed_folder(folder: Path, ca_file: str) -> Path:
    """A folder as OpenSSL reads it: files are named by a hash of the subject, here found by trying."""
    context = ssl.create_default_context(cafile=ca_file)
    subject = context.get_ca_certs()[0]["subject"]
    names = [part[0][1] for part in subject]
    canonical = b""
    for oid, text in zip((b"\x55\x04\x03", b"\x55\x04\x0b"), names, strict=True):
        value = " ".join(str(text).lower().split()).encode()
        pair = b"\x06\x03" + oid + b"\x0c" + bytes([len(value)]) + value
        inner = b"\x30" + bytes([len(pair)]) + pair
        canonical += b"\x31" + bytes([len(inner)]) + inner
    digest = hashlib.sha1(canonical, usedforsecurity=False).digest()[:4]
    (folder / f"{int.from_bytes(digest, 'little'):08x}.0").write_bytes(Path(ca_file).read_bytes())
    return folder


def test_the_ca_file_replaces_other_settings(
    serve: Serve, connect: Connect, parties: Parties, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(always(answer()), parties.foreign)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(parties.foreign.file))
    with pytest.raises(TransportError, match="not trusted"):
        connect(server, ca_file=parties.ca_file).send(PLAIN)


@pytest.mark.parametrize("verify", [False, None, "", 0, 1, object()])
def test_a_session_that_does_not_verify_is_refused(parties: Parties, verify: Any) -> None:
    session = requests.Session()
    session.verify = verify
    for ca_file in (None, parties.ca_file):
        with pytest.raises(ConfigurationError, match="does not verify certificates"):
            RequestsTransport(session, ca_file=ca_file)


def test_verification_that_is_turned_off_later(serve: Serve, connect: Connect, opened: ExitStack) -> None:
    server = serve(always(answer()))
    session = opened.enter_context(requests.Session())
    transport = connect(server, session=session)
    transport.send(PLAIN)
    session.verify = False
    with pytest.raises(TransportError, match="told not to verify"):
        transport.send(PLAIN)
    assert len(server.heard) == 1
