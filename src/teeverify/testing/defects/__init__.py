"""Named faults of NEAR reports: what an attacker, an outage or a bug would show, each with what must find it.

An attacker is given all the power that he has: he re-signs whatever his keys can sign, and replays a forged event log
consistently in a TD of his own. Names that begin with "good" are no faults: they must be VERIFIED, and keep the
verifier from rejecting what is merely unusual.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from . import (  # noqa: F401 - importing a module declares its defects
    binding,
    boot,
    collateral,
    compose_manager,
    documents,
    event_logs,
    gateway,
    good,
    gpu,
    nras,
    outages,
    platform,
    quotes,
    td,
)
from .model import INCONCLUSIVE, REJECTED, VERIFIED, Defect, declared

__all__ = ["DEFECTS", "INCONCLUSIVE", "REJECTED", "VERIFIED", "Defect"]

DEFECTS: Final[Mapping[str, Defect]] = declared()
"""All of them, by name."""
