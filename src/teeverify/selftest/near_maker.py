"""Making alterations of a NEAR session."""

from __future__ import annotations

from attrs import field, frozen

from .near_traffic import NearTraffic
from .report_maker import ReportMaker

__all__ = ["NearMaker"]


@frozen(kw_only=True)
class NearMaker(ReportMaker):
    """Builds alterations of one NEAR session; ``facts`` are those of `near_rules`."""

    traffic: NearTraffic = field(repr=False)
