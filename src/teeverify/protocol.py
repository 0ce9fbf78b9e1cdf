"""What callers rely on, whichever class implements it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from .exchange import Exchange
    from .saved import SavedReport
    from .verdict import AttestationVerdict, VerifiedExchange

__all__ = ["ConfidentialVerifier"]


@runtime_checkable
class ConfidentialVerifier(Protocol):
    """Judges the attestation evidence and the exchanges of one provider."""

    @property
    def provider(self) -> str:
        """Name of the provider, as in policies and saved reports."""
        ...

    def verify_attestation(
        self, model: str, *, nonce: bytes | None = None, now: datetime | None = None
    ) -> AttestationVerdict:
        """Challenge the provider afresh and judge what it answers."""
        ...

    def attestation_cached(self, model: str, *, now: datetime | None = None) -> AttestationVerdict:
        """The verdict that is still held for a model, or a fresh one."""
        ...

    def verify_exchange(self, exchange: Exchange, *, now: datetime | None = None) -> VerifiedExchange:
        """Judge whether a request and its response passed through the attested machine unchanged."""
        ...

    def verify_saved(self, report: SavedReport, *, at: datetime | None = None) -> AttestationVerdict:
        """Judge a saved report as of ``at``, or of the time at which it says it was recorded."""
        ...
