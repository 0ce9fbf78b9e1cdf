"""One answer, accepted once: threads, tasks, evictions, ids from outside, and verdicts that are copied about."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from collections import Counter
from datetime import timedelta

import attrs
import pytest

from live.provider import AT, MODEL, Provider, exchange_of, live_verifier
from teeverify.aio import AsyncVerifier
from teeverify.errors import ConfigurationError, TransportError
from teeverify.exchange import Exchange
from teeverify.flow import Request, Response
from teeverify.providers.near import NearVerifier
from teeverify.verdict import AttestationVerdict, Outcome, VerifiedExchange

REJECTED, INCONCLUSIVE, VERIFIED = Outcome.REJECTED, Outcome.INCONCLUSIVE, Outcome.VERIFIED


def reasons(judged: VerifiedExchange) -> dict[str, str]:
    return {check.id: check.reason for check in judged.checks if check.decides is judged.outcome}


def test_of_threads_and_tasks_with_one_chat_exactly_one_is_verified() -> None:
    provider = Provider()
    verifier = live_verifier(provider)
    chat, attestation = provider.chat(), verifier.verify_attestation(MODEL)
    start = threading.Barrier(24, timeout=20)
    outcomes: list[Outcome] = []

    def sync() -> None:
        start.wait()
        outcomes.append(verifier.verify_exchange(chat, attestation=attestation).outcome)

    def tasks() -> None:
        async def several() -> list[VerifiedExchange]:
            own = AsyncVerifier(verifier)
            calls = [own.verify_exchange(chat, attestation=attestation) for _ in range(3)]
            return list(await asyncio.gather(*calls))

        start.wait()
        outcomes.extend(judged.outcome for judged in asyncio.run(several()))

    threads = [threading.Thread(target=tasks if index % 6 == 0 else sync) for index in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert Counter(outcomes) == {VERIFIED: 1, REJECTED: 20 + 3 * 4 - 1}


def test_a_chat_that_is_refused_as_a_copy_leaves_no_trace_of_success() -> None:
    provider = Provider()
    verifier = live_verifier(provider)
    chat = provider.chat()
    verifier.verify_exchange(chat).require()
    again = verifier.verify_exchange(chat)
    assert reasons(again) == {"exchange.first_seen": "replayed"}
    assert (again.signed_by, again.signer) == (None, None)
    assert again.trust_boundary.startswith("Nothing is proven")
    assert again.conclusion.startswith("REJECTED")


@pytest.mark.parametrize(
    "id_given", ["chatcmpl-1 ", "CHATCMPL-1", "chatcmpl-1\u200d", "chatcmpl-%31", "chatcmpl\u20111"]
)
def test_another_spelling_of_an_id_is_another_id(id_given: str) -> None:
    provider = Provider()
    verifier = live_verifier(provider)
    chat = provider.chat()
    verifier.verify_exchange(chat).require()
    try:
        respelt = attrs.evolve(chat, chat_id=id_given)
    except ConfigurationError:
        return  # not printable
    provider.signatures[id_given] = provider.signatures["chatcmpl-1"]
    provider.answers["/v1/signature/"] = Response(status=200, headers={}, body=provider.signatures["chatcmpl-1"])
    judged = verifier.verify_exchange(respelt)
    assert judged.outcome is REJECTED
    assert reasons(judged)["exchange.first_seen"] in ("other_chat_id", "replayed")


def test_a_signature_of_one_chat_does_not_serve_another() -> None:
    provider = Provider()
    provider.chat("one")
    other = provider.chat("two")
    provider.signatures["two"] = provider.signatures["one"]
    judged = live_verifier(provider).verify_exchange(other)
    assert reasons(judged) == {"exchange.response_digest": "other_response"}


def test_a_hostile_signature_answer_costs_a_bounded_number_of_requests() -> None:
    provider = Provider()
    verifier = live_verifier(provider)
    verifier.verify_attestation(MODEL)
    before = len(provider.asked)
    exchange = provider.chat(signing_address="11" * 32)
    verifier.verify_exchange(exchange)
    assert len(provider.asked) - before == 1  # an invalid signature is no reason to attest again
    provider.answers["/v1/signature/"] = Response(status=503, headers={}, body=b"")
    verifier.verify_exchange(exchange)
    assert len(provider.asked) - before == 2


def test_a_verdict_that_is_copied_or_pickled_stays_what_it_is() -> None:
    provider = Provider()
    judged = live_verifier(provider, api_key="secret-key").verify_exchange(provider.chat()).require()
    stored = pickle.dumps(judged)
    assert b"secret-key" not in stored
    for twin in (pickle.loads(stored), copy.copy(judged), copy.deepcopy(judged)):
        assert twin == judged
        assert twin.outcome is Outcome.VERIFIED
        with pytest.raises(TypeError):
            bool(twin)
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(twin, "outcome", VERIFIED)  # noqa: B010 - what a careless caller might do


@pytest.mark.parametrize("outcome", [REJECTED, INCONCLUSIVE])
def test_keys_of_a_verdict_that_is_not_verified_count_for_nothing(outcome: Outcome) -> None:
    provider = Provider()
    verifier = live_verifier(provider)
    attestation = attrs.evolve(verifier.verify_attestation(MODEL), outcome=outcome)
    assert any(subject.attested_keys for subject in attestation.subjects)
    assert verifier.verify_exchange(provider.chat(), attestation=attestation).outcome is outcome


@pytest.mark.parametrize("role", ["compose_manager", "ohttp", "gateway"])
def test_only_the_models_signing_key_signs_for_the_model(role: str) -> None:
    provider = Provider(cloud=True)
    verifier = live_verifier(provider)
    attestation = verifier.verify_attestation(MODEL)
    own = next(s for s in attestation.subjects if s.role == "model").attested_keys[0]
    stranger = attrs.evolve(own, use="ohttp" if role == "ohttp" else "signing")
    subjects = tuple(
        attrs.evolve(
            subject, attested_keys=(stranger,) if subject.role in (role, role.replace("ohttp", "model")) else ()
        )
        for subject in attestation.subjects
    )
    forged = attrs.evolve(attestation, subjects=subjects)
    provider.answers["/attestation/report"] = TransportError("no second look")
    assert not verifier.verify_exchange(provider.chat(), attestation=forged).verified


def test_an_attestation_counts_until_its_end_and_not_a_moment_longer() -> None:
    now = [AT]
    provider = Provider()
    verifier = live_verifier(provider, clock=lambda: now[0])
    attestation = verifier.verify_attestation(MODEL)
    provider.answers["/attestation/report"] = TransportError("no second look")
    assert attestation.expires_at is not None
    now[0] = attestation.expires_at
    assert verifier.verify_exchange(provider.chat("a"), attestation=attestation).outcome is INCONCLUSIVE
    now[0] = attestation.expires_at - timedelta(microseconds=1)
    assert verifier.verify_exchange(provider.chat("b"), attestation=attestation).verified


def test_an_attestation_of_another_algorithm_does_not_vouch() -> None:
    provider, other = Provider(), Provider(algorithm="ecdsa")
    attestation = live_verifier(other).verify_attestation(MODEL).require()
    provider.answers["/attestation/report"] = TransportError("no second look")
    assert not live_verifier(provider).verify_exchange(provider.chat(), attestation=attestation).verified


class _Cancelling:
    """An async transport that cancels its caller at the n-th request."""

    def __init__(self, provider: Provider, at: int) -> None:
        self.provider, self.left = provider, at
        self.task: asyncio.Task[VerifiedExchange] | None = None

    async def send(self, request: Request) -> Response:
        self.left -= 1
        if self.left == 0 and self.task is not None:
            self.task.cancel()
            await asyncio.sleep(0)
        return self.provider.send(request)


@pytest.mark.parametrize("at", range(1, 10))
def test_cancelling_at_any_request_leaves_nothing_behind(at: int) -> None:
    async def go() -> tuple[AttestationVerdict | None, VerifiedExchange]:
        provider = Provider()
        chat: Exchange = provider.chat()
        verifier: NearVerifier = live_verifier(provider)
        transport = _Cancelling(provider, at)
        transport.task = asyncio.create_task(AsyncVerifier(verifier, transport=transport).verify_exchange(chat))
        with pytest.raises(asyncio.CancelledError):
            await transport.task
        held = verifier.held_attestation(MODEL)
        return held, await AsyncVerifier(verifier).verify_exchange(chat)

    held, judged = asyncio.run(go())
    assert held is None or held.verified
    assert judged.verified


def test_an_async_verifier_serves_one_loop_after_the_other() -> None:
    provider = Provider()
    verifier = AsyncVerifier(live_verifier(provider))
    for number in range(3):
        chat = provider.chat(f"chatcmpl-{number}")
        assert asyncio.run(verifier.verify_exchange(chat)).verified
    assert asyncio.run(verifier.verify_exchange(provider.chat("chatcmpl-0"))).outcome is REJECTED
    assert provider.reports == 1


def test_an_empty_answer_to_a_stream_is_unfinished() -> None:
    provider = Provider()
    provider.answers["/v1/signature/"] = Response(status=500, headers={}, body=b"")
    cut = attrs.evolve(exchange_of("x", stream=True), response_body=b"", chat_id="x")
    judged = live_verifier(provider).verify_exchange(cut)
    assert judged.outcome is REJECTED
    assert reasons(judged)["exchange.response_digest"] == "stream_unfinished"
