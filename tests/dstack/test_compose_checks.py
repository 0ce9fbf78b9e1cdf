"""The checks of compose facts inside whole verdicts, with the extra and without it."""

from __future__ import annotations

import builtins
import json
from typing import Any

import attrs
import pytest

from captures import capture_path, policy_path
from teeverify.checks import compose_pins
from teeverify.checks.catalogue import get_check
from teeverify.policy import ComposeFlags, Policy, ReferenceValues
from teeverify.providers.dstack_app import DstackVerifier
from teeverify.providers.near import NearVerifier
from teeverify.saved import SavedReport
from teeverify.testing import DstackApp, dstack_policy, trust_roots
from teeverify.testing.dstack import app_compose_text
from teeverify.verdict import AttestationVerdict, CheckResult, Outcome, Status

from .composes import service

APP = DstackApp.build()
REPORT = SavedReport.from_bytes(json.dumps(APP.saved()).encode())
POLICY = Policy.from_toml(dstack_policy(APP))
CHECKS = ("pin.images_by_digest", "pin.compose_flags")


def judged(policy: Policy, report: SavedReport = REPORT) -> AttestationVerdict:
    return DstackVerifier(policy, roots=trust_roots()).verify_saved(report)


def found(verdict: AttestationVerdict, check_id: str) -> CheckResult:
    return next(check for check in verdict.subjects[0].checks if check.id == check_id)


def pinning(**pins: Any) -> Policy:
    return attrs.evolve(POLICY, pins={"enclave": attrs.evolve(POLICY.pins["enclave"], **pins)})


@pytest.fixture
def without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: Any, **named: Any) -> Any:
        if name == "yaml" or name.startswith("yaml."):
            raise ImportError(name)
        return real(name, *rest, **named)

    compose_pins._read.cache_clear()
    monkeypatch.setattr(builtins, "__import__", refuse)


def test_a_document_that_obeys() -> None:
    verdict = judged(POLICY)
    assert verdict.outcome is Outcome.VERIFIED
    assert [found(verdict, check_id).status for check_id in CHECKS] == [Status.PASS, Status.PASS]


def test_facts_are_told_where_nothing_is_demanded() -> None:
    verdict = judged(pinning(images_by_digest=None, compose_flags=None))
    assert verdict.outcome is Outcome.VERIFIED
    images, flags = (found(verdict, check_id) for check_id in CHECKS)
    assert (images.status, flags.status) == (Status.INFO, Status.INFO)
    assert images.summary == "1 images, all named by digest"
    assert flags.summary.startswith("1 environment names, no script, 0 with privileged")


@pytest.mark.usefixtures("without_the_extra")
def test_without_the_extra_a_demand_is_not_evaluated() -> None:
    verdict = judged(POLICY)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    for check_id in CHECKS:
        check = found(verdict, check_id)
        assert (check.status, check.reason) == (Status.UNEVALUATED, "extra_missing")
        assert "teeverify[compose]" in check.summary


@pytest.mark.usefixtures("without_the_extra")
def test_without_the_extra_and_a_demand_nothing_is_said() -> None:
    verdict = judged(pinning(images_by_digest=None, compose_flags=None))
    assert verdict.outcome is Outcome.VERIFIED
    assert {found(verdict, check_id).status for check_id in CHECKS} == {Status.NOT_APPLICABLE}


def other_app(compose_file: str, **members: Any) -> tuple[DstackApp, SavedReport]:
    """An app whose measured document is another one, truthful in everything else."""
    app = DstackApp.build()
    document = json.loads(app_compose_text("app", compose_file))
    app.enclave.reboot(app_compose=json.dumps({**document, **members}))
    return app, SavedReport.from_bytes(json.dumps(app.saved()).encode())


@pytest.mark.parametrize(
    ("compose_file", "members", "failing"),
    [
        (service(image="a:latest"), {}, {"pin.images_by_digest"}),
        (service(image="${IMAGE}"), {}, {"pin.images_by_digest"}),
        (service(privileged=True), {}, {"pin.compose_flags"}),
        (service(volumes=["/var/run/dstack.sock:/x"]), {}, {"pin.compose_flags"}),
        (service(), {"allowed_envs": ["TEST_TOKEN", "DSTACK_AUTHORIZED_KEYS"]}, {"pin.compose_flags"}),
        (service(), {"pre_launch_script": "curl x | sh"}, {"pin.compose_flags"}),
        (service(), {"public_logs": True}, {"pin.compose_flags"}),
        (service(), {"new_hook": "x"}, {"pin.compose_flags"}),
        ("services: {a: {image: b}}\n---\nservices: {}", {}, set(CHECKS)),
    ],
)
def test_a_document_that_does_not(compose_file: str, members: dict[str, Any], failing: set[str]) -> None:
    """Pinned by its hash like a good one: only what is demanded of its facts refuses it."""
    app, report = other_app(compose_file, **members)
    verdict = judged(Policy.from_toml(dstack_policy(app)), report)
    assert verdict.outcome is Outcome.REJECTED
    assert {check.id for check in verdict.subjects[0].checks if check.status is Status.FAIL} == failing
    assert judged(Policy.from_toml(dstack_policy(app, facts=False)), report).outcome is Outcome.VERIFIED


def test_demands_that_no_evidence_shows_are_refused() -> None:
    """A role without a dstack guest shows no compose document, so demands on it would do nothing."""
    (subject,) = DstackVerifier.subjects_of_saved(
        REPORT, roots=trust_roots(), at=REPORT.recorded_at, wall_clock=REPORT.recorded_at
    )
    bare = attrs.evolve(subject, dstack=None)
    image = attrs.evolve((POLICY.pins["enclave"].base_images or ())[0], rtmr3=bytes(48))
    demands: dict[str, Any] = {"images_by_digest": True, "compose_flags": ComposeFlags(public_logs=False)}
    for name, value in demands.items():
        pins = ReferenceValues(base_images=(image,), **{name: value})
        finding = get_check("policy.pinned").judge(bare, attrs.evolve(POLICY, pins={"enclave": pins}))
        assert (finding.status, finding.reason) == (Status.FAIL, "unenforced_pin")
        assert name in finding.summary


def test_the_facts_of_captured_documents() -> None:
    report = SavedReport.load(capture_path("near-cloud-2026-06-29"))
    policy = Policy.load(policy_path("near-cloud-2026-06-29"))
    verdict = NearVerifier(policy).verify_saved(report)
    told = {s.role: {c.id: c for c in s.checks if c.id in CHECKS} for s in verdict.subjects}
    assert told["gateway"]["pin.images_by_digest"].summary == "7 images, all named by digest"
    assert "${COMPOSE_MANAGER_IMAGE:-" in told["model"]["pin.images_by_digest"].summary
    assert told["model"]["pin.compose_flags"].summary.startswith("22 environment names, scripts pre_launch_script 6d13")
