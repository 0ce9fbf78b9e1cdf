"""NEAR AI in the simulation: hosts, evidence, chat and faults of its own."""

from __future__ import annotations

__all__: list[str] = []
