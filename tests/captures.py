"""Real captured sessions for tests. They are not part of the project: where they are not found, their tests skip."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

__all__ = ["NEAR_CAPTURES", "capture_path", "captures_folder", "policy_path"]

_REPOSITORY: Final = Path(__file__).resolve().parents[1]

NEAR_CAPTURES: Final = {
    "near-cloud-2026-04-24": "near-cloud-2026-04-24.relaxed",
    "near-cloud-2026-06-29": "near-cloud-2026-06-29",
    "near-direct-2026-04-24": "near-direct-2026-04-24.relaxed",
    "near-direct-2026-06-29": "near-direct-2026-06-29",
}
"""Every NEAR capture and the policy under which it is VERIFIED."""


def captures_folder() -> Path:
    """The folder that ``TEEVERIFY_CAPTURES`` names, else ``../shared/captures`` beside the repository; or skips."""
    folder = Path(os.environ.get("TEEVERIFY_CAPTURES") or _REPOSITORY.parent / "shared" / "captures")
    if not folder.is_dir():
        pytest.skip(f"real captures are not here ({folder} is no folder); set TEEVERIFY_CAPTURES to run this test")
    return folder


def capture_path(name: str) -> Path:
    """One captured session as a saved report; skips where it is missing."""
    return _existing(captures_folder() / f"{name}.json")


def policy_path(name: str) -> Path:
    """The policy of that name beside the captures; skips where it is missing."""
    return _existing(captures_folder() / "policies" / f"{name}.toml")


def _existing(path: Path) -> Path:
    if not path.is_file():
        pytest.skip(f"the capture {path.name} is not in {path.parent}")
    return path
