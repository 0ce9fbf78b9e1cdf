"""Single flight among threads: one verification for all, and nobody waits for himself."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest

from teeverify.cache import VerdictCache
from teeverify.errors import ConfigurationError
from teeverify.verdict import AttestationVerdict, Outcome

from .verdicts import KEY, START, Clocks, CountingFlights, cache_at, key, verdict

THREADS = 64
PATIENCE = 30.0
"""Seconds after which a test gives up on a thread."""


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(THREADS) as threads:
        yield threads


class _Verify:
    """Verifies when it is let go, and counts how often it was called."""

    def __init__(self, made: Callable[[int], AttestationVerdict]) -> None:
        self.made, self.calls = made, 0
        self.begun, self.go = threading.Semaphore(0), threading.Event()

    def __call__(self) -> AttestationVerdict:
        self.calls += 1
        self.begun.release()
        assert self.go.wait(PATIENCE)
        return self.made(self.calls)


def test_64_threads_one_verification(pool: ThreadPoolExecutor) -> None:
    cache = cache_at(Clocks())
    flights, verify = CountingFlights.under(cache), _Verify(lambda number: verdict())
    callers = [pool.submit(cache.get_or_verify, KEY, verify) for _ in range(THREADS)]
    flights.await_callers(THREADS)
    verify.go.set()
    answers = {id(caller.result(PATIENCE)) for caller in callers}
    assert (len(answers), verify.calls) == (1, 1)


def test_64_threads_and_a_verification_that_takes_no_time(pool: ThreadPoolExecutor) -> None:
    """Who looked before the first flight landed and came aboard after it must not verify again."""
    for _ in range(5):
        cache, verify, start = cache_at(Clocks()), _Verify(lambda number: verdict()), threading.Barrier(THREADS)
        verify.go.set()

        def ask(cache: VerdictCache = cache, verify: _Verify = verify, start: threading.Barrier = start) -> int:
            start.wait(PATIENCE)
            return id(cache.get_or_verify(KEY, verify))

        answers = {caller.result(PATIENCE) for caller in [pool.submit(ask) for _ in range(THREADS)]}
        assert (len(answers), verify.calls) == (1, 1)


def test_keys_do_not_wait_for_each_other(pool: ThreadPoolExecutor) -> None:
    cache, verify, other = cache_at(Clocks()), _Verify(lambda number: verdict()), key(model="other")
    waiting = pool.submit(cache.get_or_verify, KEY, verify)
    assert verify.begun.acquire(timeout=PATIENCE)
    assert cache.get_or_verify(other, lambda: verdict(model="other")).model == "other"
    verify.go.set()
    assert waiting.result(PATIENCE).model == KEY.model


@pytest.mark.parametrize("error", [ConfigurationError("no"), KeyboardInterrupt(), SystemExit(1)], ids=repr)
def test_what_the_leader_raises_is_his_alone(pool: ThreadPoolExecutor, error: BaseException) -> None:
    cache = cache_at(Clocks())
    flights = CountingFlights.under(cache)

    def made(number: int) -> AttestationVerdict:
        if number == 1:
            raise error
        return verdict()

    verify = _Verify(made)
    callers = [pool.submit(cache.get_or_verify, KEY, verify) for _ in range(8)]
    flights.await_callers(8)
    verify.go.set()
    raised = [caller.exception(PATIENCE) for caller in callers]
    assert raised.count(error) == 1
    assert raised.count(None) == 7
    assert len({id(caller.result()) for caller in callers if caller.exception() is None}) == 1
    assert verify.calls == 2


def test_an_inconclusive_flight_serves_those_who_waited(pool: ThreadPoolExecutor) -> None:
    """Even when its back-off is over before they wake up: each look at these clocks takes five seconds."""
    clocks = Clocks()

    def slow() -> float:
        clocks.advance(5)
        return clocks.mono

    cache = VerdictCache(wall=clocks.wall, monotonic=slow)
    flights = CountingFlights.under(cache)
    verify = _Verify(lambda number: verdict(Outcome.INCONCLUSIVE, at=clocks.now))
    callers = [pool.submit(cache.get_or_verify, KEY, verify) for _ in range(8)]
    flights.await_callers(8)
    verify.go.set()
    assert len({id(caller.result(PATIENCE)) for caller in callers}) == 1
    assert verify.calls == 1


@pytest.mark.parametrize("outcome", list(Outcome))
def test_who_asks_for_another_time_is_not_served(pool: ThreadPoolExecutor, outcome: Outcome) -> None:
    cache, tomorrow = cache_at(Clocks()), START + timedelta(days=1)
    flights = CountingFlights.under(cache)
    verify = _Verify(lambda number: verdict(outcome, at=START))
    today = pool.submit(cache.get_or_verify, KEY, verify)
    flights.await_callers(1)

    def later() -> AttestationVerdict:
        return cache.get_or_verify(KEY, lambda: verdict(outcome, at=tomorrow), now=tomorrow)

    waiting = pool.submit(later)
    flights.await_callers(1)
    verify.go.set()
    assert today.result(PATIENCE).evaluated_at == START
    assert waiting.result(PATIENCE).evaluated_at == tomorrow


def test_a_time_that_was_given_goes_on_while_the_caller_waits(pool: ThreadPoolExecutor) -> None:
    """What the flight brings has run out by then, so who waited does not get it."""
    clocks = Clocks()
    cache, mine = cache_at(clocks), verdict(at=START + timedelta(seconds=20))
    flights = CountingFlights.under(cache)
    verify = _Verify(lambda number: verdict(expires_at=START + timedelta(seconds=10)))
    leader = pool.submit(cache.get_or_verify, KEY, verify, now=START)
    flights.await_callers(1)
    waiting = pool.submit(cache.get_or_verify, KEY, lambda: mine, now=START)
    flights.await_callers(1)
    clocks.advance(20)
    verify.go.set()
    assert leader.result(PATIENCE) is not mine
    assert waiting.result(PATIENCE) is mine


def test_a_verified_verdict_without_end_serves_its_leader_only(pool: ThreadPoolExecutor) -> None:
    cache = cache_at(Clocks())
    flights, verify = CountingFlights.under(cache), _Verify(lambda number: verdict(expires_at=None))
    callers = [pool.submit(cache.get_or_verify, KEY, verify) for _ in range(3)]
    flights.await_callers(3)
    verify.go.set()
    assert len({id(caller.result(PATIENCE)) for caller in callers}) == verify.calls == 3


def test_a_newer_rejection_goes_before_what_the_flight_verified() -> None:
    cache = cache_at(Clocks())
    newer = verdict(Outcome.REJECTED, at=START + timedelta(seconds=1))

    def verify() -> AttestationVerdict:
        late = verdict()
        cache.put(KEY, newer)
        return late

    assert cache.get_or_verify(KEY, verify) is newer


def test_a_verification_that_asks_for_itself(pool: ThreadPoolExecutor) -> None:
    cache, inner = cache_at(Clocks()), verdict()

    def verify() -> AttestationVerdict:
        assert cache.get_or_verify(KEY, lambda: inner) is inner
        return verdict()

    assert pool.submit(cache.get_or_verify, KEY, verify).result(PATIENCE) is not inner


@pytest.mark.parametrize("where", ["same thread, other context", "other thread, same context"])
def test_a_verification_that_asks_for_itself_in_disguise(pool: ThreadPoolExecutor, where: str) -> None:
    cache, inner = cache_at(Clocks()), verdict()

    def ask() -> AttestationVerdict:
        return cache.get_or_verify(KEY, lambda: inner)

    def verify() -> AttestationVerdict:
        if where == "same thread, other context":
            assert contextvars.Context().run(ask) is inner
        else:
            assert pool.submit(contextvars.copy_context().run, ask).result(PATIENCE) is inner
        return verdict()

    assert pool.submit(cache.get_or_verify, KEY, verify).result(PATIENCE) is not inner


@pytest.mark.parametrize("how", ["forget", "clear"])
def test_after_forgetting_nobody_boards_the_old_flight(pool: ThreadPoolExecutor, how: str) -> None:
    cache, old, new = cache_at(Clocks()), verdict(), verdict()
    verify = _Verify(lambda number: old)
    before = pool.submit(cache.get_or_verify, KEY, verify)
    assert verify.begun.acquire(timeout=PATIENCE)
    if how == "forget":
        cache.forget(KEY)
    else:
        cache.clear()
    assert cache.get_or_verify(KEY, lambda: new) is new
    verify.go.set()
    assert before.result(PATIENCE) is old


def test_an_old_flight_that_lands_leaves_the_new_one_in_its_place(pool: ThreadPoolExecutor) -> None:
    cache = cache_at(Clocks())
    flights = CountingFlights.under(cache)
    old, new = _Verify(lambda number: verdict()), _Verify(lambda number: verdict())
    before = pool.submit(cache.get_or_verify, KEY, old)
    assert old.begun.acquire(timeout=PATIENCE)
    cache.forget(KEY)
    leader = pool.submit(cache.get_or_verify, KEY, new)
    assert new.begun.acquire(timeout=PATIENCE)
    old.go.set()
    before.result(PATIENCE)
    cache.put(KEY, verdict(Outcome.REJECTED, at=START - timedelta(hours=1)))  # nothing is held now
    flights.await_callers(2)
    waiting = pool.submit(cache.get_or_verify, KEY, new)
    flights.await_callers(1)
    new.go.set()
    assert waiting.result(PATIENCE) is leader.result(PATIENCE)
    assert new.calls == 1


def test_a_flight_that_a_fork_left_behind(pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, verify, mine = cache_at(Clocks()), _Verify(lambda number: verdict()), verdict()
    parent: Future[AttestationVerdict] = pool.submit(cache.get_or_verify, KEY, verify)
    assert verify.begun.acquire(timeout=PATIENCE)
    with monkeypatch.context() as child:
        child.setattr("teeverify.single_flight.os.getpid", lambda: -1)
        assert cache.get_or_verify(KEY, lambda: mine) is mine
    verify.go.set()
    parent.result(PATIENCE)


def test_a_time_without_zone_is_refused_before_anything_is_asked() -> None:
    cache = cache_at(Clocks())
    naive = datetime(2026, 6, 15)
    with pytest.raises(ConfigurationError, match="time zone"):
        cache.get_or_verify(KEY, lambda: pytest.fail("asked"), now=naive)
