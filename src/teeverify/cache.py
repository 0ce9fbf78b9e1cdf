"""The verdict cache: what was judged a moment ago, for as long as it may still stand.

A verdict is held under a key that names everything it depends on, and never for longer than the earliest end of what it
rests on. Many callers who miss at once cause one verification.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from typing import Final

from .cache_entry import CacheKey, HeldVerdict, Slot, check_belongs, hold_decided, hold_outage, shifted
from .errors import ConfigurationError
from .single_flight import SingleFlight
from .verdict import AttestationVerdict, Outcome

__all__ = ["CacheKey", "VerdictCache"]

_MAX_TTL: Final = 600.0
"""Seconds that a VERIFIED verdict is held at most: the ten minutes for which callers may rely on one challenge."""
_MAX_REJECTED_TTL: Final = 60.0
"""Seconds that a REJECTED verdict is held at most, so that a repaired machine is seen soon."""
_MAX_BACKOFF: Final = 60.0
"""Seconds between two tries during an outage, at most."""


class VerdictCache:
    """Holds verdicts for verifiers, sync and async ones at once; safe under threads and event loops.

    A VERIFIED verdict is given out for ``ttl`` seconds from its evaluation, and never once its ``expires_at`` is
    reached. A REJECTED one is given out for ``rejected_ttl`` seconds and takes the place of a VERIFIED one. An
    INCONCLUSIVE one is no answer to keep: it is given out during a short back-off only, so that an outage is no
    stampede, and it neither replaces nor prolongs a verdict that still stands.

    Nothing is given out when the wall clock and the monotonic clock disagree by more than `limits.CLOCK_SKEW` since the
    verdict was put, or when the wall clock is that much before the verdict's evaluation. A time passed as ``now``
    (aware) stands in for the wall clock; it must keep pace with real time, or nothing is found.

    Args:
        ttl: seconds, at most 600; it can only be lowered.
        rejected_ttl: seconds, at most 60; it can only be lowered.
        backoff: seconds after the first INCONCLUSIVE verdict during which no new one is sought; doubled with each
            further one, until a verdict is decided.
        max_backoff: the longest back-off in seconds, at most 60.
        max_entries: keys held; the least recently used one goes first. A verdict with its evidence takes about 1 MB.
        monotonic: a clock in seconds that is never set.
        wall: gives the aware time; use the clock of the verifier, if that has one of its own.

    Raises:
        ConfigurationError: a number is out of range.
    """

    def __init__(
        self,
        *,
        ttl: float = _MAX_TTL,
        rejected_ttl: float = _MAX_REJECTED_TTL,
        backoff: float = 1.0,
        max_backoff: float = 30.0,
        max_entries: int = 64,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        _check_range("ttl", ttl, _MAX_TTL)
        _check_range("rejected_ttl", rejected_ttl, _MAX_REJECTED_TTL)
        _check_range("max_backoff", max_backoff, _MAX_BACKOFF)
        _check_range("backoff", backoff, max_backoff)
        if max_entries < 1:
            raise ConfigurationError(f"max_entries is {max_entries}, at least 1 was expected")
        self._lives = {Outcome.VERIFIED: ttl, Outcome.REJECTED: rejected_ttl}
        self._backoff, self._max_backoff = backoff, max_backoff
        self._max_entries = max_entries
        self._monotonic, self._wall = monotonic, wall
        self._slots: dict[CacheKey, Slot] = {}
        self._uses = itertools.count(1)
        self._lock = threading.Lock()
        self._flights: SingleFlight[HeldVerdict] = SingleFlight()

    def __len__(self) -> int:
        """How many keys are held, whether or not their verdicts still stand."""
        return len(self._slots)

    def get(self, key: CacheKey, *, now: datetime | None = None) -> AttestationVerdict | None:
        """The verdict that stands for a key, of whatever outcome; None where there is none.

        Raises:
            ConfigurationError: ``now`` has no time zone.
        """
        held = self._find(key, now)
        return None if held is None else held.verdict

    def put(self, key: CacheKey, verdict: AttestationVerdict, *, now: datetime | None = None) -> None:
        """Hold a verdict. To put the same one again changes nothing.

        A verdict that could not be given out (too old, from the future, VERIFIED without an end) is not held, nor is a
        VERIFIED one that was judged before a rejection that stands.

        Raises:
            ConfigurationError: the verdict is not of the key's provider, model, policy, roots or TLS key, or a time
                has no time zone.
        """
        self._keep(key, verdict, now)

    def get_or_verify(
        self, key: CacheKey, verify: Callable[[], AttestationVerdict], *, now: datetime | None = None
    ) -> AttestationVerdict:
        """The verdict that stands for a key, else what ``verify`` returns, which is held.

        Of all callers that miss at once one verifies, and the others wait for him. What ``verify`` raises goes to that
        caller alone.

        Raises:
            ConfigurationError: see `put`.
        """
        held = self._find(key, now)
        if held is not None:
            return held.verdict

        clock = self._going_on(now)

        def work() -> HeldVerdict:
            found = self._find(key, clock())  # another flight may have landed since we looked
            return self._keep(key, verify(), clock()) if found is None else found

        return self._flights.run(key, work, lambda held: self._suits(held, clock())).verdict

    async def get_or_verify_async(
        self, key: CacheKey, verify: Callable[[], Awaitable[AttestationVerdict]], *, now: datetime | None = None
    ) -> AttestationVerdict:
        """The same for asyncio; see `get_or_verify`.

        ``verify`` runs in a task of its own, which goes on while anybody waits for it and is cancelled after that.
        """
        held = self._find(key, now)
        if held is not None:
            return held.verdict

        clock = self._going_on(now)

        async def work() -> HeldVerdict:
            found = self._find(key, clock())
            return self._keep(key, await verify(), clock()) if found is None else found

        return (await self._flights.run_async(key, work, lambda held: self._suits(held, clock()))).verdict

    def forget(self, key: CacheKey) -> None:
        """Drop what is held under a key; later callers do not wait for a verification that is under way."""
        with self._lock:
            self._slots.pop(key, None)
        self._flights.detach(key)

    def clear(self) -> None:
        """Drop everything; see `forget`."""
        with self._lock:
            self._slots.clear()
        self._flights.detach()

    def _time(self, now: datetime | None) -> datetime:
        at = self._wall() if now is None else now
        if at.tzinfo is None:
            raise ConfigurationError("a time without time zone was given: pass aware times, for example in UTC")
        return at

    def _going_on(self, now: datetime | None) -> Callable[[], datetime | None]:
        """A time that was given, as it goes on while the caller waits; None stays the wall clock."""
        if now is None:
            return lambda: None
        begun = self._monotonic()
        return lambda: shifted(now, self._monotonic() - begun)

    def _find(self, key: CacheKey, now: datetime | None) -> HeldVerdict | None:
        """Without the lock: each step is one atomic read, and a slot's entries are replaced whole."""
        at, slot = self._time(now), self._slots.get(key)
        if slot is None:
            return None
        slot.used = next(self._uses)
        return slot.find(at, self._monotonic())

    def _suits(self, held: HeldVerdict, now: datetime | None) -> bool:
        """Whether the verdict of another caller's flight will do for one who waited; its back-off may be over."""
        at, mono = self._time(now), self._monotonic()
        if held.verdict.outcome is Outcome.INCONCLUSIVE:
            return held.clocks_agree(at, mono)
        return held.stands(at, mono)

    def _keep(self, key: CacheKey, verdict: AttestationVerdict, now: datetime | None) -> HeldVerdict:
        """Hold a verdict as far as it may be held; returns the entry to give out, held or not."""
        check_belongs(key, verdict)
        wall, mono = self._time(now), self._monotonic()
        with self._lock:
            slot = self._slots.get(key) or Slot()
            known = slot.holding(verdict) or slot.newer_rejection(verdict, wall, mono)
            if known is None and key.tls_spki:  # a rejection stands in the slot for whichever key
                known = self._slots.get(key.without_tls_key, Slot()).newer_rejection(verdict, wall, mono)
            if known is not None:
                return known
            if verdict.outcome is Outcome.INCONCLUSIVE:
                held = slot.outage = hold_outage(verdict, wall, mono, pause=self._pause(slot))
                slot.failures += 1
                if slot.decided is not None and not slot.decided.stands(wall, mono):
                    slot.decided = None
            else:
                held = hold_decided(verdict, wall, mono, ttl=self._lives[verdict.outcome])
                if not held.stands(wall, mono):
                    if verdict.outcome is Outcome.REJECTED:
                        self._slots.pop(key, None)
                        self._drop_other_tls_keys(key)
                    return held
                slot.decided, slot.outage, slot.failures = held, None, 0
                if verdict.outcome is Outcome.REJECTED:
                    self._drop_other_tls_keys(key)
            self._store(key, slot)
            return held

    def _pause(self, slot: Slot) -> float:
        return min(self._backoff * 2.0 ** min(slot.failures, 32), self._max_backoff)

    def _drop_other_tls_keys(self, key: CacheKey) -> None:
        """A rejection casts doubt on every machine behind the name, whichever TLS key it has; the lock is held."""
        for other in [other for other in self._slots if other != key and other.without_tls_key == key.without_tls_key]:
            del self._slots[other]

    def _store(self, key: CacheKey, slot: Slot) -> None:
        """Put a slot in its place; the lock is held."""
        slot.used = next(self._uses)
        self._slots[key] = slot
        while len(self._slots) > self._max_entries:
            del self._slots[min(self._slots, key=lambda held: self._slots[held].used)]


def _check_range(name: str, value: float, most: float) -> None:
    if not 0 < value <= most:
        raise ConfigurationError(f"{name} is {value}, more than 0 and at most {most:g} seconds were expected")
