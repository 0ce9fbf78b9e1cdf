"""gpu.same_fabric and gpu.cpu_binding: what ties the GPUs to one another and to the CPU, and what does not."""

from __future__ import annotations

from typing import Final

from ..claims.problem import need
from ..claims.subject import Subject
from ..policy import Policy
from .catalogue import Finding, check, failed, info, not_applicable, passed
from .gpu_findings import NO_EVIDENCE, is_there, no_evidence

__all__ = ["judge_cpu_binding", "judge_same_fabric"]

_OFF: Final = bytes(8)
"""Switch id of a link that is switched off."""
_SHARED: Final = "nonce-shared"


@check(
    "gpu.same_fabric",
    title="The GPUs hang on the same NVLink switches",
    explanation=(
        "The GPUs of a large machine are joined by NVSwitch chips, and each GPU reports, under its signature, which "
        "switches it sees. GPUs of one machine see the same switches; a list put together from two machines does not. "
        "The switches themselves send no evidence, so this says nothing about what a switch does with the traffic."
    ),
    source="NVIDIA Protected PCIe verifier, GPU-NVSwitch topology check (github.com/NVIDIA/nvtrust)",
    anchor="NVIDIA root",
    requires=("gpu.evidence_signature",),
    reasons={
        **NO_EVIDENCE,
        "no_fabric": "No GPU reports a switch, so nothing shows that several GPUs share a machine.",
        "fabric_partial": "Some GPUs report switches and others do not.",
        "fabric_differs": "Two GPUs report different switches, so they are not in one machine.",
    },
)
def judge_same_fabric(subject: Subject, _policy: Policy) -> Finding:
    """Sets of distinct switch ids, equal over all GPUs."""
    claims = subject.gpu
    if not is_there(claims):
        return no_evidence()
    need(claims.payload)
    seen = [(device, frozenset(need(device.evidence).switch_pdis or ()) - {_OFF}) for device in claims.devices]
    with_switches = [device for device, switches in seen if switches]
    if not with_switches:
        if len(seen) > 1:
            return info(
                "no_fabric", f"none of {len(seen)} GPUs reports an NVSwitch, so nothing shows that they share a host"
            )
        return not_applicable("no_fabric", "a single GPU reports no NVSwitch, so there is no fabric to compare")
    if len(with_switches) != len(seen):
        alone = next(device for device, switches in seen if not switches)
        return failed(
            "fabric_partial",
            f"{alone.name} reports no NVSwitch and {with_switches[0].name} does; GPUs of one machine report the same",
        )
    first = seen[0][1]
    for device, switches in seen:
        if switches != first:
            return failed(
                "fabric_differs",
                f"{device.name} sees other NVSwitches than {seen[0][0].name}; the GPUs are not all in one machine",
                expected=f"the {len(first)} switches of {seen[0][0].name}",
                observed=f"{len(switches & first)} of them",
            )
    return passed(
        f"all {len(seen)} GPUs see the same {len(first)} NVSwitches; the NVSwitches themselves are not attested"
    )


@check(
    "gpu.cpu_binding",
    title="What ties the GPUs to the CPU",
    explanation=(
        "No hardware of this generation proves that an attested GPU is plugged into the attested CPU. All that ties "
        "them is that both answered the same challenge, so someone who runs the CPU part on one machine could forward "
        "the challenge to genuine GPUs elsewhere. This line only tells you so; nothing here passes or fails."
    ),
    source="RFC 9334 (RATS architecture) section 3.3, composite devices; DMTF DSP0274 (SPDM) 1.1",
    anchor="none",
    reasons={
        **NO_EVIDENCE,
        "nonce_shared": "CPU and GPUs signed the same challenge; nothing else ties them.",
        "nonce_derived": "The GPUs signed a value that the CPU's quote holds; the CPU does not confirm their answer.",
    },
)
def judge_cpu_binding(subject: Subject, _policy: Policy) -> Finding:
    """A statement of the gap; never enforced."""
    claims = subject.gpu
    if not is_there(claims):
        return no_evidence()
    if claims.nonce_binding == _SHARED:
        return info(
            "nonce_shared",
            "CPU and GPUs answered the same challenge, which does not prove that they are in one machine",
            observed=claims.nonce_binding,
        )
    return info(
        "nonce_derived",
        "the GPUs signed a value of this CPU's quote, which ties the question to this CPU and not the GPUs' answer",
        observed=claims.nonce_binding,
    )
