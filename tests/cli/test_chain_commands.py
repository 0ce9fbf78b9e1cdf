"""The command line on a proxy before Chutes: attest, verify, policies and the catalogue."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

import pytest

from chutes.chain_world import Proxy
from teeverify.cli import attest_command
from teeverify.policy import Policy
from teeverify.testing import ChainSession, chain_policy
from teeverify.testing.chain import BASE_URL
from teeverify.testing.chutes_world import MODEL
from teeverify.testing.roots import write_roots

from .commands import Shown, run

ATTEST: Final = ("attest", "chutes-chain", MODEL, "--url", BASE_URL)
SESSIONS: Final = {mode: ChainSession.build(mode=mode) for mode in ("passthrough", "proxy")}


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Proxy:
    """A proxy of today, in place of the network."""
    today = datetime.now(timezone.utc).replace(microsecond=0)
    found = Proxy(instances=2, proxy_gpus=1, at=today)

    def chosen(args: object) -> AbstractContextManager[Proxy]:
        return nullcontext(found)

    monkeypatch.setattr(attest_command, "chosen_transport", chosen)
    monkeypatch.setenv("TEEVERIFY_API_KEY", "key-of-the-caller")
    return found


def judging(folder: Path, mode: str) -> list[str | Path]:
    """--policy and --test-roots; the policy pins both and says ``mode`` of the instances."""
    write_roots(folder / "roots")
    path = folder / f"{mode}.toml"
    path.write_text(chain_policy(SESSIONS["passthrough"], mode=mode), encoding="utf-8")
    return ["--policy", path, "--test-roots", folder / "roots"]


def saved(folder: Path, mode: str) -> Path:
    path = folder / f"{mode}.json"
    path.write_text(json.dumps(SESSIONS[mode].saved()), encoding="utf-8")
    return path


def verify(capsys: pytest.CaptureFixture[str], folder: Path, mode: str, rules: str, *more: str) -> Shown:
    return run(capsys, "verify", saved(folder, mode), *judging(folder, rules), *more)


@pytest.mark.parametrize("algorithm", ["ecdsa", "ed25519"])
@pytest.mark.parametrize(("mode", "rules"), [("passthrough", "all"), ("proxy", "delegated")])
def test_attest_then_verify_what_was_saved(
    proxy: Proxy, capsys: pytest.CaptureFixture[str], tmp_path: Path, mode: str, rules: str, algorithm: str
) -> None:
    out, arguments = tmp_path / "session.json", judging(tmp_path, rules)
    shown = run(capsys, *ATTEST, "--mode", mode, "--algorithm", algorithm, *arguments, "--save", out, "-q")
    assert shown.code == 0, shown.out + shown.err
    assert f"signing_algo={algorithm}&verify_mode={mode}" in proxy.asked[0].url
    assert run(capsys, "verify", out, *arguments).code == 0
    assert "key-of-the-caller" not in out.read_text(encoding="utf-8")


def test_attest_asks_for_evidence_unless_told_otherwise(
    proxy: Proxy, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shown = run(capsys, *ATTEST, *judging(tmp_path, "all"), "--json")
    document = json.loads(shown.out)
    assert (shown.code, document["verified"]) == (0, True)
    assert [one["role"] for one in document["subjects"]] == ["gateway", "instance", "instance"]
    assert "signing_algo=ecdsa&verify_mode=passthrough" in proxy.asked[0].url


def test_attest_with_a_receipt_where_evidence_is_demanded(
    proxy: Proxy, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shown = run(capsys, *ATTEST, "--mode", "proxy", *judging(tmp_path, "all"), "-q")
    assert shown.code == 3
    assert "receipt.delegation" in shown.out


@pytest.mark.parametrize(
    "more",
    [
        ("--cloud",), ("--direct",), ("--backends",), ("--chute", "ba52815b-2914-4d08-930e-c889da7e191a"),
        ("--tls-bound",), ("--url", "http://proxy.example"), ("--url", ""),
    ],
)  # fmt: skip
def test_options_of_others_are_refused(
    proxy: Proxy, capsys: pytest.CaptureFixture[str], tmp_path: Path, more: tuple[str, ...]
) -> None:
    shown = run(capsys, *ATTEST, *more, *judging(tmp_path, "all"))
    assert shown.code == 2
    assert shown.sentence()
    assert proxy.asked == []


@pytest.mark.parametrize("provider", ["near", "chutes"])
@pytest.mark.parametrize("more", [("--url", BASE_URL), ("--mode", "proxy"), ("--tls-bound",)])
def test_its_options_are_refused_by_others(
    proxy: Proxy, capsys: pytest.CaptureFixture[str], provider: str, more: tuple[str, ...]
) -> None:
    shown = run(capsys, "attest", provider, MODEL, *more)
    assert shown.code == 2
    assert f"{more[0]} is no option of provider '{provider}'" in shown.sentence()


def test_attest_needs_a_policy_and_a_url(proxy: Proxy, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    without = run(capsys, *ATTEST)
    assert without.code == 2
    assert "chutes-chain" in without.sentence()
    shown = run(capsys, "attest", "chutes-chain", MODEL, *judging(tmp_path, "all"))
    assert shown.code == 2
    assert "URL" in shown.sentence()
    assert run(capsys, *ATTEST, "--mode", "both").code == 2


OUTCOMES: Final = {
    ("passthrough", "all"): 0,
    ("passthrough", "any"): 0,
    ("passthrough", "delegated"): 0,
    ("proxy", "all"): 3,
    ("proxy", "any"): 3,
    ("proxy", "delegated"): 0,
}


@pytest.mark.parametrize(("mode", "rules"), sorted(OUTCOMES))
def test_verify(mode: str, rules: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shown = verify(capsys, tmp_path, mode, rules)
    assert shown.code == OUTCOMES[mode, rules]
    said = "Delegated verification: an attested proxy says" in " ".join(shown.out.split())
    assert said is ((mode, rules) == ("proxy", "delegated"))
    document: dict[str, Any] = json.loads(verify(capsys, tmp_path, mode, rules, "--json").out)
    assert document["provider"] == "chutes-chain"
    uses = {key["use"] for one in document["subjects"] for key in one["attested_keys"]}
    assert uses == {0: {"signing", "e2ee"} if mode == "passthrough" else {"signing"}, 3: set()}[shown.code]


def test_a_policy_of_chutes_is_none_for_the_proxy(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shown = run(capsys, "verify", saved(tmp_path, "proxy"), "--policy", "builtin:chutes")
    assert shown.code == 2
    assert "chutes-chain" in shown.sentence()


def test_pin_writes_a_policy_for_both_roles_that_verifies(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out, report = tmp_path / "pinned.toml", saved(tmp_path, "passthrough")
    roots = judging(tmp_path, "all")[2:]
    shown = run(capsys, "policy", "pin", report, "--out", out, *roots)
    assert shown.code == 0, shown.err
    policy = Policy.load(out)
    assert (policy.provider, policy.instances, sorted(policy.pins)) == ("chutes-chain", "all", ["gateway", "instance"])
    assert run(capsys, "verify", report, "--policy", out, *roots).code == 0


def test_pin_takes_no_receipt_for_evidence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "pinned.toml"
    shown = run(capsys, "policy", "pin", saved(tmp_path, "proxy"), "--out", out, *judging(tmp_path, "all")[2:])
    assert shown.code == 2
    assert "receipt.delegation" in shown.sentence()
    assert not out.exists()


def test_show_lint_and_diff(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    paths = {mode: judging(tmp_path, mode)[1] for mode in ("all", "any", "delegated")}
    shown = run(capsys, "policy", "show", paths["delegated"])
    assert shown.code == 0
    assert 'mode = "delegated"' in shown.out
    assert Policy.from_toml(shown.out).digest == Policy.load(paths["delegated"]).digest
    assert run(capsys, "policy", "lint", paths["delegated"], "--at", "2035-12-01T00:00:00Z").code == 0
    for before, after, word in [
        ("all", "delegated", "looser"), ("any", "delegated", "looser"), ("all", "any", "looser"),
        ("delegated", "all", "stricter"), ("delegated", "any", "stricter"),
    ]:  # fmt: skip
        changed = run(capsys, "policy", "diff", paths[before], paths[after])
        assert changed.code == 0
        assert word in changed.out
        assert f"{after} instead of {before}" in changed.out


def test_the_catalogue_says_what_applies_to_whom(capsys: pytest.CaptureFixture[str]) -> None:
    lines = run(capsys, "checks", "--provider", "chutes-chain").out.splitlines()
    found = {line.split()[0]: line for line in lines}
    assert "gateway, instance: " in found["tdx.quote_signature"]
    assert " instance: " in found["gpu.present"]
    assert "gateway" not in found["gpu.present"]
    assert "gateway" not in found["binding.e2ee_key"]
    for check in ("receipt.signature", "receipt.binding", "receipt.delegation"):
        assert "mandatory" in found[check]
        assert " gateway: " in found[check]
    assert "mandatory" not in found["receipt.consistency"]
    assert not any(line.startswith("receipt.") for line in run(capsys, "checks", "--provider", "near").out.splitlines())


@pytest.mark.parametrize("check", ["receipt.signature", "receipt.binding", "receipt.consistency", "receipt.delegation"])
def test_explain(check: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(capsys, "explain", check)
    assert shown.code == 0
    assert shown.out.startswith(f"{check}: ")
    assert ("no policy can waive it" in shown.out) is (check != "receipt.consistency")
