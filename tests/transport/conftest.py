"""Fixtures: the parties, servers that are stopped at the end, transports that are closed at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from teeverify.requests_transport import RequestsTransport

from .parties import HOST, ORIGIN, Parties, Party, make_parties
from .servers import Script, Server

_SETTINGS = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC")


@pytest.fixture(scope="session")
def parties(tmp_path_factory: pytest.TempPathFactory) -> Parties:
    return make_parties(tmp_path_factory.mktemp("parties"))


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _SETTINGS:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def serve(parties: Parties, opened: ExitStack) -> Callable[..., Server]:
    """Start a server: ``serve(script)`` as the good party, ``serve(script, party)``, or ``serve(script, None)``."""

    def start(script: Script, party: Party | None = parties.good) -> Server:
        return opened.enter_context(Server(script, None if party is None else party.context()))

    return start


@pytest.fixture
def connect(parties: Parties, opened: ExitStack) -> Callable[..., RequestsTransport]:
    """A transport to a server under the name `HOST`; ``options`` as for `RequestsTransport`."""

    def make(server: Server | None, **options: Any) -> RequestsTransport:
        options.setdefault("ca_file", parties.ca_file)
        options.setdefault("retries", 0)
        if server is not None:
            options.setdefault("connect_to", {HOST: server.address})
        return opened.enter_context(RequestsTransport(**options))

    return make


@pytest.fixture
def origin() -> str:
    return ORIGIN
