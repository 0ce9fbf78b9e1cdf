"""Every NEAR capture under its strict and its relaxed policy: outcome, subjects, the status of each check, key facts.

The expectations were computed from the captured bytes by independent code, not by this library.
"""

from __future__ import annotations

from typing import Final

import pytest
from attrs import frozen

from captures import capture_path, policy_path
from teeverify.check_ids import KNOWN
from teeverify.cli import main
from teeverify.policy import Policy
from teeverify.providers.near import NearVerifier
from teeverify.saved import SavedReport
from teeverify.verdict import AttestationVerdict, CheckResult, Outcome, Status

MODEL: Final = "Qwen/Qwen3.5-122B-A10B"
MODEL_KEY: Final = "d0aa20bcf567cc0c7c914608967dbd4c7a17e10b600802d45923434ce323f823"
GATEWAY_KEY: Final = "cb6fc58f6bd685919fa42fb54d3fcfe03222e324bdda91f0bac6d5c73dc4f1c6"
MODEL_OHTTP: Final = "010020a830c65a"
GATEWAY_OHTTP: Final = "01002021ea1b4a"
FIVE_ADVISORIES: Final = "INTEL-SA-01036, INTEL-SA-01079, INTEL-SA-01099, INTEL-SA-01103, INTEL-SA-01111"

_OTHER_THEMES: Final = ("nitro", "registry", "enclave", "exchange", "receipt", "aci")
_NEAR: Final = {i for i in KNOWN if i.partition(".")[0] not in _OTHER_THEMES} - {"policy.shape"}
_NEAR_CHECKS: Final = _NEAR - {"binding.distinct_instances"}
_GPU: Final = {i for i in _NEAR_CHECKS if i.startswith("gpu.")}
_UNPINNED: Final = {"pin.signing_key", "pin.tls_spki"}
_NOT_FOR_COMPOSE_MANAGER: Final = {
    "binding.signing_key",
    "binding.tls_spki",
    "binding.e2ee_key",
    "channel.tls_spki",
    *_UNPINNED,
    *_GPU,
}


@frozen
class Expected:
    """What one subject comes to: every check that is neither named here nor inapplicable passes."""

    outcome: str
    not_applicable: frozenset[str]
    fail: frozenset[str] = frozenset()
    unevaluated: frozenset[str] = frozenset()
    waived: frozenset[str] = frozenset()

    def status(self, check_id: str, role: str) -> Status:
        """The status that one check must have."""
        if check_id in self.not_applicable:
            return Status.NOT_APPLICABLE
        if check_id in self.fail:
            return Status.FAIL
        if check_id in self.unevaluated:
            return Status.UNEVALUATED
        telling = ("gpu.cpu_binding", "pin.images_by_digest", "pin.compose_flags")
        return Status.INFO if check_id in telling else Status.PASS


def _gateway(outcome: str, *absent: str, **lists: frozenset[str]) -> Expected:
    return Expected(outcome, frozenset({"binding.same_td", *_UNPINNED, *_GPU, *absent}), **lists)


def _model(outcome: str, *absent: str, **lists: frozenset[str]) -> Expected:
    return Expected(outcome, frozenset({"binding.same_td", *_UNPINNED, *absent}), **lists)


_CHANNEL: Final = frozenset({"channel.tls_spki"})
_TCB: Final = frozenset({"tcb.status", "tcb.advisories"})
_COMPOSE_MANAGER: Final = Expected("VERIFIED", frozenset(_NOT_FOR_COMPOSE_MANAGER))

TABLE: Final[dict[tuple[str, str], tuple[str, int, dict[str, Expected]]]] = {
    ("near-cloud-2026-06-29", ""): (
        "VERIFIED",
        0,
        {
            "gateway": _gateway("VERIFIED"),
            "model": _model("VERIFIED", "channel.tls_spki"),
            "compose_manager": _COMPOSE_MANAGER,
        },
    ),
    ("near-cloud-2026-04-24", ""): (
        "REJECTED",
        1,
        {
            "gateway": _gateway("REJECTED", "binding.e2ee_key", fail=_TCB, unevaluated=_CHANNEL),
            "model": _model("VERIFIED", "binding.e2ee_key", "channel.tls_spki"),
            "compose_manager": _COMPOSE_MANAGER,
        },
    ),
    ("near-cloud-2026-04-24", ".relaxed"): (
        "VERIFIED",
        0,
        {
            "gateway": _gateway("VERIFIED", "binding.e2ee_key", unevaluated=_CHANNEL, waived=_CHANNEL),
            "model": _model("VERIFIED", "binding.e2ee_key", "channel.tls_spki"),
            "compose_manager": _COMPOSE_MANAGER,
        },
    ),
    ("near-direct-2026-06-29", ""): (
        "VERIFIED",
        0,
        {"model": _model("VERIFIED"), "compose_manager": _COMPOSE_MANAGER},
    ),
    ("near-direct-2026-04-24", ""): (
        "INCONCLUSIVE",
        3,
        {
            "model": _model("INCONCLUSIVE", "binding.e2ee_key", unevaluated=_CHANNEL),
            "compose_manager": _COMPOSE_MANAGER,
        },
    ),
    ("near-direct-2026-04-24", ".relaxed"): (
        "VERIFIED",
        0,
        {
            "model": _model("VERIFIED", "binding.e2ee_key", unevaluated=_CHANNEL, waived=_CHANNEL),
            "compose_manager": _COMPOSE_MANAGER,
        },
    ),
}


def _judge(name: str, variant: str = "") -> AttestationVerdict:
    policy = Policy.load(policy_path(name + variant))
    return NearVerifier(policy).verify_saved(SavedReport.load(capture_path(name)))


def _check(verdict: AttestationVerdict, subject_id: str, check_id: str) -> CheckResult:
    (subject,) = (each for each in verdict.subjects if each.id == subject_id)
    (result,) = (each for each in subject.checks if each.id == check_id)
    return result


@pytest.mark.parametrize(("name", "variant"), TABLE, ids=lambda part: part or "strict")
def test_outcome_subjects_and_every_check(name: str, variant: str) -> None:
    outcome, _, subjects = TABLE[name, variant]
    verdict = _judge(name, variant)
    assert verdict.outcome is Outcome(outcome)
    assert [subject.id for subject in verdict.subjects] == list(subjects)
    for subject in verdict.subjects:
        expected = subjects[subject.id]
        assert subject.role == subject.id
        assert subject.outcome is Outcome(expected.outcome)
        observed = {check.id: check.status for check in subject.checks}
        assert set(observed) == _NEAR_CHECKS
        assert observed == {check_id: expected.status(check_id, subject.role) for check_id in observed}
        assert {check.id for check in subject.checks if not check.enforced} == expected.waived


@pytest.mark.parametrize(("name", "variant"), TABLE, ids=lambda part: part or "strict")
def test_exit_code(name: str, variant: str, capsys: pytest.CaptureFixture[str]) -> None:
    outcome, code, _ = TABLE[name, variant]
    arguments = ["verify", str(capture_path(name)), "--policy", str(policy_path(name + variant)), "-q"]
    assert main(arguments) == code
    shown = capsys.readouterr()
    assert shown.out.startswith(f"{outcome} as of 2026-")
    assert shown.err == ""


def test_facts_of_the_outdated_gateway() -> None:
    verdict = _judge("near-cloud-2026-04-24")
    status = _check(verdict, "gateway", "tcb.status")
    assert status.reason == "not_accepted"
    assert status.observed == "OutOfDate"
    assert "matched level of 2024-03-13" in status.summary
    for short in (
        "SGX component 0 is 2, the newest level needs 3",
        "SGX component 1 is 2, the newest level needs 3",
        "SGX component 4 is 3, the newest level needs 4",
        "TDX component 2 (TDX Late Microcode Update) is 2, the newest level needs 3",
    ):
        assert short in status.summary
    advisories = _check(verdict, "gateway", "tcb.advisories")
    assert advisories.reason == "open"
    assert advisories.observed == FIVE_ADVISORIES
    assert FIVE_ADVISORIES in advisories.summary
    assert verdict.conclusion.startswith("REJECTED")
    assert "tcb.status (gateway), tcb.advisories (gateway)" in verdict.conclusion
    assert _check(verdict, "gateway", "channel.tls_spki").reason == "key_not_recorded"


def test_facts_of_the_relaxed_gateway() -> None:
    verdict = _judge("near-cloud-2026-04-24", ".relaxed")
    assert _check(verdict, "gateway", "tcb.status").observed == "OutOfDate"
    assert _check(verdict, "gateway", "tcb.advisories").observed == FIVE_ADVISORIES
    waived = _check(verdict, "gateway", "channel.tls_spki")
    assert not waived.enforced
    assert waived.summary.endswith("[waived: the capture did not record the connection's key]")
    assert "waived: channel.tls_spki" in verdict.conclusion


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("near-cloud-2026-04-24", 18),
        ("near-direct-2026-04-24", 18),
        ("near-cloud-2026-06-29", 19),
        ("near-direct-2026-06-29", 19),
    ],
)
def test_evaluation_number(name: str, number: int) -> None:
    for subject in _judge(name).subjects:
        check = _check(_judge(name), subject.id, "tcb.eval_number")
        assert (check.observed, check.expected) == (str(number), f">= {number}")


@pytest.mark.parametrize(
    ("name", "subject", "check_id", "prefix"),
    [
        ("near-cloud-2026-06-29", "gateway", "channel.tls_spki", "aaeaf5a2"),
        ("near-cloud-2026-06-29", "gateway", "binding.tls_spki", "aaeaf5a2"),
        ("near-cloud-2026-06-29", "model", "binding.tls_spki", "eb336f52"),
        ("near-cloud-2026-04-24", "gateway", "binding.tls_spki", "91334460"),
        ("near-direct-2026-06-29", "model", "channel.tls_spki", "eb336f52"),
        ("near-direct-2026-04-24", "model", "binding.tls_spki", "3f6e62f5"),
        ("near-cloud-2026-06-29", "gateway", "dstack.compose_event", "52a82a58"),
        ("near-cloud-2026-06-29", "model", "dstack.compose_event", "66007399"),
        ("near-cloud-2026-04-24", "gateway", "dstack.compose_event", "3a5b9747"),
        ("near-direct-2026-04-24", "compose_manager", "dstack.compose_event", "242a6272"),
        ("near-cloud-2026-06-29", "gateway", "dstack.mr_config_id", "0152a82a58"),
        ("near-cloud-2026-06-29", "gateway", "tdx.module", "7bf06328"),
        ("near-cloud-2026-04-24", "model", "tdx.module", "49b66faa"),
        ("near-direct-2026-06-29", "model", "tdx.attributes", "0000001000000000"),
        ("near-cloud-2026-06-29", "gateway", "pin.base_image", "f06dfda6"),
        ("near-direct-2026-06-29", "model", "freshness.nonce_bound", "541b6523"),
        ("near-cloud-2026-04-24", "compose_manager", "freshness.nonce_bound", "7c4b89c7"),
    ],
)
def test_observed_values(name: str, subject: str, check_id: str, prefix: str) -> None:
    check = _check(_judge(name), subject, check_id)
    assert check.status is Status.PASS
    assert (check.observed or "").startswith(prefix)


@pytest.mark.parametrize("name", ["near-cloud-2026-06-29", "near-direct-2026-06-29"])
def test_facts_in_words(name: str) -> None:
    verdict = _judge(name)
    assert "8 GPUs of kind HOPPER" in _check(verdict, "model", "gpu.present").summary
    assert "the same 4 NVSwitches" in _check(verdict, "model", "gpu.same_fabric").summary
    assert "level of 2025-05-14" in _check(verdict, "model", "tcb.status").summary
    assert _check(verdict, "model", "gpu.cpu_binding").reason == "nonce_shared"
    assert verdict.model == MODEL
    assert verdict.provider == "near"
    assert not verdict.test_roots
    assert ("gateway" in verdict.trust_boundary) is ("cloud" in name)


@pytest.mark.parametrize(
    ("name", "variant", "expected"),
    [
        (
            "near-cloud-2026-06-29",
            "",
            {"gateway": (GATEWAY_KEY, GATEWAY_OHTTP), "model": (MODEL_KEY, MODEL_OHTTP), "compose_manager": ()},
        ),
        ("near-direct-2026-06-29", "", {"model": (MODEL_KEY, MODEL_OHTTP), "compose_manager": ()}),
        (
            "near-cloud-2026-04-24",
            ".relaxed",
            {"gateway": (GATEWAY_KEY,), "model": (MODEL_KEY,), "compose_manager": ()},
        ),
        ("near-direct-2026-04-24", ".relaxed", {"model": (MODEL_KEY,), "compose_manager": ()}),
        ("near-cloud-2026-04-24", "", {"gateway": (), "model": (), "compose_manager": ()}),
        ("near-direct-2026-04-24", "", {"model": (), "compose_manager": ()}),
    ],
)
def test_keys_are_minted_only_by_a_verified_verdict(
    name: str, variant: str, expected: dict[str, tuple[str, ...]]
) -> None:
    verdict = _judge(name, variant)
    observed = {subject.id: subject.attested_keys for subject in verdict.subjects}
    assert list(observed) == list(expected)
    for subject_id, prefixes in expected.items():
        keys = observed[subject_id]
        assert len(keys) == len(prefixes)
        assert all(key.public_key.startswith(prefix) for key, prefix in zip(keys, prefixes, strict=True))
        assert [key.use for key in keys] == ["signing", "ohttp"][: len(prefixes)]


@pytest.mark.parametrize(
    ("name", "variant", "expires"),
    [
        ("near-cloud-2026-04-24", ".relaxed", "2026-04-24T03:06:04"),
        ("near-cloud-2026-06-29", "", "2026-06-29T03:06:52"),
        ("near-direct-2026-04-24", ".relaxed", "2026-04-24T03:10:32"),
        ("near-direct-2026-06-29", "", "2026-06-29T03:06:34"),
    ],
)
def test_verdict_ends_with_the_first_of_its_statements(name: str, variant: str, expires: str) -> None:
    verdict = _judge(name, variant)
    assert verdict.expires_at is not None
    assert f"{verdict.expires_at:%Y-%m-%dT%H:%M:%S}" == expires
    assert verdict.expires_at > verdict.evaluated_at


@pytest.mark.parametrize("name", ["near-cloud-2026-04-24", "near-direct-2026-04-24"])
def test_no_end_without_verification(name: str) -> None:
    assert _judge(name).expires_at is None


@pytest.mark.parametrize("name", ["near-cloud-2026-06-29", "near-direct-2026-06-29", "near-cloud-2026-04-24"])
def test_the_policy_of_another_capture_refuses(name: str) -> None:
    report = SavedReport.load(capture_path(name))
    others = {"near-cloud-2026-06-29", "near-direct-2026-04-24", "near-cloud-2026-04-24"} - {name}
    for other in sorted(others):
        if name == "near-direct-2026-06-29" and other == "near-cloud-2026-06-29":
            continue  # the same machine on the same day
        assert NearVerifier(Policy.load(policy_path(other))).verify_saved(report).outcome is Outcome.REJECTED
