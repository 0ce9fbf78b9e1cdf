"""What an adversary found in the live half, each turned into a test."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import attrs
import pytest

from teeverify.aio import AsyncVerifier
from teeverify.cache import VerdictCache
from teeverify.cli.attest_command import _save
from teeverify.errors import ConfigurationError, SavedReportError, TransportError
from teeverify.exchange import Exchange
from teeverify.flow import Request, Response, run
from teeverify.formats import chat_body
from teeverify.providers.near import NearVerifier
from teeverify.saved import SavedReport
from teeverify.testing import DIRECT_HOST
from teeverify.verdict import Outcome, VerifiedExchange

from .provider import AT, MODEL, Provider, live_verifier, sign

VERIFIED, REJECTED, INCONCLUSIVE = Outcome.VERIFIED, Outcome.REJECTED, Outcome.INCONCLUSIVE


def reasons(judged: VerifiedExchange) -> dict[str, str]:
    return {check.id: check.reason for check in judged.checks if check.decides is judged.outcome}


def test_a_rejection_ends_what_was_held_for_every_tls_key() -> None:
    provider = Provider()
    verifier = live_verifier(provider)
    spki = verifier.verify_attestation(MODEL).require().attested_tls_spki
    assert verifier.held_attestation(MODEL, tls_spki=spki) is not None
    provider.spoil = lambda session: setattr(session, "attested_nonce", bytes([7]) * 32)
    assert verifier.verify_attestation(MODEL).outcome is REJECTED
    assert verifier.held_attestation(MODEL, tls_spki=spki) is None


def test_only_the_first_events_of_a_stream_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []
    real = chat_body._object

    def counted(body: bytes) -> Any:
        read.append(body)
        return real(body)

    monkeypatch.setattr(chat_body, "_object", counted)
    exchange = Exchange(model=MODEL, request_body=b"{}", response_body=b"data:x\n" * 10_000 + b'data:{"id":"late"}\n')
    assert exchange.chat_id is None
    assert len(read) <= 10


@pytest.mark.parametrize(
    "changes",
    [{"peer_spki": "x"}, {"chat_id": 5}, {"chat_id": b"a"}, {"model": ""}, {"model": 3}, {"request_body": "text"},
     {"response_body": None}, {"chat_id": "a\n"}, {"chat_id": "x" * 300}],
)  # fmt: skip
def test_an_exchange_of_other_types_is_a_configuration_error(changes: dict[str, Any]) -> None:
    values: dict[str, Any] = {"model": MODEL, "request_body": b"{}", "response_body": b"{}", **changes}
    with pytest.raises(ConfigurationError):
        Exchange(**values)


def test_what_was_asked_by_directory_is_not_held_for_a_host_of_that_name() -> None:
    provider = Provider()
    by_directory = live_verifier(provider)
    named = live_verifier(provider, route="direct", host="completions.near.ai", cache=by_directory.cache)
    padded = live_verifier(provider, tls_bound=False, cache=by_directory.cache)
    assert by_directory.verify_attestation(MODEL).verified
    assert by_directory.held_attestation(MODEL) is not None
    assert named.held_attestation(MODEL) is None
    assert padded.held_attestation(MODEL) is None


@pytest.mark.parametrize("name", ["X-Serving-Provider", "x-serving-provider", "X-SERVING-PROVIDER"])
def test_header_names_have_no_case(name: str) -> None:
    provider = Provider(cloud=True)

    def answer(request: Request) -> Response:
        found = provider._answer(request)
        headers = {**found.headers, name: ("chutes",)}
        return Response(status=found.status, headers=headers, body=found.body, peer_spki=found.peer_spki)

    provider.answers["/attestation/report"] = answer
    assert live_verifier(provider).verify_attestation(MODEL).outcome is REJECTED


@pytest.mark.parametrize(
    "changes",
    [
        {"status": 999},
        {"status": 42},
        {"headers": {f"h{number}": ("v",) for number in range(300)}},
        {"headers": {"h": ("\udc80",)}},
        {"headers": {"h": ("v" * 100_000,)}},
    ],
    ids=["status-999", "status-42", "many-headers", "surrogate", "long-header"],
)
def test_what_cannot_be_saved_is_no_answer(changes: dict[str, Any]) -> None:
    provider = Provider()

    def answer(request: Request) -> Response:
        return attrs.evolve(provider._answer(request), **changes)

    provider.answers["jwks.json"] = answer
    verdict = live_verifier(provider, text={"nras": "when_present"}).verify_attestation(MODEL)
    assert verdict.evidence is not None
    saved = SavedReport.from_bytes(verdict.evidence.to_bytes())
    again = live_verifier(provider, text={"nras": "when_present"}).verify_saved(saved)
    assert again.outcome is verdict.outcome


def test_a_report_that_could_not_be_read_back_is_not_written() -> None:
    report = live_verifier(Provider()).verify_attestation(MODEL).evidence
    assert report is not None
    big = Exchange(model=MODEL, request_body=b"{}", response_body=bytes(30 << 20), chat_id="x")
    with pytest.raises(SavedReportError, match="read back"):
        attrs.evolve(report, exchange=big).to_bytes()
    with pytest.raises(SavedReportError, match="Unicode"):
        attrs.evolve(report, model="\udc80").to_bytes()


def test_threads_that_wait_for_an_asyncio_flight_do_not_starve_it() -> None:
    async def go() -> None:
        loop = asyncio.get_running_loop()
        small = ThreadPoolExecutor(2)
        loop.set_default_executor(small)
        provider = Provider()
        sync = live_verifier(provider)
        first = asyncio.create_task(AsyncVerifier(sync).attestation_cached(MODEL))
        await asyncio.sleep(0)
        others = [asyncio.to_thread(sync.attestation_cached, MODEL) for _ in range(4)]
        verdicts = await asyncio.wait_for(asyncio.gather(first, *others), 30)
        assert all(verdict.verified for verdict in verdicts)

    asyncio.run(go())


def test_the_same_signed_bytes_are_not_accepted_under_another_id() -> None:
    provider = Provider()
    verifier = live_verifier(provider)
    chat = Exchange(model=MODEL, request_body=b'{"input":"x"}', response_body=b"\x00audio", chat_id="a")
    text = f"{MODEL}:{chat.request_digest.hex()}:{chat.response_digest.hex()}"

    statement = json.dumps(sign(provider.key(), text, "ed25519")).encode()
    provider.signatures |= {"a": statement, "b": statement}
    assert verifier.verify_exchange(chat).verified
    replay = verifier.verify_exchange(attrs.evolve(chat, chat_id="b"))
    assert (replay.outcome, reasons(replay)) == (REJECTED, {"exchange.first_seen": "replayed"})


def test_verifiers_of_single_machines_share_the_memory() -> None:
    provider = Provider()
    verifier = live_verifier(provider)
    chat = provider.chat()
    attestation = verifier.verify_attestation(MODEL)
    assert verifier.verify_exchange(chat, attestation=attestation).verified
    sibling = verifier.at_host(DIRECT_HOST)
    assert reasons(sibling.verify_exchange(chat, attestation=attestation)) == {"exchange.first_seen": "replayed"}


def test_of_many_threads_one_accepts_a_chat() -> None:
    provider = Provider()
    verifier = live_verifier(provider)
    attestation = verifier.verify_attestation(MODEL)
    chat = provider.chat()
    ready = threading.Barrier(16, timeout=20)

    def judge(_: int) -> VerifiedExchange:
        ready.wait()
        return verifier.verify_exchange(chat, attestation=attestation)

    with ThreadPoolExecutor(16) as pool:
        judged = list(pool.map(judge, range(16)))
    assert sum(one.verified for one in judged) == 1
    for one in judged:
        if not one.verified:
            assert (one.outcome, reasons(one)) == (REJECTED, {"exchange.first_seen": "replayed"})
            assert (one.signed_by, one.signer) == (None, None)
            assert "Nothing is proven" in one.trust_boundary
            assert one.conclusion.startswith("REJECTED")


def test_a_cancelled_call_has_accepted_nothing() -> None:
    async def go() -> None:
        provider = Provider()
        verifier = AsyncVerifier(live_verifier(provider))
        attestation = await verifier.verify_attestation(MODEL)
        chat = provider.chat()
        asked, go_on = threading.Event(), threading.Event()

        def slow(request: Request) -> None:
            asked.set()
            go_on.wait(20)

        provider.answers["/v1/signature/"] = slow
        task = asyncio.create_task(verifier.verify_exchange(chat, attestation=attestation))
        await asyncio.to_thread(asked.wait, 20)
        task.cancel()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        provider.answers.clear()
        assert (await verifier.verify_exchange(chat, attestation=attestation)).verified

    asyncio.run(go())


def test_evidence_after_a_refresh_at_another_host_is_judged_alike_offline() -> None:
    provider = Provider()
    verifier = live_verifier(provider)
    other = "m-i0.completions.near.ai"

    def elsewhere(request: Request) -> Response | None:
        if f"//{other}/" not in request.url:
            return None
        return provider._answer(attrs.evolve(request, url=request.url.replace(other, DIRECT_HOST)))

    provider.answers["/v1/"] = elsewhere
    single = verifier.at_host(other)
    old = single.verify_attestation(MODEL).require()
    provider.at = AT + timedelta(hours=2)
    judged = verifier.verify_exchange(provider.chat(), attestation=old, now=provider.at).require()
    assert judged.evidence is not None
    auditor = live_verifier(provider, clock=lambda: provider.at)
    audited = auditor.verify_saved_exchange(SavedReport.from_bytes(judged.evidence.to_bytes()))
    assert audited.outcome is VERIFIED


@pytest.mark.parametrize("body", [bytearray(b"{}"), memoryview(b"{}")])
def test_other_kinds_of_bytes_become_bytes(body: Any) -> None:
    assert type(Response(status=200, headers={}, body=body, peer_spki=body).body) is bytes


@pytest.mark.parametrize(
    "values",
    [
        {"body": "text"},
        {"body": None},
        {"peer_spki": "text"},
        {"headers": None},
        {"headers": {"x-serving-provider": "near"}},
        {"headers": {"a": (1,)}},
        {"headers": {1: ("a",)}},
    ],
)
def test_a_response_of_other_types_is_a_configuration_error(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="correct the transport"):
        Response(**{"status": 200, "headers": {}, "body": b"", **values})


@pytest.mark.parametrize("answer", [None, b"{}", ("200", {})])
def test_a_transport_that_returns_something_else_is_a_configuration_error(answer: Any) -> None:
    provider = Provider()

    class Odd:
        def send(self, request: Request) -> Any:
            return answer

    verifier = NearVerifier(live_verifier(provider).policy, transport=Odd())
    with pytest.raises(ConfigurationError, match="correct the transport"):
        verifier.verify_attestation(MODEL)


def test_a_wall_clock_that_is_set_back_does_not_prolong_a_verdict() -> None:
    verdict = live_verifier(Provider()).verify_attestation(MODEL).require()
    ends = attrs.evolve(verdict, expires_at=AT + timedelta(seconds=100))
    wall, mono = [AT], [0.0]
    cache = VerdictCache(wall=lambda: wall[0], monotonic=lambda: mono[0])
    key = live_verifier(Provider()).cache_key(MODEL)
    cache.put(key, ends)
    mono[0] = 99.0
    wall[0] = AT - timedelta(seconds=150)
    assert cache.get(key) is ends
    mono[0] = 101.0
    assert cache.get(key) is None


@pytest.mark.parametrize("spki", [bytearray(32), "ab", 5, b"short", bytes(33)])
def test_a_tls_key_that_is_none_is_named(spki: Any) -> None:
    with pytest.raises(ConfigurationError, match="tls_spki"):
        live_verifier(Provider()).held_attestation(MODEL, tls_spki=spki)


@pytest.mark.parametrize("model", [[], {}, None, ""])
def test_a_model_that_is_none_is_named(model: Any) -> None:
    with pytest.raises(ConfigurationError, match="model"):
        live_verifier(Provider()).attestation_cached(model)


@pytest.mark.parametrize(
    ("path", "names"), [("out", ["out-0", "out-1"]), ("a.b/out.json", ["a.b/out-0.json", "a.b/out-1.json"])]
)
def test_reports_of_several_machines_are_saved_where_they_were_meant_to_be(
    tmp_path: Path, path: str, names: list[str]
) -> None:
    report = live_verifier(Provider()).verify_attestation(MODEL).evidence
    (tmp_path / path).parent.mkdir(exist_ok=True)
    _save(str(tmp_path / path), [report, report])
    assert sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()) == names


def test_a_web_page_is_an_outage() -> None:
    provider = Provider(cloud=True)
    page = Response(status=200, headers={"Content-Type": ("text/html; charset=utf-8",)}, body=b"<html>log in</html>")
    provider.answers["/attestation/report"] = page
    verdict = live_verifier(provider).verify_attestation(MODEL)
    assert verdict.outcome is INCONCLUSIVE
    assert "web page" in verdict.checks[0].summary


@pytest.mark.parametrize(
    "answer", [Response(status=404, headers={}, body=b""), Response(status=500, headers={}, body=b"")]
)
def test_withholding_the_signature_does_not_undo_a_rejection(answer: Response) -> None:
    provider = Provider()
    provider.spoil = lambda session: setattr(session, "attested_nonce", bytes([7]) * 32)
    verifier = live_verifier(provider)
    attestation = verifier.verify_attestation(MODEL)
    chat = provider.chat()
    provider.answers["/v1/signature/"] = answer
    judged = run(verifier.exchange_flow(chat, attestation), provider, sleep=lambda seconds: None)
    assert (judged.outcome, reasons(judged)) == (REJECTED, {"exchange.signer_attested": "attestation_rejected"})


def test_an_outage_during_the_second_look_does_not_undo_a_rejection() -> None:
    provider = Provider()
    verifier = live_verifier(provider)
    attestation = verifier.verify_attestation(MODEL).require()
    stranger = Provider(cloud=True).key("gateway")
    chat = provider.chat()
    text = json.loads(provider.signatures["chatcmpl-1"])["text"]
    provider.signatures["chatcmpl-1"] = json.dumps(sign(stranger, text, "ed25519")).encode()
    provider.answers["/attestation/report"] = TransportError("cut")
    judged = verifier.verify_exchange(chat, attestation=attestation)
    assert (judged.outcome, reasons(judged)) == (REJECTED, {"exchange.signer_attested": "unknown_signer"})


def test_a_channel_that_is_not_known_is_named() -> None:
    provider = Provider()
    verifier = live_verifier(provider)
    silent = verifier.verify_exchange(provider.chat("a")).require()
    assert any("peer_spki" in gap for gap in silent.gaps)
    told = attrs.evolve(provider.chat("b"), peer_spki=provider.session().front.tls_spki)
    assert not any("peer_spki" in gap for gap in verifier.verify_exchange(told).require().gaps)


def test_a_verdict_that_comes_in_late_does_not_undo_a_newer_rejection() -> None:
    provider = Provider()
    verifier = live_verifier(provider)
    late = verifier.verify_attestation(MODEL).require()
    verifier.cache.clear()
    provider.spoil = lambda session: setattr(session, "attested_nonce", bytes([7]) * 32)
    newer = attrs.evolve(verifier.verify_attestation(MODEL), evaluated_at=AT + timedelta(seconds=1))
    verifier.cache.clear()
    verifier.hold(newer, now=AT + timedelta(seconds=1))
    verifier.hold(late, now=AT + timedelta(seconds=1))
    held = verifier.held_attestation(MODEL, now=AT + timedelta(seconds=1))
    assert held is newer
    by_key = verifier.held_attestation(MODEL, tls_spki=late.attested_tls_spki, now=AT + timedelta(seconds=1))
    assert by_key is None or by_key.outcome is REJECTED


@pytest.mark.parametrize("at", [datetime.max, datetime.min])
def test_a_time_at_the_end_of_the_calendar(at: datetime) -> None:
    shift = timedelta(hours=-14 if at is datetime.max else 14)
    with pytest.raises(ConfigurationError, match="calendar"):
        live_verifier(Provider()).attestation_cached(MODEL, now=at.replace(tzinfo=timezone(shift)))


def test_evidence_with_two_answers_about_one_chat_holds_the_newer() -> None:
    provider = Provider()
    verifier = live_verifier(provider)
    attestation = verifier.verify_attestation(MODEL)
    other = provider.chat(named="other/model")
    first = verifier.verify_exchange(other, attestation=attestation)
    assert first.outcome is REJECTED
    second_look = attrs.evolve(attestation, evidence=first.evidence)
    judged = verifier.verify_exchange(provider.chat(), attestation=second_look).require()
    assert judged.evidence is not None
    assert verifier.verify_saved_exchange(SavedReport.from_bytes(judged.evidence.to_bytes())).verified


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_threads_are_made_anew_after_a_fork() -> None:
    from teeverify.aio import _Threads

    threads = _Threads(1, "test")
    before = threads.pool()
    assert threads.pool() is before
    threads._pool = (-1, before)  # as a child finds it
    assert threads.pool() is not before
