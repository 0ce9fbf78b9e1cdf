"""Small hostile servers on 127.0.0.1. Each keeps what it received, so that a test can prove what it did not."""

from __future__ import annotations

import queue
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, TypeAlias

_PATIENCE: Final = 10.0
"""Seconds after which a stuck server gives up; no test comes near it."""


class Peer:
    """One connection as the server sees it."""

    def __init__(self, connection: socket.socket, stop: threading.Event, heard: list[bytes]) -> None:
        self.connection, self.stop, self._heard = connection, stop, heard
        self._rest = b""

    def request(self) -> bytes | None:
        """The next request, head and body; None when the client has gone."""
        while b"\r\n\r\n" not in self._rest:
            if not self._more():
                return None
        head, _, rest = self._rest.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        while len(rest) < length:
            if not self._more():
                return None
            rest = self._rest.partition(b"\r\n\r\n")[2]
        self._rest = rest[length:]
        whole = head + b"\r\n\r\n" + rest[:length]
        self._heard.append(whole)
        return whole

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def drip(self, data: bytes, *, pause: float = 0.02) -> None:
        """One byte after the other, until the server is stopped."""
        for byte in data:
            if self.stop.wait(pause):
                return
            self.send(bytes([byte]))

    def wait(self) -> None:
        """Say nothing until the server is stopped."""
        self.stop.wait(_PATIENCE)

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _more(self) -> bool:
        chunk = self.connection.recv(65536)
        self._rest += chunk
        return bool(chunk)


Script: TypeAlias = Callable[[Peer], None]


class Server:
    """Runs a script for each connection. ``context`` None: no TLS at all."""

    def __init__(self, script: Script, context: ssl.SSLContext | None) -> None:
        self._script, self._context = script, context
        self.heard: list[bytes] = []
        """Whole requests."""
        self.connections = 0
        self.ends: queue.Queue[bytes | None] = queue.Queue()
        """For each connection at its end: application bytes beyond whole requests, or None for a failed handshake."""
        self.stop = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.stop.is_set():
            return
        self.stop.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(_PATIENCE)
            assert not thread.is_alive(), "a server did not come to its end"
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            connection.settimeout(_PATIENCE)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, plain: socket.socket) -> None:
        connection = plain
        peer = None
        try:
            if self._context is not None:
                connection = self._context.wrap_socket(plain, server_side=True)
            peer = Peer(connection, self.stop, self.heard)
            self._script(peer)
        except OSError:
            pass  # the client left, which is what many tests are about
        finally:
            connection.close()
            plain.close()
            self.ends.put(None if peer is None else peer._rest)


def head(status: str = "200 OK", *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode("latin-1")


def answer(body: bytes = b"{}", *headers: str, status: str = "200 OK") -> bytes:
    return head(status, f"Content-Length: {len(body)}", *headers) + body


def always(data: bytes) -> Script:
    """Answer every request with the same bytes."""

    def script(peer: Peer) -> None:
        while peer.request() is not None:
            peer.send(data)

    return script


def once(data: bytes, after: Script = lambda peer: None) -> Script:
    """Answer the first request of each connection, do something else, and close (without a TLS end)."""

    def script(peer: Peer) -> None:
        if peer.request() is not None:
            peer.send(data)
            after(peer)

    return script


def echo(peer: Peer) -> None:
    """Answer with the request itself."""
    while (request := peer.request()) is not None:
        peer.send(answer(request))
