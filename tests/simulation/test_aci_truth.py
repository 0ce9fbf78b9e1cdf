"""The truthful ACI services over real connections: reports, chats, receipts, sessions, and their errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from teeverify.policy import Policy
from teeverify.providers.aci import AciVerifier
from teeverify.saved import SavedReport
from teeverify.testing import SimulatedTee

from .front_world import attested, chat, exchanged, verifier
from .raw_client import RawClient

pytestmark = pytest.mark.loopback

HOST: Final = "aci.teeverify.example"
REPORT: Final = "/v1/aci/attestation"


@pytest.fixture(scope="module", params=["direct", "aggregator"])
def tee(request: pytest.FixtureRequest) -> Iterator[SimulatedTee]:
    with SimulatedTee.aci(serving=request.param) as running:
        yield running


def test_the_truth_is_verified_live_and_offline(tee: SimulatedTee) -> None:
    verdict = attested(tee)
    assert [subject.role for subject in verdict.subjects] == ["gateway"]
    assert verdict.evidence is not None
    with tee.transport() as transport:
        judge = verifier(tee, transport)
        assert judge.verify_saved(SavedReport.from_bytes(verdict.evidence.to_bytes())).verified


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_an_exchange_with_its_receipt_is_verified(tee: SimulatedTee, stream: bool) -> None:
    judged = exchanged(tee, stream=stream).require()
    assert judged.signed_by == "gateway"
    statuses = {check.id: check.status.value for check in judged.checks}
    assert statuses["exchange.channel"] == "pass"
    sessions = [asked for asked in tee.asked if asked.path.startswith("/v1/aci/sessions/")]
    assert bool(sessions) == (statuses["exchange.upstream"] == "pass") == ("aggregator" in tee.title)


def test_the_receipt_by_either_name(tee: SimulatedTee) -> None:
    with tee.transport() as transport, RawClient(tee, HOST) as client:
        exchange = chat(tee, transport)
        assert exchange.receipt_id == f"rcpt-{exchange.chat_id}"
        receipts = [client.get(f"/v1/aci/receipts/{name}").json() for name in (exchange.receipt_id, exchange.chat_id)]
        keyset = client.get(REPORT).json()["workload_keyset_digest"]
    assert receipts[0] == receipts[1]
    assert receipts[0]["workload_keyset_digest"] == keyset


def test_errors_of_the_endpoints(tee: SimulatedTee) -> None:
    questions = (
        ("GET", f"{REPORT}?nonce={'AB' * 32}", 400, "invalid_nonce"),
        ("GET", f"{REPORT}?nonce=ab", 400, "invalid_nonce"),
        ("GET", f"{REPORT}?model=other", 404, "invalid_request_error"),
        ("GET", "/v1/attestation/report", 404, "not_found"),
        ("GET", "/v1/aci/receipts/none", 404, "not_found"),
        ("GET", f"/v1/aci/sessions/{'00' * 32}", 404, "not_found"),
        ("POST", REPORT, 405, "invalid_request_error"),
    )
    with RawClient(tee, HOST) as client:
        for method, target, status, kind in questions:
            got = client.ask(method, target, b"{}" if method == "POST" else b"")
            assert (got.status, got.json()["error"]["type"]) == (status, kind), target
        assert client.get("/v1/models").json()["data"][0]["id"] == tee.model
    with RawClient(tee, HOST, key="another") as stranger:
        assert stranger.get(f"{REPORT}?nonce={'ab' * 32}").status == 200
        assert stranger.get("/v1/aci/receipts/none").status == 401


def test_pinned_sessions() -> None:
    with SimulatedTee.aci(serving="aggregator") as tee, tee.transport() as transport, RawClient(tee, HOST) as client:
        first = chat(tee, transport)
        events = client.get(f"/v1/aci/receipts/{first.receipt_id}").json()["event_log"]
        (session,) = [event["session_id"] for event in events if event["type"] == "upstream.verified"]

        def pinned(*sessions: str) -> Any:
            messages = [{"role": "user", "content": "hello"}]
            own = {"aci_verified": True, "aci_session_ids": list(sessions)}
            body = json.dumps({"model": tee.model, "messages": messages, "provider": own}).encode()
            return client.ask("POST", "/v1/chat/completions", body)

        assert pinned("00" * 32, session).status == 200
        refused = pinned("00" * 32)
    assert (refused.status, refused.json()["error"]["type"]) == (412, "session_not_accepted")


def test_receipts_of_redpills_own_gateway() -> None:
    """Its reports are `PhalaVerifier`'s, its receipts `AciVerifier`'s."""
    with SimulatedTee.phala(shape="aci") as tee, tee.transport() as transport:
        attested(tee)
        rules = Policy.from_toml(tee.policy_text_with(provider="aci"))
        judge = AciVerifier(
            rules, url="https://api.redpill.ai", roots=tee.roots, transport=transport, api_key=tee.api_key
        )
        judge.verify_exchange(chat(tee, transport)).require()
        with RawClient(tee, "api.redpill.ai", key="another") as stranger:
            assert stranger.get("/v1/attestation/report").status == 401
