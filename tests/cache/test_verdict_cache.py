"""The verdict cache: what is given out, until when, and for which key."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from teeverify.cache import VerdictCache
from teeverify.limits import CLOCK_SKEW
from teeverify.verdict import Outcome

from .verdicts import KEY, START, Clocks, cache_at, key, verdict

VERIFIED, REJECTED, INCONCLUSIVE = Outcome.VERIFIED, Outcome.REJECTED, Outcome.INCONCLUSIVE


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def cache(clocks: Clocks) -> VerdictCache:
    return cache_at(clocks)


def test_an_empty_cache_has_no_answer(cache: VerdictCache) -> None:
    assert cache.get(KEY) is None
    assert len(cache) == 0


@pytest.mark.parametrize(("outcome", "ttl"), [(VERIFIED, 600), (REJECTED, 60)])
def test_a_decided_verdict_lives_its_time(clocks: Clocks, cache: VerdictCache, outcome: Outcome, ttl: int) -> None:
    put = verdict(outcome)
    cache.put(KEY, put)
    assert cache.get(KEY) is put
    clocks.advance(ttl - 0.001)
    assert cache.get(KEY) is put
    clocks.advance(0.001)
    assert cache.get(KEY) is None


def test_lower_times(clocks: Clocks) -> None:
    cache = cache_at(clocks, ttl=30, rejected_ttl=5)
    other = key(model="other")
    cache.put(KEY, verdict())
    cache.put(other, verdict(REJECTED, model="other"))
    clocks.advance(4.9)
    assert (cache.get(KEY) is None, cache.get(other) is None) == (False, False)
    clocks.advance(0.1)
    assert (cache.get(KEY) is None, cache.get(other) is None) == (False, True)
    clocks.advance(25)
    assert cache.get(KEY) is None


def test_a_verified_verdict_ends_at_expires_at(clocks: Clocks, cache: VerdictCache) -> None:
    cache.put(KEY, verdict(expires_at=START + timedelta(seconds=100)))
    clocks.advance(99.999)
    assert cache.get(KEY) is not None
    clocks.advance(0.001)
    assert cache.get(KEY) is None


def test_expires_at_is_held_to_the_wall_clock(clocks: Clocks, cache: VerdictCache) -> None:
    cache.put(KEY, verdict(expires_at=START + timedelta(seconds=100)))
    clocks.jump(100)  # within the skew, so the jump itself is no reason
    assert cache.get(KEY) is None


def test_ttl_is_held_to_the_monotonic_clock(clocks: Clocks, cache: VerdictCache) -> None:
    cache.put(KEY, verdict())
    clocks.mono += 600
    clocks.jump(400)
    assert cache.get(KEY) is None


def test_ttl_is_held_to_the_wall_clock_too(clocks: Clocks, cache: VerdictCache) -> None:
    cache.put(KEY, verdict())
    clocks.mono += 400
    clocks.jump(600)
    assert cache.get(KEY) is None


def test_ttl_counts_from_the_evaluation(clocks: Clocks, cache: VerdictCache) -> None:
    clocks.advance(500)
    cache.put(KEY, verdict(at=START))
    clocks.mono += 99.9
    assert cache.get(KEY) is not None
    clocks.mono += 0.1
    assert cache.get(KEY) is None


def test_a_verdict_from_ahead_of_our_clock_lives_no_longer(clocks: Clocks, cache: VerdictCache) -> None:
    cache.put(KEY, verdict(at=START + timedelta(seconds=200)))
    clocks.advance(600)
    assert cache.get(KEY) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"expires_at": None},
        {"expires_at": START},
        {"expires_at": START - timedelta(days=1)},
        {"at": START - timedelta(seconds=600)},
        {"at": START + timedelta(seconds=CLOCK_SKEW + 1)},
    ],
    ids=["no end", "ends now", "ended", "too old", "from the future"],
)
def test_what_cannot_be_given_out_is_not_held(cache: VerdictCache, changes: dict[str, Any]) -> None:
    cache.put(KEY, verdict(**changes))
    assert cache.get(KEY) is None
    assert len(cache) == 0


@pytest.mark.parametrize("extreme", [datetime.max, datetime.min])
@pytest.mark.parametrize("outcome", list(Outcome))
def test_extreme_times_do_not_overflow(cache: VerdictCache, extreme: datetime, outcome: Outcome) -> None:
    at = extreme.replace(tzinfo=timezone.utc)
    put = verdict(outcome, at=START, evaluated_at=at)
    cache.put(KEY, put, now=at)
    cache.put(KEY, put)
    assert cache.get(KEY, now=START) in (None, put)


def test_a_little_skew_of_the_evaluation_is_accepted(cache: VerdictCache) -> None:
    cache.put(KEY, verdict(at=START + timedelta(seconds=CLOCK_SKEW)))
    assert cache.get(KEY) is not None


@pytest.mark.parametrize("outcome", [VERIFIED, REJECTED])
@pytest.mark.parametrize("jump", [-CLOCK_SKEW - 1, CLOCK_SKEW + 1])
def test_clock_jumps(clocks: Clocks, cache: VerdictCache, outcome: Outcome, jump: int) -> None:
    put = verdict(outcome)
    cache.put(KEY, put)
    clocks.jump(jump)
    assert cache.get(KEY) is None
    clocks.jump(-jump)
    assert cache.get(KEY) is put


def test_a_jump_back_before_the_evaluation(clocks: Clocks, cache: VerdictCache) -> None:
    """The clocks agree within the skew, the wall clock is still too far before the evaluation."""
    cache.put(KEY, verdict(at=START + timedelta(seconds=200)))
    clocks.jump(-100)
    assert cache.get(KEY) is not None
    clocks.jump(-1)
    assert cache.get(KEY) is None


def test_a_machine_that_slept(clocks: Clocks, cache: VerdictCache) -> None:
    """Monotonic clocks stand still during suspension on some systems."""
    cache.put(KEY, verdict())
    clocks.jump(8 * 3600)
    assert cache.get(KEY) is None


def test_a_time_of_the_callers(clocks: Clocks, cache: VerdictCache) -> None:
    later = START + timedelta(days=30)
    put = verdict(at=later)
    cache.put(KEY, put, now=later)
    assert cache.get(KEY) is None
    assert cache.get(KEY, now=later + timedelta(seconds=10)) is put
    assert cache.get(KEY, now=later + timedelta(hours=1)) is None


def test_a_rejection_evicts_a_verified_verdict(clocks: Clocks, cache: VerdictCache) -> None:
    cache.put(KEY, verdict())
    rejected = verdict(REJECTED)
    cache.put(KEY, rejected)
    assert cache.get(KEY) is rejected
    clocks.advance(60)
    assert cache.get(KEY) is None


def test_a_rejection_from_the_future_is_not_kept_for_then(clocks: Clocks, cache: VerdictCache) -> None:
    cache.put(KEY, verdict(REJECTED, at=START + timedelta(seconds=CLOCK_SKEW + 20)))
    clocks.advance(30)
    assert cache.get(KEY) is None
    assert len(cache) == 0


def test_even_a_stale_rejection_evicts_a_verified_verdict(clocks: Clocks, cache: VerdictCache) -> None:
    clocks.advance(100)
    cache.put(KEY, verdict(at=clocks.now))
    cache.put(KEY, verdict(REJECTED, at=START))
    assert cache.get(KEY) is None


def test_an_outage_neither_evicts_nor_extends_a_verified_verdict(clocks: Clocks, cache: VerdictCache) -> None:
    put = verdict()
    cache.put(KEY, put)
    clocks.advance(599)
    outage = verdict(INCONCLUSIVE, at=clocks.now)
    cache.put(KEY, outage)
    assert cache.get(KEY) is put
    clocks.advance(0.999)
    assert cache.get(KEY) is put
    clocks.advance(0.001)
    assert cache.get(KEY) is None


def test_what_is_verified_later_comes_first(clocks: Clocks, cache: VerdictCache) -> None:
    cache.put(KEY, verdict(REJECTED))
    clocks.advance(1)
    put = verdict(at=clocks.now)
    cache.put(KEY, put)
    assert cache.get(KEY) is put


def test_a_late_verdict_does_not_replace_a_newer_rejection(clocks: Clocks, cache: VerdictCache) -> None:
    clocks.advance(10)
    rejected = verdict(REJECTED, at=clocks.now)
    cache.put(KEY, rejected)
    late = verdict(at=START + timedelta(seconds=9))
    cache.put(KEY, late)
    assert cache.get(KEY) is rejected
    clocks.advance(60)
    assert cache.get(KEY) is None
    cache.put(KEY, late)
    assert cache.get(KEY) is late


def test_the_same_verdict_again_extends_nothing(clocks: Clocks, cache: VerdictCache) -> None:
    put = verdict()
    cache.put(KEY, put)
    clocks.advance(300)
    cache.put(KEY, put)
    clocks.advance(300)
    assert cache.get(KEY) is None
