"""The captured sessions behind fronts: outcome, subjects, the status of each check, key facts."""

from __future__ import annotations

from typing import Final

import pytest

from captures import capture_path, policy_path
from teeverify.cli import main
from teeverify.policy import Policy
from teeverify.saved import SavedReport
from teeverify.verdict import CheckResult, Outcome, Status, SubjectVerdict

from .world import CHUTES, NANOGPT, VENICE, capture, deciding, judge_capture, kind_of, policy_of

_OF_OTHERS: Final = {"binding.e2ee_key", "binding.distinct_instances", "pin.signing_key"}
_GPU: Final = {
    "gpu.present", "gpu.evidence_signature", "gpu.cert_chain", "gpu.nonce_bound", "gpu.distinct_devices",
    "gpu.same_fabric", "gpu.nras_token", "gpu.nras_result", "gpu.cpu_binding",
}  # fmt: skip
_FACTS: Final = {"gpu.cpu_binding", "pin.images_by_digest", "pin.compose_flags"}
"""Nothing enforces them: the policies of the captures demand nothing of the compose document but its digest."""
NOT_APPLICABLE: Final[dict[tuple[str, str], set[str]]] = {
    (NANOGPT, "model"): {*_OF_OTHERS, "binding.same_td", "gpu.same_fabric"},
    (VENICE, "model"): {*_OF_OTHERS, "binding.same_td"},
    (VENICE, "compose_manager"): {*_OF_OTHERS, *_GPU, "binding.signing_key"},
}
ADDRESSES: Final = {
    NANOGPT: "a6df16ebbc510d97a32b99b4dfd33793acc90e2b",
    VENICE: "6525e128afcffebf7eed05d485d7be983cdae934",
}
FACTS: Final = (
    (NANOGPT, "model", "freshness.nonce_bound", "9a796732"),
    (NANOGPT, "model", "pin.base_image", "b24d3b24"),
    (NANOGPT, "model", "dstack.compose_event", "cd5af141"),
    (NANOGPT, "model", "dstack.mr_config_id", "01cd5af141"),
    (NANOGPT, "model", "tdx.module", "7bf06328"),
    (NANOGPT, "model", "tcb.eval_number", "19"),
    (VENICE, "model", "freshness.nonce_bound", "d2f37ab5"),
    (VENICE, "compose_manager", "freshness.nonce_bound", "d2f37ab5"),
    (VENICE, "model", "dstack.compose_event", "4676ec04"),
    (VENICE, "compose_manager", "dstack.compose_event", "4676ec04"),
    (VENICE, "compose_manager", "binding.report_data", "ae7cdc6a"),
)


def _check(subject: SubjectVerdict, check_id: str) -> CheckResult:
    (found,) = (check for check in subject.checks if check.id == check_id)
    return found


@pytest.mark.parametrize("name", [NANOGPT, VENICE])
def test_every_check_of_the_dstack_shape(name: str) -> None:
    verdict = judge_capture(capture(name), name).require()
    expected = [role for capture_name, role in NOT_APPLICABLE if capture_name == name]
    assert [(subject.id, subject.role) for subject in verdict.subjects] == [(role, role) for role in expected]
    for subject in verdict.subjects:
        silent = NOT_APPLICABLE[name, subject.role]
        applicable = kind_of(verdict.provider).applicable
        assert {check.id for check in subject.checks} == set(applicable)
        for check in subject.checks:
            wanted = Status.INFO if check.id in _FACTS else Status.PASS
            assert check.status is (Status.NOT_APPLICABLE if check.id in silent else wanted), check.id
            assert check.enforced


@pytest.mark.parametrize(("name", "role", "check_id", "prefix"), FACTS)
def test_observed_values(name: str, role: str, check_id: str, prefix: str) -> None:
    verdict = judge_capture(capture(name), name)
    (subject,) = (one for one in verdict.subjects if one.role == role)
    check = _check(subject, check_id)
    assert check.status is Status.PASS
    assert (check.observed or "").startswith(prefix)


@pytest.mark.parametrize("name", ADDRESSES)
def test_the_signing_key_and_nothing_else_is_minted(name: str) -> None:
    verdict = judge_capture(capture(name), name)
    (key,) = (key for subject in verdict.subjects for key in subject.attested_keys)
    assert (key.use, key.algorithm, key.address, len(key.public_key)) == ("signing", "ecdsa", ADDRESSES[name], 128)
    assert verdict.attested_tls_spki is None
    assert verdict.expires_at is not None
    assert f"{verdict.expires_at:%m-%d %H:%M:%S}" == {NANOGPT: "06-10 02:49:02", VENICE: "06-10 02:46:32"}[name]


@pytest.mark.parametrize("name", ADDRESSES)
def test_what_is_not_proven_is_said(name: str) -> None:
    verdict = judge_capture(capture(name), name)
    assert "nothing shows where the connection ends" in verdict.trust_boundary
    assert "outside of any TEE" in verdict.gaps[0]
    assert any("nothing in a quote names the model" in gap for gap in verdict.gaps)


def test_redpill_chose_the_nonce_itself() -> None:
    verdict = judge_capture(capture(CHUTES), CHUTES)
    assert verdict.outcome is Outcome.REJECTED
    assert deciding(verdict) == {"freshness.nonce_bound"}
    assert len(verdict.subjects) == 5
    for subject in verdict.subjects:
        assert _check(subject, "freshness.nonce_bound").reason == "nonce_mismatch"
        assert [check.id for check in subject.deciding] == ["freshness.nonce_bound"]
        assert _check(subject, "policy.shape").status is Status.PASS
        assert not subject.attested_keys


@pytest.mark.parametrize(("name", "code"), [(NANOGPT, 0), (VENICE, 0), (CHUTES, 1)])
def test_the_command_line(name: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(capture_path(name)), "--policy", str(policy_path(name)), "-q"]) == code
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", [NANOGPT, VENICE])
def test_pins_of_a_capture_verify_it(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "pin", str(capture_path(name))]) == 0
    text = capsys.readouterr().out
    proposed = Policy.from_toml(text)
    assert proposed.provider == capture(name).provider
    assert proposed.pins.keys() == policy_of(name).pins.keys()
    for role, pins in policy_of(name).pins.items():
        for given in ("app_ids", "compose", "kms_roots", "os_images", "mr_seam"):
            assert getattr(proposed.pins[role], given) == getattr(pins, given)
    kind = kind_of(proposed.provider)
    assert kind(proposed).verify_saved(SavedReport.load(capture_path(name))).verified


def test_nothing_is_pinned_from_a_replay(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "pin", str(capture_path(CHUTES))]) == 2
    assert "freshness.nonce_bound" in capsys.readouterr().err
