"""Appraisal (RFC 9334): checks in the order of their prerequisites, then the fold to one outcome.

1. A subject whose report could not be had is not judged at all: every check is unevaluated.
2. A check with a failed prerequisite does not run and is unevaluated: the failure above it is the reason.
3. A check with an unevaluated prerequisite runs. Its fail stands, since nothing that is still unknown could mend it;
   its pass becomes unevaluated, since it would rest on something unproven.
4. A waived check runs like the others and does not decide, but for what it finds that no waiver reaches.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache

from .checks.catalogue import Check, Finding, all_checks, not_applicable, unevaluated
from .claims.exchange import ExchangeSubject
from .claims.problem import Problem, ProblemKind, UnjudgeableError
from .claims.subject import Subject
from .policy import Policy
from .verdict import CheckResult, Outcome, Status, SubjectVerdict

__all__ = ["appraise", "fold", "judge_subject", "root_causes"]


def judge_subject(subject: Subject, policy: Policy, applicable: Mapping[str, Collection[str]]) -> SubjectVerdict:
    """Judge one subject; ``applicable`` maps each check id of the provider to the roles that it applies to."""
    results = appraise(subject, policy, applicable)
    return SubjectVerdict(id=subject.id, role=subject.role, outcome=fold(results), checks=results)


def appraise(
    subject: Subject | ExchangeSubject, policy: Policy, applicable: Mapping[str, Collection[str]]
) -> tuple[CheckResult, ...]:
    """Run every applicable check of the provider on one subject, in catalogue order."""
    outage = next((problem for problem in subject.record if problem.kind is ProblemKind.UNAVAILABLE), None)
    checks = [check for check in all_checks() if check.id in applicable]
    findings: dict[str, Finding] = {}
    for check in _prerequisites_first(frozenset(applicable)):
        if subject.role not in applicable[check.id]:
            findings[check.id] = not_applicable("role", f"does not apply to role {subject.role}")
        elif outage is not None:
            findings[check.id] = unevaluated(outage.code, outage.detail)
        else:
            findings[check.id] = _find(check, subject, policy, findings)
    return tuple(_result(check, findings[check.id], subject, policy) for check in checks)


def fold(results: Iterable[CheckResult]) -> Outcome:
    """The outcome that check results come to: rejected, else inconclusive, else verified.

    Without a single enforced pass (no result at all, or nothing that applies) it is inconclusive: nothing was proven.
    """
    found = tuple(results)
    decided = {result.decides for result in found}
    if Outcome.REJECTED in decided:
        return Outcome.REJECTED
    proven = any(result.enforced and result.status is Status.PASS for result in found)
    return Outcome.VERIFIED if proven and Outcome.INCONCLUSIVE not in decided else Outcome.INCONCLUSIVE


def root_causes(deciding: Sequence[tuple[str, CheckResult]]) -> Sequence[tuple[str, CheckResult]]:
    """Those of the deciding results (each with its subject's id) that do not merely wait for another check."""
    return [pair for pair in deciding if not pair[1].reason.startswith("prerequisite_")] or deciding


def _find(check: Check, subject: Subject | ExchangeSubject, policy: Policy, findings: Mapping[str, Finding]) -> Finding:
    before = {check_id: findings[check_id].status for check_id in check.requires if check_id in findings}
    broken = [check_id for check_id, status in before.items() if status is Status.FAIL]
    if broken:
        return unevaluated("prerequisite_failed", f"not judged, because {broken[0]} failed")
    try:
        finding = check.judge(subject, policy)
    except UnjudgeableError as refused:
        return _unjudgeable(refused.problem)
    unproven = [check_id for check_id, status in before.items() if status is Status.UNEVALUATED]
    if unproven and finding.status in (Status.PASS, Status.INFO):
        return unevaluated(
            "prerequisite_unevaluated",
            f"{finding.summary}; proven only once {unproven[0]} is",
            expected=finding.expected,
            observed=finding.observed,
        )
    return finding


def _unjudgeable(problem: Problem) -> Finding:
    return unevaluated(problem.code, problem.detail)


def _result(check: Check, finding: Finding, subject: Subject | ExchangeSubject, policy: Policy) -> CheckResult:
    waiver = policy.waiver_for(check.id, subject.role, subject.evaluated_at)
    if finding.reason in check.unwaivable:
        waiver = None
    summary = finding.summary
    if waiver is not None and finding.status in (Status.FAIL, Status.UNEVALUATED):
        summary = f"{summary} [waived: {waiver.reason}]"
    return CheckResult(
        id=check.id,
        status=finding.status,
        enforced=waiver is None,
        reason=finding.reason,
        summary=summary,
        expected=finding.expected,
        observed=finding.observed,
        anchor=f"TEST ROOTS: {check.anchor}" if subject.test_roots else check.anchor,
    )


@lru_cache(maxsize=16)
def _prerequisites_first(check_ids: frozenset[str]) -> tuple[Check, ...]:
    """The checks with those ids, each after the ones that it requires."""
    checks = {check.id: check for check in all_checks() if check.id in check_ids}
    ordered: dict[str, Check] = {}

    def visit(check_id: str) -> None:
        if check_id in checks and check_id not in ordered:
            for required in checks[check_id].requires:
                visit(required)
            ordered[check_id] = checks[check_id]

    for check_id in checks:
        visit(check_id)
    return tuple(ordered.values())
