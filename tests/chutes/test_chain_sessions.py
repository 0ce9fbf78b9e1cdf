"""A proxy before Chutes that tells the truth: what is VERIFIED, what is attested, what is asked, what is said."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from teeverify.errors import ConfigurationError, TransportError
from teeverify.flow import Flow, Request, Response, run
from teeverify.saved import SavedReport
from teeverify.transport import MockTransport, RecordingTransport
from teeverify.verdict import AttestationVerdict, Outcome

from .chain_world import (
    BASE_URL,
    MODEL,
    MODES,
    RECORDED_AT,
    Proxy,
    build,
    causes,
    judge,
    judge_session,
    policy,
    verifier,
)

VERIFIED, INCONCLUSIVE = Outcome.VERIFIED, Outcome.INCONCLUSIVE
NONCE = bytes(range(1, 33))


def live(proxy: Any, mode: str = "passthrough", algorithm: str = "ecdsa", rules: str = "all") -> AttestationVerdict:
    one = verifier(policy(rules), url=BASE_URL, mode=mode, algorithm=algorithm, transport=proxy, api_key="secret")
    return one.verify_attestation(MODEL, nonce=NONCE)


def keys(verdict: AttestationVerdict) -> list[tuple[str, str, str]]:
    return [(one.role, key.use, key.public_key) for one in verdict.subjects for key in one.attested_keys]


@pytest.mark.parametrize("algorithm", ["ecdsa", "ed25519"])
def test_passthrough_attests_the_proxy_and_the_instances(algorithm: str) -> None:
    session = build(algorithm=algorithm, instances=2)
    verdict = judge_session(session)
    assert verdict.outcome is VERIFIED, verdict.conclusion
    assert [one.role for one in verdict.subjects] == ["gateway", "instance", "instance"]
    found = keys(verdict)
    assert found[0] == ("gateway", "signing", session.proxy.signing.public.hex())
    assert [use for _, use, _ in found[1:]] == ["e2ee", "e2ee"]
    assert causes(verdict) == set()
    assert verdict.provider == "chutes-chain"


@pytest.mark.parametrize("algorithm", ["ecdsa", "ed25519"])
def test_a_receipt_attests_the_proxy_alone_where_the_policy_takes_its_word(algorithm: str) -> None:
    session = build(mode="proxy", algorithm=algorithm, instances=2)
    verdict = judge_session(session)
    assert verdict.outcome is VERIFIED, verdict.conclusion
    assert keys(verdict) == [("gateway", "signing", session.proxy.signing.public.hex())]


@pytest.mark.parametrize("mode", ["all", "any"])
def test_a_receipt_is_inconclusive_where_the_policy_demands_evidence(mode: str) -> None:
    verdict = judge_session(build(mode="proxy"), policy(mode))
    assert verdict.outcome is INCONCLUSIVE
    assert causes(verdict) == {("receipt.delegation", "not_accepted")}
    assert keys(verdict) == []
    assert "showed no evidence" in verdict.trust_boundary
    assert "elegated" not in verdict.trust_boundary


def test_a_policy_that_takes_receipts_still_judges_evidence_that_is_shown() -> None:
    delegated = policy("delegated")
    assert judge_session(build(instances=2), delegated).outcome is VERIFIED
    session = build(instances=2)
    session.behind.instances[1].guest.td_changes["td_attributes"] = 1
    verdict = judge_session(session, delegated)
    assert verdict.outcome is Outcome.REJECTED
    assert ("tdx.debug_off", "debug_on") in causes(verdict)


def test_what_is_said_of_a_proxy_that_handed_evidence_on() -> None:
    verdict = judge_session(build(instances=2))
    assert "An attested proxy handed on the evidence of Chutes' instances" in verdict.trust_boundary
    assert "2 of 2 instances are Intel TDX machines that run a pinned guest" in verdict.trust_boundary
    assert any("plaintext to Chutes' gateway" in gap for gap in verdict.gaps)
    assert not any("receipt" in gap for gap in verdict.gaps)


def test_what_is_said_of_a_receipt() -> None:
    verdict = judge_session(build(mode="proxy"))
    assert "Delegated verification: an attested proxy says" in verdict.trust_boundary
    assert "instances are" not in verdict.trust_boundary
    for words in ("statement by the proxy's code", "reads the TCB status from what Chutes says", "registers"):
        assert any(words in gap for gap in verdict.gaps)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("algorithm", ["ecdsa", "ed25519"])
def test_live_takes_two_round_trips_and_gives_a_report_that_is_judged_alike(mode: str, algorithm: str) -> None:
    rules = "delegated" if mode == "proxy" else "all"
    proxy = Proxy(instances=2)
    one = verifier(policy(rules), url=BASE_URL, mode=mode, algorithm=algorithm, transport=proxy, api_key="secret")
    batches: list[tuple[Request, ...]] = []

    def counted() -> Flow[AttestationVerdict]:
        flow = one.attestation_flow(MODEL, nonce=NONCE)
        batch = next(flow)
        try:
            while True:
                batches.append(batch)
                answers = yield batch
                batch = flow.send(answers)
        except StopIteration as done:
            result: AttestationVerdict = done.value
            return result

    verdict = run(counted(), proxy)
    assert verdict.outcome is VERIFIED, verdict.conclusion
    assert [len(batch) for batch in batches] == ([1, 9] if mode == "passthrough" else [1, 6])
    assert len({(request.url, request.body) for batch in batches for request in batch}) == sum(map(len, batches))
    assert verdict.evidence is not None
    again = SavedReport.from_bytes(verdict.evidence.to_bytes())
    replayed = verifier(policy(rules)).verify_saved(again, at=verdict.evaluated_at)
    assert (replayed.outcome, causes(replayed)) == (VERIFIED, set())
    assert keys(replayed) == keys(verdict)


def test_the_key_goes_to_the_proxy_and_to_nobody_else() -> None:
    recording = RecordingTransport(proxy := Proxy())
    assert live(recording).outcome is VERIFIED
    with_key = [request for request in proxy.asked if "Authorization" in request.headers]
    assert [request.url.startswith(f"{BASE_URL}/attestation/chain?") for request in with_key] == [True]
    assert with_key[0].headers["Authorization"] == "Bearer secret"
    report = recording.saved_report(provider="chutes-chain", model=MODEL, nonce=NONCE, recorded_at=RECORDED_AT)
    assert b"secret" not in report.to_bytes()
    assert verifier(policy()).verify_saved(report).outcome is VERIFIED


def test_what_is_asked() -> None:
    proxy = Proxy()
    live(proxy, mode="proxy", algorithm="ed25519", rules="delegated")
    query = f"model=test-org%2Fmodel-1b-TEE&nonce={NONCE.hex()}&signing_algo=ed25519&verify_mode=proxy"
    assert proxy.asked[0].url == f"{BASE_URL}/attestation/chain?{query}"


FAILED = (
    '{"error":{"message":"[{\\"instance_id\\":\\"a\\"}]","type":"chutes_verification_failed","param":null,"code":null}}'
)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Response(status=502, headers={}, body=FAILED.encode()), "http_status"),
        (Response(status=429, headers={}, body=b"{}"), "http_status"),
        (Response(status=200, headers={"content-type": ("text/html",)}, body=b"<html>"), "not_an_answer"),
        (TransportError("nobody is there"), "not_fetched"),
    ],
)
@pytest.mark.parametrize("mode", MODES)
def test_no_answer_is_inconclusive(answer: Response | Exception, reason: str, mode: str) -> None:
    proxy = Proxy()
    proxy.answers["/attestation/chain"] = answer
    verdict = live(proxy, mode=mode, rules="delegated")
    assert verdict.outcome is INCONCLUSIVE
    assert {one for _, one in causes(verdict)} == {reason}
    assert len(proxy.asked) == 1
    assert "showed no evidence" in verdict.trust_boundary


@pytest.mark.parametrize("part", ["nras", "tcb?", "qe/identity", "pckcrl", "jwks"])
def test_endorsers_that_are_not_there_are_inconclusive(part: str) -> None:
    proxy = Proxy()
    proxy.answers[part] = TransportError("nobody is there")
    assert live(proxy).outcome is INCONCLUSIVE


def test_a_page_of_another_kind_and_a_mock() -> None:
    answer = Response(status=200, headers={"content-type": ("application/json",)}, body=b"[]")
    verdict = live(MockTransport(lambda request: answer))
    assert verdict.outcome is Outcome.REJECTED
    assert ("evidence.wellformed", "malformed") in causes(verdict)


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "both"},
        {"mode": ""},
        {"algorithm": "rsa"},
        {"url": "http://proxy.example/v1"},
        {"url": "https://proxy.example/v1?x=1"},
        {"url": "https://user@proxy.example/v1"},
        {"url": "proxy.example"},
        {"url": ""},
    ],
)
def test_arguments_that_are_none(options: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        verifier(policy(), **options)


def test_live_use_needs_the_url() -> None:
    with pytest.raises(ConfigurationError, match="pass url"):
        verifier(policy(), transport=Proxy()).verify_attestation(MODEL)


@pytest.mark.parametrize("url", ["https://proxy.example", "https://proxy.example/", "https://proxy.example:8443/a/v1/"])
def test_base_urls(url: str) -> None:
    assert verifier(policy(), url=url).origin == "/".join(url.split("/")[:3])


def test_verdicts_of_another_form_are_not_taken_from_the_cache() -> None:
    forms = {("passthrough", "ecdsa"), ("passthrough", "ed25519"), ("proxy", "ecdsa"), ("proxy", "ed25519")}
    found = {verifier(policy(), url=BASE_URL, mode=mode, algorithm=one).cache_key(MODEL) for mode, one in forms}
    assert len(found) == 4


def test_a_proxy_without_gpus_and_one_instance_with_many() -> None:
    assert judge_session(build(proxy_gpus=0, gpus=1)).outcome is VERIFIED
    session = build(proxy_gpus=2, instances=2)
    assert judge_session(session).outcome is VERIFIED


def test_any_takes_one_instance_and_never_a_bad_proxy() -> None:
    session = build(instances=2)
    session.behind.instances[0].guest.td_changes["td_attributes"] = 1
    assert judge_session(session, policy("all")).outcome is Outcome.REJECTED
    relaxed = judge_session(session, policy("any"))
    assert relaxed.outcome is VERIFIED
    assert len(keys(relaxed)) == 2
    session.proxy.td_changes["td_attributes"] = 1
    worse = judge_session(session, policy("any"))
    assert worse.outcome is Outcome.REJECTED
    assert ("tdx.debug_off", "debug_on") in causes(worse, "gateway")
    assert "A proxy that is not attested" in worse.trust_boundary
    session = build(instances=2)
    for instance in session.behind.instances:
        instance.guest.td_changes["td_attributes"] = 1
    assert judge_session(session, policy("any")).outcome is Outcome.REJECTED


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seconds", [-300, 300])
def test_the_edges_of_the_window(mode: str, seconds: int) -> None:
    session = build(mode=mode)
    session.signed_at = session.at + timedelta(seconds=seconds)
    assert judge_session(session).outcome is VERIFIED


def test_a_report_is_judged_for_its_own_time_also_later() -> None:
    saved = build(mode="proxy", proxy_gpus=0).saved()
    assert judge(saved, at=RECORDED_AT + timedelta(days=1)).outcome is VERIFIED


def test_a_report_of_another_provider_is_none_of_this_verifier() -> None:
    saved = {**build().saved(), "provider": "chutes"}
    with pytest.raises(ConfigurationError, match="of provider 'chutes'"):
        verifier(policy()).verify_saved(SavedReport.from_bytes(json.dumps(saved).encode()))


def test_a_saved_report_that_names_no_model_is_judged_and_never_raises() -> None:
    report = SavedReport.from_bytes(json.dumps(build().saved()).encode())
    verdict = verifier(policy()).verify_saved(evolve(report, model="", exchanges=()))
    assert verdict.outcome is INCONCLUSIVE
