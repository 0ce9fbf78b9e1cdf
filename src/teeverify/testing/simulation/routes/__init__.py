"""What each of the simulated services answers."""

from __future__ import annotations

__all__: list[str] = []
