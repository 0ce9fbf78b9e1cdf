"""Single flight among threads and several event loops at once, also when one of the loops goes away."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from teeverify import single_flight
from teeverify.single_flight import SingleFlight
from teeverify.verdict import AttestationVerdict

from .verdicts import KEY, Clocks, CountingFlights, cache_at, verdict

PATIENCE = 30.0
"""Seconds after which a test gives up on a caller."""


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(64) as threads:
        yield threads


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who wait for another loop look after it more often than in earnest."""
    monkeypatch.setattr(single_flight, "_PATIENCE", 0.01)


class _Sources:
    """A sync and an asyncio verification that count together and finish when they are let go."""

    def __init__(self) -> None:
        self.calls, self.begun, self.go = 0, threading.Semaphore(0), threading.Event()

    def verify(self) -> AttestationVerdict:
        self.calls += 1
        self.begun.release()
        assert self.go.wait(PATIENCE)
        return verdict()

    async def verify_async(self) -> AttestationVerdict:
        self.calls += 1
        self.begun.release()
        await asyncio.to_thread(self.go.wait, PATIENCE)
        return verdict()


class _Stuck:
    """An asyncio verification that never ends."""

    def __init__(self) -> None:
        self.begun = threading.Event()

    async def verify(self) -> AttestationVerdict:
        self.begun.set()
        await asyncio.get_running_loop().create_future()
        raise AssertionError


@pytest.mark.parametrize("first", ["thread", "task"])
def test_threads_and_tasks_of_two_loops(pool: ThreadPoolExecutor, first: str) -> None:
    cache, sources = cache_at(Clocks()), _Sources()
    flights = CountingFlights.under(cache)

    async def tasks(count: int) -> list[AttestationVerdict]:
        return await asyncio.gather(*(cache.get_or_verify_async(KEY, sources.verify_async) for _ in range(count)))

    callers: list[Future[Any]] = []
    leader = (
        pool.submit(asyncio.run, tasks(1)) if first == "task" else pool.submit(cache.get_or_verify, KEY, sources.verify)
    )
    assert sources.begun.acquire(timeout=PATIENCE)
    callers += [pool.submit(cache.get_or_verify, KEY, sources.verify) for _ in range(16)]
    callers += [pool.submit(asyncio.run, tasks(32)) for _ in range(2)]
    flights.await_callers(1 + 16 + 64)
    sources.go.set()
    answers: set[int] = set()
    for caller in [leader, *callers]:
        answer = caller.result(PATIENCE)
        answers |= {id(one) for one in (answer if isinstance(answer, list) else [answer])}
    assert (len(answers), sources.calls) == (1, 1)


def test_a_flight_that_lands_before_its_follower_listens(pool: ThreadPoolExecutor) -> None:
    cache, sources = cache_at(Clocks()), _Sources()

    class Late(SingleFlight[Any]):
        """Lets the flight land between the moment at which a follower boards and the one at which he listens."""

        def _board(self, *arguments: Any) -> Any:
            flight, leads = super()._board(*arguments)
            if flight is not None and not leads:
                sources.go.set()
                assert flight.landed.wait(PATIENCE)
            return flight, leads

    cache._flights = Late()
    leader = pool.submit(cache.get_or_verify, KEY, sources.verify)
    assert sources.begun.acquire(timeout=PATIENCE)
    follower = asyncio.run(asyncio.wait_for(cache.get_or_verify_async(KEY, sources.verify_async), PATIENCE))
    assert follower is leader.result(PATIENCE)


def test_a_cancelled_first_task_leaves_the_flight_to_a_thread(pool: ThreadPoolExecutor) -> None:
    cache, sources = cache_at(Clocks()), _Sources()
    flights = CountingFlights.under(cache)

    async def cancel_the_first() -> None:
        first = asyncio.create_task(cache.get_or_verify_async(KEY, sources.verify_async))
        await asyncio.to_thread(flights.await_callers, 1)
        waiting = asyncio.get_running_loop().run_in_executor(pool, cache.get_or_verify, KEY, sources.verify)
        await asyncio.to_thread(flights.await_callers, 1)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        sources.go.set()
        assert (await waiting).verified

    asyncio.run(asyncio.wait_for(cancel_the_first(), PATIENCE))
    assert sources.calls == 1


def _until_begun(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], begun: threading.Event) -> None:
    """Run a loop until the work has begun, and leave it with the work under way."""

    async def start() -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        await asyncio.to_thread(begun.wait, PATIENCE)
        return task

    loop.set_exception_handler(lambda loop, context: None)  # it says that a task was destroyed, as it should
    loop.kept = loop.run_until_complete(start())  # type: ignore[attr-defined]


@pytest.mark.parametrize("late", [False, True], ids=["waiting already", "coming later"])
@pytest.mark.parametrize("end", ["close", "stop"])
@pytest.mark.parametrize("kind", ["thread", "task"])
def test_a_loop_that_goes_away_with_its_flight(pool: ThreadPoolExecutor, kind: str, end: str, late: bool) -> None:
    cache, mine, stuck = cache_at(Clocks()), verdict(), _Stuck()
    flights = CountingFlights.under(cache)
    leave = threading.Event()

    async def ready() -> AttestationVerdict:
        return mine

    def ask() -> AttestationVerdict:
        if kind == "thread":
            return cache.get_or_verify(KEY, lambda: mine)
        return asyncio.run(cache.get_or_verify_async(KEY, ready))

    def carry() -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()

        async def work() -> None:
            leading = asyncio.ensure_future(cache.get_or_verify_async(KEY, stuck.verify))
            if not late:
                await asyncio.to_thread(leave.wait, PATIENCE)
            begun.set()
            await leading

        begun = threading.Event()
        _until_begun(loop, work(), begun)
        if end == "close":
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
        return loop

    carrier = pool.submit(carry)
    assert stuck.begun.wait(PATIENCE)
    flights.await_callers(1)
    if late:
        loop = carrier.result(PATIENCE)
        waiting = pool.submit(ask)
    else:
        waiting = pool.submit(ask)
        flights.await_callers(1)
        leave.set()
        loop = carrier.result(PATIENCE)
    assert waiting.result(PATIENCE) is mine
    _end(loop)


def _end(loop: asyncio.AbstractEventLoop) -> None:
    """What is left of a stopped loop."""
    if loop.is_closed():
        return
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def test_a_loop_that_goes_on_after_it_was_given_up(pool: ThreadPoolExecutor) -> None:
    """Its own caller gets what his flight brings; the verdict of those who gave it up does no harm to it."""
    cache, mine, theirs = cache_at(Clocks()), verdict(), verdict()
    loop = asyncio.new_event_loop()
    go = asyncio.Event()

    async def verify() -> AttestationVerdict:
        await go.wait()
        return theirs

    async def start() -> asyncio.Task[AttestationVerdict]:
        task = asyncio.create_task(cache.get_or_verify_async(KEY, verify))
        await asyncio.sleep(0)
        return task

    task = loop.run_until_complete(start())
    assert pool.submit(cache.get_or_verify, KEY, lambda: mine).result(PATIENCE) is mine
    go.set()
    assert loop.run_until_complete(task) is theirs
    loop.close()


def test_an_interrupted_loop_does_not_interrupt_others(pool: ThreadPoolExecutor) -> None:
    cache, mine = cache_at(Clocks()), verdict()
    flights, go = CountingFlights.under(cache), threading.Event()

    async def verify() -> AttestationVerdict:
        await asyncio.to_thread(go.wait, PATIENCE)
        raise SystemExit(3)

    async def ask() -> AttestationVerdict:
        return await cache.get_or_verify_async(KEY, verify)

    interrupted = pool.submit(asyncio.run, ask())
    flights.await_callers(1)
    waiting = pool.submit(cache.get_or_verify, KEY, lambda: mine)
    flights.await_callers(1)
    go.set()
    assert waiting.result(PATIENCE) is mine
    assert isinstance(interrupted.exception(PATIENCE), SystemExit)


def test_two_loops_whose_threads_block_for_each_other(pool: ThreadPoolExecutor) -> None:
    """Inside an event loop a sync call never waits for asyncio, so no ring of waiting loops can come about."""
    one, two = cache_at(Clocks()), cache_at(Clocks())
    meet = threading.Barrier(2)

    async def cross(own: Any, other: Any) -> bool:
        stuck = _Stuck()
        task = asyncio.create_task(own.get_or_verify_async(KEY, stuck.verify))
        await asyncio.to_thread(stuck.begun.wait, PATIENCE)
        await asyncio.to_thread(meet.wait, PATIENCE)
        mine = verdict()
        answered: bool = other.get_or_verify(KEY, lambda: mine) is mine
        await asyncio.to_thread(meet.wait, PATIENCE)
        task.cancel()
        return answered

    crossing = [pool.submit(asyncio.run, cross(*caches)) for caches in ((one, two), (two, one))]
    assert [each.result(PATIENCE) for each in crossing] == [True, True]
