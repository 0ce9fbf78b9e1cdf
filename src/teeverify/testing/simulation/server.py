"""One HTTPS port on loopback: a thread that accepts, and a thread for each connection."""

from __future__ import annotations

import itertools
import selectors
import socket
import threading
from typing import Final, Protocol

from teeverify.errors import ConfigurationError

from .asked import AskedLog
from .messages import BadRequestError, HttpReader, HttpRequest, Reply, error_reply, wire_parts
from .stream import Greeting, TlsStream

__all__ = ["LOOPBACK", "Connection", "Server", "Site"]

LOOPBACK: Final = "127.0.0.1"
_BACKLOG: Final = 128


class Connection:
    """One client's connection: where its answers go.

    Attributes:
        number: connections are counted from 0.
        server_name: the host that the client named in its TLS hello, None where it named none.
        backend: which of several machines behind one name answers here.
        closing: set when the simulation closes, or when its fault changes; whoever waits, waits on this.
    """

    def __init__(self, number: int, stream: TlsStream, log: AskedLog) -> None:
        self.number, self.stream, self.closing = number, stream, threading.Event()
        self.server_name: str | None = None
        self.backend = 0
        self._log = log
        self._order: int | None = None

    def began(self, request: HttpRequest) -> None:
        """Note a request."""
        self._order = self._log.began(self.number, request.method, request.host, request.target)

    def ended(self, status: int | None) -> None:
        """Note that the request is dealt with; only the first call counts."""
        if self._order is not None:
            self._log.ended(self._order, status)
            self._order = None

    def reply(self, reply: Reply, *, keep_alive: bool) -> None:
        """Send a reply; its request has ended once its last piece is on its way.

        Raises:
            OSError: the client left.
        """
        pending: bytes | None = None
        for part in wire_parts(reply, keep_alive=keep_alive):
            if pending is not None:
                self.stream.send(pending)
            pending = part
        self.ended(reply.status)
        self.stream.send(pending or b"")


class Site(Protocol):
    """What the server serves."""

    def greet(self, server_name: str | None, connection: Connection) -> Greeting:
        """How to greet a client that asks for a host name."""
        ...

    def answer(self, request: HttpRequest, connection: Connection) -> bool:
        """Answer a request over its connection; False where the connection was or is to be closed."""
        ...


class Server:
    """Accepts connections on 127.0.0.1 until it is closed.

    ``failures`` holds exceptions of the simulation itself, which are bugs of it and none of its faults.
    """

    def __init__(self, site: Site, log: AskedLog, *, port: int = 0) -> None:
        self._site, self._log = site, log
        self._lock = threading.Lock()
        self._open: set[Connection] = set()
        self._idle: set[Connection] = set()
        self._threads: set[threading.Thread] = set()
        self._numbers = itertools.count()
        self.failures: list[Exception] = []
        self._closed = False
        self._listener = _listener(port)
        self.port: int = self._listener.getsockname()[1]
        self._wake, self._woken = socket.socketpair()
        self._accepting = threading.Thread(target=self._accept, name="teeverify-simulation", daemon=True)
        self._accepting.start()

    def drop_connections(self) -> None:
        """Close connections that wait for a request at once, and the others after their answer."""
        with self._lock:
            for connection in self._open:
                connection.closing.set()
            for connection in self._idle:
                connection.stream.shut()

    def close(self) -> None:
        """Stop accepting, end all connections and wait for all threads."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._wake.send(b"x")
        self._accepting.join()
        self._listener.close()
        with self._lock:
            for connection in self._open:
                connection.closing.set()
                connection.stream.shut()
            threads = tuple(self._threads)
        for thread in threads:
            thread.join()
        self._wake.close()
        self._woken.close()

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while True:
                ready = [key.fileobj for key, _ in selector.select()]
                if self._woken in ready:
                    return
                try:
                    accepted, _ = self._listener.accept()
                except OSError:
                    continue  # the client left again
                accepted.setblocking(True)
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection = Connection(next(self._numbers), TlsStream(accepted), self._log)
                thread = threading.Thread(
                    target=self._serve,
                    args=(connection,),
                    name=f"teeverify-simulation-{connection.number}",
                    daemon=True,
                )
                with self._lock:
                    self._open.add(connection)
                    self._threads.add(thread)
                thread.start()

    def _serve(self, connection: Connection) -> None:
        try:
            if connection.stream.handshake(lambda name: self._greet(name, connection)):
                self._converse(connection)
        except OSError:
            pass  # the client left, which is its right
        except Exception as error:
            self.failures.append(error)
        finally:
            connection.ended(None)
            connection.stream.finish()
            with self._lock:
                self._open.discard(connection)
                self._threads.discard(threading.current_thread())

    def _greet(self, server_name: str | None, connection: Connection) -> Greeting:
        connection.server_name = None if server_name is None else server_name.lower()
        self._log.greeted(connection.server_name)
        return self._site.greet(connection.server_name, connection)

    def _converse(self, connection: Connection) -> None:
        reader = HttpReader(connection.stream)
        while True:
            with self._lock:  # one step, so that `drop_connections` misses nobody
                if connection.closing.is_set():
                    return
                self._idle.add(connection)
            try:
                request = reader.next()
            except BadRequestError as error:
                connection.reply(error_reply(400, str(error)), keep_alive=False)
                return
            finally:
                with self._lock:
                    self._idle.discard(connection)
            if request is None or not self._answered(request, connection):
                return

    def _answered(self, request: HttpRequest, connection: Connection) -> bool:
        connection.began(request)
        try:
            return self._site.answer(request, connection)
        except OSError:
            raise
        except Exception as error:
            self.failures.append(error)
            text = f"the simulation itself failed: {type(error).__name__}"
            connection.reply(error_reply(500, text, "simulation_error"), keep_alive=False)
            return False
        finally:
            connection.ended(None)


def _listener(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port))
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = error.strerror if isinstance(error, OSError) else "it is no port"
        raise ConfigurationError(
            f"port {port} of {LOOPBACK} cannot be had ({reason}): choose another one, or 0 for any that is free"
        ) from None
    listener.setblocking(False)
    return listener
