"""``teeverify demo --provider opengradient``, and ``attest``, ``verify`` and ``exchange`` for that provider."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from teeverify.cli.demo_opengradient import ANSWER_LIES, LIES, RELAY_LIES
from teeverify.testing.simulation import SimulatedTee

from .commands import Shown, run

pytestmark = pytest.mark.loopback
DEMO = ("demo", "--provider", "opengradient")


def flat(shown: Shown) -> str:
    return " ".join(shown.out.split())


def test_the_demonstration_and_what_it_saved(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    saved = tmp_path / "saved.json"
    shown = run(capsys, *DEMO, "--save", saved)
    assert shown.code == 0, shown.out
    assert "Every step came out as it should. TEST ROOTS" in shown.out
    assert shown.out.count("  VERIFIED  ") == 6
    assert shown.out.count("  REJECTED  ") == len(LIES) + len(ANSWER_LIES)
    assert shown.out.count("  not sent  ") == 1
    assert shown.out.count("  unread    ") == len(RELAY_LIES)
    for _, _, check_id in (*LIES, *ANSWER_LIES):
        assert f"{check_id}: " in flat(shown)
    with SimulatedTee.opengradient() as tee:
        tee.write(tmp_path / "tee")
        assert tee.api_key not in saved.read_text()
    rules: list[str | Path] = ["--test-roots", tmp_path / "tee" / "roots", "--policy", tmp_path / "tee" / "policy.toml"]
    assert run(capsys, "verify", saved, *rules).code == 0
    shown = run(capsys, "exchange", saved, *rules)
    assert shown.code == 0, shown.out
    assert "exchange: VERIFIED" in shown.out
    assert "Not signed: which model answered" in flat(shown)
    document = json.loads(run(capsys, "exchange", saved, *rules, "--json").out)
    assert (document["outcome"], document["attestation"]["outcome"]) == ("VERIFIED", "VERIFIED")
    assert "my words" not in json.dumps(document)
    altered = json.loads(saved.read_text())
    chat = base64.b64decode(altered["exchange"]["response_body"]).replace(b"simulated", b"Simulated")
    altered["exchange"]["response_body"] = base64.b64encode(chat).decode()
    saved.write_text(json.dumps(altered))
    shown = run(capsys, "exchange", saved, *rules, "-q")
    assert shown.code == 1
    assert "exchange.response_digest" in shown.out


@pytest.mark.parametrize("deaf", ["nitro.pcrs", "enclave.ohttp_key", "exchange.response_digest", "exchange.signature"])
def test_the_demonstration_fails_when_a_check_is_deaf(capsys: pytest.CaptureFixture[str], deaf: str) -> None:
    from teeverify.checks.catalogue import get_check, passed

    real = get_check(deaf).judge
    object.__setattr__(get_check(deaf), "judge", lambda subject, policy: passed("deaf"))
    try:
        shown = run(capsys, *DEMO)
    finally:
        object.__setattr__(get_check(deaf), "judge", real)
    assert shown.code == 1
    assert "did not come out as they should" in shown.out
    assert deaf in shown.out


def test_options_of_the_demonstration(capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(capsys, *DEMO, "--direct")
    assert shown.code == 2
    assert "--direct is no option of provider 'opengradient'" in shown.sentence()


def test_attest(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TEEVERIFY_API_KEY", "key-of-the-caller")
    saved = tmp_path / "session.json"
    with SimulatedTee.opengradient() as tee:
        here: list[str | Path] = [
            "--connect-to", f"127.0.0.1:{tee.port}", "--ca", tee.ca_file,
            "--test-roots", tee.directory / "roots", "--policy", tee.directory / "policy.toml",
        ]  # fmt: skip
        nodes = [word for url in tee.nodes for word in ("--node", url)]
        shown = run(capsys, "attest", "opengradient", "-", *nodes, *here, "--save", saved, "-q")
        assert shown.code == 0, shown.out + shown.err
        assert "key-of-the-caller" not in saved.read_text()
        document = json.loads(run(capsys, "attest", "opengradient", "-", *nodes, *here, "--json").out)
        (key,) = [one for one in document["subjects"][0]["attested_keys"] if one["use"] == "signing"]
        for prefix in ("", "0x"):
            assert run(
                capsys, "attest", "opengradient", "-", *nodes, *here, "--tee-id", prefix + key["address"]
            ).code == 0  # fmt: skip
        assert run(capsys, "attest", "opengradient", "-", *nodes, *here, "--tee-id", "00" * 32).code == 3
        fewer = run(capsys, "attest", "opengradient", "-", *nodes[:2], *here, "-q")
        assert fewer.code == 3, "one node is no quorum of two"
        assert "registry.entry" in fewer.out
        judging: list[str | Path] = ["--test-roots", tee.directory / "roots", "--policy", tee.directory / "policy.toml"]
        assert run(capsys, "verify", saved, *judging).code == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--node", "http://rpc.example"], "https"),
        (["--node", "https://rpc.example", "--enclave", "https://192.0.2.7/path"], "is no enclave"),
        (["--node", "https://rpc.example", "--tee-id", "abcd"], "--tee-id"),
        (["--url", "https://rpc.example"], "--url is no option of provider 'opengradient'"),
        (["--backends", "--node", "https://rpc.example"], "--backends is no option of provider 'opengradient'"),
        ([], "nothing says where the enclave is"),
    ],
)
def test_bad_arguments(capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], sentence: str) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(SimulatedTee.opengradient().policy_text, encoding="utf-8")
    shown = run(capsys, "attest", "opengradient", "-", "--policy", policy, *arguments)
    assert shown.code in (2, 4)
    assert sentence in shown.sentence()


@pytest.mark.parametrize("option", [["--node", "https://x.example"], ["--enclave", "https://x.example"],
                                    ["--tee-id", "00" * 32]])  # fmt: skip
def test_its_options_are_refused_by_others(capsys: pytest.CaptureFixture[str], option: list[str]) -> None:
    shown = run(capsys, "attest", "near", "m", *option)
    assert shown.code == 2
    assert f"{option[0]} is no option of provider 'near'" in shown.sentence()


def test_no_policy_is_shipped(capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(capsys, "attest", "opengradient", "-", "--enclave", "https://192.0.2.7")
    assert shown.code == 2
    assert "opengradient" in shown.sentence()
