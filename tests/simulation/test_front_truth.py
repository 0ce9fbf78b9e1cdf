"""The truthful fronts over real connections: reports, chats, signatures, and the errors of their endpoints."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any, Final

import pytest

from teeverify.errors import ConfigurationError
from teeverify.policy import Policy
from teeverify.providers.phala import PhalaVerifier
from teeverify.saved import SavedReport
from teeverify.signed_exchange import SignedExchangeVerifier
from teeverify.testing import SimulatedTee
from teeverify.verdict import Outcome

from .front_world import asked, attested, chat, deciding, exchanged, verifier
from .raw_client import RawClient

pytestmark = pytest.mark.loopback

REDPILL: Final = "api.redpill.ai"
REPORT: Final = "/v1/attestation/report?model=teeverify-test%2Fmodel-1b"


def _named(value: Any) -> str:
    """An id that is the same in every process: bound methods and sets spell themselves differently."""
    name = getattr(value, "__name__", None)
    return str(name or (sorted(value) if isinstance(value, set) else value))


DEPLOYMENTS: Final[tuple[tuple[Any, dict[str, Any], set[str]], ...]] = (
    (SimulatedTee.phala, {"gpus": 2}, {"model"}),
    (SimulatedTee.phala, {"shape": "near"}, {"gateway", "model", "compose_manager"}),
    (SimulatedTee.phala, {"shape": "chutes", "instances": 3}, {"instance"}),
    (SimulatedTee.phala, {"shape": "aci"}, {"gateway"}),
    (SimulatedTee.vllm_proxy, {}, {"model"}),
    (SimulatedTee.vllm_proxy, {"tls_bound": False}, {"model"}),
    (SimulatedTee.nanogpt, {}, {"model"}),
    (SimulatedTee.nanogpt, {"shape": "near"}, {"gateway", "model", "compose_manager"}),
    (SimulatedTee.nanogpt, {"shape": "chutes"}, {"instance"}),
    (SimulatedTee.venice, {}, {"model", "compose_manager"}),
    (SimulatedTee.venice, {"model": "e2ee/other", "seed": "another"}, {"model", "compose_manager"}),
)
SIGNING: Final[tuple[tuple[Any, dict[str, Any]], ...]] = (
    (SimulatedTee.phala, {}),
    (SimulatedTee.phala, {"shape": "near"}),
    (SimulatedTee.vllm_proxy, {}),
    (SimulatedTee.vllm_proxy, {"tls_bound": False}),
)


@pytest.fixture(scope="module")
def redpill() -> Iterator[SimulatedTee]:
    with SimulatedTee.phala() as tee:
        yield tee


@pytest.mark.parametrize(("make", "options", "roles"), DEPLOYMENTS, ids=_named)
def test_the_truth_is_verified_live_and_offline(make: Any, options: dict[str, Any], roles: set[str]) -> None:
    with make(**options) as tee, tee.transport() as transport:
        judge = verifier(tee, transport)
        verdict = judge.verify_attestation(tee.model).require()
        assert {subject.role for subject in verdict.subjects} == roles
        assert verdict.evidence is not None
        again = judge.verify_saved(SavedReport.from_bytes(verdict.evidence.to_bytes()))
        assert again.require().nonce == verdict.nonce
        assert tee.api_key.encode() not in verdict.evidence.to_bytes()


@pytest.mark.parametrize(("make", "options"), SIGNING, ids=_named)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_a_signed_exchange_is_verified(make: Any, options: dict[str, Any], stream: bool) -> None:
    with make(**options) as tee:
        judged = exchanged(tee, stream=stream).require()
    assert judged.signed_by == "model"
    channel = [check.status.value for check in judged.checks if check.id == "exchange.channel"]
    assert channel == (["pass"] if "--tls-bound" in tee.attesting else ["not_applicable"])


@pytest.mark.parametrize("algorithm", ["ecdsa", "ed25519"])
def test_either_algorithm(redpill: SimulatedTee, algorithm: str) -> None:
    with redpill.transport() as transport:
        judge = PhalaVerifier(
            redpill.policy, algorithm=algorithm, roots=redpill.roots, transport=transport, api_key=redpill.api_key
        )
        judge.verify_exchange(chat(redpill, transport)).require()


def test_a_plain_answer_is_signed_in_another_spelling_than_it_is_sent(redpill: SimulatedTee) -> None:
    with redpill.transport() as transport, RawClient(redpill, REDPILL) as client:
        exchange = chat(redpill, transport)
        signed = client.get(f"/v1/signature/{exchange.chat_id}?signing_algo=ecdsa").json()["text"].split(":")
        streamed = chat(redpill, transport, stream=True)
        other = client.get(f"/v1/signature/{streamed.chat_id}").json()["text"].split(":")
    body = exchange.response_body
    assert "Café".encode() in body
    spelled = json.dumps(json.loads(body)).encode()
    assert spelled != body
    assert signed == [hashlib.sha256(data).hexdigest() for data in (exchange.request_body, spelled)]
    assert other == [hashlib.sha256(data).hexdigest() for data in (streamed.request_body, streamed.response_body)]
    assert streamed.response_body.count(b"\n\n\n") > 5
    assert streamed.response_body.endswith(b"data: [DONE]\n\n")


def test_a_digest_that_somebody_names_is_signed_unchecked(redpill: SimulatedTee) -> None:
    """As the real proxy does; so a match shows that our digest was named, which `VerifiedExchange.gaps` says."""
    with redpill.transport() as transport:
        judge = verifier(redpill, transport)
        assert isinstance(judge, SignedExchangeVerifier)
        judged = judge.verify_exchange(chat(redpill, transport, X_Request_Hash="ab" * 32))
        assert (judged.outcome, deciding(judged)) == (Outcome.REJECTED, {"exchange.request_digest"})
        good = judge.verify_exchange(chat(redpill, transport, X_Request_Hash="not a digest")).require()
    assert any("X-Request-Hash" in gap for gap in good.gaps)


def test_errors_of_the_endpoints(redpill: SimulatedTee) -> None:
    nonce = f"&nonce={'ab' * 32}"
    questions = (
        ("GET", f"{REPORT}&nonce=abcd", 400, "invalid_nonce"),
        ("GET", f"{REPORT}{nonce}&signing_algo=rsa", 400, "invalid_signing_algo"),
        ("GET", f"/v1/attestation/report?model=other{nonce}", 404, "invalid_request_error"),
        ("GET", "/v1/signature/chatcmpl-none", 404, "not_found"),
        ("GET", "/v1/signature/chatcmpl-none?signing_algo=rsa", 400, "invalid_signing_algo"),
        ("GET", "/v1/elsewhere", 404, "not_found"),
        ("POST", f"{REPORT}{nonce}", 405, "invalid_request_error"),
        ("GET", "/v1/chat/completions", 405, "invalid_request_error"),
        ("POST", "/v1/chat/completions", 400, "invalid_request_error"),
    )
    with RawClient(redpill, REDPILL) as client:
        for method, target, status, kind in questions:
            got = client.ask(method, target, b"[]" if method == "POST" else b"")
            assert (got.status, got.json()["error"]["type"]) == (status, kind), target
        assert client.get("/v1/models").json()["data"][0]["id"] == redpill.model
    with RawClient(redpill, REDPILL, key="another") as stranger:
        assert stranger.get(f"{REPORT}{nonce}").status == 401
        assert stranger.get("/v1/models").status == 200


def test_without_a_nonce_the_server_takes_its_own(redpill: SimulatedTee) -> None:
    with RawClient(redpill, REDPILL) as client:
        report = client.get(REPORT).json()
    assert len(report["request_nonce"]) == 64
    assert bytes.fromhex(report["intel_quote"])[600:632].hex() == report["request_nonce"]


def test_chutes_behind_redpill_signs_nothing() -> None:
    with SimulatedTee.phala(shape="chutes") as tee, tee.transport(sleep=lambda seconds: None) as transport:
        exchange = chat(tee, transport)
        with RawClient(tee, REDPILL) as client:
            assert client.get(f"/v1/signature/{exchange.chat_id}").status == 404


def test_an_older_proxy_is_no_newer_one() -> None:
    """It was asked for the form that binds the TLS key, and answers with the other one."""
    with SimulatedTee.vllm_proxy(tls_bound=False) as old, SimulatedTee.vllm_proxy() as new:
        with old.transport() as transport:
            judge = verifier(new, transport)
            verdict = judge.verify_attestation(old.model)
        assert asked(new, rules=old.policy).verified, "which asks for more than the policy wants"
    assert verdict.outcome is Outcome.REJECTED
    assert "binding.tls_spki" in deciding(verdict)


def test_the_connection_ends_in_the_proxy_alone() -> None:
    with SimulatedTee.vllm_proxy() as tee:
        key = attested(tee).attested_tls_spki
        with tee.transport() as transport:
            assert hashlib.sha256(chat(tee, transport).peer_spki or b"").digest() == key
    with SimulatedTee.phala() as front:
        assert attested(front).attested_tls_spki is None


@pytest.mark.parametrize("seconds", [-2, 0, 30])
def test_around_midnight(seconds: int) -> None:
    midnight = datetime(2026, 7, 1, tzinfo=timezone.utc)
    with SimulatedTee.phala(at=midnight + timedelta(seconds=seconds)) as tee:
        attested(tee)


def test_production_roots_accept_nothing(redpill: SimulatedTee) -> None:
    with redpill.transport() as transport:
        judge = PhalaVerifier(redpill.policy, transport=transport, api_key=redpill.api_key)
        verdict = judge.verify_attestation(redpill.model)
    assert verdict.outcome is Outcome.REJECTED
    assert {"tdx.quote_signature", "gpu.cert_chain"} <= deciding(verdict)


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (SimulatedTee.phala, {"shape": "tinfoil"}),
        (SimulatedTee.nanogpt, {"shape": "aci"}),
        (SimulatedTee.phala, {"gpus": 0}),
        (SimulatedTee.phala, {"shape": "chutes", "instances": 6}),
        (SimulatedTee.vllm_proxy, {"gpus": 33}),
        (SimulatedTee.aci, {"serving": "both"}),
        (SimulatedTee.aci, {"latency": -1.0}),
    ],
)
def test_settings_that_make_no_sense(make: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        make(**settings)


def test_the_policy_can_be_changed(redpill: SimulatedTee) -> None:
    assert (redpill.policy.name, redpill.policy.provider) == ("phala-simulated", "phala")
    many = Policy.from_toml(redpill.policy_text_with(min_count=8))
    verdict = asked(redpill, rules=many)
    assert (verdict.outcome, deciding(verdict)) == (Outcome.REJECTED, {"gpu.present"})
    chutes = SimulatedTee.phala(shape="chutes")
    assert Policy.from_toml(chutes.policy_text_with(nras="ignore")).gpu.nras == "ignore"
    with pytest.raises(ConfigurationError, match="min_count"):
        chutes.policy_text_with(min_count=8)
