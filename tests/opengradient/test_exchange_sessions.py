"""Whole exchanges: from a chat or a file, streams, restarts, and what never shows."""

from __future__ import annotations

from typing import Any

import pytest

from teeverify import OpenGradientVerifier
from teeverify.errors import ConfigurationError, SavedReportError
from teeverify.testing import OpenGradientSession
from teeverify.testing.opengradient_answers import CALLS, canonical_request, keccak_256, signed_body, signed_frames
from teeverify.testing.rsa import rsa_key

from .world import HELLO, LEVELS, TOOLS, World, findings, outcome_of, report_of, streaming, verifier_of


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("calls", [(), CALLS], ids=["text", "tool calls"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_truth(stream: bool, calls: Any, level: str) -> None:
    world = World(assurance=level)
    request = streaming(TOOLS) if stream else TOOLS
    response = world.session.chat(request, calls=calls)
    judged = world.judge(response, request=request)
    assert (outcome_of(judged), judged.signed_by) == ("VERIFIED", "enclave")
    assert judged.signer == world.session.tee_id.hex()
    assert judged.request_digest == keccak_256(canonical_request(request)).hex()
    assert f"Level {level}:" in judged.trust_boundary
    assert {check.id for check in judged.checks} == set(OpenGradientVerifier.exchange_checks)


@pytest.mark.parametrize("level", LEVELS)
def test_from_a_file(level: str) -> None:
    session = OpenGradientSession.build()
    document = session.saved(level, chat=(HELLO, session.chat(HELLO)))
    judged = verifier_of(session, assurance=level).verify_saved_exchange(report_of(document))
    assert outcome_of(judged) == ("VERIFIED" if level == "attested" else "INCONCLUSIVE")
    pinned: dict[str, Any] = {"signing_keys": [session.tee_id.hex()], "waive": ["saved.recorded_at"]}
    judged = verifier_of(session, assurance=level, **pinned).verify_saved_exchange(report_of(document))
    assert outcome_of(judged) == "VERIFIED"
    other = session.chat(HELLO, key=rsa_key(session.keys, "opengradient/attacker"))
    document = session.saved(level, chat=(HELLO, other))
    assert outcome_of(verifier_of(session, **pinned, assurance=level).verify_saved_exchange(report_of(document))) == (
        "REJECTED"
    )


def test_a_live_exchange_is_judged_alike_from_its_evidence() -> None:
    world = World()
    judged = world.judge(world.session.chat(HELLO))
    assert judged.evidence is not None
    assert outcome_of(world.verifier.verify_saved_exchange(judged.evidence)) == "VERIFIED"
    with pytest.raises(SavedReportError):
        world.verifier.verify_saved_exchange(report_of(world.session.saved()))


def test_streams_that_are_not_whole() -> None:
    session = OpenGradientSession.build()
    request, at = streaming(HELLO), int(session.at.timestamp())
    frames = signed_frames(request, session.signing, at)
    extra = b'data: {"choices": [{"delta": {"content": "more"}, "index": 0}]}\n\n'
    for spoiled in (
        frames[:-1],  # O-9: no [DONE]
        [*frames[:-2], frames[-1]],  # no signed frame
        [*frames[:-1], frames[-2], frames[-1]],  # two signed frames
        [*frames[:-1], extra, frames[-1]],
        [*frames, extra],
        frames[1:],
        [frames[1], frames[0], *frames[2:]],
    ):
        judged = World(session).judge(b"".join(spoiled), request=request)
        assert outcome_of(judged) == "REJECTED"
    assert outcome_of(World(session).judge(b"".join(frames), request=request)) == "VERIFIED"
    assert outcome_of(World(session).judge(b"".join(frames))) == "REJECTED"  # O-8: no stream was asked for
    assert outcome_of(World(session).judge(session.chat(HELLO), request=request)) == "REJECTED"


def test_a_new_key_after_a_restart_is_asked_for_once() -> None:
    world = World(quorum=1)
    before = world.attest()
    world.transport.session = restarted = OpenGradientSession.build(boot="other")
    count = len(world.transport.asked)
    judged = world.judge(restarted.chat(HELLO))
    assert (outcome_of(judged), judged.signer) == ("VERIFIED", restarted.tee_id.hex())
    assert judged.attestation.nonce != before.nonce
    documents = [request for request in world.transport.asked[count:] if "/enclave/attestation" in request.url]
    assert len(documents) == 1
    thief = rsa_key(restarted.keys, "opengradient/attacker")
    assert outcome_of(world.judge(restarted.chat(HELLO, key=thief))) == "REJECTED"


def test_verdicts_of_others_are_refused() -> None:
    world, lower = World(), World(assurance="registry")
    response = world.session.chat(HELLO)
    with pytest.raises(ConfigurationError, match="another provider, model, policy"):
        world.judge(response, attestation=lower.attest())
    spoiled = OpenGradientSession.build()
    spoiled.attested_nonce = bytes(20)
    verdict = World(spoiled).attest()
    judged = world.judge(response, attestation=verdict)
    assert findings(judged) == {"exchange.signer_attested": ("fail", "attestation_rejected")} | {
        f"exchange.{name}": ("unevaluated", "unknown_signer")
        for name in ("request_digest", "response_digest", "signature", "window", "first_seen")
    }


def test_requests_that_no_gateway_takes() -> None:
    world = World()
    for request in (b"{}", b"[]", b"x", b'{"model": "m", "messages": []}'):
        assert outcome_of(world.judge(world.session.chat(HELLO), request=request)) == "REJECTED"


def test_nothing_shows_prompts_or_answers() -> None:
    world = World()
    request = HELLO.replace(b"Hello!", b"secret prompt")
    judged = world.judge(signed_body(request, world.session.signing, 1, text="secret answer"), request=request)
    assert outcome_of(judged) == "REJECTED"
    assert "secret" not in repr(judged) + judged.conclusion + "".join(check.summary for check in judged.checks)
