"""RedPill, vllm-proxies, NanoGPT and Venice in the simulation: hosts, evidence, chat and faults."""

from __future__ import annotations

__all__: list[str] = []
