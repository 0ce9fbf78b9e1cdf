"""Is the evidence there, and does it have its form?"""

from __future__ import annotations

from ..claims.problem import ProblemKind
from ..claims.subject import Subject
from ..policy import Policy
from ..policy_fields import ATTESTED_BESIDE
from .catalogue import Finding, check, failed, passed

__all__: list[str] = []


@check(
    "evidence.wellformed",
    title="Every part of the evidence has its form",
    explanation=(
        "All bytes of the report are read strictly: JSON without repeated keys, hex and base64 of exact length, quotes "
        "and GPU evidence whose lengths add up. A part that two programs could read differently is refused, because an "
        "attacker needs only one of them to read what he likes."
    ),
    source="RFC 8259; RFC 4648; Intel TDX DCAP quote format; DMTF DSP0274",
    anchor="arithmetic",
    reasons={"malformed": "A part of the evidence does not have its form; the sentence names the part."},
)
def wellformed(subject: Subject, policy: Policy) -> Finding:
    del policy
    found = [problem for problem in subject.problems if problem.kind is ProblemKind.MALFORMED]
    if not found:
        return passed("every part of the evidence has its form")
    more = f" ({len({p.detail for p in found}) - 1} more)" if len({p.detail for p in found}) > 1 else ""
    return failed("malformed", f"{found[0].detail}{more}", observed=found[0].code)


@check(
    "evidence.complete",
    title="Nothing that should be there is missing",
    explanation=(
        "A verifier that skips what is absent can be fooled by leaving things out. Every part that this kind of record "
        "must hold has to be there, the record has to be the one that was asked for, and every role that the policy "
        "pins and that attests beside this one has to show its own quote. A waiver reaches missing parts only: a "
        "record of another model, or without a role that the policy pins, is another record."
    ),
    source="RFC 9334 section 8 (evidence); the provider's attestation report",
    anchor="request",
    reasons={
        "missing": "A part that this kind of record must hold is absent.",
        "other_model": "The record is for another model than the one that was asked for.",
        "other_provider": "The answer says that another provider or another model served it.",
        "role_missing": "The policy pins a role that attests beside this one, and the record shows no quote of it.",
    },
    unwaivable=("other_model", "other_provider", "role_missing"),
)
def complete(subject: Subject, policy: Policy) -> Finding:
    for problem in subject.record:
        if problem.kind is ProblemKind.INVALID:
            return failed(problem.code, problem.detail)
    absent = [problem for problem in subject.problems if problem.kind is ProblemKind.ABSENT]
    if absent:
        names = sorted({problem.where or problem.code for problem in absent})
        return failed("missing", f"{absent[0].detail}; missing parts: {', '.join(names)}", observed="missing")
    beside = ATTESTED_BESIDE.get(subject.role, ())
    lost = [role for role in beside if role in policy.pins and role not in subject.attested_beside]
    if lost:
        return failed(
            "role_missing", f"the policy pins role {lost[0]}, and this record shows no quote of it", expected=lost[0]
        )
    return passed("every part that this record must hold is there")
