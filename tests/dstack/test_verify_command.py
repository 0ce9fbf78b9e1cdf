"""``teeverify dstack verify``: files in, verdict and saved report out."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from teeverify.cli import main
from teeverify.testing import DstackApp, write_roots

APP = DstackApp.build()
DATA = APP.report_data.hex()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    APP.write(tmp_path)
    write_roots(tmp_path / "roots")
    monkeypatch.chdir(tmp_path)
    return tmp_path


COMMON = ["dstack", "verify", "--collateral", "intel.json", "--policy", "policy.toml", "--test-roots", "roots", "-q"]
FILES = ["--event-log", "event-log.json", "--app-compose", "app-compose.json"]
LIVE = ["dstack", "verify", "--quote", "quote.hex", *FILES, "--policy", "policy.toml", "--fetch"]
USUAL = [*COMMON, "--quote", "quote.hex", *FILES]


@pytest.mark.usefixtures("folder")
def test_what_was_demanded(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*USUAL, "--report-data", DATA]) == 0
    assert main([*USUAL, "--nonce", DATA[64:]]) == 0
    assert main([*USUAL, "--nonce", DATA[:64]]) == 1
    assert main(USUAL) == 1
    assert "freshness.nonce_bound" in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.usefixtures("folder")
def test_every_file_may_be_given() -> None:
    assert main([*USUAL, "--vm-config", "vm-config.json", "--info", "info.json", "--report-data", DATA]) == 0
    assert main([*COMMON, "--quote", "quote.hex", "--info", "info.json", *FILES[:2], "--report-data", DATA]) == 0


def test_every_form_of_a_quote(folder: Path) -> None:
    raw = bytes.fromhex((folder / "quote.hex").read_text())
    log, config = (folder / "event-log.json").read_text(), (folder / "vm-config.json").read_text()
    forms = {
        "bytes": raw,
        "hex": b"0x" + raw.hex().encode() + b"\n",
        "base64": base64.encodebytes(raw),
        "json": json.dumps({"quote": raw.hex(), "event_log": log, "vm_config": config, "report_data": DATA}).encode(),
    }
    for name, data in forms.items():
        (folder / "quote").write_bytes(data)
        files = FILES[2:] if name == "json" else FILES
        assert main([*COMMON, "--quote", "quote", *files, "--report-data", DATA]) == 0, name


def test_the_saved_report_is_judged_alike(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*USUAL, "--report-data", DATA, "--name", "my app", "--save", "out.json"]) == 0
    first = capsys.readouterr().out
    again = ["verify", "out.json", "--policy", "policy.toml", "--test-roots", "roots", "-q"]
    assert main(again) == 0
    assert capsys.readouterr().out == first
    assert json.loads((folder / "out.json").read_text())["model"] == "my app"
    assert main([*USUAL, "--save", "refused.json"]) == 1
    assert main(["verify", "refused.json", "--policy", "policy.toml", "--test-roots", "roots", "-q"]) == 1


def test_a_file_of_another_app(folder: Path) -> None:
    (folder / "app-compose.json").write_text((folder / "app-compose.json").read_text() + "\n")
    assert main([*USUAL, "--report-data", DATA]) == 1


@pytest.mark.usefixtures("folder")
def test_without_answers_of_intel_it_is_open() -> None:
    without = [argument for argument in USUAL if argument not in ("--collateral", "intel.json")]
    assert main([*without, "--report-data", DATA]) == 3


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([*USUAL, "--report-data", DATA, "--nonce", DATA[:64]], 2, "not allowed with"),
        ([*USUAL, "--report-data", DATA[:64]], 2, "--report-data"),
        ([*USUAL, "--nonce", "zz"], 2, "--nonce"),
        ([*USUAL, "--nonce", "00" * 32], 2, "all zeros"),
        ([*USUAL, "--fetch"], 2, "not allowed with"),
        ([*COMMON, "--quote", "quote.hex", *FILES[2:]], 2, "--event-log is missing"),
        ([*COMMON, "--quote", "missing", *FILES], 4, "cannot be read"),
        ([*COMMON, "--quote", "policy.toml", *FILES], 4, "neither a TDX quote"),
        ([*COMMON, "--quote", "event-log.json", *FILES], 4, "neither a TDX quote"),
        ([*COMMON, *FILES], 2, "--quote"),
        (["dstack", "verify", "--quote", "quote.hex", *FILES], 2, "--policy is missing"),
        ([*LIVE, "--at", "2026-06-15T12:00:00Z"], 2, "--at"),
    ],
)
def test_usage(arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == code
    assert words in capsys.readouterr().err


def test_a_file_that_is_no_text(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "event-log.json").write_bytes(b"\xff\xfe")
    assert main([*USUAL, "--report-data", DATA]) == 4
    assert "UTF-8" in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_fetching_without_a_network_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    from teeverify.cli import dstack_verify
    from teeverify.errors import TransportError
    from teeverify.flow import Request, Response

    class Offline:
        def __enter__(self) -> Offline:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def send(self, request: Request) -> Response:
            assert "dstack-app" not in request.url
            raise TransportError("no network")

    monkeypatch.setattr(dstack_verify, "chosen_transport", lambda args: Offline())
    fetching = [argument for argument in USUAL if argument not in ("--collateral", "intel.json")]
    assert main([*fetching, "--fetch", "--report-data", DATA]) == 3
