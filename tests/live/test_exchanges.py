"""Exchanges: what is accepted, what is refused and by which check, refresh, replay, and the offline audit."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import attrs
import pytest

from teeverify.errors import ConfigurationError, RejectedError, SavedReportError, TransportError
from teeverify.exchange import Exchange
from teeverify.flow import Request, Response
from teeverify.saved import SavedReport
from teeverify.verdict import Outcome, Status, VerifiedExchange

from .provider import AT, MODEL, Provider, exchange_of, live_verifier

VERIFIED, REJECTED, INCONCLUSIVE = Outcome.VERIFIED, Outcome.REJECTED, Outcome.INCONCLUSIVE
GATEWAY = '\n[exchange]\nsigned_by = "gateway"\n'


def reasons(judged: VerifiedExchange) -> dict[str, str]:
    return {check.id: check.reason for check in judged.checks if check.decides is judged.outcome}


@pytest.mark.parametrize("cloud", [False, True], ids=["direct", "cloud"])
@pytest.mark.parametrize("algorithm", ["ed25519", "ecdsa"])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_a_signed_exchange_is_verified(cloud: bool, algorithm: str, stream: bool) -> None:
    provider = Provider(cloud=cloud, algorithm=algorithm)
    judged = live_verifier(provider).verify_exchange(provider.chat(stream=stream)).require()
    assert judged.signed_by == "model"
    assert judged.signer == provider.key().address.hex()
    assert judged.attestation.verified
    (asked,) = provider.urls("/v1/signature/")
    assert asked.endswith(f"signing_algo={algorithm}")
    assert ("model=" in asked) is cloud
    assert provider.reports == 1


def test_the_older_text_names_no_model() -> None:
    provider = Provider()
    chat = provider.chat(kind=None, named=None)
    judged = live_verifier(provider).verify_exchange(chat)
    assert (judged.outcome, reasons(judged)) == (INCONCLUSIVE, {"exchange.model": "model_not_named"})
    waived = '\n[[waive]]\ncheck = "exchange.model"\nreason = "older proxy"\n'
    assert live_verifier(provider, more=waived).verify_exchange(chat).require().signed_by == "model"


def test_a_gateway_signature_never_passes_for_the_models() -> None:
    provider = Provider(cloud=True)
    chat = provider.chat(role="gateway", kind="gateway", named=None)
    judged = live_verifier(provider).verify_exchange(chat)
    assert judged.outcome is REJECTED
    assert reasons(judged) == {"exchange.signer_attested": "gateway_signature"}
    accepted = live_verifier(provider, more=GATEWAY).verify_exchange(chat).require()
    assert accepted.signed_by == "gateway"
    assert "nothing shows that a model machine produced it" in accepted.trust_boundary


@pytest.mark.parametrize("more", ["", GATEWAY], ids=["strict", "gateway accepted"])
@pytest.mark.parametrize(
    ("role", "kind", "named"),
    [
        ("gateway", "provider_tee", MODEL),
        ("gateway", None, MODEL),
        ("gateway", None, None),
        ("gateway", "provider_tee", None),
        ("gateway", "gateway", MODEL),
        ("model", "gateway", None),
        ("model", "gateway", MODEL),
        ("model", "provider_tee", None),
    ],
)
def test_kinds_forms_and_signers_are_kept_apart(role: str, kind: str | None, named: str | None, more: str) -> None:
    provider = Provider(cloud=True)
    judged = live_verifier(provider, more=more).verify_exchange(provider.chat(role=role, kind=kind, named=named))
    assert judged.outcome is REJECTED
    assert "exchange.signer_attested" in reasons(judged)
    assert judged.signed_by is None
    assert judged.signer is None


def test_a_direct_attestation_has_no_gateway_key() -> None:
    provider = Provider()
    chat = provider.chat(kind="gateway", named=None)
    judged = live_verifier(provider, more=GATEWAY).verify_exchange(chat)
    assert reasons(judged) == {"exchange.signer_attested": "unknown_signer"}


def _flip(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize("stream", [False, True])
def test_every_byte_of_request_and_response_counts(stream: bool) -> None:
    provider = Provider()
    verifier = live_verifier(provider)
    chat = provider.chat(stream=stream)
    attestation = verifier.verify_attestation(MODEL).require()
    for name, check in (("request_body", "request_digest"), ("response_body", "response_digest")):
        body = getattr(chat, name)
        for place in range(0, len(body), 7):
            changes: dict[str, Any] = {name: _flip(body, place), "chat_id": "chatcmpl-1"}
            altered = attrs.evolve(chat, **changes)
            judged = verifier.verify_exchange(altered, attestation=attestation)
            assert judged.outcome is REJECTED
            assert f"exchange.{check}" in reasons(judged)
    assert verifier.verify_exchange(chat, attestation=attestation).verified


@pytest.mark.parametrize("cut", [1, 2, 14, 16])
def test_a_stream_without_its_end_is_refused_even_when_it_is_signed(cut: int) -> None:
    provider = Provider()
    whole = provider.chat(stream=True)
    short = attrs.evolve(whole, response_body=whole.response_body[:-cut])
    signed = provider.chat(stream=True)
    assert signed.chat_id is not None
    judged = live_verifier(provider).verify_exchange(short)
    assert judged.outcome is REJECTED
    assert "exchange.response_digest" in reasons(judged)


def test_another_models_name_is_refused() -> None:
    provider = Provider()
    judged = live_verifier(provider).verify_exchange(provider.chat(named="other/model"))
    assert reasons(judged) == {"exchange.model": "other_model"}


@pytest.mark.parametrize(
    ("changes", "outcome", "code"),
    [
        ({"signature": "00" * 64}, REJECTED, "invalid"),
        ({"signature": "00" * 63}, REJECTED, "malformed"),
        ({"signing_algo": "ecdsa"}, REJECTED, "malformed"),
        ({"signature_kind": "model"}, REJECTED, "malformed"),
        ({"text": "hello"}, REJECTED, "malformed"),
        ({"error_code": "STREAM_DISCONNECTED"}, INCONCLUSIVE, "no_signature"),
    ],
)
def test_statements_that_are_none(changes: dict[str, Any], outcome: Outcome, code: str) -> None:
    provider = Provider()
    judged = live_verifier(provider).verify_exchange(provider.chat(**changes))
    assert judged.outcome is outcome
    assert reasons(judged)["exchange.signature"] == code


def test_an_unknown_signer_is_looked_for_once_more_and_no_oftener() -> None:
    provider = Provider()
    verifier = live_verifier(provider)
    stranger = Provider(algorithm="ed25519", cloud=True).key("gateway")
    text = f"{MODEL}:{exchange_of('c').request_digest.hex()}:{exchange_of('c').response_digest.hex()}"
    statement = {
        "text": text,
        "signature": stranger.ed25519.sign(text.encode()).hex(),
        "signing_address": stranger.ed25519_public.hex(),
        "signing_algo": "ed25519",
    }
    provider.signatures["c"] = json.dumps(statement).encode()
    judged = verifier.verify_exchange(exchange_of("c"))
    assert reasons(judged) == {"exchange.signer_attested": "unknown_signer"}
    assert provider.reports == 2
    with pytest.raises(RejectedError):
        judged.require()


def test_an_attestation_that_has_run_out_is_renewed() -> None:
    provider = Provider()
    verifier = live_verifier(provider)
    old = verifier.verify_attestation(MODEL).require()
    assert old.expires_at is not None
    provider.at = AT + timedelta(hours=2)
    judged = verifier.verify_exchange(provider.chat(), attestation=old, now=provider.at)
    assert judged.verified
    assert judged.attestation.evaluated_at == provider.at
    assert provider.reports == 2


def test_an_attestation_that_has_run_out_and_cannot_be_renewed_is_inconclusive() -> None:
    provider = Provider()
    verifier = live_verifier(provider)
    old = verifier.verify_attestation(MODEL).require()
    provider.answers["/attestation/report"] = TransportError("down")
    judged = verifier.verify_exchange(provider.chat(), attestation=old, now=AT + timedelta(hours=2))
    assert (judged.outcome, reasons(judged)) == (
        INCONCLUSIVE,
        {"exchange.signer_attested": "attestation_inconclusive"},
    )


def test_a_rejected_attestation_rejects_the_exchange() -> None:
    provider = Provider()
    provider.spoil = lambda session: setattr(session, "attested_nonce", bytes([7]) * 32)
    judged = live_verifier(provider).verify_exchange(provider.chat())
    assert judged.outcome is REJECTED
    assert reasons(judged) == {"exchange.signer_attested": "attestation_rejected"}
    assert not judged.attestation.verified


def test_a_chat_is_accepted_once() -> None:
    provider = Provider()
    verifier = live_verifier(provider)
    chat = provider.chat()
    assert verifier.verify_exchange(chat).verified
    again = verifier.verify_exchange(chat)
    assert (again.outcome, reasons(again)) == (REJECTED, {"exchange.first_seen": "replayed"})
    assert verifier.verify_exchange(provider.chat("chatcmpl-2")).verified


def test_a_refused_chat_may_be_tried_again() -> None:
    provider = Provider()
    verifier = live_verifier(provider)
    chat = provider.chat()
    provider.answers["/v1/signature/"] = TransportError("down")
    assert verifier.verify_exchange(chat).outcome is INCONCLUSIVE
    provider.answers.clear()
    assert verifier.verify_exchange(chat).verified


def test_the_id_given_must_be_the_id_inside() -> None:
    provider = Provider()
    chat = attrs.evolve(provider.chat("inside"), chat_id="outside")
    provider.signatures["outside"] = provider.signatures["inside"]
    judged = live_verifier(provider).verify_exchange(chat)
    assert reasons(judged) == {"exchange.first_seen": "other_chat_id"}


def test_without_an_id_nothing_can_be_asked() -> None:
    provider = Provider()
    exchange = Exchange(model=MODEL, request_body=b"{}", response_body=b"audio")
    judged = live_verifier(provider).verify_exchange(exchange)
    assert judged.outcome is REJECTED
    assert reasons(judged)["exchange.first_seen"] == "no_chat_id"
    assert not provider.urls("/v1/signature/")


def test_an_id_cannot_leave_its_place_in_the_url() -> None:
    provider = Provider()
    exchange = Exchange(model=MODEL, request_body=b"{}", response_body=b"", chat_id="../x?y=1#é")
    live_verifier(provider).verify_exchange(exchange)
    assert provider.urls("/v1/signature/")[0].partition("?")[0].endswith("/v1/signature/..%2Fx%3Fy%3D1%23%C3%A9")


def test_a_signature_that_is_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    provider = Provider()
    chat = provider.chat()
    late = [Response(status=404, headers={}, body=b""), Response(status=404, headers={}, body=b"")]

    def answer(request: Request) -> Response | None:
        return late.pop() if late else None

    provider.answers["/v1/signature/"] = answer
    verifier = live_verifier(provider)
    attestation = verifier.verify_attestation(MODEL)
    from teeverify.flow import run

    judged = run(verifier.exchange_flow(chat, attestation), provider, sleep=waits.append)
    assert judged.verified
    assert waits == [0.1, 0.25]


def test_a_signature_that_never_comes_is_inconclusive() -> None:
    provider = Provider()
    verifier = live_verifier(provider)
    attestation = verifier.verify_attestation(MODEL)
    from teeverify.flow import run

    waits: list[float] = []
    judged = run(verifier.exchange_flow(exchange_of("x"), attestation), provider, sleep=waits.append)
    assert judged.outcome is INCONCLUSIVE
    assert len(provider.urls("/v1/signature/")) == 5
    assert sum(waits) < 2


def test_the_connection_of_the_exchange_is_judged_where_it_is_known() -> None:
    provider = Provider()
    verifier = live_verifier(provider)
    key = provider.session().front.tls_spki
    good = attrs.evolve(provider.chat("a"), peer_spki=key)
    bad = attrs.evolve(provider.chat("b"), peer_spki=key[:-1] + b"\0")
    assert verifier.verify_exchange(good).verified
    assert reasons(verifier.verify_exchange(bad)) == {"exchange.channel": "other_key"}


def test_only_a_verdict_of_this_verifier_and_model_counts() -> None:
    provider = Provider()
    verifier = live_verifier(provider)
    own = verifier.verify_attestation(MODEL)
    chat = provider.chat()
    for other in (
        attrs.evolve(own, policy_digest="0" * 64),
        attrs.evolve(own, model="other"),
        attrs.evolve(own, provider="phala"),
        attrs.evolve(own, roots_digest="0" * 64),
        attrs.evolve(own, roots_digest=""),
        attrs.evolve(own, evidence=None),
    ):
        with pytest.raises(ConfigurationError, match="another provider, model, policy"):
            verifier.verify_exchange(chat, attestation=other)


@pytest.mark.parametrize("stream", [False, True])
def test_the_evidence_of_an_exchange_is_judged_offline(stream: bool) -> None:
    provider = Provider(cloud=True)
    judged = live_verifier(provider).verify_exchange(provider.chat(stream=stream)).require()
    assert judged.evidence is not None
    report = SavedReport.from_bytes(judged.evidence.to_bytes())
    auditor = live_verifier(Provider(cloud=True))
    audited = auditor.verify_saved_exchange(report).require()
    assert (audited.chat_id, audited.signer) == (judged.chat_id, judged.signer)
    assert audited.attestation.verified
    first_seen = next(check for check in audited.checks if check.id == "exchange.first_seen")
    assert first_seen.status is Status.NOT_APPLICABLE
    assert auditor.verify_saved_exchange(report).verified  # an audit may be repeated
    assert report.exchange is not None
    altered = attrs.evolve(report.exchange, response_body=b"{}")
    assert auditor.verify_saved_exchange(report, altered).outcome is REJECTED


def test_an_offline_audit_without_signature_is_inconclusive_and_asks_nobody() -> None:
    provider = Provider()
    verifier = live_verifier(provider)
    report = verifier.verify_attestation(MODEL).evidence
    assert report is not None
    asked = len(provider.asked)
    judged = verifier.verify_saved_exchange(report, exchange_of("x"))
    assert judged.outcome is INCONCLUSIVE
    assert len(provider.asked) == asked
    with pytest.raises(SavedReportError, match="holds no exchange"):
        verifier.verify_saved_exchange(report)


def test_nothing_of_the_chat_is_shown() -> None:
    provider = Provider()
    judged = live_verifier(provider).verify_exchange(provider.chat())
    shown = f"{judged!r} {exchange_of('x')!r} {judged.evidence!r} {judged.conclusion}"
    assert "hello" not in shown
    assert "messages" not in shown
    with pytest.raises(TypeError):
        bool(judged)


@pytest.mark.parametrize("verified", [True, False])
def test_the_document_of_an_exchange_satisfies_its_schema(verified: bool) -> None:
    import jsonschema

    from teeverify.render.json_document import exchange_document, exchange_schema, json_schema

    provider = Provider()
    judged = live_verifier(provider).verify_exchange(provider.chat() if verified else provider.chat(named="other"))
    document = exchange_document(judged)
    validator = jsonschema.Draft202012Validator(exchange_schema())
    validator.validate(document)
    jsonschema.validate(document["attestation"], json_schema())
    assert document["test_roots"] is True
    assert judged.trust_boundary.startswith("TEST ROOTS" if verified else "Nothing is proven")
    for spoiled in ({"verified": not verified}, {"outcome": "OK"}, {"request_sha256": "ab"}, {"extra": 1}):
        assert not validator.is_valid({**document, **spoiled})
