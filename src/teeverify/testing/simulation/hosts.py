"""The host names of the simulated world, and whose they are."""

from __future__ import annotations

import re
from typing import Final

from teeverify.testing.near_world import CLOUD_HOST, DIRECT_HOST

__all__ = [
    "CLOUD_HOST",
    "DIRECT_HOST",
    "DISCOVERY_HOST",
    "INTEL",
    "INTEL_HOSTS",
    "LOCAL_NAMES",
    "NVIDIA",
    "NVIDIA_HOSTS",
    "PROVIDER",
    "backend_host",
    "backend_of",
    "group_of",
]

DISCOVERY_HOST: Final = "completions.near.ai"
INTEL_HOSTS: Final = ("api.trustedservices.intel.com", "certificates.trustedservices.intel.com")
NVIDIA_HOSTS: Final = ("nras.attestation.nvidia.com",)
LOCAL_NAMES: Final = ("localhost", "127.0.0.1")
"""What an ordinary client on this machine may call the front."""

PROVIDER: Final = "provider"
INTEL: Final = "intel"
NVIDIA: Final = "nvidia"

_LABEL: Final = DIRECT_HOST.removesuffix(f".{DISCOVERY_HOST}")
_BACKEND: Final = re.compile(rf"{re.escape(_LABEL)}-i([0-9]{{1,4}})\.{re.escape(DISCOVERY_HOST)}\Z")


def backend_host(number: int) -> str:
    """The name under which one machine behind the model's host is reached."""
    return f"{_LABEL}-i{number}.{DISCOVERY_HOST}"


def backend_of(host: str) -> int | None:
    """The number of the machine that a host name means; None where it means no single machine."""
    matched = _BACKEND.match(host)
    return None if matched is None else int(matched[1])


def group_of(host: str) -> str | None:
    """Whose host that is: the provider's, Intel's or NVIDIA's; None for everybody else's."""
    if host in INTEL_HOSTS:
        return INTEL
    if host in NVIDIA_HOSTS:
        return NVIDIA
    known = (CLOUD_HOST, DIRECT_HOST, DISCOVERY_HOST, *LOCAL_NAMES)
    return PROVIDER if host in known or backend_of(host) is not None else None
