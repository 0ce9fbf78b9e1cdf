"""For all tests: no network.

A test marked ``loopback`` may talk to servers that it starts itself on 127.0.0.1, and to nothing else.
"""

from __future__ import annotations

import socket
from typing import Any, NoReturn

import pytest
import urllib3.util.connection  # binds a socket when it is imported, to see whether the machine speaks IPv6

_CONNECTING = ("connect", "connect_ex", "bind")
_RESOLVING = ("getaddrinfo", "gethostbyname", "gethostbyaddr")


class NetworkUsedError(BaseException):
    """A test tried to use the network. Not an Exception, so that no error handling of the code under test hides it."""


assert urllib3.util.connection.HAS_IPV6 in (True, False)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, since unknown ones are errors."""
    config.addinivalue_line("markers", "loopback: the test starts a server of its own on 127.0.0.1")


def _refuse(*arguments: object, **options: object) -> NoReturn:
    raise NetworkUsedError("a test tried to use the network")


def _local_only(name: str) -> Any:
    method = getattr(socket.socket, name)

    def guarded(own: socket.socket, address: Any, *more: object) -> Any:
        if not isinstance(address, tuple) or address[0] not in ("127.0.0.1", "localhost"):
            _refuse()
        return method(own, address, *more)

    return guarded


@pytest.fixture(autouse=True)
def no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets and name look-ups raise in every test; ``loopback`` tests keep 127.0.0.1."""
    local = request.node.get_closest_marker("loopback") is not None
    for name in _CONNECTING:
        monkeypatch.setattr(socket.socket, name, _local_only(name) if local else _refuse)
    monkeypatch.setattr(socket.socket, "sendto", _refuse)
    if not local:
        for name in _RESOLVING:
            monkeypatch.setattr(socket, name, _refuse)
