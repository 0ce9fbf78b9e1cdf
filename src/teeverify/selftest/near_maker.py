"""Making alterations of a NEAR session."""

from __future__ import annotations

from attrs import field, frozen

from .maker import Maker
from .near_traffic import NearTraffic

__all__ = ["NearMaker"]


@frozen(kw_only=True)
class NearMaker(Maker):
    """Builds alterations of one NEAR session; ``facts`` are those of `near_rules`."""

    traffic: NearTraffic = field(repr=False)
