"""OpenGradient in the simulation: nodes, an enclave, a relay, and faults of their own."""

from __future__ import annotations

__all__: list[str] = []
