"""The shipped reports of fronts, proxies before Chutes and ACI services come to what the manifest states."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from teeverify.policy import Policy
from teeverify.registry import verifier_for
from teeverify.roots import TrustRoots
from teeverify.saved import SavedReport
from teeverify.testing.shipped_reports import shipped_policies
from teeverify.verdict import AttestationVerdict, Outcome, Status

FIXTURES: Final = Path(__file__).resolve().parents[2] / "fixtures"
ROWS: Final[list[dict[str, Any]]] = json.loads((FIXTURES / "manifest.json").read_text("utf-8"))["providers"]
PROVIDERS: Final = {"vllm-proxy", "phala", "nanogpt", "venice", "chutes-chain", "aci"}


def judge(row: dict[str, Any], *, roots: TrustRoots | None) -> AttestationVerdict:
    report, policy = SavedReport.load(FIXTURES / row["file"]), Policy.load(FIXTURES / row["policy"])
    options: dict[str, Any] = {} if roots is None else {"roots": roots}
    return verifier_for(report.provider)(policy, **options).verify_saved(report)


@pytest.fixture(scope="module")
def test_roots() -> TrustRoots:
    return TrustRoots.from_directory(FIXTURES / "roots")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['file']} {row['policy']}")
def test_the_outcome_is_the_stated_one(row: dict[str, Any], test_roots: TrustRoots) -> None:
    verdict = judge(row, roots=test_roots)
    assert verdict.provider == row["provider"]
    assert verdict.outcome.value == row["expected"], verdict.conclusion
    deciding = [check for check in verdict.checks if check.decides is verdict.outcome]
    if verdict.outcome is Outcome.VERIFIED:
        assert not row["checks"]
        assert not any(check.decides for check in verdict.checks)
    else:
        named = [check for check in deciding if check.id in row["checks"]]
        assert named
        expected = Status.FAIL if verdict.outcome is Outcome.REJECTED else Status.UNEVALUATED
        assert {check.status for check in named} == {expected}
        assert not any(subject.attested_keys for subject in verdict.subjects if not subject.verified)
    assert verdict.test_roots


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['file']} {row['policy']}")
def test_nothing_is_verified_under_the_vendors_roots(row: dict[str, Any]) -> None:
    verdict = judge(row, roots=None)
    assert verdict.outcome is Outcome.REJECTED
    assert not any(subject.attested_keys for subject in verdict.subjects)


def test_every_provider_has_a_good_report_and_false_ones() -> None:
    for provider in PROVIDERS:
        own = [row for row in ROWS if row["provider"] == provider]
        outcomes = [row["expected"] for row in own]
        assert outcomes.count("VERIFIED") >= 1
        assert len(outcomes) - outcomes.count("VERIFIED") >= 1
        verified = {row["policy"] for row in own if row["expected"] == "VERIFIED"}
        assert verified == {row["policy"] for row in own}, "each policy takes its own good report"
    assert {row["provider"] for row in ROWS} == PROVIDERS


def test_the_manifest_names_every_file() -> None:
    listed = {row[kind] for row in ROWS for kind in ("file", "policy")}
    found = {str(path.relative_to(FIXTURES).as_posix()) for name in PROVIDERS for path in (FIXTURES / name).iterdir()}
    assert found == listed
    assert {f"{name}.toml" for name in shipped_policies()} == {name for name in listed if name.endswith(".toml")}
