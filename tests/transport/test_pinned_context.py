"""`pinned_context` with the clients of the standard library: a server with another key gets not one byte."""

from __future__ import annotations

import asyncio
import http.client
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable
from contextlib import ExitStack, closing

import pytest

from teeverify.errors import ConfigurationError, FormatError, TransportError
from teeverify.tls import PinnedKeyError, pinned_context, spki_of_certificate, verified_peer_spki

from .parties import HOST, Parties
from .servers import Peer, Server, always, answer

pytestmark = pytest.mark.loopback

Serve = Callable[..., Server]
Client = Callable[[Server, ssl.SSLContext], bytes]
REQUEST = b"GET / HTTP/1.1\r\n\r\n"


def over_http_client(server: Server, context: ssl.SSLContext) -> bytes:
    connection = http.client.HTTPSConnection(*server.address, context=context, timeout=5)
    with closing(connection):
        connection.request("GET", "/", headers={"X-Prompt": "quarz"})
        return connection.getresponse().read()


def over_a_socket(server: Server, context: ssl.SSLContext) -> bytes:
    with (
        socket.create_connection(server.address, timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as tls,
    ):
        tls.sendall(REQUEST)
        return tls.recv(1000)


def over_a_socket_that_is_connected_late(server: Server, context: ssl.SSLContext) -> bytes:
    with socket.socket() as plain, context.wrap_socket(plain, server_hostname=HOST) as tls:
        tls.settimeout(5)
        tls.connect(server.address)
        tls.sendall(REQUEST)
        return tls.recv(1000)


def over_memory(server: Server, context: ssl.SSLContext) -> bytes:
    """As TLS inside TLS is made."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=HOST)
    with socket.create_connection(server.address, timeout=5) as plain:

        def through(step: Callable[[], object]) -> object:
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    plain.sendall(outgoing.read())
                    incoming.write(plain.recv(65536))
                finally:
                    plain.sendall(outgoing.read())

        through(tls.do_handshake)
        through(lambda: tls.write(REQUEST))
        received = through(lambda: tls.read(1000))
        assert isinstance(received, bytes)
        return received


def over_asyncio(server: Server, context: ssl.SSLContext) -> bytes:
    async def talk() -> bytes:
        reader, writer = await asyncio.open_connection(*server.address, ssl=context, server_hostname=HOST)
        try:
            writer.write(REQUEST)
            return await reader.read(1000)
        finally:
            writer.transport.abort()
            await asyncio.sleep(0)

    return asyncio.run(talk())


CLIENTS = [over_http_client, over_a_socket, over_a_socket_that_is_connected_late, over_memory, over_asyncio]


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def twin(request: pytest.FixtureRequest, parties: Parties, opened: ExitStack) -> Server:
    """A server with a good certificate and another key, by version of TLS."""
    context = parties.twin.context()
    context.minimum_version = context.maximum_version = request.param
    return opened.enter_context(Server(always(answer(b"hello")), context))


@pytest.mark.parametrize("client", CLIENTS)
def test_another_key_gets_no_byte(twin: Server, parties: Parties, client: Client) -> None:
    with pytest.raises(PinnedKeyError, match="which is not a pinned one; nothing was sent"):
        client(twin, pinned_context(parties.good.pin, ca_file=parties.ca_file))
    assert twin.ends.get(timeout=5) in (None, b"")
    assert twin.heard == []


@pytest.mark.parametrize("client", CLIENTS)
def test_the_pinned_key_is_let_in(twin: Server, parties: Parties, client: Client) -> None:
    pins = {parties.good.pin, parties.twin.pin}
    assert b"hello" in client(twin, pinned_context(pins, ca_file=parties.ca_file))
    assert len(twin.heard) == 1


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("who", ["expired", "foreign", "self_signed"])
def test_a_pin_does_not_replace_the_verification(serve: Serve, parties: Parties, client: Client, who: str) -> None:
    party = getattr(parties, who)
    server = serve(always(answer()), party)
    with pytest.raises(ssl.SSLCertVerificationError):
        client(server, pinned_context(party.pin, ca_file=parties.ca_file))
    assert server.heard == []


def test_the_platforms_authorities_are_the_default(serve: Serve, parties: Parties) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        over_a_socket(serve(always(answer())), pinned_context(parties.good.pin))


@pytest.mark.parametrize("client", [over_a_socket, over_memory])
@pytest.mark.parametrize("mode", [ssl.CERT_NONE, ssl.CERT_OPTIONAL, ssl.CERT_REQUIRED])
def test_verification_cannot_be_turned_off(
    serve: Serve, parties: Parties, client: Client, mode: ssl.VerifyMode
) -> None:
    """Some clients change a context that they are given."""
    server = serve(always(answer()))
    context = pinned_context(parties.good.pin, ca_file=parties.ca_file)
    context.check_hostname = False
    context.verify_mode = mode
    with pytest.raises(ssl.SSLError, match="was turned off"):
        client(server, context)
    assert server.ends.get(timeout=5) in (None, b"")


@pytest.mark.parametrize("step", ["send", "sendall", "write", "recv", "read", "recv_into", "sendfile"])
def test_no_handshake_is_made_in_passing(twin: Server, parties: Parties, step: str) -> None:
    """OpenSSL makes one by itself when somebody writes or reads first."""
    context = pinned_context(parties.good.pin, ca_file=parties.ca_file)
    with (
        socket.create_connection(twin.address, timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=HOST, do_handshake_on_connect=False) as tls,
        open(__file__, "rb") as file,
    ):
        argument = {"recv": 10, "read": 10, "recv_into": bytearray(10), "sendfile": file}.get(step, b"quarz")
        with pytest.raises(ssl.SSLError, match="complete the handshake first"):
            getattr(tls, step)(argument)
        with pytest.raises(PinnedKeyError):
            tls.do_handshake()
        with pytest.raises(ssl.SSLError, match="complete the handshake first"):
            getattr(tls, step)(argument)
    assert twin.ends.get(timeout=5) in (None, b"")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_resumed_session_does_not_pass_the_pin_by(
    parties: Parties, opened: ExitStack, version: ssl.TLSVersion
) -> None:
    """A server that resumes proves no key, and Python shows the certificate of the time before."""
    serving = parties.good.context()
    serving.minimum_version = serving.maximum_version = version
    server = opened.enter_context(Server(always(answer(b"hello")), serving))

    def talk(context: ssl.SSLContext, session: ssl.SSLSession | None) -> ssl.SSLSocket:
        plain = opened.enter_context(socket.create_connection(server.address, timeout=5))
        tls = opened.enter_context(context.wrap_socket(plain, server_hostname=HOST, session=session))
        tls.sendall(REQUEST)
        assert tls.recv(1000)
        return tls

    ordinary = ssl.create_default_context(cafile=parties.ca_file)
    pinned = pinned_context(parties.good.pin, ca_file=parties.ca_file)
    before = {context: talk(context, None).session for context in (ordinary, pinned)}
    serving.load_cert_chain(parties.twin.file)  # another key from now on, but the same session tickets
    deceived = talk(ordinary, before[ordinary])
    assert deceived.session_reused
    assert verified_peer_spki(deceived) == parties.good.spki  # what the refusal is for
    with pytest.raises(ssl.SSLError, match=r"resumed a session|not a pinned one"):
        talk(pinned, before[pinned])
    assert len(server.heard) == 3


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl program plays the server")
def test_a_server_cannot_renegotiate(parties: Parties) -> None:
    """In TLS 1.2 a second handshake could bring another certificate."""
    command = ["openssl", "s_server", "-accept", "127.0.0.1:0", "-tls1_2", "-cert", str(parties.good.file)]
    context = pinned_context(parties.good.pin, ca_file=parties.ca_file)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        try:
            assert server.stdin is not None
            assert server.stdout is not None
            port = next(int(line.rpartition(b":")[2]) for line in server.stdout if line.startswith(b"ACCEPT"))
            with (
                socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
                context.wrap_socket(plain, server_hostname=HOST) as tls,
            ):
                tls.sendall(b"hello\n")
                assert any(line == b"hello\n" for line in server.stdout)
                server.stdin.write(b"r\n")  # renegotiate
                server.stdin.flush()
                with pytest.raises(ssl.SSLError, match=r"HANDSHAKE_FAILURE|NO_RENEGOTIATION"):
                    tls.recv(100)
        finally:
            server.kill()


def test_old_versions_of_tls_are_refused(parties: Parties) -> None:
    assert pinned_context(bytes(32)).minimum_version >= ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("pins", [b"", bytes(31), bytes(33), [], [bytes(32), bytes(31)], set(), bytearray(20)])
def test_pins_that_cannot_be(pins: bytes) -> None:
    with pytest.raises(ConfigurationError):
        pinned_context(pins)


@pytest.mark.parametrize("file", ["/no/such/file.pem", __file__])
def test_ca_files_that_cannot_be(file: str) -> None:
    with pytest.raises(ConfigurationError, match="CA file cannot be read"):
        pinned_context(bytes(32), ca_file=file)


def test_the_key_of_a_certificate(parties: Parties) -> None:
    assert spki_of_certificate(parties.good.issued.der) == parties.good.spki
    with pytest.raises(FormatError):
        spki_of_certificate(b"\x30\x00")


def test_the_key_of_a_connection_without_verification_is_not_told(serve: Serve) -> None:
    server = serve(Peer.wait)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(server.address, timeout=5) as plain,
        context.wrap_socket(plain) as tls,
        pytest.raises(TransportError, match="does not verify"),
    ):
        verified_peer_spki(tls)
    assert verified_peer_spki(None) is None
