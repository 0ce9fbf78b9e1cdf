"""Making alterations of a Chutes session."""

from __future__ import annotations

from attrs import field, frozen

from .chutes_traffic import ChutesTraffic
from .maker import Maker

__all__ = ["ChutesMaker"]


@frozen(kw_only=True)
class ChutesMaker(Maker):
    """Builds alterations of one Chutes session; ``facts`` are those of `chutes_rules`."""

    traffic: ChutesTraffic = field(repr=False)
