"""What the gpu.* checks have in common: how absent evidence and a wrong device are told."""

from __future__ import annotations

from typing import Final, TypeGuard

from ..claims.gpu import GpuClaims, GpuDevice
from ..claims.problem import Problem, ProblemKind, UnjudgeableError
from .catalogue import Finding, failed, not_applicable

__all__ = ["NO_EVIDENCE", "first_wrong", "is_there", "no_evidence"]

NO_EVIDENCE: Final = {"no_gpu_evidence": "The record holds no GPU evidence; gpu.present says whether it should."}
"""The reason that all checks but gpu.present give where there is nothing to judge."""


def is_there(claims: GpuClaims | None) -> TypeGuard[GpuClaims]:
    """True when the record holds GPU evidence, well-formed or not."""
    return claims is not None and claims.has_evidence


def no_evidence() -> Finding:
    """Nothing to judge: gpu.present fails where the policy demands GPUs."""
    return not_applicable("no_gpu_evidence", "the record holds no GPU evidence, so there is nothing to judge here")


def first_wrong(devices: tuple[tuple[GpuDevice, Problem | None], ...]) -> Finding | None:
    """The finding about the first device whose problem is INVALID; None where no device has a problem.

    Raises:
        UnjudgeableError: no device is proven wrong, and at least one could not be judged.
    """
    problems = [(device, problem) for device, problem in devices if problem is not None]
    wrong = [(device, problem) for device, problem in problems if problem.kind is ProblemKind.INVALID]
    if wrong:
        device, problem = wrong[0]
        others = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        return failed(problem.code, f"{device.name}{others}: {problem.detail}; do not use this endpoint")
    if problems:
        raise UnjudgeableError(problems[0][1])
    return None
