"""``teeverify verify``: what it prints, how it looks, and its exit codes."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import attrs
import pytest

from teeverify.check_ids import KNOWN
from teeverify.policy import Policy
from teeverify.providers.near import NearVerifier
from teeverify.render.text import to_line, to_text
from teeverify.roots import TrustRoots
from teeverify.saved import SavedReport
from teeverify.verdict import AttestationVerdict

from .commands import CLOUD, DIRECT, FIXTURES, REPORTS, run, verify

CODES = {"VERIFIED": 0, "REJECTED": 1, "INCONCLUSIVE": 3}
ESCAPE = "\x1b"


@pytest.mark.parametrize("name", REPORTS)
def test_exit_code_and_decisive_line_of_every_fixture(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = verify(capsys, name, "-q")
    outcome = shown.out.partition(" ")[0]
    assert outcome in REPORTS[name]["accepted"]
    assert shown.code == CODES[outcome]
    assert shown.out.count("\n") == 1
    assert shown.err == ""


def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    shown = verify(capsys, CLOUD)
    assert shown.code == 0
    lines = shown.out.splitlines()
    assert lines[0].startswith("near  ")
    assert {"gateway: VERIFIED", "model: VERIFIED", "compose_manager: VERIFIED"} <= set(lines)
    assert sum(line.startswith("Not proven: ") for line in lines) >= 6
    assert any(line.startswith("Trust boundary: TEST ROOTS") for line in lines)
    decisive = " ".join(lines[len(lines) - lines[::-1].index("") :])
    assert decisive.startswith("VERIFIED as of ")
    for check_id in ("tdx.quote_signature", "channel.tls_spki", "gpu.cpu_binding"):
        assert check_id in shown.out
    assert ESCAPE not in shown.out


def test_a_refusal_says_what_was_expected_and_observed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shown = verify(capsys, "live-key-other")
    assert shown.code == 1
    block = shown.out[shown.out.index("channel.tls_spki") :]
    assert re.search(r"expected\s+[0-9a-f]{64}", block)
    assert re.search(r"observed\s+[0-9a-f]{64}", block)
    assert "FAIL" in shown.out


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    shown = verify(capsys, CLOUD, "--json")
    document = json.loads(shown.out)
    assert document["verified"] is True
    assert [subject["id"] for subject in document["subjects"]] == ["gateway", "model", "compose_manager"]
    keys = {key["use"] for subject in document["subjects"] for key in subject["attested_keys"]}
    assert keys == {"signing", "ohttp"}
    assert {check["id"] for subject in document["subjects"] for check in subject["checks"]} <= set(KNOWN)


def test_json_and_quiet_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(capsys, DIRECT, "--json", "-q").code == 2


def _verdict(name: str = DIRECT) -> AttestationVerdict:
    entry = REPORTS[name]
    roots = TrustRoots.from_directory(FIXTURES / "roots")
    return NearVerifier(Policy.load(FIXTURES / entry["policy"]), roots=roots).verify_saved(
        SavedReport.load(FIXTURES / entry["file"])
    )


# --- colour and width ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tty", "environment", "coloured"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
        (False, {"TERM": "xterm-256color"}, False),
    ],
)
def test_colour_only_on_a_terminal(
    tty: bool,
    environment: dict[str, str],
    coloured: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: tty)
    for more in ((), ("-q",)):
        assert (ESCAPE in verify(capsys, DIRECT, *more).out) is coloured
    assert ESCAPE not in verify(capsys, DIRECT, "--json").out


def test_colour_adds_nothing_but_colour() -> None:
    verdict = _verdict("live-key-other")
    coloured, plain = to_text(verdict, width=100, colour=True), to_text(verdict, width=100)
    assert re.sub(r"\x1b\[\d+m", "", coloured) == plain
    assert re.sub(r"\x1b\[\d+m", "", to_line(verdict, colour=True)) == to_line(verdict)


@pytest.mark.parametrize("columns", [1, 40, 60, 80, 100, 200])
def test_width(columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = verify(capsys, "live-key-other")
    used = max(columns, 60)
    body = shown.out[: shown.out.index("REJECTED as of")]
    for line in body.splitlines():
        longest = max((len(word) for word in line.split()), default=0)
        assert len(line) <= used or longest > used - 48, line


# --- time ------------------------------------------------------------------------------------------------------------


def test_at_recorded_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    default, recorded = verify(capsys, DIRECT, "-q"), verify(capsys, DIRECT, "-q", "--at", "recorded")
    assert default == recorded
    assert "as of 2026-06-15 12:00:00 UTC" in default.out


def test_at_now(capsys: pytest.CaptureFixture[str]) -> None:
    shown = verify(capsys, DIRECT, "-q", "--at", "now")
    assert shown.code == 1
    assert "as of 2026-06-15 12:00:00 UTC" not in shown.out


@pytest.mark.parametrize(
    ("at", "code", "shown_as"),
    [
        ("2026-06-15T12:00:30Z", 0, "2026-06-15 12:00:30"),
        ("2026-06-15T14:00:30+02:00", 0, "2026-06-15 12:00:30"),
        ("2026-06-15T12:00:30.25Z", 0, "2026-06-15 12:00:30"),
        ("2026-06-15T13:30:00Z", 1, "2026-06-15 13:30:00"),
        ("2027-12-31T00:00:00Z", 1, "2027-12-31 00:00:00"),
        ("1970-01-01T00:00:00Z", 1, "1970-01-01 00:00:00"),
        ("9999-12-31T23:59:59Z", 1, "9999-12-31 23:59:59"),
        ("1000-01-01T00:00:00Z", 1, "1000-01-01 00:00:00"),
    ],
)
def test_at_a_time(at: str, code: int, shown_as: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = verify(capsys, DIRECT, "-q", "--at", at)
    assert (shown.code, shown.err) == (code, "")
    assert f"as of {shown_as} UTC" in shown.out


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00Z", "0999-06-01T00:00:00Z", "0001-01-01T00:00:00+00:01"])
def test_at_a_time_of_long_ago(at: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = verify(capsys, DIRECT, "-q", "--at", at)
    assert shown.code in (1, 2)
    assert "internal error" not in shown.err


# --- what a report may try -------------------------------------------------------------------------------------------

HOSTILE = "m\x1b[2J\x1b]0;owned\x07\u202e\u2028\x00\r\nVERIFIED as of 2026\u0085\x9b31m"


def _hostile_files(tmp_path: Path) -> tuple[Path, Path]:
    """A report whose every free text steers the terminal, and a policy for it."""
    report = SavedReport.load(FIXTURES / REPORTS[DIRECT]["file"])
    body = json.loads(report.exchanges[0].response.body)
    body["model_name"] = HOSTILE + "other"
    body["signing_algo"] = HOSTILE
    body["info"]["app_name"] = HOSTILE
    for log in (body["event_log"], body["info"]["tcb_info"]["event_log"]):
        if isinstance(log, list):
            log[-1]["event"] = HOSTILE
    headers = {**report.exchanges[0].response.headers, "x-serving-provider": (HOSTILE,)}
    answer = attrs.evolve(report.exchanges[0].response, body=json.dumps(body).encode(), headers=headers)
    first = attrs.evolve(report.exchanges[0], response=answer)
    hostile = attrs.evolve(report, model=HOSTILE, exchanges=(first, *report.exchanges[1:]))
    path = tmp_path / "hostile.json"
    path.write_bytes(hostile.to_bytes())
    return path, FIXTURES / REPORTS[DIRECT]["policy"]


@pytest.mark.parametrize("more", [(), ("-q",), ("--json",)], ids=["text", "quiet", "json"])
def test_a_report_cannot_steer_the_terminal(
    more: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, policy = _hostile_files(tmp_path)
    shown = run(capsys, "verify", path, "--policy", policy, "--test-roots", FIXTURES / "roots", *more)
    assert shown.code == 1
    assert all(character == "\n" or character.isprintable() for character in shown.out + shown.err)
    if not more:
        lines = shown.out.splitlines()
        assert not any(line.startswith("VERIFIED") for line in lines)
        assert sum(line.startswith("REJECTED as of") for line in lines) == 1
    if more == ("-q",):
        assert shown.out.count("\n") == 1


def test_a_provider_name_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads((FIXTURES / REPORTS[DIRECT]["file"]).read_bytes())
    document["provider"] = HOSTILE
    path = tmp_path / "hostile.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    shown = run(capsys, "verify", path, "--policy", FIXTURES / REPORTS[DIRECT]["policy"])
    assert shown.code == 2
    assert shown.sentence().isprintable()
