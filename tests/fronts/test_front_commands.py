"""The command line with fronts: attest over a transport that is none, verify and pin what it saved, exchanges."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import attrs
import pytest

from cli.commands import run
from teeverify.cli import attest_command
from teeverify.policy import Policy
from teeverify.providers.fronts import SigningFrontVerifier
from teeverify.saved import SavedReport
from teeverify.testing import front_policy, write_roots

from .chats import chat
from .world import Front

NOW = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(minutes=1)
URL = ("--url", "https://vllm-proxy.test.invalid/v1")
COMMANDS: list[tuple[str, str, dict[str, Any], tuple[str, ...]]] = [
    ("phala", "dstack", {}, ()),
    ("phala", "dstack", {"algorithm": "ed25519"}, ("--algorithm", "ed25519")),
    ("phala", "chutes", {}, ()),
    ("vllm-proxy", "dstack", {}, URL),
    ("vllm-proxy", "dstack", {"tls_bound": True}, (*URL, "--tls-bound")),
    ("vllm-proxy", "dstack", {"algorithm": "ed25519"}, (*URL, "--algorithm", "ed25519")),
    ("nanogpt", "near", {}, ()),
    ("venice", "dstack", {}, ()),
]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    write_roots(tmp_path / "roots")
    return tmp_path


def _front(provider: str, shape: str, options: dict[str, Any], files: Path, monkeypatch: pytest.MonkeyPatch) -> Front:
    front = Front(provider, shape, at=NOW, **options)
    (files / "policy.toml").write_text(front_policy(front.session()), encoding="utf-8")
    monkeypatch.setattr(attest_command, "chosen_transport", lambda args: front)
    return front


@pytest.mark.parametrize(("provider", "shape", "options", "more"), COMMANDS, ids=str)
def test_attest_save_verify_and_pin(
    provider: str, shape: str, options: dict[str, Any], more: tuple[str, ...],
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    front = _front(provider, shape, options, files, monkeypatch)
    monkeypatch.setenv("TEEVERIFY_API_KEY", "secret-key")
    policy, roots, saved = files / "policy.toml", files / "roots", files / "saved.json"
    judging = ("--policy", policy, "--test-roots", roots)
    shown = run(capsys, "attest", provider, front.session().model_name, *more, *judging, "--save", saved)
    assert (shown.code, "VERIFIED as of" in shown.out) == (0, True), shown
    assert "secret-key" not in shown.out + saved.read_text(encoding="utf-8")
    assert run(capsys, "verify", saved, *judging).code == 0
    if shape == "dstack" and not options:
        pinned = run(capsys, "policy", "pin", saved, "--test-roots", roots)
        assert pinned.code == 0, pinned
        assert Policy.from_toml(pinned.out).pins.keys() == Policy.load(policy).pins.keys()


def test_an_attack_is_exit_code_1(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    front = _front("nanogpt", "dstack", {"server_nonce": bytes(range(32))}, files, monkeypatch)
    judging = ("--policy", files / "policy.toml", "--test-roots", files / "roots")
    shown = run(capsys, "attest", "nanogpt", front.session().model_name, *judging)
    assert shown.code == 1
    assert "freshness.nonce_bound" in shown.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("vllm-proxy", "m"),
        ("vllm-proxy", "m", "--url", "http://my-cvm.example/v1"),
        ("vllm-proxy", "m", *URL, "--cloud"),
        ("vllm-proxy", "m", *URL, "--mode", "proxy"),
        ("phala", "m", "--tls-bound"),
        ("phala", "m", *URL),
        ("nanogpt", "m", "--algorithm", "ecdsa"),
        ("venice", "m", *URL),
        ("venice", "m", "--chute", "x"),
        ("phala", "m", "--connect-to", "a:²"),
        ("phala", "m", "--connect-to", "a:99999"),
    ],
    ids=" ".join,
)
def test_options_that_do_not_go_together(
    arguments: tuple[str, ...], files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    front = Front(arguments[0])
    (files / "policy.toml").write_text(front_policy(front.session()), encoding="utf-8")
    shown = run(capsys, "attest", *arguments, "--policy", files / "policy.toml")
    assert shown.code == 2
    assert shown.sentence()


def test_an_exchange_offline(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    front = Front("vllm-proxy", tls_bound=True)
    judge = front.verifier()
    assert isinstance(judge, SigningFrontVerifier)
    exchange = chat(front)
    judged = judge.verify_exchange(exchange).require()
    assert judged.evidence is not None
    saved, policy = files / "saved.json", files / "policy.toml"
    policy.write_text(front_policy(front.session()), encoding="utf-8")
    evidence: SavedReport = attrs.evolve(judged.evidence)
    evidence.save(saved)
    for name, body in (("request", exchange.request_body), ("response", exchange.response_body)):
        (files / name).write_bytes(body)
    judging = ("--policy", policy, "--test-roots", files / "roots")
    given = ("--request", files / "request", "--response", files / "response")
    assert run(capsys, "exchange", saved, *given, *judging).code == 0
    (files / "response").write_bytes(exchange.response_body.replace(b"assistant", b"impostor!"))
    shown = run(capsys, "exchange", saved, *given, *judging)
    assert shown.code == 1
    assert "exchange.response_digest" in shown.out
