"""``checks``, ``explain``, ``quote``, ``policy``, and the program without any."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from teeverify import __version__
from teeverify.check_ids import KNOWN
from teeverify.checks.catalogue import all_checks
from teeverify.cli import main
from teeverify.policy import Policy
from teeverify.providers.near import NearVerifier
from teeverify.saved import SavedReport

from .commands import CLOUD, DIRECT, FIXTURES, REPORTS, run, verify


def _quote() -> str:
    report = SavedReport.load(FIXTURES / REPORTS[DIRECT]["file"])
    quote: str = json.loads(report.exchanges[0].response.body)["intel_quote"]
    return quote


def test_checks(capsys: pytest.CaptureFixture[str]) -> None:
    lines = run(capsys, "checks").out.splitlines()
    assert [line.split()[0] for line in lines] == [check.id for check in all_checks()]
    for check, line in zip(all_checks(), lines, strict=True):
        assert check.title in line
        assert ("mandatory" in line.split()) is check.mandatory


def test_checks_of_a_provider(capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(capsys, "checks", "--provider", "near")
    assert {line.split()[0] for line in shown.out.splitlines()} == set(NearVerifier.applicable)
    assert "gateway, model, compose_manager: " in shown.out


def test_checks_as_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    page = run(capsys, "checks", "--markdown").out
    assert all(f"### {check.id}\n" in page for check in all_checks())


@pytest.mark.parametrize("check_id", [check.id for check in all_checks()])
def test_explain(check_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(capsys, "explain", check_id)
    assert shown.code == 0
    assert shown.out.startswith(f"{check_id}: ")
    assert "Rests on:" in shown.out
    assert max(map(len, shown.out.splitlines())) <= 160
    (check,) = (each for each in all_checks() if each.id == check_id)
    assert all(reason in shown.out for reason in check.reasons)


def test_explain_what_is_not_judged_yet(capsys: pytest.CaptureFixture[str]) -> None:
    reserved = [check_id for check_id in KNOWN if check_id not in {check.id for check in all_checks()}]
    for check_id in reserved:
        shown = run(capsys, "explain", check_id)
        assert shown.code == 2
        assert check_id in shown.sentence()


@pytest.mark.parametrize("check_id", ["no.such", "", "tdx", "TDX.QUOTE_SIGNATURE", "\x1b[2J"])
def test_explain_an_unknown_check(check_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(capsys, "explain", check_id)
    assert shown.code == 2
    assert "teeverify checks" in shown.sentence()
    assert "\x1b" not in shown.err


def test_quote_as_bytes_and_as_hex(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "hex").write_text(f"\n{_quote()}\n", encoding="ascii")
    (tmp_path / "bytes").write_bytes(bytes.fromhex(_quote()))
    of_hex, of_bytes = run(capsys, "quote", tmp_path / "hex"), run(capsys, "quote", tmp_path / "bytes")
    assert of_hex == of_bytes
    assert of_hex.code == 0
    assert "NOT verified" in of_hex.out.splitlines()[0]
    assert "mr_td" in of_hex.out
    assert "report_data" in of_hex.out


def test_quotes_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = bytes.fromhex(_quote())
    sgx = b"\x03\x00\x02\x00\x00\x00\x00\x00" + raw[8:]
    files = {
        "empty": (b"", "5 KB"),
        "short": (raw[:100], "ends inside"),
        "cut": (raw[:2000], "ends earlier"),
        "sgx": (sgx, "SGX"),
        "version": (b"\x09" + raw[1:], "version 9"),
        "text": (b"hello" * 400, "version"),
        "odd hex": (_quote()[:-1].encode(), "version"),
        "large": (raw + bytes(40_000), "at most"),
        "report": ((FIXTURES / REPORTS[DIRECT]["file"]).read_bytes(), "at most"),
    }
    for name, (content, words) in files.items():
        (tmp_path / name).write_bytes(content)
        shown = run(capsys, "quote", tmp_path / name)
        assert shown.code == 4, name
        assert words in shown.sentence(), name
    for path in (tmp_path, tmp_path / "missing"):
        shown = run(capsys, "quote", path)
        assert shown.code == 4
        assert str(path) in shown.sentence()


def test_policy_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = FIXTURES / REPORTS[CLOUD]["policy"]
    policy = Policy.load(path)
    shown = run(capsys, "policy", "show", path)
    assert shown.code == 0
    assert Policy.from_toml(shown.out).digest == policy.digest
    document = json.loads(run(capsys, "policy", "show", path, "--json").out)
    assert document["digest"] == policy.digest
    assert "mean the same" in run(capsys, "policy", "diff", path, path).out
    other = FIXTURES / REPORTS[DIRECT]["policy"]
    changes = run(capsys, "policy", "diff", path, other)
    assert changes.code == 0
    assert "[" in changes.out
    lint = run(capsys, "policy", "lint", path, "--at", "2026-06-15T12:00:00Z")
    assert lint.code == 0
    assert lint.out


@pytest.mark.parametrize("name", [DIRECT, CLOUD])
def test_policy_pin_writes_a_policy_that_verifies(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = FIXTURES / REPORTS[name]["file"]
    out = tmp_path / "pinned.toml"
    roots = ("--test-roots", FIXTURES / "roots")
    shown = run(capsys, "policy", "pin", saved, "--out", out, "--name", "mine", *roots)
    assert (shown.code, shown.out) == (0, "")
    assert Policy.load(out).name == "mine"
    assert verify(capsys, name, "-q", policy=out).code == 0
    printed = run(capsys, "policy", "pin", saved, "--name", "mine", *roots)
    assert Policy.from_toml(printed.out).digest == Policy.load(out).digest


_NOT_PINNABLE = (
    "td-debug",
    "quote-signature-flipped",
    "quote-foreign-pki",
    "signing-address-swapped",
    "event-payload-replaced",
    "compose-text-edited",
    "tcb-out-of-date",
    "pck-revoked",
    "gpu-measurement-flipped",
    "gpu-same-twice",
    "nonce-replayed",
    "collateral-missing",
    "report-missing",
    "json-truncated",
    "models-empty",
    "gateway-missing",
    "quote-tee-type-sgx",
    "compose-manager-of-another-td",
)


@pytest.mark.parametrize("name", _NOT_PINNABLE)
def test_policy_pin_of_bad_evidence_writes_nothing(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "pinned.toml"
    saved = FIXTURES / REPORTS[name]["file"]
    shown = run(capsys, "policy", "pin", saved, "--out", out, "--test-roots", FIXTURES / "roots")
    assert shown.code in (2, 4)
    shown.sentence()
    assert not out.exists()


def test_policy_pin_under_the_vendors_roots(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(capsys, "policy", "pin", FIXTURES / REPORTS[DIRECT]["file"])
    assert shown.code == 2
    assert "nothing was pinned" in shown.sentence()


def test_policy_pin_into_a_place_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "no" / "such" / "folder.toml"
    saved = FIXTURES / REPORTS[DIRECT]["file"]
    shown = run(capsys, "policy", "pin", saved, "--out", out, "--test-roots", FIXTURES / "roots")
    assert shown.code == 2
    assert str(out) in shown.sentence()


@pytest.mark.parametrize("arguments", [[], ["no-such"], ["verify", "a", "b"], ["policy"], ["policy", "no-such"]])
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(capsys, *arguments)
    assert shown.code == 2
    assert shown.out == ""
    assert "usage: teeverify" in shown.err


def test_verify_without_anything(capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(capsys, "verify")
    assert shown.code == 2
    assert "give a saved report" in shown.sentence()


@pytest.mark.parametrize("arguments", [["--help"], ["verify", "-h"], ["policy", "pin", "-h"], ["quote", "--help"]])
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(capsys, *arguments)
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.startswith("usage: teeverify")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version").out == f"teeverify {__version__}\n"


def test_main_never_raises(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An error of our own is said to be one: code 70, the error's type, no traceback and none of the evidence."""
    monkeypatch.setattr(SavedReport, "load", lambda path: 1 // 0)
    assert main(["verify", "x", "--policy", "y"]) == 70
    shown = capsys.readouterr()
    assert "internal error: ZeroDivisionError" in shown.err
    assert "Traceback" not in shown.err
