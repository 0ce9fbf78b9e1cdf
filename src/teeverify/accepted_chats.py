"""The memory of accepted exchanges, so that an old answer is not accepted again."""

from __future__ import annotations

import threading
from collections import OrderedDict

from .exchange import Exchange
from .limits import MAX_ACCEPTED_CHATS

__all__ = ["AcceptedChats"]


class AcceptedChats:
    """What was accepted, so that an old answer is not accepted again; bounded, safe under threads.

    An exchange is known by its chat id, and by the digests of its request and response: the id may have come from
    outside the signed bytes.
    """

    def __init__(self, limit: int = MAX_ACCEPTED_CHATS) -> None:
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._limit = 3 * limit
        self._lock = threading.Lock()

    def __contains__(self, exchange: Exchange) -> bool:
        return self.seen(exchange)

    def seen(self, exchange: Exchange, mark: str | None = None) -> bool:
        """True when the exchange was accepted before, or another one with the same mark of what was signed."""
        marks = _marks(exchange, mark)
        with self._lock:
            return any(known in self._seen for known in marks)

    def add(self, exchange: Exchange, mark: str | None = None) -> bool:
        """Remember an exchange; False when it was known already. Beyond the limit the oldest is forgotten."""
        marks = _marks(exchange, mark)
        with self._lock:
            known = any(mark in self._seen for mark in marks)
            self._seen.update(dict.fromkeys(marks))
            while len(self._seen) > self._limit:
                self._seen.popitem(last=False)
            return not known


def _marks(exchange: Exchange, mark: str | None) -> tuple[str, ...]:
    """What a copy of an accepted exchange would share with it; an id outside of what was signed is only one of them."""
    own = [f"digests {exchange.request_digest.hex()} {exchange.response_digest.hex()}"]
    if exchange.chat_id is not None:  # streams of some providers have none, and are known by what was signed
        own.append(f"id {exchange.chat_id}")
    return tuple(own) if mark is None else (*own, f"signed {mark}")
