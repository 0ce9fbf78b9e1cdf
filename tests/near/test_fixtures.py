"""The shipped fixtures: each simulated session comes to the outcome that the manifest states, for the reason stated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from teeverify.policy import Policy
from teeverify.providers.near import NearVerifier
from teeverify.roots import TrustRoots
from teeverify.saved import SavedReport
from teeverify.verdict import AttestationVerdict, Outcome, Status

FIXTURES: Final = Path(__file__).resolve().parents[2] / "fixtures"
MANIFEST: Final[dict[str, Any]] = json.loads((FIXTURES / "manifest.json").read_text(encoding="utf-8"))
REPORTS: Final[dict[str, dict[str, Any]]] = {entry["name"]: entry for entry in MANIFEST["reports"]}


def judge(name: str, *, roots: TrustRoots | None = None) -> AttestationVerdict:
    """The verdict on one fixture under its policy and the test roots."""
    entry = REPORTS[name]
    verifier = NearVerifier(
        Policy.load(FIXTURES / entry["policy"]), roots=roots or TrustRoots.from_directory(FIXTURES / MANIFEST["roots"])
    )
    return verifier.verify_saved(SavedReport.load(FIXTURES / entry["file"]))


@pytest.mark.parametrize("name", REPORTS)
def test_outcome_and_deciding_check(name: str) -> None:
    entry = REPORTS[name]
    verdict = judge(name)
    assert verdict.outcome.value in entry["accepted"]
    deciding = {check.id for check in verdict.checks if check.decides is not None}
    if entry["checks"]:
        assert deciding & set(entry["checks"])
    else:
        assert verdict.outcome is Outcome.VERIFIED
        assert deciding == set()
    if verdict.outcome is Outcome.REJECTED:
        failed = {check.id for check in verdict.checks if check.status is Status.FAIL}
        assert failed & set(entry["checks"])


@pytest.mark.parametrize("name", REPORTS)
def test_test_roots_show_in_every_verdict(name: str) -> None:
    verdict = judge(name)
    assert verdict.test_roots
    assert verdict.trust_boundary.startswith("TEST ROOTS")
    assert "TEST ROOTS" in verdict.conclusion
    assert all(check.anchor.startswith("TEST ROOTS") for check in verdict.checks)


@pytest.mark.parametrize("name", [name for name, entry in REPORTS.items() if entry["expected"] == "VERIFIED"])
def test_no_fixture_is_verified_under_the_vendors_roots(name: str) -> None:
    entry = REPORTS[name]
    verdict = NearVerifier(Policy.load(FIXTURES / entry["policy"])).verify_saved(
        SavedReport.load(FIXTURES / entry["file"])
    )
    assert verdict.outcome is Outcome.REJECTED
    failed = {check.id for check in verdict.checks if check.status is Status.FAIL}
    assert failed & {"tdx.quote_signature", "tcb.collateral_current"}
    assert "gpu.cert_chain" in failed
    assert not any(subject.attested_keys for subject in verdict.subjects)
