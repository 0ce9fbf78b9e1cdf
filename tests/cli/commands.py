"""The command line in this process, on the shipped fixtures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import frozen

from teeverify.cli import main

__all__ = ["CLOUD", "DIRECT", "FIXTURES", "REPORTS", "Shown", "run", "verify"]

FIXTURES: Final = Path(__file__).resolve().parents[2] / "fixtures"
REPORTS: Final[dict[str, dict[str, Any]]] = {
    entry["name"]: entry for entry in json.loads((FIXTURES / "manifest.json").read_text(encoding="utf-8"))["reports"]
}
DIRECT: Final = "near-direct"
CLOUD: Final = "near-cloud"


@frozen
class Shown:
    """Exit code and what was printed."""

    code: int
    out: str
    err: str

    def sentence(self) -> str:
        """The one sentence on standard error, where nothing went to standard output and nothing crashed."""
        assert self.out == ""
        assert "Traceback" not in self.err
        assert self.code != 70
        assert self.err.startswith("teeverify: ")
        assert self.err.count("\n") == 1
        return self.err.removeprefix("teeverify: ").rstrip("\n")


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Shown:
    """Run one command."""
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    return Shown(code, shown.out, shown.err)


def verify(capsys: pytest.CaptureFixture[str], name: str, *more: str | Path, policy: str | Path | None = None) -> Shown:
    """``teeverify verify`` of one fixture under its policy and the test roots."""
    entry = REPORTS[name]
    return run(
        capsys,
        "verify",
        FIXTURES / entry["file"],
        "--policy",
        policy or FIXTURES / entry["policy"],
        "--test-roots",
        FIXTURES / "roots",
        *more,
    )
