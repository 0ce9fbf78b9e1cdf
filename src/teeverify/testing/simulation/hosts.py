"""The host names that every simulation has, and the groups of servers that misbehave together."""

from __future__ import annotations

from typing import Final

__all__ = ["INTEL", "INTEL_HOSTS", "LOCAL_NAMES", "NVIDIA", "NVIDIA_HOSTS", "PROVIDER", "endorser_of"]

INTEL_HOSTS: Final = ("api.trustedservices.intel.com", "certificates.trustedservices.intel.com")
NVIDIA_HOSTS: Final = ("nras.attestation.nvidia.com",)
LOCAL_NAMES: Final = ("localhost", "127.0.0.1")
"""What an ordinary client on this machine may call the provider."""

PROVIDER: Final = "provider"
INTEL: Final = "intel"
NVIDIA: Final = "nvidia"


def endorser_of(host: str) -> str | None:
    """Intel's or NVIDIA's group where the host is theirs; None for everybody else's."""
    if host in INTEL_HOSTS:
        return INTEL
    return NVIDIA if host in NVIDIA_HOSTS else None
