"""Signed exchanges through RedPill and a vllm-proxy of one's own: accepted and refused, live and saved."""

from __future__ import annotations

import json
from typing import Any, Final

import attrs
import pytest
from attrs import evolve

from teeverify.errors import ConfigurationError
from teeverify.exchange import Exchange
from teeverify.flow import run
from teeverify.saved import SavedReport
from teeverify.testing.signing import SigningKey
from teeverify.verdict import Outcome

from .chats import (
    ANSWER,
    CHAT,
    REQUEST,
    STREAM,
    STREAMED,
    chat,
    compact_utf8,
    digest,
    signing_verifier,
    spelled_by_python,
    verdict_on,
)
from .world import Front, kind_of, policy

SIGNING: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("phala", {}),
    ("phala", {"algorithm": "ed25519"}),
    ("vllm-proxy", {}),
    ("vllm-proxy", {"algorithm": "ed25519"}),
    ("vllm-proxy", {"tls_bound": True}),
)
PLAIN: Final = compact_utf8(ANSWER)
SPELLED: Final = spelled_by_python(ANSWER)


@pytest.mark.parametrize(("provider", "options"), SIGNING, ids=str)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("named", [None, "some:model/name"], ids=["two digests", "with a name"])
def test_a_signed_exchange(provider: str, options: dict[str, Any], stream: bool, named: str | None) -> None:
    front = Front(provider, **options)
    exchange = chat(front, named=named, sent=STREAM, received=STREAMED) if stream else chat(front, named=named)
    judge = signing_verifier(front)
    judged = judge.verify_exchange(exchange).require()
    key = front.session().machines.model.signing
    assert (judged.signed_by, judged.signer) == ("model", key.address.hex())
    (asked,) = (one for one in front.asked if "/signature/" in one.url)
    algorithm = options.get("algorithm", "ecdsa")
    base = judge.base_url
    model = exchange.model.replace("/", "%2F")
    assert asked.url == f"{base}/signature/{CHAT}?model={model}&signing_algo={algorithm}"
    assert asked.headers["Authorization"] == "Bearer secret-key"
    assert any("names no model" in gap for gap in judged.gaps)
    assert any("X-Request-Hash" in gap for gap in judged.gaps)
    assert judged.evidence is not None
    again = judge.verify_saved_exchange(SavedReport.from_bytes(judged.evidence.to_bytes()))
    assert again.require().signer == judged.signer
    assert b"secret-key" not in judged.evidence.to_bytes()


def test_the_form_with_a_name_is_not_asked_to_be_the_models() -> None:
    """RedPill rewrites names on the way, so the name in the signed text proves nothing that was promised."""
    front = Front("phala")
    judged = signing_verifier(front).verify_exchange(chat(front, named="upstream/name")).require()
    assert "exchange.model" not in {check.id for check in judged.checks}


# --- the request, the signer, the form --------------------------------------------------------------------------------


@pytest.mark.parametrize("signed", [b"{}", REQUEST + b" ", json.dumps(json.loads(REQUEST), indent=1).encode()])
def test_another_request_was_signed(signed: bytes) -> None:
    """Also where somebody on the way named the digest (X-Request-Hash), or rewrote the model's name."""
    front = Front("phala")
    judged = signing_verifier(front).verify_exchange(chat(front, signed_request=signed))
    assert verdict_on(judged) == ("REJECTED", {"exchange.request_digest": "other_request"})


def _stranger(front: Front) -> SigningKey:
    session = front.session()
    return SigningKey.derive(session.behind.keys, "stranger", session.machines.algorithm)


@pytest.mark.parametrize(("provider", "options"), SIGNING, ids=str)
def test_an_unknown_signer_is_looked_for_once_more(provider: str, options: dict[str, Any]) -> None:
    front = Front(provider, **options)
    exchange = chat(front, key=_stranger(front))
    judged = signing_verifier(front).verify_exchange(exchange)
    assert verdict_on(judged) == ("REJECTED", {"exchange.signer_attested": "unknown_signer"})
    assert sum("/attestation/report?" in one.url for one in front.asked) == 2


def test_a_machine_that_started_anew_is_attested_anew() -> None:
    front = Front("phala")
    judge = signing_verifier(front)
    judge.verify_attestation(front.session().model_name).require()
    renewed = _stranger(front)
    front.spoil = lambda session: setattr(session.machines.model, "signing", renewed)
    judged = judge.verify_exchange(chat(front)).require()
    assert judged.signer == renewed.address.hex()
    assert judge.verify_exchange(chat(front, chat_id="chatcmpl-2")).verified
    assert sum("/attestation/report?" in one.url for one in front.asked) == 2


def test_the_signers_own_word_for_its_address_is_not_enough() -> None:
    front = Front("phala")
    attested = front.session().machines.model.signing.address_text
    judged = signing_verifier(front).verify_exchange(chat(front, key=_stranger(front), signing_address=attested))
    assert verdict_on(judged) == ("REJECTED", {"exchange.signature": "invalid"})


GOOD: Final = f"{digest(REQUEST)}:{digest(SPELLED)}"


@pytest.mark.parametrize(
    "changes",
    [
        {"text": GOOD.upper()},
        {"text": f"{GOOD}:"},
        {"text": f" {GOOD}"},
        {"text": GOOD.replace(":", "::")},
        {"text": f":{GOOD}"},
        {"text": GOOD[:-1]},
        {"text": None},
        {"text": [GOOD]},
        {"signature": ...},
        {"signature": "0x"},
        {"signature": "0x" + "00" * 64},
        {"signing_address": ...},
        {"signing_algo": "ed25519"},
        {"signing_algo": ...},
        {"signature_kind": "other"},
    ],
    ids=str,
)
def test_an_answer_of_another_form(changes: dict[str, Any]) -> None:
    front = Front("phala")
    outcome, found = verdict_on(signing_verifier(front).verify_exchange(chat(front, **changes)))
    assert outcome == "REJECTED"
    assert "exchange.signature" in found


def test_high_s_and_other_recovery_ids() -> None:
    front = Front("phala")
    exchange = chat(front)
    document = json.loads(front.signatures[CHAT])
    raw = bytes.fromhex(document["signature"][2:])
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    high = (order - int.from_bytes(raw[32:64], "big")).to_bytes(32, "big")
    for bad in (raw[:32] + high + bytes([raw[64] ^ 7]), raw[:64] + bytes([raw[64] ^ 7]), raw[:64] + b"\x1d"):
        front.signatures[CHAT] = json.dumps({**document, "signature": "0x" + bad.hex()}).encode()
        assert signing_verifier(front).verify_exchange(exchange).outcome is Outcome.REJECTED


def test_the_same_answer_counts_once() -> None:
    front = Front("phala")
    judge, exchange = signing_verifier(front), chat(front)
    judge.verify_exchange(exchange).require()
    again = judge.verify_exchange(exchange)
    assert verdict_on(again) == ("REJECTED", {"exchange.first_seen": "replayed"})
    other = chat(front, sent=REQUEST, received=PLAIN, chat_id="chatcmpl-2")
    assert verdict_on(judge.verify_exchange(evolve(other, chat_id="chatcmpl-2")))[0] == "REJECTED"


def test_no_signature_is_no_pass() -> None:
    front = Front("phala")
    exchange = chat(front)
    front.signatures.clear()
    judge, waited = signing_verifier(front), list[float]()
    held = judge.verify_attestation(exchange.model)
    judged = run(judge.exchange_flow(exchange, held), front, sleep=waited.append)
    assert judged.outcome is Outcome.INCONCLUSIVE
    assert sum(waited) < 3


@pytest.mark.parametrize("tls_bound", [True, False])
def test_the_connection_of_the_exchange(tls_bound: bool) -> None:
    front = Front("vllm-proxy", tls_bound=tls_bound)
    own = front.session().peer_spki
    outcome, found = verdict_on(signing_verifier(front).verify_exchange(chat(front, peer_spki=own)))
    assert (outcome, found) == (("VERIFIED", {}) if tls_bound else ("INCONCLUSIVE", {"exchange.channel": "not_bound"}))
    other = signing_verifier(front).verify_exchange(chat(front, chat_id="chatcmpl-2", peer_spki=b"another key"))
    assert other.outcome is (Outcome.REJECTED if tls_bound else Outcome.INCONCLUSIVE)


def test_chutes_behind_redpill_signs_nothing() -> None:
    front = Front("phala", "chutes")
    judged = signing_verifier(front).verify_exchange(chat(front))
    assert judged.attestation.verified
    assert verdict_on(judged) == ("REJECTED", {"exchange.signer_attested": "unknown_signer"})


def test_a_gateways_signature_is_not_the_models() -> None:
    front = Front("phala", "near")
    gateway = front.session().machines.front.signing
    for kind in (..., "gateway"):
        exchange = chat(front, key=gateway, signature_kind=kind)
        outcome, found = verdict_on(signing_verifier(front).verify_exchange(exchange))
        assert outcome == "REJECTED"
        assert "exchange.signer_attested" in found
    assert signing_verifier(front).verify_exchange(chat(front, chat_id="chatcmpl-2")).verified


@pytest.mark.parametrize("provider", ["nanogpt", "venice"])
def test_fronts_whose_signatures_are_not_known(provider: str) -> None:
    front = Front(provider)
    judge = front.verifier()
    exchange = Exchange(model=front.session().model_name, request_body=REQUEST, response_body=PLAIN)
    with pytest.raises(ConfigurationError, match="signs no exchanges"):
        judge.verify_exchange(exchange)
    verdict = judge.verify_attestation(exchange.model).require()
    assert verdict.evidence is not None
    with pytest.raises(ConfigurationError, match="signs no exchanges"):
        judge.verify_saved_exchange(verdict.evidence, exchange)


# --- saved ------------------------------------------------------------------------------------------------------------


def test_a_saved_exchange_of_a_rejected_session() -> None:
    front = Front("phala")
    judged = signing_verifier(front).verify_exchange(chat(front)).require()
    assert judged.evidence is not None
    other = kind_of("phala")(policy("phala", "chutes"), roots=front.verifier().roots)
    again = other.verify_saved_exchange(judged.evidence)
    assert again.outcome is Outcome.REJECTED
    assert again.signed_by is None


def test_other_bytes_for_a_saved_signature() -> None:
    front = Front("vllm-proxy")
    judge = signing_verifier(front)
    judged = judge.verify_exchange(chat(front)).require()
    assert judged.evidence is not None
    exchange = judged.evidence.exchange
    assert exchange is not None
    other_answer = PLAIN.replace(b"assistant", b"impostor!")
    for other in (attrs.evolve(exchange, request_body=b"{}"), attrs.evolve(exchange, response_body=other_answer)):
        assert judge.verify_saved_exchange(judged.evidence, other).outcome is Outcome.REJECTED
    bare = attrs.evolve(
        judged.evidence, exchanges=tuple(e for e in judged.evidence.exchanges if "/signature/" not in e.request.url)
    )
    assert judge.verify_saved_exchange(bare).outcome is Outcome.INCONCLUSIVE
