"""Making alterations of a session whose evidence is one dstack report."""

from __future__ import annotations

from attrs import field, frozen

from .maker import Maker
from .report_traffic import ReportTraffic

__all__ = ["ReportMaker"]


@frozen(kw_only=True)
class ReportMaker(Maker):
    """Builds alterations of one session; ``facts`` are those of `report_rules` and of the provider's own table."""

    traffic: ReportTraffic = field(repr=False)
