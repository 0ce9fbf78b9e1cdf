"""The endorsement cache: answers of Intel and of NVIDIA's key service, kept until the dates inside them.

It grants no trust. Whatever comes out of it is verified again by the checks, as if it had just been fetched.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timezone
from typing import TypeVar
from urllib.parse import urlsplit

from attrs import define, field, frozen

from .endorsements.answers import ENDORSER_HOSTS
from .endorsements.validity import good_until, is_key_set
from .errors import ConfigurationError
from .flow import Answer, Flow, Request, Response
from .limits import CLOCK_SKEW
from .saved import SavedReport

__all__ = ["EndorsementCache", "StagedEndorsements"]

T = TypeVar("T")


@frozen(kw_only=True)
class _Received:
    """One answer, received at the wall clock's ``wall`` (aware) and the monotonic clock's ``mono`` (seconds)."""

    response: Response
    wall: datetime
    mono: float


@frozen(kw_only=True)
class _Kept:
    """An answer that stands until ``end`` by the wall clock and ``end_mono`` by the monotonic one, both exclusive."""

    received: _Received
    end: datetime
    end_mono: float

    def stands(self, now: datetime, mono: float) -> bool:
        """True when the answer may be used; False also when one of the clocks was set or stood still since."""
        drift = (now - self.received.wall).total_seconds() - (mono - self.received.mono)
        return now < self.end and mono < self.end_mono and abs(drift) <= CLOCK_SKEW


@define(kw_only=True)
class StagedEndorsements:
    """What one session fetched and may come to be kept, by URL.

    With ``bypass`` everything is fetched afresh. ``used`` becomes True when an answer came out of the cache.
    """

    bypass: bool = False
    used: bool = field(default=False, init=False)
    fresh: dict[str, _Received] = field(factory=dict, init=False, repr=False)


class EndorsementCache:
    """Keeps Intel's collateral and NVIDIA's key set for verifiers; safe under threads.

    Kept are answers with status 200 to a GET of the endorsers' hosts, by their exact URL, and only those whose end can
    be read: TCB info, QE identity, revocation lists and the key set. What NVIDIA says about one piece of evidence is
    never kept. An answer is kept until the earliest date inside it, and ``max_age`` at most.

    Args:
        max_age: seconds, so that a TCB recovery is noticed within a day and not only at nextUpdate (30 days); None
            leaves it at nextUpdate.
        jwks_max_age: seconds that NVIDIA's key set is kept at most.
        max_entries: answers kept; the least recently used one goes first. One is at most 1 MiB, most are below 100 KiB.
        monotonic: a clock in seconds that is never set.
        wall: gives the aware time; use the clock of the verifier, if that has one of its own.

    Raises:
        ConfigurationError: a number is not positive.
    """

    def __init__(
        self,
        *,
        max_age: float | None = 86400.0,
        jwks_max_age: float = 3600.0,
        max_entries: int = 64,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        for name, value in (("max_age", max_age), ("jwks_max_age", jwks_max_age), ("max_entries", max_entries)):
            if value is not None and not value > 0:
                raise ConfigurationError(f"{name} is {value}, a positive number was expected")
        self._max_age = float("inf") if max_age is None else max_age
        self._jwks_max_age = min(jwks_max_age, self._max_age)
        self._max_entries = max_entries
        self._monotonic, self._wall = monotonic, wall
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many answers are kept, whether or not they still stand."""
        return len(self._kept)

    def serve(self, flow: Flow[T], staged: StagedEndorsements) -> Flow[T]:
        """The same flow, asking only for what is not kept; the flow receives all answers in its own order.

        What was fetched is noted in ``staged`` and kept by `commit` only.
        """
        try:
            batch = next(flow)
            while True:
                kept = tuple(None if staged.bypass else self._find(request) for request in batch)
                missing = tuple(request for request, known in zip(batch, kept, strict=True) if known is None)
                fetched = (yield missing) if missing else ()
                self._note(staged, missing, fetched)
                staged.used = staged.used or len(missing) < len(batch)
                batch = flow.send(_merged(kept, fetched))
        except StopIteration as done:
            result: T = done.value
            return result
        finally:
            flow.close()

    def commit(self, staged: StagedEndorsements) -> None:
        """Keep what a session fetched. Call it after a VERIFIED verdict only, so that no bad answer sticks."""
        for url, received in staged.fresh.items():
            kept = self._judge(url, received)
            if kept is None:
                continue
            with self._lock:
                known = self._kept.get(url)
                if known is None or known.received.mono <= received.mono:
                    self._store(url, kept)

    def seed(self, report: SavedReport) -> int:
        """Take over the answers of a saved report, so that a process can start without Intel; returns how many.

        They are no more trusted than any other answer, and never take the place of one that stands. They count as
        received now, so ``max_age`` does not notice how old the report is: only their own dates do. Whoever made the
        report chose which of Intel's valid statements is used, so take reports of your own.
        """
        count = 0
        for exchange in report.exchanges:
            request, response = exchange.request, exchange.response
            now, mono = self._clocks()
            if not _may_be_kept(request):
                continue
            kept = self._judge(request.url, _Received(response=response, wall=now, mono=mono))
            if kept is None:
                continue
            with self._lock:
                known = self._kept.get(request.url)
                if known is None or not known.stands(now, mono):
                    self._store(request.url, kept)
                    count += 1
        return count

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._kept.clear()

    def _clocks(self) -> tuple[datetime, float]:
        now = self._wall()
        if now.tzinfo is None:
            raise ConfigurationError("the wall clock gives a time without time zone: pass one that gives aware times")
        return now, self._monotonic()

    def _find(self, request: Request) -> Response | None:
        if not _may_be_kept(request):
            return None
        now, mono = self._clocks()
        with self._lock:
            kept = self._kept.get(request.url)
            if kept is None or not kept.stands(now, mono) or len(kept.received.response.body) > request.limit:
                return None
            self._kept.move_to_end(request.url)
            return kept.received.response

    def _note(self, staged: StagedEndorsements, requests: tuple[Request, ...], answers: tuple[Answer, ...]) -> None:
        now, mono = self._clocks()
        for request, answer in zip(requests, answers, strict=True):
            if isinstance(answer, Response) and answer.status == 200 and _may_be_kept(request):
                staged.fresh[request.url] = _Received(response=answer, wall=now, mono=mono)

    def _judge(self, url: str, received: _Received) -> _Kept | None:
        """The answer as it may be kept; None where its end cannot be read or has come."""
        end = good_until(url, received.response, at=received.wall)
        if end is None:
            return None
        longest = self._jwks_max_age if is_key_set(url) else self._max_age
        lives = min(longest, (end - received.wall).total_seconds())
        return _Kept(received=received, end=end, end_mono=received.mono + lives)

    def _store(self, url: str, kept: _Kept) -> None:
        """Put an answer in its place; the lock is held."""
        self._kept[url] = kept
        self._kept.move_to_end(url)
        while len(self._kept) > self._max_entries:
            self._kept.popitem(last=False)


def _may_be_kept(request: Request) -> bool:
    if request.method != "GET" or request.body is not None:
        return False
    try:
        parts = urlsplit(request.url)
    except ValueError:
        return False
    return parts.scheme == "https" and parts.netloc in ENDORSER_HOSTS


def _merged(kept: tuple[Response | None, ...], fetched: tuple[Answer, ...]) -> tuple[Answer, ...]:
    """Kept and fetched answers in the order of the requests."""
    rest = list(reversed(fetched))
    return tuple(rest.pop() if known is None else known for known in kept)
