"""Chats through the relay (8.4): what is sent to whom, and what never becomes an answer."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from teeverify.e2ee.relay import RelayedChat
from teeverify.errors import ConfigurationError, InconclusiveError, RejectedError, TransportError
from teeverify.flow import Request
from teeverify.testing import OpenGradientSession
from teeverify.testing.ohttp import billing_frame
from teeverify.testing.opengradient import RELAY_URL
from teeverify.testing.opengradient_answers import ANSWER, CALLS
from teeverify.testing.rsa import rsa_key

from .world import HELLO, LEVELS, TOOLS, World, outcome_of, streaming

TOKEN = "secret-token-of-mine"


def chat(world: World, request: Any = HELLO, **options: Any) -> RelayedChat:
    return world.verifier.chat(request, model="gpt-4.1", **{"token": TOKEN, **options})


def relayed(world: World) -> list[Request]:
    return [request for request in world.transport.asked if request.url.startswith("https://chat-api")]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("request_body", [HELLO, streaming(HELLO)], ids=["whole", "stream"])
def test_text(request_body: bytes, level: str) -> None:
    world = World(assurance=level)
    world.session.billing = billing_frame()
    answered = chat(world, request_body)
    assert outcome_of(answered.verified) == "VERIFIED"
    assert (answered.require().kind, answered.require().text) == ("text", ANSWER)
    (sent,) = relayed(world)
    assert sent.url == RELAY_URL
    assert sent.headers["X-TEE-ID"] == f"0x{world.session.tee_id.hex()}"
    assert sent.headers["Content-Type"] == "message/ohttp-req"
    stream = request_body != HELLO
    assert sent.headers["Accept"] == ("message/ohttp-chunked-res" if stream else "message/ohttp-res")
    assert sent.headers.get("X-OHTTP-Stream") == ("true" if stream else None)
    assert b"Hello!" not in (sent.body or b"")
    assert sent.repeatable is False
    assert sent.self_proving is False


@pytest.mark.parametrize("request_body", [TOOLS, streaming(TOOLS)], ids=["whole", "stream"])
def test_tool_calls(request_body: bytes) -> None:
    world = World()
    world.session.chat_changes = {"calls": CALLS}
    answer = chat(world, request_body).require()
    assert (answer.kind, answer.text, [call.name for call in answer.tool_calls]) == (
        "tool_calls",
        None,
        ["get_weather"],
    )


def test_a_mapping_and_what_is_not_hashed() -> None:
    world = World()
    asked = {"model": "openai/gpt-4.1", "messages": [{"role": "user", "content": "Hi"}], "top_p": 0.1, "user": "me"}
    answered = chat(world, asked)
    answered.require()
    assert json.loads(answered.exchange.request_body) == {
        "model": "gpt-4.1",
        "messages": [{"role": "user", "content": "Hi"}],
        "temperature": 0.0,
    }


# --- nothing is sent --------------------------------------------------------------------------------------------------


def test_nothing_is_sent_without_a_verified_attestation() -> None:
    rejected = World()
    rejected.session.attested_nonce = bytes(20)
    with pytest.raises(RejectedError):
        chat(rejected)
    silent = World()
    silent.transport.dead.add(silent.session.url)
    with pytest.raises(InconclusiveError):
        chat(silent)
    assert relayed(rejected) == relayed(silent) == []


def test_nothing_is_sent_under_the_verdict_of_another_policy() -> None:
    strict, lax = World(), World(assurance="registry")
    with pytest.raises(ConfigurationError, match="another provider, model, policy"):
        chat(strict, attestation=lax.attest())
    assert relayed(strict) == []


def test_nothing_is_sent_under_a_verdict_that_ran_out() -> None:
    world = World(assurance="registry")
    held = world.attest()
    late = World(world.session, assurance="registry", clock=lambda: world.session.at + timedelta(seconds=301))
    with pytest.raises(ConfigurationError, match="past its end"):
        chat(late, attestation=held)
    assert relayed(late) == []
    with pytest.raises(ConfigurationError, match="past its end"):
        chat(world, attestation=evolve(held, expires_at=None))


def test_nothing_is_sent_where_no_key_to_encrypt_to_is_attested() -> None:
    world = World(waive=["enclave.ohttp_key"])
    world.session.hpke_signer = rsa_key(world.session.keys, "opengradient/attacker")
    assert outcome_of(world.attest()) == "VERIFIED"
    with pytest.raises(ConfigurationError, match="nothing was sent"):
        chat(world)
    assert relayed(world) == []


def test_nothing_is_sent_under_a_recorded_word() -> None:
    """A pinned id does not make a recorded key one to encrypt to."""
    from .world import report_of

    session = OpenGradientSession.build()
    thief = OpenGradientSession.build(boot="other")
    document = evolve(session, record=session.record)
    session.record.ohttp = thief.record.ohttp
    world = World(session, assurance="registry", signing_keys=[session.tee_id.hex()], waive=["saved.recorded_at"])
    verdict = world.verifier.verify_saved(report_of(document.saved("registry")))
    assert outcome_of(verdict) == "VERIFIED"
    with pytest.raises(ConfigurationError, match="no key"):
        chat(world, attestation=verdict)


@pytest.mark.parametrize("request_body", [b"{}", b"not json", {"model": "m", "messages": []}, {"model": float("nan")}])
def test_requests_that_the_gateway_would_not_take(request_body: Any) -> None:
    world = World()
    with pytest.raises(ConfigurationError, match="cannot be sent"):
        chat(world, request_body)
    assert relayed(world) == []


# --- the token --------------------------------------------------------------------------------------------------------


def test_the_token_goes_to_the_relay_alone_and_never_shows() -> None:
    world = World()
    answered = chat(world)
    for request in world.transport.asked:
        holds = any(TOKEN in value for value in request.headers.values())
        assert holds == (request.url == RELAY_URL)
        assert TOKEN not in repr(request)
    assert TOKEN not in repr(answered) + repr(answered.exchange) + repr(answered.verified)
    assert answered.verified.evidence is not None
    assert TOKEN.encode() not in answered.verified.evidence.to_bytes()
    assert b"chat-api" not in answered.verified.evidence.to_bytes()
    chat(world, HELLO.replace(b"Hello", b"Again"), token=None)
    assert "Authorization" not in relayed(world)[-1].headers


def test_nothing_is_asked_of_the_relay_of_somebody_else() -> None:
    world = World()
    with pytest.raises(TransportError):
        chat(world, relay="https://relay.test/")
    assert world.transport.asked[-1].url == "https://relay.test/api/v1/chat/ohttp"
