"""Verdicts, keys and clocks for the tests of the caches."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone
from typing import Any, Final

import attrs

from teeverify.cache import CacheKey, VerdictCache
from teeverify.single_flight import SingleFlight
from teeverify.verdict import AttestationVerdict, CheckResult, Outcome, Status, SubjectVerdict

__all__ = ["KEY", "START", "Clocks", "CountingFlights", "cache_at", "key", "subjects_with_tls", "verdict"]

START: Final = datetime(2026, 6, 15, 12, 0, tzinfo=timezone.utc)
KEY: Final = CacheKey(
    provider="near",
    origin="https://completions.near.ai",
    model="test/model",
    algorithm="ed25519",
    tls_spki="",
    policy_digest="ab" * 32,
    roots="cd" * 32,
)


def key(**changes: str) -> CacheKey:
    """The usual key, changed."""
    return attrs.evolve(KEY, **changes)


def verdict(outcome: Outcome = Outcome.VERIFIED, *, at: datetime = START, **changes: Any) -> AttestationVerdict:
    """A new verdict that belongs to the usual key; a VERIFIED one holds for an hour."""
    members: dict[str, Any] = {
        "provider": KEY.provider,
        "model": KEY.model,
        "outcome": outcome,
        "policy_name": "test",
        "policy_digest": KEY.policy_digest,
        "nonce": "00" * 32,
        "evaluated_at": at,
        "expires_at": at + timedelta(hours=1) if outcome is Outcome.VERIFIED else None,
        "trust_boundary": "",
        "gaps": (),
        "subjects": (),
        "conclusion": outcome.value,
    }
    return AttestationVerdict(**{**members, **changes})


def subjects_with_tls(spki: str) -> tuple[SubjectVerdict, ...]:
    """Subjects that attest the TLS key with that SHA-256 (hex)."""
    check = CheckResult(
        id="channel.tls_spki",
        status=Status.PASS,
        enforced=True,
        reason="",
        summary="",
        expected=spki,
        observed=spki,
        anchor="live TLS",
    )
    return (SubjectVerdict(id="model", role="model", outcome=Outcome.VERIFIED, checks=(check,)),)


class Clocks:
    """A wall clock and a monotonic clock that only the test moves."""

    def __init__(self) -> None:
        self.now, self.mono = START, 1000.0

    def wall(self) -> datetime:
        """The wall clock."""
        return self.now

    def monotonic(self) -> float:
        """The monotonic clock."""
        return self.mono

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.mono += seconds
        self.jump(seconds)

    def jump(self, seconds: float) -> None:
        """Set the wall clock."""
        self.now += timedelta(seconds=seconds)


def cache_at(clocks: Clocks, **options: Any) -> VerdictCache:
    """A cache that reads these clocks."""
    return VerdictCache(wall=clocks.wall, monotonic=clocks.monotonic, **options)


class CountingFlights(SingleFlight[Any]):
    """Single flight that tells how many callers have come so far, so that tests need not guess."""

    def __init__(self) -> None:
        super().__init__()
        self._boarded = threading.Semaphore(0)

    @classmethod
    def under(cls, cache: VerdictCache) -> CountingFlights:
        """Put one under a cache."""
        cache._flights = flights = cls()
        return flights

    def await_callers(self, count: int) -> None:
        """Block until so many more callers lead, wait, or go on their own."""
        for _ in range(count):
            assert self._boarded.acquire(timeout=30), "a caller never came"

    def _board(self, *arguments: Any) -> Any:
        result = super()._board(*arguments)
        self._boarded.release()
        return result
