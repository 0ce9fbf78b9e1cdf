"""Is the judgement itself well founded: the policy, its date, and the date of a saved report?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Final

from ..claims.gpu import NrasClaims
from ..claims.problem import Problem
from ..claims.subject import Subject
from ..limits import CLOCK_SKEW, MAX_NITRO_AGE
from ..policy import Policy, utc_day
from .catalogue import Finding, check, failed, not_applicable, passed, unevaluated

__all__: list[str] = []


@check(
    "policy.pinned",
    title="The policy pins base image and workload of this role",
    explanation=(
        "A genuine quote of an attacker's own virtual machine passes every hardware check. Only pins tell the pinned "
        "software from any other, so a role without a pinned base image and a pinned workload cannot be verified. The "
        "image of a Nitro enclave is both, and is pinned by its PCRs."
    ),
    source="RFC 9334 (reference values, appraisal policy)",
    anchor="policy pin",
    reasons={
        "role_not_pinned": "The policy has no pins for this role.",
        "incomplete_pins": "The policy does not pin both the base image and the workload of this role, or the image "
        "(PCR0, PCR1 and PCR2) of an enclave.",
        "waived_pin": "The policy waives the very check that enforces the pin of base image, workload or enclave.",
        "unenforced_pin": "The policy pins something that this evidence does not show, so nothing would enforce it.",
    },
)
def policy_pinned(subject: Subject, policy: Policy) -> Finding:
    pins = policy.pins.get(subject.role)
    if pins is None:
        return failed("role_not_pinned", f"the policy pins nothing for role {subject.role}, so any software would do")
    enclave = subject.enclave is not None or subject.nitro is not None
    pinned, what = pins.is_pinned, "both base image and workload"
    if enclave:
        pinned, what = pins.is_enclave_pinned, "PCR0, PCR1 and PCR2 in every table of pcrs"
    if not pinned:
        return failed("incomplete_pins", f"the policy does not pin {what} of role {subject.role}")
    for enforcing in ("nitro.pcrs",) if enclave else ("pin.base_image", "pin.compose"):
        if policy.waiver_for(enforcing, subject.role, subject.evaluated_at) is not None:
            return failed(
                "waived_pin", f"the policy waives {enforcing} for role {subject.role}, so its pin does nothing"
            )
    shown = {
        "app_ids": subject.dstack,
        "compose": subject.dstack,
        "kms_roots": subject.dstack,
        "os_images": subject.dstack,
        "images_by_digest": subject.dstack,
        "compose_flags": subject.dstack,
        "signing_keys": subject.binding.signing_key,
        "tls_spki": subject.binding.tls_fingerprint,
        "pcrs": subject.nitro or subject.registry,  # a TD has none
        "custody_roots": subject.aci,
    }
    if enclave:  # which has no TD registers
        shown |= {"base_images": None, "mr_seam": None}
    idle = [name for name, section in shown.items() if section is None and getattr(pins, name) is not None]
    if idle:
        return failed(
            "unenforced_pin", f"the policy pins {idle[0]} for role {subject.role}, which this evidence does not show"
        )
    return passed(f"the policy pins {'the image' if enclave else 'base image and workload'} of role {subject.role}")


_SHAPES: Final[Mapping[str, frozenset[str]]] = {
    "near": frozenset({"gateway", "model"}),
    "chutes": frozenset({"instance"}),
    "dstack": frozenset({"model"}),
    "aci": frozenset({"gateway"}),
}
"""Roles that a shape of report shows, and that a policy pins in order to accept it."""


@check(
    "policy.shape",
    title="The report has a shape that the policy is for",
    explanation=(
        "One endpoint may answer with the evidence of a machine, of somebody else's instances, or of a gateway only. "
        "Which of these will do is not for the server to choose: it is the shape whose roles the policy pins, and "
        "where the policy pins the roles of a larger shape, a smaller one is a downgrade."
    ),
    source="RedPill, NanoGPT and Venice attestation endpoints (report shapes)",
    anchor="policy",
    reasons={
        "other_shape": "The report has another shape than the one whose roles the policy pins.",
        "no_gpu": "The shape shows no GPUs, and the policy demands them.",
    },
)
def policy_shape(subject: Subject, policy: Policy) -> Finding:
    if subject.shape is None:
        return not_applicable("one_shape", "there is no report, or only one shape of it")
    pinned = {shape: roles for shape, roles in _SHAPES.items() if roles <= policy.pins.keys()}
    accepted = [shape for shape, roles in pinned.items() if not any(roles < other for other in pinned.values())]
    if subject.shape not in accepted:
        return failed(
            "other_shape",
            f"the report has the shape {subject.shape!r}, and the policy pins the roles of another one",
            expected=" or ".join(accepted) or "a shape whose roles are pinned",
            observed=subject.shape,
        )
    if subject.shape == "aci" and policy.gpu.require:
        return failed("no_gpu", "a report of the shape 'aci' shows no GPU, and the policy demands GPUs ([gpu] require)")
    return passed(f"the policy is for reports of the shape {subject.shape!r}")


@check(
    "pin.reference_current",
    title="The policy's reference values are still valid",
    explanation=(
        "Pins age: an image that was good last year may have known holes today. The policy says until when its author "
        "stands by it."
    ),
    source="RFC 9334 (reference values)",
    anchor="policy pin",
    reasons={"expired": "The policy's valid_until is past."},
)
def reference_current(subject: Subject, policy: Policy) -> Finding:
    until = policy.valid_until
    if utc_day(subject.evaluated_at) > until:
        return failed(
            "expired", f"the policy was valid until {until}; review its pins and renew it", expected=str(until)
        )
    return passed(f"the policy is valid until {until}", expected=str(until))


@check(
    "saved.recorded_at",
    title="The date of the saved report agrees with the dates that others signed",
    explanation=(
        "When a report was recorded is the file's own claim. Intel, NVIDIA and AWS sign dates too: the report cannot "
        "be older than the statements inside it, nor younger than their end. An enclave's document pins the time to "
        "minutes, NVIDIA's token to about an hour, Intel's collateral to about a month."
    ),
    source="RFC 9334 section 10 (freshness)",
    anchor="Intel root, NVIDIA attestation service key, AWS Nitro root",
    reasons={
        "before_signed_time": "The report claims to be older than a statement inside it.",
        "after_signed_end": "The report claims to be younger than the end of a statement inside it.",
        "in_future": "The report claims to come from the future.",
        "no_signed_time": "Nothing in the report carries a signed date.",
    },
)
def recorded_at(subject: Subject, policy: Policy) -> Finding:
    del policy
    claimed, skew = subject.recorded_at, timedelta(seconds=CLOCK_SKEW)
    if claimed is None:
        return not_applicable("live", "the report was not saved, it came over a live connection")
    if claimed - subject.wall_clock > skew:
        return failed(
            "in_future", f"the report claims to be recorded {claimed:%Y-%m-%d %H:%M} UTC, which is yet to come"
        )
    times = _signed_times(subject)
    if not times:
        return unevaluated("no_signed_time", "nothing in the report carries a date that Intel, NVIDIA or AWS signed")
    for what, start, end in times:
        if start - claimed > skew:
            return failed("before_signed_time", f"the report claims to be older than {what}", observed=f"{claimed}")
        if claimed - end > skew:
            return failed(
                "after_signed_end", f"the report claims to be younger than the end of {what}", observed=f"{claimed}"
            )
    return passed(f"recorded {claimed:%Y-%m-%d %H:%M} UTC, which agrees with {len(times)} signed dates")


def _signed_times(subject: Subject) -> list[tuple[str, datetime, datetime]]:
    """Start and end of every statement in the report that carries signed dates."""
    times: list[tuple[str, datetime, datetime]] = []
    collateral = subject.tdx.collateral if subject.tdx is not None else None
    if collateral is not None and not isinstance(collateral, Problem):
        for what, part in (("Intel's TCB info", collateral.tcb_info), ("Intel's QE identity", collateral.qe_identity)):
            if not isinstance(part, Problem):
                times.append((what, part.issue_date, part.next_update))
    nras = subject.gpu.nras if subject.gpu is not None else None
    if isinstance(nras, NrasClaims) and nras.signature is None:
        token = nras.answer.overall.times
        start, end = (datetime.fromtimestamp(seconds, timezone.utc) for seconds in (token.iat, token.exp))
        times.append(("NVIDIA's token", start, end))
    document = subject.nitro.genuine_document if subject.nitro is not None else None
    if document is not None:
        made = document.timestamp
        times.append(("the enclave's document", made, made + timedelta(seconds=MAX_NITRO_AGE)))
    return times
