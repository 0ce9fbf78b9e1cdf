"""``teeverify nitro``: what it prints of a document, and its exit codes."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Final

import pytest

from captures import captures_folder
from teeverify.testing.certificates import day
from teeverify.testing.nitro import NitroEnclave

from .commands import FIXTURES, Shown, run

AT: Final = "2026-06-15T12:00:00Z"
NONCE: Final = bytes(range(20))
ENCLAVE: Final = NitroEnclave(at=day("2026-06-15 12:00:00"), nonce=NONCE)
PCRS: Final = [word for index in (0, 1, 2) for word in (f"--pcr{index}", ENCLAVE.pcrs[index].hex())]


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "document.bin"
    path.write_bytes(ENCLAVE.served())
    return path


def nitro(capsys: pytest.CaptureFixture[str], path: Path, *more: str, at: str = AT) -> Shown:
    return run(capsys, "nitro", path, "--at", at, "--test-roots", FIXTURES / "roots", *more)


def status_of(shown: Shown) -> dict[str, tuple[str, str]]:
    return {check["id"]: (check["status"], check["reason"]) for check in json.loads(shown.out)["checks"]}


def test_a_good_document(document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = nitro(capsys, document, "--nonce", NONCE.hex(), *PCRS)
    assert shown.code == 0
    assert "TEST ROOTS" in shown.out.splitlines()[0]
    for part in (ENCLAVE.pcrs[0].hex(), NONCE.hex(), "pcr3, pcr5", "nitro.pcrs", "not judged: nitro.user_data"):
        assert part in shown.out
    assert "FAIL" not in shown.out
    assert "VERIFIED" not in shown.out


def test_what_was_not_given_is_not_judged(document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = nitro(capsys, document)
    assert shown.code == 0
    for check_id in ("freshness.nonce_bound", "nitro.pcrs", "nitro.user_data"):
        assert f"not judged: {check_id}" in shown.out
        assert f"pass            {check_id}" not in shown.out


def test_raw_bytes_and_json(document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = nitro(capsys, document, "--json", "--nonce", (NONCE + bytes(12)).hex())
    assert shown.code == 0
    for data in (ENCLAVE.document(), b"\xd2" + ENCLAVE.document()):
        document.write_bytes(data)
        assert nitro(capsys, document, "--json", "--nonce", NONCE.hex()).out == shown.out
    told = json.loads(shown.out)
    assert told["test_roots"] is True
    assert told["evaluated_at"] == AT
    assert told["document"]["pcr2"] == ENCLAVE.pcrs[2].hex()
    assert told["document"]["timestamp"] == "2026-06-15T12:00:00.000Z"
    assert told["not_judged"] == ["nitro.pcrs", "nitro.user_data"]
    assert {status for status, _ in status_of(shown).values()} == {"pass"}
    assert len(status_of(shown)) == 6


@pytest.mark.parametrize(
    ("options", "check_id", "reason"),
    [
        (["--nonce", "00" * 20], "freshness.nonce_bound", "nonce_mismatch"),
        (["--nonce", "00" * 32], "freshness.nonce_bound", "nonce_mismatch"),
        ([*PCRS, "--pcr8", "01" * 48], "nitro.pcrs", "not_pinned"),
        ([*PCRS[:4], "--pcr2", "00" * 48], "nitro.pcrs", "not_pinned"),
    ],
)
def test_what_is_refused(
    options: list[str], check_id: str, reason: str, document: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = nitro(capsys, document, "--json", *options)
    assert shown.code == 1
    assert status_of(shown)[check_id] == ("fail", reason)


def test_a_debugged_enclave(document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zero = {index: bytes(48) for index in range(16)}
    document.write_bytes(NitroEnclave(at=ENCLAVE.at, nonce=NONCE, pcrs=zero).served())
    for more in ((), [word for index in (0, 1, 2) for word in (f"--pcr{index}", "00" * 48)]):
        shown = nitro(capsys, document, "--json", *more)
        assert shown.code == 1
        assert status_of(shown)["nitro.not_debug"] == ("fail", "debug")


def test_times(document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert nitro(capsys, document, at="document").code == 0
    late = nitro(capsys, document, "--json", at="2026-06-15T15:00:01Z")
    assert late.code == 1
    assert status_of(late)["nitro.cert_chain"] == ("fail", "chain_time")
    assert run(capsys, "nitro", document, "--at", AT).code == 1  # AWS's own root


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--nonce", "00"], "--nonce"),
        (["--nonce", "xy" * 20], "--nonce"),
        (["--pcr0", "00" * 47, *PCRS[2:]], "--pcr0"),
        (PCRS[:2], "--pcr1"),
        (["--pcr8", "00" * 48], "--pcr0"),
        (["--at", "yesterday"], "--at"),
    ],
)
def test_options_that_are_wrong(
    options: list[str], part: str, document: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = nitro(capsys, document, *options)
    assert shown.code == 2
    assert part in shown.sentence()


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"{}", b"\x84", base64.b64encode(b'{"module_id": 1}'), b"A" * 99999]
)
def test_files_that_are_no_document(content: bytes, document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document.write_bytes(content)
    shown = nitro(capsys, document)
    assert shown.code == 4
    assert shown.sentence()
    assert run(capsys, "nitro", document.with_name("missing")).code == 4


def test_the_terminal_is_safe(document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = NitroEnclave(at=ENCLAVE.at, nonce=NONCE, members={"module_id": "i-1\x1b[2J\r\n  pass all"})
    document.write_bytes(hostile.served())
    out = nitro(capsys, document).out
    assert "\x1b" not in out
    assert "\n  pass all" not in out


def test_the_real_document(capsys: pytest.CaptureFixture[str]) -> None:
    path = captures_folder() / "opengradient-nitro-document.bin"
    if not path.is_file():
        pytest.skip(f"the capture {path.name} is not there")
    nonce = "0123456789abcdef0123456789abcdef01234567"
    good = run(capsys, "nitro", path, "--at", "2026-02-12T17:56:02Z", "--nonce", nonce)
    assert good.code == 0
    assert "TEST" not in good.out
    now = run(capsys, "nitro", path, "--json")
    assert now.code == 1
    assert status_of(now)["nitro.cert_chain"] == ("fail", "chain_time")
