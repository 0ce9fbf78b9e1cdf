"""The guard itself: no test reaches a network, and no verdict needs one."""

from __future__ import annotations

import socket

import pytest

from conftest import NetworkUsedError
from teeverify.providers.near import NearVerifier
from teeverify.verdict import Outcome

from .subjects import policy_of, report_of, roots


def test_sockets_are_off() -> None:
    with socket.socket() as unused:
        for use in (unused.connect, unused.connect_ex, unused.bind):
            with pytest.raises(NetworkUsedError):
                use(("192.0.2.1", 443))
    with pytest.raises(NetworkUsedError):
        socket.create_connection(("192.0.2.1", 443))  # looks the name up first
    with pytest.raises(NetworkUsedError):
        socket.getaddrinfo("example.com", 443)


@pytest.mark.loopback
def test_a_test_may_ask_for_its_own_machine() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass
    with socket.socket() as unused, pytest.raises(NetworkUsedError):
        unused.connect(("192.0.2.1", 443))


def test_a_saved_report_is_judged_without_any_network() -> None:
    verdict = NearVerifier(policy_of(), roots=roots()).verify_saved(report_of())
    assert verdict.outcome is Outcome.VERIFIED
