"""asyncio: the same verdicts, one flight for many tasks, cancellation, and transports of both kinds."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from teeverify.aio import AsyncVerifier, ThreadedTransport, run_async
from teeverify.errors import ConfigurationError, TransportError
from teeverify.flow import Request, Response
from teeverify.transport import MockTransport
from teeverify.verdict import AttestationVerdict, Outcome

from .provider import AT, MODEL, Provider, live_verifier


class AsyncProvider:
    """A provider that answers without blocking and notes how many requests were in the air together."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.now = self.most = 0
        self.gate: asyncio.Event | None = None
        self.asked = asyncio.Event()

    async def send(self, request: Request) -> Response:
        self.now += 1
        self.most = max(self.most, self.now)
        self.asked.set()
        try:
            if self.gate is not None:
                await self.gate.wait()
            await asyncio.sleep(0)
            return self.provider.send(request)
        finally:
            self.now -= 1


def test_the_verdict_is_the_same() -> None:
    provider = Provider(cloud=True)
    verifier = live_verifier(provider)
    nonce = bytes(range(32))
    found = asyncio.run(AsyncVerifier(verifier).verify_attestation(MODEL, nonce=nonce)).require()
    assert found == live_verifier(Provider(cloud=True)).verify_attestation(MODEL, nonce=nonce)
    assert verifier.held_attestation(MODEL, now=AT) is found


def test_an_async_transport_is_asked_side_by_side() -> None:
    provider = AsyncProvider(Provider())
    found = asyncio.run(AsyncVerifier(live_verifier(Provider()), transport=provider).verify_attestation(MODEL))
    assert found.verified
    assert provider.most >= 6


def test_exchanges_and_saved_reports() -> None:
    async def go() -> None:
        provider = Provider()
        verifier = AsyncVerifier(live_verifier(provider))
        judged = (await verifier.verify_exchange(provider.chat())).require()
        assert judged.attestation.evidence is not None
        assert (await verifier.verify_saved(judged.attestation.evidence)).verified
        assert (await verifier.verify_exchange(provider.chat())).outcome is Outcome.REJECTED
        assert provider.reports == 1

    asyncio.run(go())


def test_256_tasks_share_one_flight() -> None:
    async def go() -> None:
        provider = AsyncProvider(Provider())
        provider.gate = asyncio.Event()
        verifier = AsyncVerifier(live_verifier(provider.provider), transport=provider)
        tasks = [asyncio.create_task(verifier.attestation_cached(MODEL, now=AT)) for _ in range(256)]
        await asyncio.wait_for(provider.asked.wait(), 20)
        provider.gate.set()
        verdicts = await asyncio.gather(*tasks)
        assert all(verdict is verdicts[0] for verdict in verdicts)
        assert verdicts[0].verified
        assert provider.provider.reports == 1

    asyncio.run(go())


@pytest.mark.parametrize("victim", [0, 7])
def test_cancelling_one_caller_does_not_disturb_the_others(victim: int) -> None:
    async def go() -> None:
        provider = AsyncProvider(Provider())
        provider.gate = asyncio.Event()
        verifier = AsyncVerifier(live_verifier(provider.provider), transport=provider)
        tasks = [asyncio.create_task(verifier.attestation_cached(MODEL, now=AT)) for _ in range(8)]
        await asyncio.wait_for(provider.asked.wait(), 20)
        tasks[victim].cancel()
        await asyncio.sleep(0)
        provider.gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results.pop(victim), asyncio.CancelledError)
        assert all(isinstance(one, AttestationVerdict) and one.verified for one in results)
        assert provider.provider.reports == 1

    asyncio.run(go())


def test_64_threads_share_one_flight() -> None:
    provider = Provider()
    verifier = live_verifier(provider)
    ready = threading.Barrier(64, timeout=20)

    def ask(_: int) -> AttestationVerdict:
        ready.wait()
        return verifier.attestation_cached(MODEL, now=AT)

    with ThreadPoolExecutor(64) as pool:
        verdicts = list(pool.map(ask, range(64)))
    assert all(verdict is verdicts[0] for verdict in verdicts)
    assert verdicts[0].verified
    assert provider.reports == 1


def test_it_works_inside_a_running_loop_with_other_work() -> None:
    async def go() -> None:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(tick())
        verdict = await AsyncVerifier(live_verifier(Provider())).verify_attestation(MODEL)
        other.cancel()
        assert verdict.verified
        assert ticks > 10

    asyncio.run(go())


def test_a_transport_that_is_not_concurrent_is_asked_one_by_one() -> None:
    provider = Provider()
    inside = threading.Lock()

    def alone(request: Request) -> Response:
        assert inside.acquire(blocking=False), "two requests at once"
        try:
            return provider.send(request)
        finally:
            inside.release()

    transport = ThreadedTransport(MockTransport(alone))
    verdict = asyncio.run(run_async(live_verifier(provider).attestation_flow(MODEL), transport))
    assert verdict.verified


def test_outages_and_configuration_errors() -> None:
    class Down:
        async def send(self, request: Request) -> Response:
            raise TransportError("down")

    verifier = AsyncVerifier(live_verifier(Provider()), transport=Down())
    assert asyncio.run(verifier.verify_attestation(MODEL)).outcome is Outcome.INCONCLUSIVE
    with pytest.raises(ConfigurationError):
        asyncio.run(verifier.verify_attestation(MODEL, nonce=b"short"))
    assert verifier.provider == "near"


def test_a_late_signature_is_waited_for_without_blocking() -> None:
    provider = Provider()
    chat = provider.chat()
    late = [Response(status=404, headers={}, body=b"")]
    provider.answers["/v1/signature/"] = lambda request: late.pop() if late else None
    verifier = AsyncVerifier(live_verifier(provider))
    assert asyncio.run(verifier.verify_exchange(chat)).verified
    assert len(provider.urls("/v1/signature/")) == 2
