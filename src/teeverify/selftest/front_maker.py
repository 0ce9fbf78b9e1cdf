"""Making alterations of a session with a front."""

from __future__ import annotations

from attrs import field, frozen

from .front_traffic import FrontTraffic
from .report_maker import ReportMaker

__all__ = ["FrontMaker"]


@frozen(kw_only=True)
class FrontMaker(ReportMaker):
    """Builds alterations of one session; ``facts`` are those of `front_rules`."""

    traffic: FrontTraffic = field(repr=False)
