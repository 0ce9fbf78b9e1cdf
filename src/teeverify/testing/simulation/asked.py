"""What the simulated services were asked, in order and in time."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Final

from attrs import evolve, frozen

__all__ = ["Asked", "AskedLog"]

_MAX_KEPT: Final = 100_000


@frozen(kw_only=True)
class Asked:
    """One request.

    ``order`` counts requests by arrival from 0, ``connection`` counts connections. ``target`` is the path with the
    query. ``started`` and ``ended`` are seconds of a monotonic clock. ``ended`` and ``status`` are None until the last
    piece of the answer is on its way, and ``status`` stays None where there was no answer.
    """

    order: int
    connection: int
    method: str
    host: str
    target: str
    started: float
    ended: float | None = None
    status: int | None = None

    @property
    def path(self) -> str:
        """The path without the query."""
        return self.target.partition("?")[0]


class AskedLog:
    """Requests in the order of their arrival; safe under threads. Bodies and headers are not kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[int, Asked] = {}
        self._orders = itertools.count()
        self._open = self._most = 0
        self._names: list[str | None] = []

    def began(self, connection: int, method: str, host: str, target: str) -> int:
        """Note a request; returns its order, which `ended` takes."""
        with self._lock:
            order = next(self._orders)
            self._entries[order] = Asked(
                order=order, connection=connection, method=method, host=host, target=target, started=time.monotonic()
            )
            if len(self._entries) > _MAX_KEPT:
                del self._entries[next(iter(self._entries))]
            self._open += 1
            self._most = max(self._most, self._open)
            return order

    def ended(self, order: int, status: int | None) -> None:
        """Note that a request was dealt with."""
        with self._lock:
            self._open -= 1
            if order in self._entries:
                self._entries[order] = evolve(self._entries[order], ended=time.monotonic(), status=status)

    def greeted(self, server_name: str | None) -> None:
        """Note that a client began a TLS handshake for a host name."""
        with self._lock:
            self._names.append(server_name)
            del self._names[:-_MAX_KEPT]

    @property
    def entries(self) -> tuple[Asked, ...]:
        """All requests so far, in the order of their arrival."""
        with self._lock:
            return tuple(self._entries.values())

    @property
    def names(self) -> tuple[str | None, ...]:
        """The host name of every TLS handshake that was begun, None where the client named none."""
        with self._lock:
            return tuple(self._names)

    @property
    def most_at_once(self) -> int:
        """The largest number of requests that were open at one time."""
        with self._lock:
            return self._most

    @property
    def rounds(self) -> int:
        """How many requests waited for one another: the longest chain in which each began after the last had ended.

        With a latency that is long against the rest, that is how often a client waited for a round trip.
        """
        finished = sorted((entry for entry in self.entries if entry.ended is not None), key=lambda one: one.ended or 0)
        count, free = 0, float("-inf")
        for entry in finished:
            if entry.started >= free and entry.ended is not None:
                count, free = count + 1, entry.ended
        return count

    def forget(self) -> None:
        """Start anew; requests that are open stay open."""
        with self._lock:
            self._entries.clear()
            self._names.clear()
            self._most = self._open
