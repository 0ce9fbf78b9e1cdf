"""Chutes in the simulation: hosts, evidence and faults of its own."""

from __future__ import annotations

__all__: list[str] = []
