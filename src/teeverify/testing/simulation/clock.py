"""The simulation's time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

from teeverify.errors import ConfigurationError

__all__ = ["utc_clock"]


def utc_clock(at: datetime | Callable[[], datetime] | None) -> Callable[[], datetime]:
    """A clock in UTC that says one moment, or what a function says, or the machine's time.

    Raises:
        ConfigurationError: the moment has no time zone.
    """
    if isinstance(at, datetime):
        if at.tzinfo is None:
            raise ConfigurationError("a time without time zone was given: pass an aware one, for example in UTC")
        moment = at.astimezone(timezone.utc)
        return lambda: moment
    if at is None:
        return lambda: datetime.now(timezone.utc)
    return lambda: at().astimezone(timezone.utc)
