"""The host names of Chutes."""

from __future__ import annotations

from typing import Final

from teeverify.testing.chutes_world import API_HOST, LLM_HOST
from teeverify.testing.simulation.hosts import LOCAL_NAMES, PROVIDER

__all__ = ["API_HOST", "LLM_HOST", "MODELS", "chutes_group"]

MODELS: Final = "models"
"""The group of the server with the list of models; it proves nothing, so it fails by itself."""


def chutes_group(host: str) -> str | None:
    """The group of servers that a host belongs to; None where it is none of Chutes'."""
    if host == API_HOST:
        return PROVIDER
    return MODELS if host in (LLM_HOST, *LOCAL_NAMES) else None
