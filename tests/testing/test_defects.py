"""The table of defects: every entry differs from the truth as it says, and the manifest tells of it."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import dcap_qvl
import pytest
from evidence_reading import provider_report, quotes, replayed, verify_quote

from teeverify.check_ids import KNOWN
from teeverify.testing.defects import DEFECTS, INCONCLUSIVE, REJECTED, VERIFIED
from teeverify.testing.defects.model import defect

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"

ACCEPTED_BY_DCAP_QVL = {
    "collateral-signed-by-pck",
    "pck-crl-from-future",
    "pck-svns-disagree",
    "qe-configuration-needed",
    "qe-report-data-tail",
    "quote-ca-wrong-name",
    "quote-header-reserved",
    "quote-outer-type",
    "quote-pck-under-root",
    "quote-pck-wrong-name",
    "quote-root-left-out",
    "quote-root-replaced",
    "quote-trailing-bytes",
    "tcb-info-for-years",
    "tcb-info-other-pce",
    "tcb-info-other-type",
    "tcb-info-other-version",
    "tcb-info-signed-by-pck",
    "td-reserved-attribute",
    "td-xfam-odd",
    "td15-current-module-out-of-date",
    "evaluation-number-low",
    "good-high-s",
}
"""Faults that dcap-qvl 0.7 calls UpToDate, so that only our own rules find them."""

REFUSED_BY_DCAP_QVL = {
    "attestation-key-replaced",
    "collateral-expired",
    "crls-swapped",
    "pck-ca-revoked",
    "pck-crl-expired",
    "pck-crl-forged",
    "pck-revoked",
    "qe-foreign-signer",
    "qe-report-signed-by-other",
    "quote-body-edited",
    "quote-foreign-pki",
    "quote-forged-chain-real-root",
    "quote-key-type-p384",
    "quote-signature-flipped",
    "quote-tee-type-sgx",
    "quote-truncated",
    "quote-vendor-foreign",
    "root-crl-expired",
    "tcb-info-edited",
    "tcb-info-for-sgx",
    "tcb-info-from-future",
    "tcb-info-other-fmspc",
    "tcb-info-signed-by-stranger",
    "tcb-no-level-matches",
    "tcb-revoked",
    "tcb-signer-revoked",
    "td-debug",
}

CONSISTENT = {
    "image-of-attacker",
    "image-development-build",
    "app-id-other",
    "compose-other",
    "kms-root-other",
    "os-image-other",
    "event-duplicate-before-ready",
    "event-compose-only-after-ready",
    "event-order-swapped",
    "good-event-after-ready",
}
"""Faults of a TD of the attacker's own, whose log must replay to its genuine quote."""


@cache
def truthful(base: str, options: tuple[tuple[str, Any], ...]) -> str:
    """The session that defects of that base and options start from."""
    entry = next(
        entry for entry in DEFECTS.values() if (entry.base, tuple(sorted(entry.options.items()))) == (base, options)
    )
    return json.dumps(entry.session().saved())


@pytest.mark.parametrize("name", list(DEFECTS))
def test_defect(name: str) -> None:
    entry = DEFECTS[name]
    assert name == entry.name
    assert entry.base in ("direct", "cloud")
    assert set(entry.outcomes) <= {VERIFIED, REJECTED, INCONCLUSIVE}
    assert (entry.outcomes == (VERIFIED,)) == name.startswith("good-") == (not entry.checks)
    assert entry.checks <= set(KNOWN)
    assert entry.description.endswith(".")
    document = entry.document()
    truth = truthful(entry.base, tuple(sorted(entry.options.items())))
    assert json.dumps(document) != truth or entry.policy or name.startswith("good-")
    assert entry.policy_text().startswith("# Pins")


@pytest.mark.parametrize("name", sorted(ACCEPTED_BY_DCAP_QVL))
def test_dcap_qvl_alone_would_accept(name: str) -> None:
    entry = DEFECTS[name]
    document = entry.document()
    quote = quotes(provider_report(document))["model"]
    assert verify_quote(document, quote, entry.session().intel.root.der).status == "UpToDate"


@pytest.mark.parametrize("name", sorted(REFUSED_BY_DCAP_QVL))
def test_dcap_qvl_refuses(name: str) -> None:
    entry = DEFECTS[name]
    document = entry.document()
    quote = quotes(provider_report(document))["model"]
    with pytest.raises(ValueError, match=r"."):
        verify_quote(document, quote, entry.session().intel.root.der)


@pytest.mark.parametrize(
    ("name", "status"), [("tcb-out-of-date", "OutOfDate"), ("tcb-hardening-needed", "SWHardeningNeeded")]
)
def test_dcap_qvl_reports(name: str, status: str) -> None:
    entry = DEFECTS[name]
    document = entry.document()
    quote = quotes(provider_report(document))["model"]
    verified = verify_quote(document, quote, entry.session().intel.root.der)
    assert verified.status == status
    assert verified.advisory_ids


@pytest.mark.parametrize("name", sorted(CONSISTENT))
def test_forged_logs_replay(name: str) -> None:
    entry = DEFECTS[name]
    document = entry.document()
    report = provider_report(document)
    quote = quotes(report)["model"]
    assert verify_quote(document, quote, entry.session().intel.root.der).status == "UpToDate"
    assert replayed(report["event_log"]) == [quote[start : start + 48] for start in (376, 424, 472, 520)]


def test_a_replaced_payload_keeps_its_digest_and_replays() -> None:
    report = provider_report(DEFECTS["event-payload-replaced"].document())
    rows = report["event_log"]
    with pytest.raises(AssertionError):
        replayed(rows)
    for row in rows:
        row["imr"] = 2 if row["imr"] == 3 else 0
    parsed = dcap_qvl.parse_quote(quotes(report)["model"]).report
    assert parsed.mr_config_id[1:33].hex() == report["info"]["compose_hash"]


def test_names_and_ids_are_guarded() -> None:
    with pytest.raises(ValueError, match="no check"):
        defect("tdx.nonsense")
    with pytest.raises(ValueError, match="two defects"):
        defect("tdx.debug_off")(DEFECTS["td-debug"].spoil)


def manifest() -> dict[str, Any]:
    value: dict[str, Any] = json.loads((FIXTURES / "manifest.json").read_bytes())
    return value


def test_the_manifest_names_every_file_and_defect() -> None:
    listed = manifest()
    names = [entry["name"] for entry in listed["reports"] + listed["in_memory_only"]]
    assert sorted(names) == sorted([*DEFECTS, "near-direct", "near-cloud"])
    files = {path.name for path in (FIXTURES / "defects").glob("*.json")}
    assert files == {entry["file"].split("/")[1] for entry in listed["reports"] if "/" in entry["file"]}
    for entry in listed["reports"]:
        assert (FIXTURES / entry["policy"]).is_file()
        assert entry["expected"] == entry["accepted"][0]


def test_the_fixtures_stay_small() -> None:
    sizes = [path.stat().st_size for path in FIXTURES.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert sum(sizes) < 13 << 20
    assert max(sizes) < 256 << 10


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_fixtures", FIXTURES / "make_fixtures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_committed_is_what_would_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    module = script()
    files = module.build()
    assert module.check(files) == 0, capsys.readouterr().err


def test_drift_is_found(tmp_path: Path) -> None:
    copy = tmp_path / "fixtures"
    shutil.copytree(FIXTURES, copy)
    policy = copy / "near-direct.toml"
    policy.write_text(policy.read_text().replace("min_count = 2", "min_count = 1"))
    (copy / "defects" / "td-debug.json").unlink()
    command = [sys.executable, str(copy / "make_fixtures.py"), "--check"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.split() == ["drift:", "defects/td-debug.json", "drift:", "near-direct.toml"]
