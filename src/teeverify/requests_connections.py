"""Connections of `urllib3` that note the server's key and keep to a deadline.

urllib3 and http.client wait for each read anew, so a server that sends one byte a second holds them for ever. Here the
sockets themselves know when the whole answer must be there: no operation on them waits beyond that.
"""

from __future__ import annotations

import errno
import socket
import ssl
import time
from collections.abc import Mapping
from contextvars import ContextVar
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from attrs import define
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool

from .http_rules import PassingError
from .origin import Origin
from .outages import DeadlineError, outage
from .tls import verified_peer_spki

if TYPE_CHECKING:
    _Base = ssl.SSLSocket
else:
    _Base = object

__all__ = ["CURRENT", "Address", "Attempt", "TappedPool", "bound_to_deadlines"]

Address: TypeAlias = tuple[str, int]


@define
class Attempt:
    """One attempt to get an answer: what its connection has to know, and the key that the connection tells.

    ``deadline`` is a time of `time.monotonic`. ``connect_to`` maps host names (or ``*``) to addresses to connect to in
    place of theirs; every name stays that of the URL.
    """

    origin: Origin
    deadline: float
    connect_to: Mapping[str, Address]
    peer_spki: bytes | None = None
    answer: HTTPResponse | None = None

    def abandon(self) -> None:
        """Close the answer: until then it keeps the connection open, even if that was closed itself."""
        if self.answer is not None:
            self.answer.close()


CURRENT: ContextVar[Attempt] = ContextVar("teeverify_attempt")
"""The attempt that the running thread makes. The sockets are used by libraries that could not hand it through."""


class _Bounded(_Base):
    """Mixed into sockets: an operation waits for its own timeout, or to the attempt's deadline if that is sooner.

    Python's TLS sockets apply a timeout to an operation as a whole, so single bytes do not prolong a read or a
    handshake.
    """

    _patience: float | None = None

    def settimeout(self, value: float | None) -> None:
        self._patience = value
        super().settimeout(value)

    def gettimeout(self) -> float | None:
        return self._patience

    def connect(self, *arguments: Any) -> None:
        self._bound()
        super().connect(*arguments)

    def do_handshake(self, *arguments: Any) -> None:
        self._bound()
        super().do_handshake(*arguments)

    def recv(self, *arguments: Any) -> bytes:
        self._bound()
        return super().recv(*arguments)

    def recv_into(self, *arguments: Any) -> int:
        self._bound()
        return super().recv_into(*arguments)

    def send(self, *arguments: Any) -> int:
        self._bound()
        return super().send(*arguments)

    def sendall(self, *arguments: Any) -> None:
        self._bound()
        super().sendall(*arguments)

    def _bound(self) -> None:
        left = CURRENT.get().deadline - time.monotonic()
        if left <= 0:
            raise DeadlineError
        super().settimeout(left if self._patience is None else min(left, self._patience))


_BoundedSocket: Final[Any] = type("_BoundedSocket", (_Bounded, socket.socket), {})


class _TappedConnection(HTTPSConnection):
    """Notes the key of the certificate that the server (not a proxy) showed."""

    peer_spki: bytes | None = None

    def connect(self) -> None:
        self.peer_spki = None
        super().connect()
        tls: Any = self.sock
        tls.suppress_ragged_eofs = False  # a body without a length is whole only if TLS says that it ended
        inner = getattr(tls, "sslobj", tls)  # sslobj: TLS inside that of a proxy
        if inner.context.verify_mode is not ssl.CERT_NONE:  # made so here, for answers that prove themselves
            self.peer_spki = verified_peer_spki(inner)
        else:
            self.is_verified = True  # read by urllib3 only, for its warning, and this is no oversight

    def response_class(self, *arguments: Any, **options: Any) -> HTTPResponse:  # type: ignore[override]
        answer = HTTPResponse(*arguments, **options)
        CURRENT.get().answer = answer
        return answer

    def getresponse(self, *arguments: Any, **options: Any) -> Any:
        CURRENT.get().peer_spki = self.peer_spki
        return super().getresponse(*arguments, **options)

    def _new_conn(self) -> socket.socket:
        attempt = CURRENT.get()
        place = str(attempt.origin) if self.proxy is None else f"the proxy on the way to {attempt.origin}"
        there = attempt.connect_to.get(attempt.origin.host) or attempt.connect_to.get("*")
        try:
            return self._reached(there or (self.host, int(self.port)))
        except (OSError, UnicodeError) as error:
            if isinstance(error, TimeoutError):
                raise PassingError(f"{place} was not reached in time") from None
            raise outage(error, place) from None

    def _reached(self, address: Address) -> socket.socket:
        failed = OSError(errno.EADDRNOTAVAIL, "the name has no address")
        for family, kind, protocol, _, place in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
            plain: socket.socket = _BoundedSocket(family, kind, protocol)
            try:
                for option in self.socket_options or ():
                    plain.setsockopt(*option)
                plain.settimeout(self.timeout)
                plain.connect(place)
                return plain
            except OSError as error:
                plain.close()
                failed = error
        raise failed

    def _tunnel(self) -> None:
        try:
            super()._tunnel()
        except OSError as error:
            if type(error) is OSError:  # http.client's way to say that the proxy said no
                raise PassingError(f"the proxy refused to connect to {CURRENT.get().origin}") from None
            raise


class TappedPool(HTTPSConnectionPool):
    """Connections to one server, each of which notes the server's key."""

    ConnectionCls = _TappedConnection

    def _get_conn(self, *arguments: Any, **options: Any) -> Any:
        """Bytes beyond the end of an answer are no beginning of the next one."""
        connection: Any = super()._get_conn(*arguments, **options)
        pending = getattr(connection.sock, "pending", None)
        if pending is not None and pending():
            connection.close()
        return connection


def bound_to_deadlines(context: ssl.SSLContext) -> ssl.SSLContext:
    """Make the sockets of a context keep to the deadline of the attempt that uses them. Returns the same context."""
    context.sslsocket_class = type("BoundedTLSSocket", (_Bounded, context.sslsocket_class), {})
    return context
