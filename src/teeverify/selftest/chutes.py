"""Chutes: all alterations of a saved session, from the file's own members to NVIDIA's keys."""

from __future__ import annotations

from collections.abc import Iterator

from ..policy import Policy
from ..saved import SavedReport
from .alteration import Alteration
from .chutes_instances import instance_alterations
from .chutes_maker import ChutesMaker
from .chutes_records import record_alterations
from .chutes_rules import CHUTES_RULES, facts_of
from .chutes_session import session_alterations
from .chutes_traffic import ChutesTraffic
from .intel import intel_alterations
from .nvidia import nvidia_alterations

__all__ = ["chutes_alterations"]


def chutes_alterations(report: SavedReport, policy: Policy, *, every_leaf: bool = False) -> Iterator[Alteration]:
    """Alterations of a session that is VERIFIED under the policy, always the same ones in the same order.

    Those of instances that are not VERIFIED themselves are among them.

    Raises:
        FormatError: the report is no Chutes session.
    """
    traffic = ChutesTraffic.read(report, policy)
    maker = ChutesMaker(traffic=traffic, rules=CHUTES_RULES, facts=facts_of(traffic), every_leaf=every_leaf)
    yield from session_alterations(maker)
    yield from record_alterations(maker)
    yield from instance_alterations(maker)
    yield from intel_alterations(maker)
    yield from nvidia_alterations(maker)
