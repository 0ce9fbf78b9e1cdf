"""The command line of policies."""

import argparse
import json
import sys
import types
from pathlib import Path

import pytest
from policy_samples import TEXT, policy

from teeverify.cli.policy_commands import add_parsers, read_policy_argument
from teeverify.errors import ConfigurationError, PolicyError
from teeverify.policy import Policy
from teeverify.policy_toml import to_toml


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    add_parsers(parser.add_subparsers(required=True))
    args = parser.parse_args(["policy", *arguments])
    code: int = args.run(args)
    return code


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "p.toml"
    path.write_text(TEXT, encoding="utf-8")
    return str(path)


def test_show(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", file) == 0
    shown = capsys.readouterr().out
    digest = Policy.load(file).digest
    assert shown.startswith(f"# digest: {digest}\n")
    assert Policy.from_toml(shown).digest == digest


def test_show_json(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", file, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["digest"] == Policy.load(file).digest
    assert document["policy"]["valid_until"] == "2026-12-31"
    assert document["policy"]["pins"]["model"]["compose"] == ["04" * 32]


@pytest.mark.parametrize("arguments", [("--builtin", "near"), ("builtin:near",)])
def test_show_builtin(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", *arguments) == 0
    assert Policy.from_toml(capsys.readouterr().out) == Policy.builtin("near")


@pytest.mark.parametrize("arguments", [(), ("a.toml", "--builtin", "near")])
def test_show_wants_one_policy(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run("show", *arguments)
    assert caught.value.code == 2
    assert capsys.readouterr().err


def test_diff(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.toml"
    other.write_text(TEXT.replace("min_eval_number = 19", "min_eval_number = 18"), encoding="utf-8")
    assert run("diff", file, str(other)) == 0
    head, line = capsys.readouterr().out.splitlines()
    assert head.endswith("the second policy:")
    assert line == "  looser     demands an evaluation number of at least 18 instead of 19  [tcb.min_eval_number]"


def test_diff_of_the_same(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("diff", file, file) == 0
    assert capsys.readouterr().out == f"The two policies mean the same (digest {Policy.load(file).digest}).\n"


def test_lint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.toml"
    path.write_text(to_toml(policy()), encoding="utf-8")
    assert run("lint", str(path), "--at", "2026-07-01T00:00:00Z") == 0
    assert capsys.readouterr().out == "sample: no advice.\n"
    assert run("lint", str(path), "--at", "2027-01-01T00:00:00.5+00:00") == 0
    assert "which is past" in capsys.readouterr().out
    assert run("lint", "builtin:near") == 0


@pytest.mark.parametrize("at", ["yesterday", "2026-07-01", "2026-07-01T00:00:00", "2026-02-30T00:00:00Z", ""])
def test_lint_at_a_bad_time(at: str) -> None:
    with pytest.raises(ConfigurationError, match="--at is"):
        run("lint", "builtin:near", "--at", at)


def test_an_invalid_policy_is_left_to_the_caller(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text("name = 1", encoding="utf-8")
    for arguments in (("show", str(path)), ("lint", str(path)), ("diff", "builtin:near", str(path))):
        with pytest.raises(PolicyError):
            run(*arguments)
    with pytest.raises(PolicyError, match="does not exist, one of"):
        read_policy_argument("builtin:none")


def test_pin_is_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    handed: list[argparse.Namespace] = []
    command = types.ModuleType("teeverify.cli.pin_command")

    def pin(args: argparse.Namespace) -> int:
        handed.append(args)
        return 3

    command.run = pin  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "teeverify.cli.pin_command", command)
    assert run("pin", "s.json", "--out", "p.toml", "--name", "mine") == 3
    assert (handed[0].saved, handed[0].out, handed[0].name) == ("s.json", "p.toml", "mine")
