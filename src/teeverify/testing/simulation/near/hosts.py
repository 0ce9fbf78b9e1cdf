"""The host names of NEAR AI, and which machine they mean."""

from __future__ import annotations

import re
from typing import Final

from teeverify.testing.near_world import CLOUD_HOST, DIRECT_HOST
from teeverify.testing.simulation.hosts import LOCAL_NAMES

__all__ = ["CLOUD_HOST", "DIRECT_HOST", "DISCOVERY_HOST", "backend_host", "backend_of", "is_near"]

DISCOVERY_HOST: Final = "completions.near.ai"

_LABEL: Final = DIRECT_HOST.removesuffix(f".{DISCOVERY_HOST}")
_BACKEND: Final = re.compile(rf"{re.escape(_LABEL)}-i([0-9]{{1,4}})\.{re.escape(DISCOVERY_HOST)}\Z")


def backend_host(number: int) -> str:
    """The name under which one machine behind the model's host is reached."""
    return f"{_LABEL}-i{number}.{DISCOVERY_HOST}"


def backend_of(host: str) -> int | None:
    """The number of the machine that a host name means; None where it means no single machine."""
    matched = _BACKEND.match(host)
    return None if matched is None else int(matched[1])


def is_near(host: str) -> bool:
    """Whether the host is one of NEAR's, or this machine."""
    return host in (CLOUD_HOST, DIRECT_HOST, DISCOVERY_HOST, *LOCAL_NAMES) or backend_of(host) is not None
