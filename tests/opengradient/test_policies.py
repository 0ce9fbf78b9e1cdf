"""``teeverify policy`` on policies with ``[registry]``: pin, show, diff, lint."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

import pytest

from teeverify.cli import main
from teeverify.errors import PolicyError
from teeverify.policy import Policy, RegistryPolicy
from teeverify.policy_diff import diff
from teeverify.policy_lint import lint
from teeverify.policy_pin_enclave import EnclaveObservation, pin_enclaves
from teeverify.policy_text import to_toml
from teeverify.testing import OpenGradientSession, opengradient_policy, write_roots
from teeverify.testing.opengradient_chain import CONTRACT

from .world import LEVELS, outcome_of, report_of, verifier_of

AT: Final = datetime(2035, 6, 1, tzinfo=timezone.utc)
SESSION: Final = OpenGradientSession.build()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_roots(tmp_path / "roots")
    for level in LEVELS:
        (tmp_path / f"{level.replace('+', '-')}.json").write_text(json.dumps(SESSION.saved(level)))
    return tmp_path


def _pin(folder: Path, name: str) -> int:
    return main(
        ["policy", "pin", str(folder / name), "--test-roots", str(folder / "roots"), "--out", str(folder / "p")]
    )


def test_pin_writes_the_image_of_an_attested_report(folder: Path) -> None:
    assert _pin(folder, "attested.json") == 0
    text = (folder / "p").read_text()
    policy = Policy.from_toml(text)
    (table,) = policy.pins["enclave"].pcrs or ()
    assert dict(table) == dict(SESSION.enclave.pinned_pcrs)
    assert policy.registry == RegistryPolicy()
    assert policy.pins["enclave"].signing_keys is None
    assert not policy.waivers
    assert "UNDER TEST ROOTS" in text
    verifier = verifier_of(SESSION, policy=text)
    assert outcome_of(verifier.verify_saved(report_of(SESSION.saved(nodes=False)))) == "VERIFIED"
    other = OpenGradientSession.build()
    other.enclave.pcrs[2] = b"\x41" * 48
    assert outcome_of(verifier.verify_saved(report_of(other.saved(nodes=False)))) == "REJECTED"


@pytest.mark.parametrize("name", ["registry.json", "registry-pcr.json"])
def test_the_word_of_nodes_is_not_pinned(folder: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _pin(folder, name) == 2
    assert "no document of its own" in capsys.readouterr().err
    assert not (folder / "p").exists()


def test_nothing_is_pinned_from_what_does_not_verify(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session = OpenGradientSession.build()
    session.attested_nonce = bytes(20)
    (folder / "bad.json").write_text(json.dumps(session.saved()))
    assert _pin(folder, "bad.json") == 2
    assert "freshness.nonce_bound" in capsys.readouterr().err
    assert main(["policy", "pin", str(folder / "attested.json")]) == 2  # under AWS's own root


def test_observations_that_are_none() -> None:
    given = {"provider": "opengradient", "name": "x", "recorded_at": AT, "source": "a test"}
    with pytest.raises(PolicyError, match="no enclave"):
        pin_enclaves([], **given)  # type: ignore[arg-type]
    with pytest.raises(PolicyError, match="lacks"):
        pin_enclaves([EnclaveObservation(role="enclave", pcrs={"pcr1": bytes(48)})], **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("level", LEVELS)
def test_show_gives_back_the_same_policy(level: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = Policy.from_toml(opengradient_policy(SESSION, assurance=level))
    (tmp_path / "p.toml").write_text(opengradient_policy(SESSION, assurance=level))
    assert main(["policy", "show", str(tmp_path / "p.toml")]) == 0
    shown = capsys.readouterr().out
    assert Policy.from_toml(shown).digest == policy.digest
    assert f'assurance = "{level}"' in shown
    assert f'address = "{CONTRACT}"' in shown
    assert main(["policy", "show", str(tmp_path / "p.toml"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)["policy"]
    assert (document["registry"]["assurance"], document["registry"]["quorum"]) == (level, 2)
    assert Policy.from_toml(to_toml(policy)) == policy


def test_digests_tell_levels_and_contracts_apart() -> None:
    texts = [opengradient_policy(SESSION, assurance=level, pcrs=True) for level in LEVELS]
    texts += [
        texts[0].replace(old, new) for old, new in (("10740", "10741"), ("quorum = 2", "quorum = 1"), ("703c", "703d"))
    ]
    texts.append(opengradient_policy(SESSION, contract=False))
    assert len({Policy.from_toml(text).digest for text in texts}) == len(texts)
    plain = opengradient_policy(SESSION, contract=False)
    bare = plain.replace('[registry]\nassurance = "attested"\n', "")
    assert bare != plain
    assert Policy.from_toml(bare).digest == Policy.from_toml(plain).digest  # as digests of older policies


def test_diff_says_what_is_looser() -> None:
    strict = Policy.from_toml(opengradient_policy(SESSION))
    loose = Policy.from_toml(opengradient_policy(SESSION, assurance="registry+pcr", quorum=1))
    found = {change.key: change.direction for change in diff(strict, loose)}
    assert found["registry.assurance"] == "looser"
    assert found["registry.quorum"] == "looser"
    back = {change.key: change.direction for change in diff(loose, strict)}
    assert back["registry.assurance"] == "stricter"
    assert back["registry.quorum"] == "stricter"
    assert not diff(strict, strict)
    bare = Policy.from_toml(opengradient_policy(SESSION, assurance="registry"))
    assert [change.direction for change in diff(strict, bare) if change.key.startswith("pins")] == ["looser"]
    assert [change.direction for change in diff(bare, strict) if change.key.startswith("pins")] == ["stricter"]


def test_lint() -> None:
    strict = Policy.from_toml(opengradient_policy(SESSION, valid_until="2035-09-01"))
    assert lint(strict, AT) == ()
    lax = opengradient_policy(SESSION, assurance="registry", quorum=1, valid_until="2035-09-01")
    aged = lax.replace("quorum = 1", "quorum = 1\nmax_heartbeat_age = 1801\nmax_block_age = 121")
    words = [sentence.split(" ")[0] for sentence in lint(Policy.from_toml(aged), AT)]
    names = ("assurance", "quorum", "max_heartbeat_age", "max_block_age")
    assert words == [f"registry.{name}" for name in names]
    alone = Policy.from_toml(opengradient_policy(SESSION, contract=False, valid_until="2035-09-01"))
    assert lint(alone, AT) == ()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"attested"', '"Attested"'),
        (CONTRACT, f"0x{CONTRACT}"),
        (CONTRACT, CONTRACT.upper()),
        (CONTRACT, CONTRACT[:-2]),
        ("chain_id = 10740", ""),
        ("chain_id = 10740", "chain_id = 0"),
        ("quorum = 2", "quorum = 0"),
        ("quorum = 2", "quorum = 17"),
        ("quorum = 2", "quorum = true"),
        ("quorum = 2", "quorums = 2"),
        ("quorum = 2", "max_block_age = 0"),
        ("quorum = 2", "max_heartbeat_age = 604801"),
    ],
)
def test_sections_that_are_none(old: str, new: str) -> None:
    text = opengradient_policy(SESSION)
    assert old in text
    with pytest.raises(PolicyError, match="registry"):
        Policy.from_toml(text.replace(old, new))


def test_lower_levels_need_a_contract() -> None:
    text = opengradient_policy(SESSION, assurance="registry+pcr", contract=False)
    with pytest.raises(PolicyError, match="pinned contract"):
        Policy.from_toml(text)
