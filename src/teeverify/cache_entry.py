"""One entry of the verdict cache: the key, the verdict, and the times between which it may be given out."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Final

from attrs import evolve, frozen

from .errors import ConfigurationError
from .limits import CLOCK_SKEW
from .roots import PRODUCTION_ROOTS
from .verdict import AttestationVerdict, Outcome

__all__ = ["CacheKey", "HeldVerdict", "Slot", "check_belongs", "hold_decided", "hold_outage", "shifted"]

_FIRST: Final = datetime.min.replace(tzinfo=timezone.utc)
_LAST: Final = datetime.max.replace(tzinfo=timezone.utc)
_PRODUCTION: Final = ("", PRODUCTION_ROOTS.digest)
"""How a key names the vendors' own trust anchors."""


@frozen(kw_only=True)
class CacheKey:
    """What a verdict depends on; verdicts of keys that differ in any member are never exchanged.

    ``origin`` is scheme and host that prompts go to. ``algorithm`` is the signing algorithm that was asked for.
    ``tls_spki`` is the SHA-256 (hex) of the SubjectPublicKeyInfo of the connection, empty for whichever key.
    ``policy_digest`` is `Policy.digest`, ``roots`` is `TrustRoots.digest`; empty stands for the vendors' own roots.
    """

    provider: str
    origin: str
    model: str
    algorithm: str
    tls_spki: str
    policy_digest: str
    roots: str = ""

    @property
    def without_tls_key(self) -> CacheKey:
        """The key for whichever connection."""
        return evolve(self, tls_spki="")


class HeldVerdict:
    """One verdict, put at the wall clock's ``wall`` and the monotonic clock's ``mono`` (seconds).

    By the wall clock it stands from ``start`` until ``end``, by the monotonic one for ``lives`` seconds from ``mono``;
    ends are exclusive. All times are aware.
    """

    __slots__ = ("end", "end_mono", "mono", "start", "verdict", "wall")

    def __init__(
        self, verdict: AttestationVerdict, wall: datetime, mono: float, *, start: datetime, end: datetime, lives: float
    ) -> None:
        self.verdict, self.wall, self.mono = verdict, wall, mono
        self.start, self.end, self.end_mono = start, end, mono + lives

    def stands(self, now: datetime, mono: float) -> bool:
        """True when the verdict may be given out."""
        return mono < self.end_mono and self.start <= now < self.end and self.clocks_agree(now, mono)

    def clocks_agree(self, now: datetime, mono: float) -> bool:
        """False when since then one clock was set, or stood still while the machine slept."""
        return abs((now - self.wall).total_seconds() - (mono - self.mono)) <= CLOCK_SKEW


class Slot:
    """What is held under one key: the last decided verdict, and the last of a row of outages.

    ``failures`` is the length of that row, ``used`` the number of the latest use. Entries are replaced whole, never
    changed, so that a slot can be read without a lock.
    """

    __slots__ = ("decided", "failures", "outage", "used")

    def __init__(self) -> None:
        self.decided: HeldVerdict | None = None
        self.outage: HeldVerdict | None = None
        self.failures = 0
        self.used = 0

    def find(self, now: datetime, mono: float) -> HeldVerdict | None:
        """What stands now; a decided verdict goes before an outage."""
        held = self.decided
        if held is not None and held.stands(now, mono):
            return held
        held = self.outage
        return held if held is not None and held.stands(now, mono) else None

    def holding(self, verdict: AttestationVerdict) -> HeldVerdict | None:
        """The entry of this very verdict."""
        return next((held for held in (self.decided, self.outage) if held and held.verdict is verdict), None)

    def newer_rejection(self, verdict: AttestationVerdict, now: datetime, mono: float) -> HeldVerdict | None:
        """A rejection that still stands and was judged after a VERIFIED verdict that comes in late."""
        before = self.decided
        if before is None or before.verdict.outcome is not Outcome.REJECTED or not verdict.verified:
            return None
        return before if before.verdict.evaluated_at > verdict.evaluated_at and before.stands(now, mono) else None


def hold_decided(verdict: AttestationVerdict, wall: datetime, mono: float, *, ttl: float) -> HeldVerdict:
    """An entry that stands for ``ttl`` seconds from the evaluation, where VERIFIED until ``expires_at`` at most.

    A VERIFIED verdict without ``expires_at`` never stands.
    """
    judged = verdict.evaluated_at
    end = shifted(judged, ttl)
    if verdict.outcome is Outcome.VERIFIED:
        end = _FIRST if verdict.expires_at is None else min(end, verdict.expires_at)
    age = max(0.0, (wall - judged).total_seconds())
    lives = min(ttl - age, (end - wall).total_seconds())  # by the monotonic clock too: the wall clock may be set back
    return HeldVerdict(verdict, wall, mono, start=shifted(judged, -CLOCK_SKEW), end=end, lives=lives)


def hold_outage(verdict: AttestationVerdict, wall: datetime, mono: float, *, pause: float) -> HeldVerdict:
    """An entry that stands for ``pause`` seconds of the monotonic clock, whatever was judged when."""
    return HeldVerdict(verdict, wall, mono, start=_FIRST, end=_LAST, lives=pause)


def check_belongs(key: CacheKey, verdict: AttestationVerdict) -> None:
    """Refuse a verdict under a key that it does not answer.

    Raises:
        ConfigurationError: provider, model, policy, kind of roots or TLS key differ, or a time has no time zone.
    """
    for name in ("provider", "model", "policy_digest"):
        if getattr(verdict, name) != getattr(key, name):
            raise ConfigurationError(
                f"the verdict's {name} is {getattr(verdict, name)!r}, its cache key says {getattr(key, name)!r}: "
                "hold a verdict under its own key"
            )
    if verdict.roots_digest and verdict.roots_digest != (key.roots or PRODUCTION_ROOTS.digest):
        raise ConfigurationError("the verdict was judged under other trust anchors than its cache key names")
    if verdict.test_roots and key.roots in _PRODUCTION:
        raise ConfigurationError("a verdict under test roots was to be held under a key of the vendors' own roots")
    if verdict.outcome is Outcome.VERIFIED and key.tls_spki:
        attested = verdict.attested_tls_spki
        if attested is None or attested.hex() != key.tls_spki:
            raise ConfigurationError("the verdict does not attest the TLS key that its cache key names")
    if verdict.evaluated_at.tzinfo is None or (verdict.expires_at is not None and verdict.expires_at.tzinfo is None):
        raise ConfigurationError("a time of the verdict has no time zone: pass aware times, for example in UTC")


def shifted(moment: datetime, seconds: float) -> datetime:
    """The aware time so many seconds later (earlier, where negative), or the last or first that there is."""
    try:
        return moment + timedelta(seconds=seconds)
    except OverflowError:
        return _LAST if seconds > 0 else _FIRST
