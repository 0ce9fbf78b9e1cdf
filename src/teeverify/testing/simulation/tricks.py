"""How servers misbehave: each trick answers one request over its connection, or does not."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

from .messages import HttpRequest, Reply, chunk, error_reply, head
from .server import Connection
from .stream import CLOSE, RESET
from .tls import EXPIRED, FOREIGN_CA, OTHER_NAME

__all__ = ["CERTIFICATE_TRICKS", "HANDSHAKE_TRICKS", "BusyOnce", "perform"]

Make = Callable[[], Reply]

HANDSHAKE_TRICKS: Final = {"refuses": RESET, "hangs-up": CLOSE}
"""Tricks that end a connection before it is one."""
CERTIFICATE_TRICKS: Final = {
    "certificate-expired": EXPIRED,
    "certificate-foreign-ca": FOREIGN_CA,
    "certificate-other-name": OTHER_NAME,
}
"""Tricks of the certificate; requests over such a connection are answered truthfully."""

_BOMB_SIZE: Final = 16 << 20
_ENDLESS_PART: Final = b"0" * (64 << 10)
_DRIP_SECONDS: Final = 0.02
_PAGE: Final = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><p>Welcome</p></body></html>\n"


class BusyOnce:
    """Knows which questions were asked before; safe under threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: set[tuple[str, str, str]] = set()

    def first(self, request: HttpRequest) -> bool:
        """True when the question is asked for the first time."""
        question = (request.method, request.host, request.target)
        with self._lock:
            new = question not in self._seen
            self._seen.add(question)
        return new


def perform(trick: str, request: HttpRequest, connection: Connection, make: Make, busy: BusyOnce) -> bool:
    """Answer a request with a trick; ``make`` makes the truthful reply. False where the connection is over.

    Raises:
        OSError: the client left.
    """
    if trick.startswith("status-"):
        return _send(connection, request, _status(int(trick.removeprefix("status-"))))
    if trick == "busy-once" and busy.first(request):
        return _send(connection, request, _status(429))
    if trick in _TRICKS:
        _TRICKS[trick](request, connection, make)
        return False
    return _send(connection, request, _REPLIES[trick](request, make) if trick in _REPLIES else make())


def _send(connection: Connection, request: HttpRequest, reply: Reply) -> bool:
    connection.reply(reply, keep_alive=request.keep_alive)
    return request.keep_alive


def _status(status: int) -> Reply:
    reply = error_reply(status, "the simulated service is told to say so", "simulated_fault")
    if status == 429:
        return Reply(status=status, headers=(*reply.headers, ("Retry-After", "0")), body=reply.body)
    return reply


def _page(_: HttpRequest, __: Make) -> Reply:
    return Reply(headers=(("Content-Type", "text/html; charset=utf-8"),), body=_PAGE)


def _half(_: HttpRequest, make: Make) -> Reply:
    reply = make()
    body = reply.whole()
    return Reply(status=reply.status, headers=reply.headers, body=body[: len(body) // 2])


def _empty(_: HttpRequest, make: Make) -> Reply:
    reply = make()
    return Reply(status=reply.status, headers=reply.headers)


def _elsewhere(request: HttpRequest, _: Make) -> Reply:
    return Reply(status=302, headers=(("Location", f"https://attacker.invalid{request.target}"),))


def _here(request: HttpRequest, _: Make) -> Reply:
    return Reply(status=302, headers=(("Location", f"https://{request.headers.get('host', '')}{request.target}"),))


def _gzip_bomb(_: HttpRequest, make: Make) -> Reply:
    return Reply(headers=(*make().headers, ("Content-Encoding", "gzip")), body=_bomb())


_REPLIES: Final[Mapping[str, Callable[[HttpRequest, Make], Reply]]] = {
    "html-page": _page,
    "invalid-json": _half,
    "empty-body": _empty,
    "redirects": _elsewhere,
    "redirects-to-itself": _here,
    "gzip-bomb": _gzip_bomb,
}
"""Tricks that are good HTTP."""


@cache
def _bomb() -> bytes:
    return gzip.compress(bytes(_BOMB_SIZE), compresslevel=9, mtime=0)


def _head_and_body(make: Make, change: int) -> tuple[int, bytes, bytes]:
    reply = make()
    body = reply.whole()
    length = ("Content-Length", str(max(len(body) + change, 0)))
    return reply.status, head(reply.status, (*reply.headers, length, ("Connection", "close"))), body


def _too_long(_: HttpRequest, connection: Connection, make: Make) -> None:
    status, top, body = _head_and_body(make, 10)
    connection.ended(status)
    connection.stream.send(top + body)


def _too_short(_: HttpRequest, connection: Connection, make: Make) -> None:
    status, top, body = _head_and_body(make, -10)
    connection.ended(status)
    connection.stream.send(top + body)


def _reset(_: HttpRequest, connection: Connection, make: Make) -> None:
    status, top, body = _head_and_body(make, 0)
    connection.stream.send(top + body[: len(body) // 2])
    connection.ended(status)
    connection.stream.reset()


def _stall(_: HttpRequest, connection: Connection, __: Make) -> None:
    connection.closing.wait()


def _drip(_: HttpRequest, connection: Connection, make: Make) -> None:
    status, top, body = _head_and_body(make, 0)
    connection.stream.send(top)
    for position in range(len(body)):
        if connection.closing.wait(_DRIP_SECONDS):
            return
        connection.stream.send(body[position : position + 1])
    connection.ended(status)


def _endless(_: HttpRequest, connection: Connection, make: Make) -> None:
    reply = make()
    coding = (("Transfer-Encoding", "chunked"), ("Connection", "close"))
    connection.stream.send(head(reply.status, (*reply.headers, *coding)))
    while not connection.closing.is_set():
        connection.stream.send(chunk(_ENDLESS_PART))


_TRICKS: Final[Mapping[str, Callable[[HttpRequest, Connection, Make], None]]] = {
    "length-too-long": _too_long,
    "length-too-short": _too_short,
    "resets": _reset,
    "stalls": _stall,
    "drips": _drip,
    "endless": _endless,
}
"""Tricks after which the connection is over."""
