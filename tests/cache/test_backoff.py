"""The back-off of the verdict cache: an outage is tried again, and is no stampede."""

from __future__ import annotations

from datetime import timedelta

import pytest

from teeverify.verdict import AttestationVerdict, Outcome

from .verdicts import KEY, Clocks, cache_at, verdict


class _Provider:
    """Answers with one outcome after another, and counts how often it was asked."""

    def __init__(self, clocks: Clocks) -> None:
        self.clocks, self.outcome, self.calls = clocks, Outcome.INCONCLUSIVE, 0

    def verify(self) -> AttestationVerdict:
        self.calls += 1
        return verdict(self.outcome, at=self.clocks.now)


def test_the_back_off_doubles_up_to_its_longest() -> None:
    clocks = Clocks()
    cache, provider = cache_at(clocks), _Provider(clocks)
    for number, pause in enumerate([1, 2, 4, 8, 16, 30, 30, 30], start=1):
        first = cache.get_or_verify(KEY, provider.verify)
        assert provider.calls == number
        clocks.advance(pause - 0.01)
        assert cache.get_or_verify(KEY, provider.verify) is first
        assert cache.get(KEY) is first
        assert provider.calls == number
        clocks.advance(0.01)
        assert cache.get(KEY) is None


def test_a_long_outage_does_not_overflow() -> None:
    clocks = Clocks()
    cache = cache_at(clocks)
    for _ in range(2000):
        cache.put(KEY, verdict(Outcome.INCONCLUSIVE, at=clocks.now))
    clocks.advance(29)
    assert cache.get(KEY) is not None


@pytest.mark.parametrize("outcome", [Outcome.VERIFIED, Outcome.REJECTED])
def test_a_decided_verdict_resets_the_back_off(outcome: Outcome) -> None:
    clocks = Clocks()
    cache, provider = cache_at(clocks), _Provider(clocks)
    for _ in range(4):
        cache.get_or_verify(KEY, provider.verify)
        clocks.advance(30)
    provider.outcome = outcome
    assert cache.get_or_verify(KEY, provider.verify).outcome is outcome
    clocks.advance(600)
    provider.outcome = Outcome.INCONCLUSIVE
    cache.get_or_verify(KEY, provider.verify)
    clocks.advance(0.99)
    assert cache.get(KEY) is not None
    clocks.advance(0.01)
    assert cache.get(KEY) is None


def test_a_recovery_within_the_back_off_ends_it() -> None:
    clocks = Clocks()
    cache = cache_at(clocks)
    cache.put(KEY, verdict(Outcome.INCONCLUSIVE))
    good = verdict()
    cache.put(KEY, good)
    assert cache.get(KEY) is good


def test_the_outage_before_a_decided_verdict_is_forgotten() -> None:
    clocks = Clocks()
    cache = cache_at(clocks, backoff=30)
    cache.put(KEY, verdict(Outcome.INCONCLUSIVE))
    cache.put(KEY, verdict(expires_at=clocks.now + timedelta(seconds=5)))
    clocks.advance(6)
    assert cache.get(KEY) is None


def test_a_verifier_that_puts_its_verdict_itself_counts_one_failure() -> None:
    """`Verifier.verify_attestation` holds its verdict, and `get_or_verify` does so again."""
    clocks = Clocks()
    cache = cache_at(clocks)

    def verify() -> AttestationVerdict:
        outage = verdict(Outcome.INCONCLUSIVE, at=clocks.now)
        cache.put(KEY, outage)
        return outage

    cache.get_or_verify(KEY, verify)
    clocks.advance(1)
    assert cache.get(KEY) is None
    cache.get_or_verify(KEY, verify)
    clocks.advance(1.99)
    assert cache.get(KEY) is not None
    clocks.advance(0.01)
    assert cache.get(KEY) is None


def test_an_outage_is_not_remembered_over_a_clock_jump() -> None:
    clocks = Clocks()
    cache = cache_at(clocks)
    cache.put(KEY, verdict(Outcome.INCONCLUSIVE))
    clocks.jump(3600)
    assert cache.get(KEY) is None


def test_a_verified_verdict_goes_before_the_outage_and_the_outage_after_it() -> None:
    clocks = Clocks()
    cache, provider = cache_at(clocks), _Provider(clocks)
    good = verdict()
    cache.put(KEY, good)
    clocks.advance(599.5)
    outage = verdict(Outcome.INCONCLUSIVE, at=clocks.now)
    cache.put(KEY, outage)
    assert cache.get_or_verify(KEY, provider.verify) is good
    clocks.advance(0.5)
    assert cache.get_or_verify(KEY, provider.verify) is outage
    assert provider.calls == 0
    clocks.advance(0.5)
    assert cache.get_or_verify(KEY, provider.verify) is not outage
    assert provider.calls == 1
