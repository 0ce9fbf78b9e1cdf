"""Whatever happens in whatever order, the verdict cache gives out nothing that may not be given out."""

from __future__ import annotations

from datetime import datetime, timedelta

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from teeverify.cache import CacheKey
from teeverify.limits import CLOCK_SKEW
from teeverify.verdict import AttestationVerdict, Outcome

from .verdicts import Clocks, cache_at, key, verdict

MODELS = ("a", "b", "c")
SECONDS = st.one_of(st.sampled_from([0.0, 0.5, 1.0, 59.0, 60.0, 299.0, 301.0, 599.0, 600.0]), st.floats(0, 1000))
AGES = st.one_of(SECONDS, st.floats(-400, 0))
SKEW = timedelta(seconds=CLOCK_SKEW)


@attrs.frozen
class _Put:
    """When a verdict was put, by both clocks."""

    verdict: AttestationVerdict
    now: datetime
    mono: float


class CacheMachine(RuleBasedStateMachine):
    """Puts, asks and lets time pass; remembers for each key what was put, in order."""

    @initialize(ttl=st.sampled_from([600.0, 90.0]), entries=st.sampled_from([1, 2, 64]))
    def start(self, ttl: float, entries: int) -> None:
        """A new cache."""
        self.ttl, self.entries = ttl, entries
        self.clocks = Clocks()
        self.cache = cache_at(self.clocks, ttl=ttl, max_entries=entries)
        self.puts: dict[CacheKey, list[_Put]] = {key(model=model): [] for model in MODELS}
        self.jumped = False

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: float) -> None:
        """Both clocks go on."""
        self.clocks.advance(seconds)

    @rule(seconds=st.floats(-2000, 2000))
    def the_wall_clock_is_set(self, seconds: float) -> None:
        """Only the wall clock moves."""
        self.clocks.jump(seconds)
        self.jumped = True

    @rule(model=st.sampled_from(MODELS), outcome=st.sampled_from(Outcome), age=AGES, lives=SECONDS)
    def a_verdict_is_put(self, model: str, outcome: Outcome, age: float, lives: float) -> None:
        """A verdict that was evaluated some time ago, or in the near future of our clock."""
        at = self.clocks.now - timedelta(seconds=age)
        self._put(model, self._verdict(model, outcome, at, lives))

    @rule(model=st.sampled_from(MODELS), place=st.integers(0, 20))
    def an_old_one_is_put_again(self, model: str, place: int) -> None:
        """The very same verdict once more."""
        puts = self.puts[key(model=model)]
        if puts:
            self._put(model, puts[place % len(puts)].verdict)

    @rule(model=st.sampled_from(MODELS), outcome=st.sampled_from(Outcome), lives=SECONDS)
    def somebody_asks(self, model: str, outcome: Outcome, lives: float) -> None:
        """A held verdict or a fresh one, and the fresh one only when nothing is held."""
        asked, made = key(model=model), self._verdict(model, outcome, self.clocks.now, lives)
        held = self.cache.get(asked)
        got = self.cache.get_or_verify(asked, lambda: made)
        assert got is (made if held is None else held)
        if held is None:
            self.puts[asked].append(_Put(made, self.clocks.now, self.clocks.mono))

    @invariant()
    def only_what_may_be_given_out_is(self) -> None:
        """The rules, key by key."""
        for asked in self.puts:
            got = self.cache.get(asked)
            if got is not None:
                self._judge(asked, got)
        assert len(self.cache) <= self.entries

    @invariant()
    def what_was_just_verified_is_found(self) -> None:
        """The cache is of use: with steady clocks and room, the last verdict put is given out while it stands."""
        if self.jumped or self.entries < len(MODELS):
            return
        for asked, puts in self.puts.items():
            if puts and puts[-1].verdict.verified and all(p.verdict.outcome is Outcome.VERIFIED for p in puts):
                last, put_at = puts[-1].verdict, puts[-1].now
                assert last.expires_at is not None
                end = min(last.expires_at, last.evaluated_at + timedelta(seconds=self.ttl - 0.01))
                if last.evaluated_at <= put_at and self.clocks.now < end:
                    assert self.cache.get(asked) is not None

    def _verdict(self, model: str, outcome: Outcome, at: datetime, lives: float) -> AttestationVerdict:
        end = at + timedelta(seconds=lives) if outcome is Outcome.VERIFIED else None
        return verdict(outcome, at=at, model=model, expires_at=end)

    def _put(self, model: str, put: AttestationVerdict) -> None:
        asked = key(model=model)
        self.cache.put(asked, put)
        self.puts[asked].append(_Put(put, self.clocks.now, self.clocks.mono))

    def _judge(self, asked: CacheKey, got: AttestationVerdict) -> None:
        now, mono = self.clocks.now, self.clocks.mono
        puts = self.puts[asked]
        mine = [put for put in puts if put.verdict is got]
        assert mine, "a verdict that was never put under this key"
        longest = {Outcome.VERIFIED: self.ttl, Outcome.REJECTED: 60.0, Outcome.INCONCLUSIVE: 30.0}[got.outcome]
        assert any(mono - put.mono < longest for put in mine)
        assert any(abs((now - put.now).total_seconds() - (mono - put.mono)) <= CLOCK_SKEW for put in mine)
        if got.outcome is not Outcome.INCONCLUSIVE:
            assert got.evaluated_at - SKEW <= now < got.evaluated_at + timedelta(seconds=longest)
        if got.outcome is Outcome.VERIFIED:
            assert got.expires_at is not None
            assert now < got.expires_at
            last = max(place for place, put in enumerate(puts) if put.verdict is got)
            assert all(put.verdict.outcome is not Outcome.REJECTED for put in puts[last + 1 :])


TestCacheMachine = CacheMachine.TestCase
TestCacheMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
