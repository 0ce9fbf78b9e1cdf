"""RedPill, NanoGPT, Venice and a vllm-proxy: all alterations of a saved session in the shapes of dstack and NEAR."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from ..policy import Policy
from ..providers.front_wire import Front
from ..saved import SavedReport
from .alteration import Alteration
from .front_maker import FrontMaker
from .front_rules import FRONT_RULES, facts_of
from .front_session import session_alterations
from .front_traffic import FrontTraffic
from .intel import intel_alterations
from .nvidia import nvidia_alterations
from .report_gpus import gpu_count
from .report_records import record_alterations

__all__ = ["front_alterations"]


def front_alterations(
    report: SavedReport, policy: Policy, front: Front, *, every_leaf: bool = False
) -> Iterator[Alteration]:
    """Alterations of a session that is VERIFIED under the policy, always the same ones in the same order.

    Raises:
        FormatError: the report is no session with that front.
        ConfigurationError: its report has a shape that cannot be altered.
    """
    traffic = FrontTraffic.read(report, policy, front)
    maker = FrontMaker(traffic=traffic, rules=FRONT_RULES, facts=frozenset(), every_leaf=every_leaf)
    gpus = [gpu_count(maker, record) for record in traffic.records if record.role == "model"]
    maker = attrs.evolve(maker, facts=facts_of(traffic, min(gpus, default=0)))
    yield from session_alterations(maker)
    yield from record_alterations(maker)
    yield from intel_alterations(maker)
    yield from nvidia_alterations(maker)
