"""NEAR AI: all alterations of a saved session, from the file's own members to NVIDIA's keys."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from ..policy import Policy
from ..saved import SavedReport
from .alteration import Alteration
from .intel import intel_alterations
from .near_maker import NearMaker
from .near_rules import NEAR_RULES, facts_of
from .near_session import session_alterations
from .near_traffic import NearTraffic
from .nvidia import nvidia_alterations
from .report_gpus import gpu_count
from .report_records import record_alterations

__all__ = ["near_alterations"]


def near_alterations(report: SavedReport, policy: Policy, *, every_leaf: bool = False) -> Iterator[Alteration]:
    """Alterations of a session that is VERIFIED under the policy, always the same ones in the same order.

    Raises:
        FormatError: the report is no NEAR session.
    """
    traffic = NearTraffic.read(report, policy)
    maker = NearMaker(traffic=traffic, rules=NEAR_RULES, facts=frozenset(), every_leaf=every_leaf)
    gpus = [gpu_count(maker, record) for record in traffic.records if record.role == "model"]
    maker = attrs.evolve(maker, facts=facts_of(traffic, min(gpus, default=0)))
    yield from session_alterations(maker)
    yield from record_alterations(maker)
    yield from intel_alterations(maker)
    yield from nvidia_alterations(maker)
