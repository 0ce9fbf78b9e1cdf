"""The shipped reports of Chutes come to the outcomes that the manifest states."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from teeverify.policy import Policy
from teeverify.registry import verifier_for
from teeverify.roots import TrustRoots
from teeverify.saved import SavedReport

FIXTURES: Final = Path(__file__).resolve().parents[2] / "fixtures"
ROWS: Final[list[dict[str, Any]]] = json.loads((FIXTURES / "manifest.json").read_text("utf-8"))["chutes"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['file']} {row['policy']}")
def test_the_outcome_is_the_stated_one(row: dict[str, Any]) -> None:
    report = SavedReport.load(FIXTURES / row["file"])
    verifier = verifier_for(report.provider)(
        Policy.load(FIXTURES / row["policy"]), roots=TrustRoots.from_directory(FIXTURES / "roots")
    )
    verdict = verifier.verify_saved(report)
    assert verdict.outcome.value == row["expected"], verdict.conclusion
    assert verifier_for(report.provider)(Policy.load(FIXTURES / row["policy"])).verify_saved(report).verified is False
