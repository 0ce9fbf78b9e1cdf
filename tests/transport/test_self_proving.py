"""Requests whose answers prove themselves: from servers that nobody vouches for, and with nothing that is ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from teeverify import OpenGradientVerifier, Policy
from teeverify.errors import TransportError
from teeverify.flow import Request, Response
from teeverify.requests_transport import RequestsTransport
from teeverify.saved import SavedReport
from teeverify.testing import OpenGradientSession, opengradient_policy, trust_roots

from .parties import HOST, ORIGIN, Parties
from .servers import Peer, Server, always, answer

pytestmark = pytest.mark.loopback

Serve = Callable[..., Server]
Connect = Callable[..., RequestsTransport]
PROVING = Request(method="GET", url=f"{ORIGIN}/enclave", limit=999, self_proving=True)
PLAIN = evolve(PROVING, self_proving=False)


@pytest.mark.parametrize("which", ["self_signed", "expired", "early", "misnamed", "foreign"])
def test_any_certificate_will_do_for_them_alone(parties: Parties, serve: Serve, connect: Connect, which: str) -> None:
    server = serve(always(answer(b"proof")), getattr(parties, which))
    transport = connect(server)
    response = transport.send(PROVING)
    assert (response.body, response.peer_spki) == (b"proof", None)
    with pytest.raises(TransportError):
        transport.send(PLAIN)
    assert len(server.heard) == 1
    assert transport.send(PROVING).body == b"proof"


def test_a_good_certificate_tells_no_key_either(serve: Serve, connect: Connect) -> None:
    transport = connect(serve(always(answer())))
    assert transport.send(PROVING).peer_spki is None
    assert transport.send(PLAIN).peer_spki is not None


def test_connections_are_not_shared(parties: Parties, serve: Serve, connect: Connect) -> None:
    server = serve(always(answer()))
    transport = connect(server)
    keys = [transport.send(request).peer_spki for request in (PROVING, PLAIN, PROVING, PLAIN, PROVING)]
    assert keys == [None, parties.good.spki, None, parties.good.spki, None]
    assert server.connections == 2


def test_no_key_is_sent_along(serve: Serve, connect: Connect) -> None:
    server = serve(always(answer()))
    transport = connect(server, api_keys={ORIGIN: "sk-key"})
    transport.send(PROVING)
    transport.send(PLAIN)
    assert [b"sk-key" in request for request in server.heard] == [False, True]
    for name in ("Authorization", "authorization", "AUTHORIZATION"):
        with pytest.raises(TransportError, match="credentials"):
            transport.send(evolve(PROVING, headers={name: "Bearer x"}))
    assert len(server.heard) == 2


def test_a_pin_holds_for_them_too(parties: Parties, serve: Serve, connect: Connect) -> None:
    server = serve(always(answer(b"proof")), parties.self_signed)
    for pin in (parties.good.pin, parties.self_signed.pin):
        with pytest.raises(TransportError):  # a pinned server is held to a certificate as well
            connect(server, pins={ORIGIN: pin}).send(PROVING)
    assert server.heard == []


def test_a_session_that_follows_nothing(parties: Parties, serve: Serve, connect: Connect) -> None:
    elsewhere = answer(b"", "Location: https://elsewhere.test/", status="302 Found")
    server = serve(always(elsewhere), parties.self_signed)
    assert connect(server).send(PROVING).status == 302
    assert len(server.heard) == 1


def test_plain_http_is_still_refused(connect: Connect) -> None:
    with pytest.raises(TransportError):
        connect(None).send(evolve(PROVING, url=f"http://{HOST}/"))


def test_sealed_requests_are_never_repeated(serve: Serve, connect: Connect) -> None:
    """A request that was encrypted once is sent once, whatever comes back."""
    for status in ("500 Oops", "502 Bad Gateway", "503 Busy", "429 Slow down"):
        server = serve(always(answer(status=status)))
        transport = connect(server, retries=3, sleep=lambda seconds: None)
        sealed = Request(method="POST", url=f"{ORIGIN}/ohttp", body=b"sealed", limit=99, repeatable=False)
        assert transport.send(sealed).status == int(status[:3])
        assert len(server.heard) == 1
    server = serve(lambda peer: peer.request() and peer.reset())
    with pytest.raises(TransportError):
        connect(server, retries=3, sleep=lambda seconds: None).send(sealed)
    assert len(server.heard) == 1


def test_an_attestation_over_a_certificate_that_nobody_vouches_for(
    parties: Parties, serve: Serve, connect: Connect
) -> None:
    session = OpenGradientSession.build(nodes=0, url=ORIGIN)

    def enclave(peer: Peer) -> None:
        while (request := peer.request()) is not None:
            path = request.split(b" ")[1].decode()
            peer.send(answer(session.answer("GET", f"{ORIGIN}{path}").body))

    server = serve(enclave, parties.self_signed)
    policy = Policy.from_toml(opengradient_policy(session, contract=False))
    transport = connect(server, api_keys={ORIGIN: "sk-key"})
    options: dict[str, Any] = {"roots": trust_roots(), "clock": lambda: session.at}
    verdict = OpenGradientVerifier(policy, enclave=ORIGIN, transport=transport, **options).verify_attestation("gpt-4.1")
    assert verdict.verified
    assert verdict.evidence is not None
    assert [exchange.response.peer_spki for exchange in verdict.evidence.exchanges] == [None, None]
    assert not any(b"sk-key" in request for request in server.heard)
    again = SavedReport.from_bytes(verdict.evidence.to_bytes())
    assert OpenGradientVerifier(policy, enclave=ORIGIN, **options).verify_saved(again).verified


def test_only_answers_with_signatures_inside_are_asked_for_like_that() -> None:
    """The relay, the nodes and every other provider are held to their certificates."""
    from teeverify.testing import OpenGradientTransport

    session = OpenGradientSession.build()
    asked = OpenGradientTransport(session)
    options: dict[str, Any] = {"roots": trust_roots(), "clock": lambda: session.at, "transport": asked}
    verifier = OpenGradientVerifier(Policy.from_toml(opengradient_policy(session)), nodes=session.node_urls, **options)
    verifier.chat({"model": "m", "messages": [{"role": "user", "content": "x"}]}, model="m", token="t")
    proving = {request.url.partition("?")[0] for request in asked.asked if request.self_proving}
    assert proving == {f"{session.url}/enclave/attestation", f"{session.url}/signing-key"}
    assert isinstance(asked.send(PROVING), Response)
