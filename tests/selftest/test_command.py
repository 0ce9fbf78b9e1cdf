"""``teeverify selftest``: what it prints, its JSON document, its exit codes."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

import teeverify.selftest as package
from teeverify.cli import selftest_command
from teeverify.errors import ConfigurationError, PolicyError, SavedReportError
from teeverify.saved import SavedReport
from teeverify.selftest import Alteration, Category, alterations
from teeverify.selftest.rendering import ALARM, SCHEMA

FIXTURES: Final = Path(__file__).resolve().parents[2] / "fixtures"
DIRECT: Final = FIXTURES / "near-direct.json"
POLICY: Final = FIXTURES / "near-direct.toml"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command through a parser of its own; returns exit code, output and errors."""
    parser = argparse.ArgumentParser()
    selftest_command.add_parsers(parser.add_subparsers())

    def running(*arguments: str | Path, roots: bool = True) -> tuple[int, str, str]:
        capsys.readouterr()
        words = ["selftest", *map(str, arguments), *(["--test-roots", str(FIXTURES / "roots")] if roots else [])]
        args = parser.parse_args(words)
        code: int = args.run(args)
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return running


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fortieth alteration, for speed."""
    _replace(monkeypatch, lambda made: list(made)[::40])


def _replace(monkeypatch: pytest.MonkeyPatch, choose: Callable[[Iterator[Alteration]], list[Alteration]]) -> None:
    def chosen(*arguments: Any, **options: Any) -> list[Alteration]:
        return choose(alterations(*arguments, **options))

    monkeypatch.setattr(package, "alterations", chosen)


@pytest.fixture
def one_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three alterations, of which one claims to be guarded although nothing depends on it."""

    def choose(made: Iterator[Alteration]) -> list[Alteration]:
        found = {(each.name, each.kind): each for each in made}
        label = found["model / info / app_name", "changed"]
        wrong = attrs.evolve(label, unmeasured="", guards=frozenset({"dstack.reported_info"}))
        return [found["session / nonce", "changed"], wrong, found["NVIDIA / answer", "removed"]]

    _replace(monkeypatch, choose)


def test_text(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    _replace(monkeypatch, lambda made: list(made)[::7])
    monkeypatch.setenv("COLUMNS", "100")
    code, out, err = run(DIRECT, "--policy", POLICY)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("The report as it is: VERIFIED as of 2026-06-15 12:00:00 UTC under policy")
    assert "TEST ROOTS" in out
    for group in ("session", "model", "compose_manager", "Intel", "NVIDIA"):
        assert group in lines
    assert "  REJECTED      freshness.nonce_bound      nonce (changed)" in lines
    outcomes = [line for line in lines if line.startswith(("  REJECTED ", "  INCONCLUSIVE "))]
    assert {line.index(line.split()[1]) for line in outcomes} == {16}
    assert any(" alterations (" in line for line in outcomes)
    assert "VERIFIED all the same, because no check depends on it" in lines
    assert lines[-1].endswith("on which no check depends, 0 accepted though they should not be")
    assert all(len(line) <= 100 for line in lines[:-1])


@pytest.mark.usefixtures("few")
def test_json_and_the_last_line_agree(run: Run) -> None:
    code, out, err = run(DIRECT, "--policy", POLICY, "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["schema"] == SCHEMA == "teeverify.selftest/v1"
    assert document["report_digest"] == SavedReport.load(DIRECT).digest
    assert document["untouched"]["outcome"] == "VERIFIED"
    assert document["test_roots"] is True
    counts = document["counts"]
    assert list(counts) == ["alterations", *(each.value for each in Category)]
    assert counts["alterations"] == len(document["rows"]) == sum(list(counts.values())[1:])
    for row in document["rows"]:
        assert set(row) == {"subject", "field", "kind", "outcome", "category", "checks", "reason", "why"}
        assert (row["outcome"] == "VERIFIED") == (row["category"] == "unmeasured")
    code, line, _ = run(DIRECT, "--policy", POLICY, "-q")
    assert code == 0
    assert line == (
        f"{counts['alterations']} alterations: {counts['refused']} REJECTED, {counts['not_evaluated']} INCONCLUSIVE, "
        f"{counts['unmeasured']} on which no check depends, 0 accepted though they should not be\n"
    )


@pytest.mark.usefixtures("few")
def test_no_value_of_the_report_is_shown(run: Run) -> None:
    report = SavedReport.load(DIRECT)
    body = json.loads(report.exchanges[0].response.body)
    secret = [body[name] for name in ("signing_address", "request_nonce", "ohttp_key_config", "tls_cert_fingerprint")]
    secret += [body["info"]["app_id"], body["intel_quote"][700:764], body["info"]["app_cert"][200:240]]
    for more in ((), ("--json",), ("-q",)):
        out = run(DIRECT, "--policy", POLICY, *more)[1]
        assert not [value for value in secret if value in out]


@pytest.mark.usefixtures("one_accepted")
@pytest.mark.parametrize("more", [(), ("--json",), ("-q",)])
def test_an_accepted_alteration_is_loud(run: Run, more: tuple[str, ...]) -> None:
    code, out, err = run(DIRECT, "--policy", POLICY, *more)
    assert code == 1
    assert err.rstrip("\n") == ALARM
    assert "SECURITY.md" in ALARM
    if not more:
        assert "ACCEPTED THOUGH IT SHOULD NOT BE; one of the checks named should have refused" in out
        assert "  - dstack.reported_info\n      model / info / app_name (changed)\n" in out
    if more == ("--json",):
        (row,) = (row for row in json.loads(out)["rows"] if row["category"] == "accepted")
        assert (row["field"], row["checks"]) == ("info / app_name", ["dstack.reported_info"])
    else:
        assert out.splitlines()[-1] == (
            "3 alterations: 1 REJECTED, 1 INCONCLUSIVE, 0 on which no check depends, 1 accepted though they should "
            "not be"
        )


@pytest.mark.parametrize(
    ("arguments", "code", "outcome"),
    [
        ((FIXTURES / "defects/nonce-replayed.json", "--policy", FIXTURES / "near-direct-1gpu.toml"), 1, "REJECTED"),
        ((DIRECT, "--policy", POLICY, "--at", "now"), 1, "REJECTED"),
        (
            (FIXTURES / "defects/peer-spki-missing.json", "--policy", FIXTURES / "near-direct-1gpu.toml"),
            3,
            "INCONCLUSIVE",
        ),
    ],
)
def test_a_report_that_is_not_verified(run: Run, arguments: tuple[str | Path, ...], code: int, outcome: str) -> None:
    got, out, err = run(*arguments)
    assert (got, err) == (code, "")
    assert out.startswith(f"{outcome} as of ")
    assert out.count("\n") == 1
    got, out, _ = run(*arguments, "--json")
    document = json.loads(out)
    assert got == code
    assert (document["untouched"]["outcome"], document["counts"], document["rows"]) == (outcome, None, [])


def test_a_test_report_under_the_vendors_roots(run: Run) -> None:
    code, out, _ = run(DIRECT, "--policy", POLICY, roots=False)
    assert code == 1
    assert out.startswith("REJECTED")


def test_what_the_caller_gets_wrong(run: Run, tmp_path: Path) -> None:
    with pytest.raises(PolicyError):
        run(DIRECT, "--policy", tmp_path / "none.toml")
    with pytest.raises(ConfigurationError, match="--at"):
        run(DIRECT, "--policy", POLICY, "--at", "yesterday")
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(SavedReportError):
        run(tmp_path / "report.json", "--policy", POLICY)
    expired = tmp_path / "expired.toml"
    waiver = '[[waive]]\ncheck = "pin.app_id"\nreason = "r"\nexpires = 2020-01-01\n'
    expired.write_text(f"{POLICY.read_text(encoding='utf-8')}\n{waiver}", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"waives pin\.app_id until 2020-01-01"):
        run(DIRECT, "--policy", expired)


def test_every_leaf_is_passed_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    def noted(*arguments: Any, every_leaf: bool) -> list[Alteration]:
        seen.append(every_leaf)
        return list(alterations(*arguments, every_leaf=every_leaf))[:2]

    monkeypatch.setattr(package, "alterations", noted)
    run(DIRECT, "--policy", POLICY, "-q")
    run(DIRECT, "--policy", POLICY, "-q", "--all")
    assert seen == [False, True]


@pytest.mark.usefixtures("few")
def test_progress_on_a_terminal_only(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    code, out, err = run(DIRECT, "--policy", POLICY)
    assert code == 0
    assert "\r1 alterations judged" in err
    assert err.endswith("\x1b[K")
    assert "\r" not in out


def test_a_session_of_chutes(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report of which one instance holds: the other one is named, and not altered."""
    _replace(monkeypatch, lambda made: list(made)[::9])
    unmeasured, policy = FIXTURES / "chutes-unmeasured.json", FIXTURES / "chutes-any.toml"
    code, out, err = run(unmeasured, "--policy", policy)
    assert (code, err) == (0, "")
    assert "Not altered, since they are not VERIFIED as they are: instance:" in out
    document = json.loads(run(unmeasured, "--policy", policy, "--json")[1])
    (left,) = document["left_out"]
    assert left not in {row["subject"] for row in document["rows"]}
    assert any(row["subject"].startswith("instance:") for row in document["rows"])
    assert document["counts"]["accepted"] == 0
