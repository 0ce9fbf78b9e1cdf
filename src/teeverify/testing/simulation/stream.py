"""TLS on one accepted connection, with a hand on every byte that goes out.

The handshake runs over memory buffers, so that a fault can be decided once the client has named its host and before
anything was answered.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Final

__all__ = ["CLOSE", "RESET", "UNKNOWN_NAME", "Greeting", "TlsStream"]

RESET: Final = "reset"
"""The connection is reset (TCP RST) once the client has named its host."""
CLOSE: Final = "close"
"""The connection is closed without an answer to the client's hello."""
UNKNOWN_NAME: Final = "unknown-name"
"""The client is told that no such host lives here (TLS alert 112)."""

Greeting = ssl.SSLContext | str
"""How a client is greeted: with a certificate, or with one of the refusals of this module."""

_CHUNK: Final = 64 << 10


class TlsStream:
    """One connection; used by one thread, and shut from others."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None
        self._refusal: str | None = None

    def handshake(self, greet: Callable[[str | None], Greeting]) -> bool:
        """Shake hands; ``greet`` gets the name that the client asks for (SNI), None where it asks for none.

        Returns False where the client was refused.

        Raises:
            OSError: the client left, or did not accept what it was shown.
        """
        self._tls = self._server_side(greet)
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._receive()
            except ssl.SSLError:
                if self._refusal is None:
                    raise
                self._refuse(self._refusal)
                return False
            else:
                self._flush()
                return True

    def receive(self) -> bytes:
        """Some bytes, or none at the end of what the client sends.

        Raises:
            OSError: the connection broke.
        """
        assert self._tls is not None
        while True:
            try:
                return self._tls.read(_CHUNK)
            except ssl.SSLWantReadError:
                self._flush()
                if not self._receive():
                    return b""
            except ssl.SSLZeroReturnError:
                return b""

    def send(self, data: bytes) -> None:
        """Send all of some bytes.

        Raises:
            OSError: the client left.
        """
        assert self._tls is not None
        for start in range(0, len(data), _CHUNK):
            self._tls.write(data[start : start + _CHUNK])
            self._flush()

    def finish(self) -> None:
        """Say good-bye, and close."""
        if self._tls is not None and self._refusal is None:
            with contextlib.suppress(OSError, ValueError):  # the client's own good-bye is not waited for
                self._tls.unwrap()
        with contextlib.suppress(OSError):
            self._flush()
            self._socket.shutdown(socket.SHUT_WR)
        self._socket.close()

    def reset(self) -> None:
        """Close with a TCP reset, which drops whatever is on its way."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def shut(self) -> None:
        """Let the thread that uses this connection see its end; may be called from any thread."""
        with contextlib.suppress(OSError):  # it is closed already
            self._socket.shutdown(socket.SHUT_RDWR)

    def _server_side(self, greet: Callable[[str | None], Greeting]) -> ssl.SSLObject:
        first = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        first.minimum_version = ssl.TLSVersion.TLSv1_2

        def named(tls: ssl.SSLObject, server_name: str | None, _: ssl.SSLContext) -> int | None:
            greeting = greet(server_name)
            if isinstance(greeting, ssl.SSLContext):
                tls.context = greeting
                return None
            self._refusal = greeting
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

        first.sni_callback = named
        return first.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def _refuse(self, refusal: str) -> None:
        if refusal == RESET:
            self.reset()
            return
        if refusal == UNKNOWN_NAME:
            self._flush()
        self.finish_unsaid()

    def finish_unsaid(self) -> None:
        """Close without a TLS good-bye, as a server does that crashes."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        self._socket.close()

    def _receive(self) -> bool:
        data = self._socket.recv(_CHUNK)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        return bool(data)

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._socket.sendall(self._outgoing.read())
