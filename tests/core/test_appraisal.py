"""The appraisal: order of prerequisites, waivers, outages, and the fold to one outcome."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from itertools import product

import attrs
import pytest

from teeverify.appraisal import appraise, fold, judge_subject
from teeverify.check_ids import KNOWN, MANDATORY
from teeverify.checks.catalogue import all_checks
from teeverify.claims.problem import ProblemKind
from teeverify.claims.subject import Subject
from teeverify.errors import ConfigurationError, PolicyError
from teeverify.policy import Policy, Waiver
from teeverify.providers.near import NearVerifier
from teeverify.verdict import CheckResult, Outcome, Status, SubjectVerdict

from .subjects import NOW, change, policy_of, problem, report_of, roots, subject_of

APPLICABLE = NearVerifier.applicable


def _result(status: Status, *, enforced: bool = True) -> CheckResult:
    return CheckResult(
        id="x.y", status=status, enforced=enforced, reason="", summary="", expected=None, observed=None, anchor=""
    )


def _waiving(*waivers: Waiver) -> Policy:
    return attrs.evolve(policy_of(), waivers=waivers)


def _of(verdict: SubjectVerdict, check_id: str) -> CheckResult:
    return next(check for check in verdict.checks if check.id == check_id)


def _broken(**changes: object) -> Subject:
    subject = subject_of()
    for path, value in changes.items():
        subject = change(subject, path.replace("__", "."), value)
    return subject


# --- the fold --------------------------------------------------------------------------------------------------------


def test_nothing_proves_nothing() -> None:
    assert fold(()) is Outcome.INCONCLUSIVE
    verdict = judge_subject(subject_of(), policy_of(), {})
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.checks == ()


@pytest.mark.parametrize("statuses", list(product(Status, repeat=3)), ids=lambda s: "-".join(x.value for x in s))
def test_every_fold_of_three(statuses: tuple[Status, ...]) -> None:
    expected = Outcome.VERIFIED
    if Status.UNEVALUATED in statuses or Status.PASS not in statuses:  # without a pass nothing was proven
        expected = Outcome.INCONCLUSIVE
    if Status.FAIL in statuses:
        expected = Outcome.REJECTED
    assert fold(_result(status) for status in statuses) is expected


@pytest.mark.parametrize("status", list(Status))
def test_a_waived_result_does_not_decide(status: Status) -> None:
    assert _result(status, enforced=False).decides is None
    assert fold((_result(Status.PASS), _result(status, enforced=False))) is Outcome.VERIFIED


# --- a good subject and a bad one ------------------------------------------------------------------------------------


def test_a_good_subject_is_verified_and_every_check_is_there_once() -> None:
    verdict = judge_subject(subject_of(), policy_of(), APPLICABLE)
    assert verdict.outcome is Outcome.VERIFIED
    ids = [check.id for check in verdict.checks]
    assert ids == [check.id for check in all_checks() if check.id in APPLICABLE]
    assert ids == sorted(ids, key=KNOWN.index)
    assert set(ids) == set(APPLICABLE)
    assert verdict.deciding == ()
    assert verdict.waived == ()


def test_a_failure_stands_though_its_prerequisite_is_unknown() -> None:
    subject = _broken(
        tdx__dcap=problem(ProblemKind.UNAVAILABLE, "http_outage"), binding__report_data=b"\1" * 64, channel=None
    )
    verdict = judge_subject(subject, policy_of(), APPLICABLE)
    assert verdict.outcome is Outcome.REJECTED
    assert _of(verdict, "tdx.quote_signature").status is Status.UNEVALUATED
    assert _of(verdict, "binding.report_data").status is Status.FAIL
    assert _of(verdict, "binding.signing_key").reason == "prerequisite_failed"


def test_an_unknown_signature_leaves_nothing_proven() -> None:
    subject = _broken(tdx__dcap=problem(ProblemKind.UNAVAILABLE, "http_outage"))
    verdict = judge_subject(subject, policy_of(), APPLICABLE)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    resting = {check.id for check in all_checks() if "tdx.quote_signature" in check.requires}
    for check_id in resting & set(APPLICABLE):
        check = _of(verdict, check_id)
        if "model" in APPLICABLE[check_id] and check.status is not Status.NOT_APPLICABLE:
            assert check.status is Status.UNEVALUATED, check_id


def test_an_outage_of_the_record_judges_nothing() -> None:
    gone = problem(ProblemKind.UNAVAILABLE, "not_recorded")
    bad = problem(ProblemKind.MALFORMED, "json_syntax")
    for record in ((gone,), (bad, gone)):
        verdict = judge_subject(_broken(record=record), policy_of(), APPLICABLE)
        assert verdict.outcome is Outcome.INCONCLUSIVE
        for check in verdict.checks:
            applies = "model" in APPLICABLE[check.id]
            assert check.status is (Status.UNEVALUATED if applies else Status.NOT_APPLICABLE)
            assert check.reason == ("not_recorded" if applies else "role")


def test_roles() -> None:
    for role in ("model", "compose_manager"):
        for check in judge_subject(subject_of(role), policy_of(), APPLICABLE).checks:
            if role not in APPLICABLE[check.id]:
                assert (check.status, check.reason) == (Status.NOT_APPLICABLE, "role")


def test_a_prerequisite_that_the_provider_does_not_have_is_no_obstacle() -> None:
    results = appraise(subject_of(), policy_of(), {"pin.app_id": ("model",)})
    assert [(result.id, result.status) for result in results] == [("pin.app_id", Status.PASS)]


def test_anchors_under_test_roots() -> None:
    for check in judge_subject(subject_of(), policy_of(), APPLICABLE).checks:
        assert check.anchor.startswith("TEST ROOTS: ")
    for check in judge_subject(attrs.evolve(subject_of(), test_roots=False), policy_of(), APPLICABLE).checks:
        assert "TEST ROOTS" not in check.anchor


# --- waivers ---------------------------------------------------------------------------------------------------------


def test_a_waived_check_runs_and_says_so() -> None:
    subject = _broken(channel__peer_fingerprint=b"\1" * 32)
    waived = _waiving(Waiver(check="channel.tls_spki", reason="recorded behind a proxy"))
    assert judge_subject(subject, policy_of(), APPLICABLE).outcome is Outcome.REJECTED
    verdict = judge_subject(subject, waived, APPLICABLE)
    check = _of(verdict, "channel.tls_spki")
    assert verdict.outcome is Outcome.VERIFIED
    assert (check.status, check.enforced) == (Status.FAIL, False)
    assert check.summary.endswith("[waived: recorded behind a proxy]")
    assert verdict.waived == (check,)


def test_a_waiver_of_a_check_that_passes_says_nothing() -> None:
    verdict = judge_subject(subject_of(), _waiving(Waiver(check="channel.tls_spki", reason="not needed")), APPLICABLE)
    assert "waived" not in _of(verdict, "channel.tls_spki").summary


def test_a_waiver_of_another_role_does_not_help() -> None:
    subject = _broken(channel__peer_fingerprint=b"\1" * 32)
    other = _waiving(Waiver(check="channel.tls_spki", reason="x", role="gateway"))
    own = _waiving(Waiver(check="channel.tls_spki", reason="x", role="model"))
    assert judge_subject(subject, other, APPLICABLE).outcome is Outcome.REJECTED
    assert judge_subject(subject, own, APPLICABLE).outcome is Outcome.VERIFIED


@pytest.mark.parametrize(("days", "outcome"), [(-1, Outcome.REJECTED), (0, Outcome.VERIFIED), (1, Outcome.VERIFIED)])
def test_the_last_day_of_a_waiver(days: int, outcome: Outcome) -> None:
    subject = _broken(channel__peer_fingerprint=b"\1" * 32)
    last: date = NOW.date() + timedelta(days=days)
    policy = _waiving(Waiver(check="channel.tls_spki", reason="x", expires=last))
    assert judge_subject(subject, policy, APPLICABLE).outcome is outcome


@pytest.mark.parametrize("check_id", sorted(MANDATORY))
def test_a_mandatory_check_cannot_be_waived(check_id: str) -> None:
    with pytest.raises(PolicyError, match="mandatory"):
        Waiver(check=check_id, reason="because")


def test_waiving_a_prerequisite_does_not_free_what_rests_on_it() -> None:
    """With the collateral waived away nothing says that the platform is not revoked, and that is mandatory."""
    gone = problem(ProblemKind.INVALID, "collateral_shape")
    subject = _broken(tdx__collateral=attrs.evolve(subject_of().tdx.collateral, tcb_info=gone))  # type: ignore[union-attr]
    every = [Waiver(check=check_id, reason="x") for check_id in APPLICABLE if check_id not in MANDATORY]
    verdict = judge_subject(subject, _waiving(*every), APPLICABLE)
    assert verdict.outcome is not Outcome.VERIFIED
    assert _of(verdict, "tcb.not_revoked").decides is Outcome.INCONCLUSIVE


MANDATORY_FAULTS: tuple[tuple[str, object], ...] = (
    ("binding__report_data", bytes(64)),
    ("binding__nonce", bytes(32)),
    ("binding__signing_key__derived_address", bytes(32)),
    ("tdx__dcap", problem(ProblemKind.INVALID, "quote_signature_invalid")),
    ("tdx__dcap", problem(ProblemKind.UNAVAILABLE, "http_outage")),
    ("tdx__dcap", problem(ProblemKind.INVALID, "tcb_revoked")),
    ("tdx__quote", problem(ProblemKind.MALFORMED, "quote_truncated")),
    ("tdx__quote", problem(ProblemKind.ABSENT, "quote_missing")),
    ("dstack__app_compose", problem(ProblemKind.ABSENT, "app_compose_missing")),
    ("dstack__identity", problem(ProblemKind.INVALID, "event_order")),
    ("dstack__app_compose__compose_hash", bytes(32)),
)


@pytest.mark.parametrize(("path", "value"), MANDATORY_FAULTS, ids=lambda part: str(part)[:40])
def test_no_set_of_waivers_lets_a_mandatory_fault_pass(path: str, value: object) -> None:
    every = [Waiver(check=check_id, reason="x") for check_id in APPLICABLE if check_id not in MANDATORY]
    verdict = judge_subject(_broken(**{path: value}), _waiving(*every), APPLICABLE)
    assert verdict.outcome is not Outcome.VERIFIED


def test_no_log_at_all_proves_nothing() -> None:
    """Deriving never leaves the logs empty, but `Subject` is public, and these two checks are mandatory."""
    verdict = judge_subject(_broken(dstack__logs=()), policy_of(), APPLICABLE)
    assert verdict.outcome is not Outcome.VERIFIED


# --- the session -----------------------------------------------------------------------------------------------------


def _conclude(make: Callable[[tuple[Subject, ...]], tuple[Subject, ...]]) -> Outcome:
    verifier = NearVerifier(policy_of("cloud"), roots=roots())
    subjects = NearVerifier.subjects_of_saved(report_of("cloud"), roots=roots(), at=NOW, wall_clock=NOW)
    verdict = verifier.conclude(make(subjects), model="m", nonce=report_of("cloud").nonce, at=NOW)
    if verdict.outcome is not Outcome.VERIFIED:
        assert not any(subject.attested_keys for subject in verdict.subjects)
        assert verdict.expires_at is None
    return verdict.outcome


def test_every_subject_must_be_verified() -> None:
    outage = problem(ProblemKind.UNAVAILABLE, "not_recorded")

    def without_channel(subjects: tuple[Subject, ...]) -> tuple[Subject, ...]:
        return (change(subjects[0], "channel.peer_fingerprint", outage), *subjects[1:])

    def other_channel(subjects: tuple[Subject, ...]) -> tuple[Subject, ...]:
        return (change(subjects[0], "channel.peer_fingerprint", bytes(32)), *subjects[1:])

    def both(subjects: tuple[Subject, ...]) -> tuple[Subject, ...]:
        return (*without_channel(subjects)[:1], change(subjects[1], "binding.report_data", bytes(64)), *subjects[2:])

    assert _conclude(lambda subjects: subjects) is Outcome.VERIFIED
    assert _conclude(without_channel) is Outcome.INCONCLUSIVE
    assert _conclude(other_channel) is Outcome.REJECTED
    assert _conclude(both) is Outcome.REJECTED


def test_a_session_without_subjects_proves_nothing() -> None:
    assert _conclude(lambda subjects: ()) is Outcome.INCONCLUSIVE


def test_subjects_of_another_challenge_time_or_roots_are_refused() -> None:
    nonce = report_of("cloud").nonce
    subjects = NearVerifier.subjects_of_saved(report_of("cloud"), roots=roots(), at=NOW, wall_clock=NOW)
    verifier = NearVerifier(policy_of("cloud"), roots=roots())
    assert verifier.conclude(subjects, model="m", nonce=nonce, at=NOW).outcome is Outcome.VERIFIED
    vendors = NearVerifier(policy_of("cloud"))
    later = NOW + timedelta(seconds=1)
    for own, other_nonce, at in ((verifier, bytes(32), NOW), (verifier, nonce, later), (vendors, nonce, NOW)):
        with pytest.raises(ConfigurationError, match="derived for another nonce"):
            own.conclude(subjects, model="m", nonce=other_nonce, at=at)
