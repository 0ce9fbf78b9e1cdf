"""For all tests: no network."""

from __future__ import annotations

import socket
from typing import NoReturn

import pytest

_WAYS_OUT = ("connect", "connect_ex", "sendto", "bind", "listen")


class NetworkUsedError(BaseException):
    """A test tried to use the network. Not an Exception, so that no error handling of the code under test hides it."""


def _refuse(*arguments: object, **options: object) -> NoReturn:
    raise NetworkUsedError("a test tried to use the network")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets and name look-ups raise in every test."""
    for name in _WAYS_OUT:
        monkeypatch.setattr(socket.socket, name, _refuse)
    for name in ("create_connection", "create_server", "getaddrinfo", "gethostbyname", "gethostbyaddr"):
        monkeypatch.setattr(socket, name, _refuse)
