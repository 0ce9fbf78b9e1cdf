"""The command line on ACI services: a saved session is judged, and the options are those of the provider."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from teeverify.cli import main
from teeverify.testing import write_roots
from teeverify.testing.aci import ACI_MODEL, aci_policy

from .world import build


def test_a_saved_session_is_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session = build()
    (tmp_path / "aci.json").write_text(json.dumps(session.saved()), encoding="utf-8")
    (tmp_path / "aci.toml").write_text(aci_policy(session), encoding="utf-8")
    write_roots(tmp_path / "roots")
    arguments = ["--policy", str(tmp_path / "aci.toml"), "--test-roots", str(tmp_path / "roots")]
    assert main(["verify", str(tmp_path / "aci.json"), *arguments]) == 0
    shown = capsys.readouterr().out
    assert "VERIFIED" in shown
    assert "aci.keyset" in shown


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--url", "http://h.example"], "no base URL"), (["--chute", "x"], "no option of provider 'aci'"), ([], "url")],
)
def test_the_options_of_the_provider(
    options: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "aci.toml").write_text(aci_policy(build()), encoding="utf-8")
    assert main(["attest", "aci", ACI_MODEL, "--policy", str(tmp_path / "aci.toml"), *options]) == 2
    assert words in capsys.readouterr().err
