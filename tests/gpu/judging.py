"""Runs single checks, and the whole gpu.* theme through the appraisal."""

from __future__ import annotations

from datetime import datetime

from teeverify.appraisal import appraise
from teeverify.check_ids import KNOWN
from teeverify.checks.catalogue import Finding, get_check
from teeverify.claims.gpu import GpuClaims
from teeverify.claims.problem import UnjudgeableError
from teeverify.policy import Policy
from teeverify.verdict import CheckResult, Status

from .synthetic import NOW, policy_of, subject_of

GPU_CHECKS = tuple(check_id for check_id in KNOWN if check_id.startswith("gpu."))


def find(check_id: str, claims: GpuClaims | None, policy: Policy | None = None, at: datetime = NOW) -> Finding:
    """One check alone, without its prerequisites; an unjudgeable claim becomes unevaluated, as in the appraisal."""
    check = get_check(check_id)
    try:
        finding = check.judge(subject_of(claims, at), policy or policy_of())
    except UnjudgeableError as refused:
        return Finding(Status.UNEVALUATED, refused.problem.code, refused.problem.detail)
    if finding.status is not Status.PASS:
        assert finding.reason in check.reasons, (check_id, finding.reason)
    return finding


def judge(claims: GpuClaims, policy: Policy | None = None, at: datetime = NOW) -> dict[str, CheckResult]:
    """All gpu.* checks, with prerequisites."""
    results = appraise(subject_of(claims, at), policy or policy_of(), dict.fromkeys(GPU_CHECKS, ("model",)))
    return {result.id: result for result in results}


def statuses(results: dict[str, CheckResult]) -> dict[str, str]:
    return {check_id: result.status.value for check_id, result in results.items()}
