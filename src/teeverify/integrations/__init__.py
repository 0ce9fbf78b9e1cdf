"""Transports over clients that the caller already has; each imports its library on first use only."""

from __future__ import annotations

__all__: list[str] = []
