"""Single flight among tasks: one verification for all, whoever is cancelled and whatever asks for itself."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable

import pytest

from teeverify.cache import VerdictCache
from teeverify.errors import ConfigurationError
from teeverify.verdict import AttestationVerdict, Outcome

from .verdicts import KEY, Clocks, CountingFlights, cache_at, verdict

TASKS = 256
PATIENCE = 30.0
"""Seconds after which a test gives up on a task."""


class _Verify:
    """Verifies when it is let go; counts its calls and how they ended."""

    def __init__(self, made: Callable[[int], AttestationVerdict] = lambda number: verdict()) -> None:
        self.made, self.calls, self.cancelled = made, 0, 0
        self.begun, self.go = asyncio.Event(), asyncio.Event()

    async def __call__(self) -> AttestationVerdict:
        self.calls += 1
        self.begun.set()
        try:
            await asyncio.wait_for(self.go.wait(), PATIENCE)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self.made(self.calls)


def _run(test: Callable[[], Awaitable[None]]) -> None:
    async def guarded() -> None:
        await asyncio.wait_for(test(), PATIENCE)

    asyncio.run(guarded())


def _asking(cache: VerdictCache, verify: _Verify, count: int) -> list[asyncio.Task[AttestationVerdict]]:
    return [asyncio.create_task(cache.get_or_verify_async(KEY, verify)) for _ in range(count)]


@pytest.mark.parametrize("outcome", list(Outcome))
def test_256_tasks_one_verification(outcome: Outcome) -> None:
    async def test() -> None:
        cache, verify = cache_at(Clocks()), _Verify(lambda number: verdict(outcome))
        flights = CountingFlights.under(cache)
        tasks = _asking(cache, verify, TASKS)
        await asyncio.to_thread(flights.await_callers, TASKS)
        verify.go.set()
        answers = await asyncio.gather(*tasks)
        assert (len({id(answer) for answer in answers}), verify.calls) == (1, 1)
        assert cache.get(KEY) is answers[0]

    _run(test)


def test_the_first_caller_may_be_cancelled() -> None:
    async def test() -> None:
        cache, verify = cache_at(Clocks()), _Verify()
        first, *others = _asking(cache, verify, 5)
        await verify.begun.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        verify.go.set()
        assert len({id(await other) for other in others}) == 1
        assert (verify.calls, verify.cancelled) == (1, 0)

    _run(test)


def test_the_first_caller_may_be_cancelled_before_the_flight_takes_off() -> None:
    async def test() -> None:
        cache, verify = cache_at(Clocks()), _Verify()
        verify.go.set()
        first, other = _asking(cache, verify, 2)
        await asyncio.sleep(0)
        first.cancel()
        assert (await other).verified
        assert first.cancelled()
        assert verify.calls == 1

    _run(test)


def test_a_flight_for_which_nobody_waits_is_cancelled() -> None:
    async def test() -> None:
        cache, verify, other = cache_at(Clocks()), _Verify(), _Verify()
        tasks = _asking(cache, verify, 5)
        await verify.begun.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        other.go.set()
        answer = await cache.get_or_verify_async(KEY, other)  # does not wait for what is being cancelled
        assert cache.get(KEY) is answer
        assert (verify.calls, verify.cancelled, other.calls) == (1, 1, 1)

    _run(test)


def test_nobody_waits_for_a_flight_that_is_being_cancelled() -> None:
    async def test() -> None:
        cache, begun, end, mine = cache_at(Clocks()), asyncio.Event(), asyncio.Event(), verdict()

        async def slow_to_end() -> AttestationVerdict:
            begun.set()
            try:
                await end.wait()
            finally:
                await end.wait()
            raise AssertionError

        async def ready() -> AttestationVerdict:
            return mine

        task = asyncio.create_task(cache.get_or_verify_async(KEY, slow_to_end))
        await begun.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await cache.get_or_verify_async(KEY, ready) is mine
        end.set()

    _run(test)


def test_a_verified_verdict_without_end_serves_its_leader_only() -> None:
    async def test() -> None:
        cache, verify = cache_at(Clocks()), _Verify(lambda number: verdict(expires_at=None))
        verify.go.set()
        answers = await asyncio.gather(*_asking(cache, verify, 3))
        assert len({id(answer) for answer in answers}) == verify.calls == 3

    _run(test)


def test_what_the_first_caller_s_flight_raises_is_his_alone() -> None:
    async def test() -> None:
        error = ConfigurationError("no")

        def made(number: int) -> AttestationVerdict:
            if number == 1:
                raise error
            return verdict()

        cache, verify = cache_at(Clocks()), _Verify(made)
        tasks = _asking(cache, verify, 8)
        await verify.begun.wait()
        verify.go.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert answers[0] is error
        assert len({id(answer) for answer in answers[1:]}) == 1
        assert verify.calls == 2

    _run(test)


@pytest.mark.parametrize("when", ["before its first step", "later"])
def test_a_flight_that_others_cancel(when: str) -> None:
    """As a program does that cancels all tasks; the first caller learns of it, the others start over."""

    async def test() -> None:
        cache, verify = cache_at(Clocks()), _Verify()
        first, other = _asking(cache, verify, 2)
        await (asyncio.sleep(0) if when == "before its first step" else verify.begun.wait())
        (flight,) = (task for task in asyncio.all_tasks() if task.get_name() == "teeverify flight")
        flight.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        verify.go.set()
        assert (await other).verified

    _run(test)


@pytest.mark.parametrize("how", ["at once", "in a task", "in a thread"])
def test_a_verification_that_asks_for_itself(how: str) -> None:
    async def test() -> None:
        cache, inner = cache_at(Clocks()), verdict()

        async def ready() -> AttestationVerdict:
            return inner

        async def verify() -> AttestationVerdict:
            if how == "at once":
                assert await cache.get_or_verify_async(KEY, ready) is inner
            elif how == "in a task":
                assert await asyncio.create_task(cache.get_or_verify_async(KEY, ready)) is inner
            else:
                assert await asyncio.to_thread(cache.get_or_verify, KEY, lambda: inner) is inner
            return verdict()

        assert await cache.get_or_verify_async(KEY, verify) is not inner

    _run(test)


def test_a_sync_call_in_the_thread_of_the_loop_that_carries_the_flight() -> None:
    async def test() -> None:
        cache, verify, mine = cache_at(Clocks()), _Verify(), verdict()
        (task,) = _asking(cache, verify, 1)
        await verify.begun.wait()
        assert cache.get_or_verify(KEY, lambda: mine) is mine
        verify.go.set()
        assert await task is not mine

    _run(test)


def test_a_sync_flight_that_starts_a_loop_which_asks_for_it() -> None:
    cache, inner = cache_at(Clocks()), verdict()

    async def ready() -> AttestationVerdict:
        return inner

    def verify() -> AttestationVerdict:
        asked = contextvars.Context().run(asyncio.run, cache.get_or_verify_async(KEY, ready))
        assert asked is inner
        return verdict()

    assert cache.get_or_verify(KEY, verify) is not inner


def test_a_verification_sees_the_context_of_its_first_caller() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")

    async def test() -> None:
        cache, seen = cache_at(Clocks()), list[str]()

        async def verify() -> AttestationVerdict:
            seen.append(variable.get())
            variable.set("changed")
            return verdict()

        variable.set("mine")
        await cache.get_or_verify_async(KEY, verify)
        assert seen == ["mine"]
        assert variable.get() == "mine"

    _run(test)


def test_a_held_verdict_is_given_out_without_a_task() -> None:
    async def test() -> None:
        cache, held = cache_at(Clocks()), verdict()
        cache.put(KEY, held)
        before = asyncio.all_tasks()
        assert await cache.get_or_verify_async(KEY, lambda: pytest.fail("asked")) is held
        assert asyncio.all_tasks() == before

    _run(test)
