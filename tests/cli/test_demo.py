"""``teeverify demo``, ``attest`` and ``exchange`` against the simulated endpoint on loopback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from teeverify.cli.demo_steps import LIES
from teeverify.testing.simulation import SimulatedTee

from .commands import Shown, run

pytestmark = pytest.mark.loopback


def flat(shown: Shown) -> str:
    return " ".join(shown.out.split())


@pytest.mark.parametrize("shape", [[], ["--direct"]], ids=["cloud", "direct"])
def test_the_demonstration(capsys: pytest.CaptureFixture[str], tmp_path: Path, shape: list[str]) -> None:
    saved = tmp_path / "saved.json"
    shown = run(capsys, "demo", *shape, "--save", saved)
    assert shown.code == 0, shown.out
    assert "Every step came out as it should. TEST ROOTS" in shown.out
    assert shown.out.count("  VERIFIED  ") == 6
    assert shown.out.count("  REJECTED  ") == len(LIES) + 1
    assert shown.out.count("  not sent  ") == 1
    for _, _, check_id in LIES:
        assert f"{check_id}: " in flat(shown)
    assert "exchange.response_digest: " in flat(shown)
    assert json.loads(saved.read_text())["exchange"]["chat_id"].startswith("chatcmpl-")


@pytest.mark.parametrize("deaf", ["freshness.nonce_bound", "tcb.status", "exchange.response_digest"])
def test_the_demonstration_fails_when_a_check_is_deaf(capsys: pytest.CaptureFixture[str], deaf: str) -> None:
    from teeverify.checks.catalogue import get_check, passed

    real = get_check(deaf).judge
    object.__setattr__(get_check(deaf), "judge", lambda subject, policy: passed("deaf"))
    try:
        shown = run(capsys, "demo")
    finally:
        object.__setattr__(get_check(deaf), "judge", real)
    assert shown.code == 1
    assert "did not come out as they should" in shown.out


def test_only_near_is_simulated(capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(capsys, "demo", "--provider", "venice")
    assert shown.code == 2
    assert "no simulated endpoint" in shown.sentence()


def _arguments(tee: SimulatedTee) -> list[str]:
    return [
        "--connect-to", f"127.0.0.1:{tee.port}", "--ca", str(tee.ca_file),
        "--test-roots", str(tee.directory / "roots"), "--policy", str(tee.directory / "policy.toml"),
    ]  # fmt: skip


@pytest.mark.parametrize("cloud", [True, False], ids=["cloud", "direct"])
def test_attest_then_verify_what_was_saved(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cloud: bool
) -> None:
    saved = tmp_path / "saved.json"
    with SimulatedTee.near(cloud=cloud, gpus=1) as tee:
        monkeypatch.setenv("TEEVERIFY_API_KEY", tee.api_key)
        shown = run(capsys, "attest", "near", tee.model, *_arguments(tee), "--save", saved, "-q")
        assert shown.code == 0, shown.out + shown.err
        assert shown.out.startswith("VERIFIED as of ")
        judging: list[str | Path] = ["--test-roots", tee.directory / "roots", "--policy", tee.directory / "policy.toml"]
        assert run(capsys, "verify", saved, *judging).code == 0
        assert tee.api_key not in saved.read_text()
        as_json = run(capsys, "attest", "near", tee.model, *_arguments(tee), "--json")
        assert json.loads(as_json.out)["verified"] is True
        tee.set_fault("replayed-nonce")
        lie = run(capsys, "attest", "near", tee.model, *_arguments(tee), "--save", saved)
        assert lie.code == 1
        assert run(capsys, "verify", saved, *judging).code == 1


def test_attest_without_a_key_is_inconclusive(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEEVERIFY_API_KEY", raising=False)
    with SimulatedTee.near(gpus=1) as tee:
        shown = run(capsys, "attest", "near", tee.model, *_arguments(tee), "-q")
    assert shown.code == 3
    assert shown.out.startswith("INCONCLUSIVE")


def test_attest_every_backend(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with SimulatedTee.near(cloud=False, gpus=1, backends=2) as tee:
        monkeypatch.setenv("TEEVERIFY_API_KEY", tee.api_key)
        saved = tmp_path / "one.json"
        arguments: list[str | Path] = [
            "attest",
            "near",
            tee.model,
            *_arguments(tee),
            "--direct",
            "--backends",
            "-q",
            "--save",
            saved,
        ]
        shown = run(capsys, *arguments)
        assert shown.code == 0, shown.out + shown.err
        assert shown.out.count("VERIFIED as of") == 2
        assert (tmp_path / "one-0.json").exists()
        assert (tmp_path / "one-1.json").exists()
        tee.set_fault("bad-backend")
        shown = run(capsys, *arguments)
        assert shown.code == 1
        assert shown.out.count("VERIFIED as of") == 1
        assert shown.out.count("REJECTED as of") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["attest", "nobody", "m"],
        ["attest", "near", "m", "--connect-to", "nowhere"],
        ["attest", "near", "m", "--connect-to", "a:99999"],
        ["attest", "near", "m", "--ca", "no/such/file"],
        ["attest", "near", "m", "--nonce", "00" * 32],
        ["attest", "near", "m", "--direct", "--backends", "--json"],
    ],
)
def test_bad_arguments_of_attest(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    shown = run(capsys, *arguments)
    assert shown.code == 2
    shown.sentence()


def test_a_nonce_that_is_no_hex(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "attest", "near", "m", "--nonce", "zz").code in (2, 4)


def test_exchange_of_a_saved_report(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    saved, request, response = (tmp_path / name for name in ("saved.json", "request", "response"))
    with SimulatedTee.near() as tee:
        tee.write(tmp_path / "tee")
    assert run(capsys, "demo", "--save", saved).code == 0
    judging: list[str | Path] = [
        "--test-roots",
        tmp_path / "tee" / "roots",
        "--policy",
        tmp_path / "tee" / "policy.toml",
    ]
    shown = run(capsys, "exchange", saved, *judging)
    assert shown.code == 0, shown.out
    assert "exchange: VERIFIED" in shown.out
    document = json.loads(run(capsys, "exchange", saved, *judging, "--json").out)
    assert (document["schema"], document["outcome"]) == ("teeverify.exchange/v1", "VERIFIED")
    assert document["attestation"]["schema"] == "teeverify.verdict/v1"
    assert "my words" not in json.dumps(document)
    import base64

    chat = json.loads(saved.read_text())["exchange"]
    request.write_bytes(base64.b64decode(chat["request_body"]))
    response.write_bytes(base64.b64decode(chat["response_body"]))
    files: list[str | Path] = ["--request", request, "--response", response]
    assert run(capsys, "exchange", saved, *judging, *files).code == 0
    response.write_bytes(response.read_bytes().replace(b'"content"', b'"Content"', 1))
    shown = run(capsys, "exchange", saved, *judging, *files, "-q")
    assert shown.code == 1
    assert "exchange.response_digest" in shown.out
    assert run(capsys, "exchange", saved, *judging, "--request", request).code == 2
    assert run(capsys, "exchange", saved, *judging, "--chat-id", "x").code == 2


def test_a_report_without_exchange(capsys: pytest.CaptureFixture[str]) -> None:
    from .commands import FIXTURES

    shown = run(capsys, "exchange", FIXTURES / "near-direct.json")
    assert shown.code == 4
    assert "holds no exchange" in shown.sentence()
