"""Services of attested confidential inference in the simulation: host, evidence, chat, receipts and faults."""

from __future__ import annotations

__all__: list[str] = []
