"""The arguments of a challenge: time, nonce and model, checked before anything is asked."""

from __future__ import annotations

import secrets
from datetime import datetime, timezone

from .errors import ConfigurationError

__all__ = ["aware", "checked_model", "checked_nonce", "utc_now"]


def utc_now() -> datetime:
    """The system's clock."""
    return datetime.now(timezone.utc)


def aware(at: object) -> datetime:
    """An aware time in UTC.

    Raises:
        ConfigurationError: the time has no time zone, or does not exist in UTC.
    """
    if not isinstance(at, datetime) or at.tzinfo is None:
        raise ConfigurationError("a time without time zone was given: pass aware times, for example in UTC")
    try:
        return at.astimezone(timezone.utc)
    except OverflowError:
        raise ConfigurationError("a time at the end of the calendar was given: pass one that exists in UTC") from None


def checked_nonce(nonce: object) -> bytes:
    """The caller's challenge (32 bytes), or a fresh one of the system's generator.

    Raises:
        ConfigurationError: it is not 32 bytes, or all zeros.
    """
    if nonce is None:
        return secrets.token_bytes(32)
    if not isinstance(nonce, bytes) or len(nonce) != 32 or not any(nonce):
        raise ConfigurationError("the nonce is not 32 random bytes: draw it with secrets.token_bytes(32)")
    return nonce


def checked_model(model: object) -> str:
    """The name of a model.

    Raises:
        ConfigurationError: it is no text of 1 to 512 printable characters.
    """
    if not isinstance(model, str) or not 0 < len(model) <= 512 or not model.isprintable():
        raise ConfigurationError("the model is not a name of 1 to 512 printable characters")
    return model
