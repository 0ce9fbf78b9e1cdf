"""Puts the simulated services together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from teeverify.testing.keys import KeyRing
from teeverify.testing.near import NearSession

from .chat import ChatDesk
from .evidence import EvidenceDesk, Shape
from .routes.endorsers import EndorserRoutes
from .routes.near import NearRoutes
from .site import FaultBox, SimulatedSite, all_devices
from .tls import CertificateShelf

__all__ = ["assembled_site"]


def assembled_site(
    shape: Shape,
    *,
    truth: NearSession,
    clock: Callable[[], datetime],
    box: FaultBox,
    directory: Path,
    api_key: str,
    signature_kind: str | None,
    latency: float,
) -> SimulatedSite:
    """All services of a deployment; ``truth`` is a truthful session of it, ``directory`` takes TLS key files."""
    keys = KeyRing(shape.seed)
    desk = EvidenceDesk(shape, clock)
    chat = ChatDesk(
        keys,
        model_name=shape.model_name,
        model=truth.model.signing,
        gateway=None if truth.gateway is None else truth.gateway.signing,
        now=lambda: int(clock().timestamp()),
    )
    near = NearRoutes(
        shape=shape,
        keys=keys,
        desk=desk,
        chat=chat,
        api_key=api_key,
        signature_kind=signature_kind,
        fault=lambda: box.fault,
    )
    endorsers = EndorserRoutes(
        keys=keys, desk=desk, devices=lambda: all_devices(shape, keys), clock=clock, fault=lambda: box.fault
    )
    return SimulatedSite(
        shape=shape,
        keys=keys,
        shelf=CertificateShelf(keys, directory),
        desk=desk,
        near=near,
        endorsers=endorsers,
        latency=latency,
        box=box,
    )
