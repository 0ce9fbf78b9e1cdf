"""Puts the simulated services together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from teeverify.testing.keys import KeyRing

from .deployment import Deployment
from .endorsers import EndorserRoutes
from .fault_box import FaultBox
from .front import EndorsedFront
from .site import SimulatedSite
from .tls import CertificateShelf

__all__ = ["assembled_site"]


def assembled_site(
    deployment: Deployment[Any],
    *,
    clock: Callable[[], datetime],
    box: FaultBox[Any],
    directory: Path,
    api_key: str,
    latency: float,
) -> SimulatedSite:
    """The provider's services and those of Intel and NVIDIA; ``directory`` takes TLS key files."""
    keys = KeyRing(deployment.seed)
    front = deployment.front(api_key=api_key, clock=clock, box=box)
    return SimulatedSite(
        keys=keys,
        shelf=CertificateShelf(keys, directory),
        front=front,
        endorsers=EndorserRoutes(
            keys=keys, desk=front.desk, devices=front.devices, clock=clock, judges=front.judges_unseen
        )
        if isinstance(front, EndorsedFront)
        else None,
        latency=latency,
        box=box,
    )
