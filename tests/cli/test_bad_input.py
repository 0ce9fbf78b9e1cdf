"""Bad files and bad policies: one sentence that names what and where, the documented exit code, never a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from captures import capture_path
from teeverify import saved

from .commands import DIRECT, FIXTURES, REPORTS, run, verify

GOOD = (FIXTURES / REPORTS[DIRECT]["file"]).read_bytes()
POLICY = (FIXTURES / REPORTS[DIRECT]["policy"]).read_text(encoding="utf-8")


def _with(**members: Any) -> bytes:
    return json.dumps({**json.loads(GOOD), **members}).encode()


def _first(**members: Any) -> bytes:
    document = json.loads(GOOD)
    document["exchanges"][0]["response"] |= members
    return json.dumps(document).encode()


FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not JSON"),
    "space": (b" \n", "not JSON"),
    "truncated": (GOOD[:-100], "not JSON"),
    "not UTF-8": (b"\xff\xfe" + GOOD, "not UTF-8"),
    "UTF-16": (GOOD.decode().encode("utf-16"), "not UTF-8"),
    "byte order mark": (b"\xef\xbb\xbf" + GOOD, "not JSON"),
    "binary": (bytes(range(256)) * 8, "not"),
    "deep": (b"[" * 100_000 + b"]" * 100_000, "levels deep"),
    "deep object": (b'{"a":' * 50 + b"1" + b"}" * 50, "levels deep"),
    "repeated key": (GOOD.replace(b'{"media_type"', b'{"media_type":"x","media_type"', 1), "repeats a key"),
    "not a number": (_with(x=float("nan")), "NaN"),
    "infinity": (_with(x=float("inf")), "Infinity"),
    "long number": (GOOD.rstrip()[:-1] + b',"x":' + b"9" * 5000 + b"}", "number of 5000 digits"),
    "surrogate": (GOOD.rstrip()[:-1] + b',"x":"\\udc00"}', "surrogate"),
    "a list": (b"[]", "media_type"),
    "null": (b"null", "media_type"),
    "a text": (b'"x"', "media_type"),
    "another document": (b"{}", "media_type"),
    "a policy": (POLICY.encode(), "not JSON"),
    "no nonce": (_with(nonce=None), "nonce"),
    "short nonce": (_with(nonce="ab"), "nonce"),
    "number as model": (_with(model=7), "model"),
    "list as provider": (_with(provider=["near"]), "provider"),
    "bad time": (_with(recorded_at="yesterday"), "recorded_at"),
    "exchanges an object": (_with(exchanges={}), "exchanges"),
    "exchange a text": (_with(exchanges=["x"]), "exchange 0"),
    "bad base64": (_first(body="***"), "response body of exchange 0"),
    "status a text": (_first(status="200"), "exchange 0"),
    "headers a list": (_first(headers=[]), "exchange 0"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_saved_report_that_is_none(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, words = FILES[name]
    path = tmp_path / "saved.json"
    path.write_bytes(content)
    for command in (("verify", path), ("policy", "pin", path)):
        shown = run(capsys, *command)
        assert shown.code == 4
        assert words in shown.sentence()


@pytest.mark.parametrize("name", ["missing.json", ".", "saved.json/inside"])
def test_a_path_that_is_no_file(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "saved.json").write_bytes(GOOD)
    for command in ("verify", "quote"):
        shown = run(capsys, command, tmp_path / name)
        assert shown.code == 4
        assert "cannot be read" in shown.sentence()
        assert str(tmp_path / name) in shown.sentence()


def test_a_saved_report_that_is_too_large(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved, "MAX_SAVED_REPORT", 1000)
    shown = run(capsys, "verify", FIXTURES / REPORTS[DIRECT]["file"])
    assert shown.code == 4
    assert "at most 1000 are accepted" in shown.sentence()


def test_a_report_of_another_provider(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "saved.json"
    for provider in ("tinfoil", "NEAR", "near "):
        path.write_bytes(_with(provider=provider))
        for more in ((), ("--policy", FIXTURES / REPORTS[DIRECT]["policy"])):
            shown = run(capsys, "verify", path, *more)
            assert shown.code == 2
            assert repr(provider) in shown.sentence()


@pytest.mark.parametrize("name", ["tinfoil-cloud-2026-06-29", "tinfoil-direct-2026-06-29"])
def test_a_capture_of_another_provider(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(capsys, "verify", capture_path(name))
    assert shown.code == 2
    assert "there is no verifier for provider" in shown.sentence()


# --- policies --------------------------------------------------------------------------------------------------------

_WAIVER = '\n[[waive]]\ncheck = "{check}"\nreason = "why not"\n'

POLICIES: dict[str, tuple[Callable[[str], str | bytes], str]] = {
    "not TOML": (lambda text: text + "\n[", "not TOML"),
    "empty": (lambda text: "", "name"),
    "not UTF-8": (lambda text: b"\xff" + text.encode(), "not UTF-8"),
    "unknown key": (lambda text: "colour = 1\n" + text, "colour"),
    "unknown key in tcb": (lambda text: text.replace("[tcb]", "[tcb]\nacept = []"), "tcb.acept"),
    "unknown role": (lambda text: text.replace("[pins.model]", "[pins.modle]"), "modle"),
    "short pin": (lambda text: text.replace('compose = ["', 'compose = ["ab", "'), "compose[0]"),
    "no pins": (lambda text: text.partition("[pins")[0], "pins"),
    "unknown check in a waiver": (lambda text: text + _WAIVER.format(check="tdx.debug_on"), "tdx.debug_on"),
    "mandatory check in a waiver": (lambda text: text + _WAIVER.format(check="tdx.debug_off"), "mandatory"),
    "waiver without reason": (lambda text: text + '\n[[waive]]\ncheck = "gpu.present"\n', "reason"),
    "waiver with blank reason": (lambda text: text + '\n[[waive]]\ncheck = "gpu.present"\nreason = " "\n', "blank"),
    "expired waiver": (
        lambda text: text + _WAIVER.format(check="gpu.present") + "expires = 2026-06-14\n",
        "waives gpu.present until 2026-06-14",
    ),
    "revoked accepted": (lambda text: text.replace('accept = ["UpToDate"', 'accept = ["Revoked"'), "Revoked"),
    "unknown provider": (lambda text: text.replace('provider = "near"', 'provider = "nobody"'), "nobody"),
}


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_that_is_none(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit, words = POLICIES[name]
    content = edit(POLICY)
    assert content != POLICY
    path = tmp_path / "policy.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    shown = verify(capsys, DIRECT, policy=path)
    assert shown.code == 2
    assert words in shown.sentence()


@pytest.mark.parametrize("policy", ["missing.toml", ".", "builtin:nobody", "builtin:", "builtin:../near"])
def test_a_policy_that_is_not_there(policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = verify(capsys, DIRECT, policy=policy)
    assert shown.code == 2
    shown.sentence()


@pytest.mark.parametrize("at", ["yesterday", "", "2026-06-15", "2026-06-15T12:00:00", "1750000000", "RECORDED"])
def test_a_time_that_is_none(at: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = verify(capsys, DIRECT, "--at", at)
    assert shown.code == 2
    assert "--at" in shown.sentence()


def test_test_roots_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = FIXTURES / REPORTS[DIRECT]["file"]
    policy = FIXTURES / REPORTS[DIRECT]["policy"]
    names = ("intel-root.pem", "nvidia-root.pem", "nras-intermediate.pem", "aws-root.pem")
    shown = run(capsys, "verify", path, "--policy", policy, "--test-roots", tmp_path)
    assert shown.code == 2
    assert "intel-root.pem" in shown.sentence()
    for name in names:
        (tmp_path / name).write_bytes((FIXTURES / "roots" / name).read_bytes())
    for name in names:
        for content in (b"", b"hello", (FIXTURES / "roots" / name).read_bytes() * 2):
            (tmp_path / name).write_bytes(content)
            shown = run(capsys, "verify", path, "--policy", policy, "--test-roots", tmp_path)
            assert shown.code == 2
            assert name in shown.sentence()
        (tmp_path / name).write_bytes((FIXTURES / "roots" / name).read_bytes())


def test_the_shipped_policy_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(capsys, "verify", FIXTURES / REPORTS[DIRECT]["file"], "-q")
    assert shown.code == 1
    assert shown.out.startswith("REJECTED")
