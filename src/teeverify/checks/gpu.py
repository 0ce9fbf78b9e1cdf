"""gpu.*: are these genuine NVIDIA GPUs, each its own, that answered this very challenge?

What is judged here rests on the devices' own signed evidence (SPDM measurements under NVIDIA's device identity root).
What ties the GPUs to one machine is in `gpu_fabric`, what NVIDIA's attestation service says in `gpu_nras`.
"""

from __future__ import annotations

import hmac
from typing import Final

from ..claims.gpu import DeviceCertificate, GpuDevice
from ..claims.problem import need
from ..claims.subject import Subject
from ..policy import Policy
from . import gpu_fabric, gpu_nras
from .catalogue import Finding, check, failed, not_applicable, passed
from .gpu_findings import NO_EVIDENCE, first_wrong, is_there, no_evidence

__all__ = [
    "gpu_fabric",
    "gpu_nras",
    "judge_cert_chain",
    "judge_distinct_devices",
    "judge_evidence_signature",
    "judge_nonce_bound",
    "judge_present",
]

_SWITCH: Final = "LS10"
_SPDM: Final = "DMTF DSP0274 (SPDM) 1.1, GET_MEASUREMENTS and MEASUREMENTS"
_NVTRUST: Final = "NVIDIA nvtrust, local GPU verifier (github.com/NVIDIA/nvtrust)"


@check(
    "gpu.present",
    title="GPUs of an accepted kind are there",
    explanation=(
        "Counts the GPUs that sent evidence and looks at what each one is. The kind is read from the certificates that "
        "NVIDIA put into the chip, not from the label beside it, so that a network switch or another chip cannot stand "
        "in for a GPU."
    ),
    source="NVIDIA Attestation documentation, GPU device certificate chain; " + _NVTRUST,
    anchor="policy",
    reasons={
        "no_evidence": "The policy demands GPU evidence and the record holds none.",
        "gpu_not_required": "The record holds no GPU evidence and the policy demands none.",
        "too_few": "Fewer GPUs sent evidence than the policy demands.",
        "switch_as_gpu": "An entry is an NVSwitch, which computes nothing.",
        "kind_unknown": "The certificates of an entry name no GPU that is known.",
        "kind_not_allowed": "A GPU is of an architecture that the policy does not list.",
        "label_mismatch": "The label beside a GPU names another architecture than its certificates.",
    },
)
def judge_present(subject: Subject, policy: Policy) -> Finding:
    """Count and kind, by the certificates."""
    claims = subject.gpu
    if not is_there(claims):
        return _judge_absence(policy)
    payload = need(claims.payload)
    count, wanted = len(claims.devices), policy.gpu.min_count
    if count < wanted:
        return failed(
            "too_few",
            f"{count} GPUs sent evidence and the policy demands {wanted}; use an endpoint with all its GPUs attested",
            expected=f"at least {wanted}",
            observed=str(count),
        )
    for device in claims.devices:
        wrong = _judge_kind(device, need(device.certificate), payload.arch, policy.gpu.arch)
        if wrong is not None:
            return wrong
    kinds = sorted({need(device.certificate).architecture or "" for device in claims.devices})
    return passed(f"{count} GPUs of kind {', '.join(kinds)} sent evidence", expected=f"at least {wanted}")


def _judge_absence(policy: Policy) -> Finding:
    if policy.gpu.require:
        return failed(
            "no_evidence", "the record holds no GPU evidence and the policy demands it; use an attested endpoint"
        )
    return not_applicable("gpu_not_required", "the record holds no GPU evidence and the policy demands none")


def _judge_kind(
    device: GpuDevice, certificate: DeviceCertificate, payload_label: str | None, allowed: tuple[str, ...]
) -> Finding | None:
    kind, expected = certificate.architecture, ", ".join(allowed)
    if kind is None:
        return failed(
            "kind_unknown",
            f"{device.name} has certificates for {certificate.chip!r}, which is no known GPU; {expected} was expected",
            expected=expected,
            observed=certificate.chip,
        )
    if kind == _SWITCH:
        return failed(
            "switch_as_gpu", f"{device.name} is an NVSwitch; a GPU was expected", expected=expected, observed=kind
        )
    if kind not in allowed:
        return failed(
            "kind_not_allowed",
            f"{device.name} is of kind {kind} and the policy allows {expected}; list it if you accept it",
            expected=expected,
            observed=kind,
        )
    for label in (payload_label, device.label):
        if label is not None and label != kind:
            return failed(
                "label_mismatch",
                f"{device.name} is labelled {label!r} and its certificates say {kind}; the sender misstates it",
                expected=kind,
                observed=label,
            )
    return None


@check(
    "gpu.cert_chain",
    title="Each GPU's key was certified by NVIDIA",
    explanation=(
        "Every GPU holds a key that was made inside it and certified at the factory. The certificates are followed, "
        "signature by signature, up to NVIDIA's device root, which is built into this library. The firmware that the "
        "GPU reports must be the one that its key was certified for. Whether NVIDIA has since revoked a certificate is "
        "not asked here; NVIDIA's attestation service does that."
    ),
    source="RFC 5280 section 6; TCG DICE Attestation Architecture (firmware ids); " + _NVTRUST,
    anchor="NVIDIA root",
    reasons={
        **NO_EVIDENCE,
        "chain_length": "A chain has too few or too many certificates.",
        "chain_root": "A chain does not end in NVIDIA's device root.",
        "chain_time": "A certificate is not valid at the time of the verdict.",
        "chain_key": "A certificate has a key that is not an elliptic-curve key.",
        "chain_extension": "A certificate has a critical extension that is not understood.",
        "chain_ca": "A certificate issued another one without being allowed to.",
        "chain_issuer": "A certificate names another issuer than the next one of its chain.",
        "chain_signature": "A certificate is not signed by the next one of its chain.",
        "leaf_key": "The GPU's attestation key is not a P-384 key.",
        "fwid_missing": "The certificate or the evidence does not name the GPU's firmware.",
        "fwid_syntax": "The firmware id in the certificate cannot be read.",
        "fwid_mismatch": "The GPU runs other firmware than its key was certified for.",
    },
)
def judge_cert_chain(subject: Subject, _policy: Policy) -> Finding:
    """Chain to the pinned root, and the firmware id that the leaf certifies."""
    claims = subject.gpu
    if not is_there(claims):
        return no_evidence()
    need(claims.payload)
    problems = tuple((device, device.chain or device.firmware_id) for device in claims.devices)
    certified = f"The keys of all {len(claims.devices)} GPUs are certified up to NVIDIA's device root."
    return first_wrong(problems) or passed(certified)


@check(
    "gpu.evidence_signature",
    title="Each GPU signed its evidence",
    explanation=(
        "A GPU's evidence is its list of firmware measurements together with the question it answers, signed by the "
        "key inside it. If one bit was changed on the way, or the evidence is another GPU's, this fails."
    ),
    source=_SPDM,
    anchor="NVIDIA root",
    requires=("gpu.cert_chain",),
    reasons={**NO_EVIDENCE, "signature_invalid": "Evidence is not signed by the key that its certificates certify."},
)
def judge_evidence_signature(subject: Subject, _policy: Policy) -> Finding:
    """ECDSA P-384 with SHA-384 over request and response."""
    claims = subject.gpu
    if not is_there(claims):
        return no_evidence()
    need(claims.payload)
    problems = tuple((device, device.signature) for device in claims.devices)
    return first_wrong(problems) or passed(f"all {len(claims.devices)} GPUs signed their evidence")


@check(
    "gpu.nonce_bound",
    title="Each GPU answered this challenge",
    explanation=(
        "The random number of this challenge, or a value computed from it, must stand inside what each GPU signed. Old "
        "evidence of a genuine GPU, played back, does not have it."
    ),
    source=_SPDM + " (requester nonce)",
    anchor="NVIDIA root",
    requires=("gpu.evidence_signature",),
    reasons={
        **NO_EVIDENCE,
        "nonce_mismatch": "A GPU signed another challenge than ours.",
        "label_nonce_mismatch": "The nonce written beside the evidence is not that of our challenge.",
    },
)
def judge_nonce_bound(subject: Subject, _policy: Policy) -> Finding:
    """The requester nonce of every request, and the sender's labels where there are any."""
    claims = subject.gpu
    if not is_there(claims):
        return no_evidence()
    payload, expected = need(claims.payload), claims.expected_nonce
    for device in claims.devices:
        signed = need(device.evidence).nonce
        if not hmac.compare_digest(signed, expected):
            return failed(
                "nonce_mismatch",
                f"{device.name} signed another challenge than ours; this is old or foreign evidence, ask again",
                expected=expected.hex(),
                observed=signed.hex(),
            )
    for name, label in (("the payload", payload.nonce), *((d.name, d.label_nonce) for d in claims.devices)):
        if label is not None and not hmac.compare_digest(label, expected):
            return failed(
                "label_nonce_mismatch",
                f"the nonce written beside {name} is not our challenge's; the record was put together from parts",
                expected=expected.hex(),
                observed=label.hex(),
            )
    return passed(
        f"all {len(claims.devices)} GPUs signed the challenge ({claims.nonce_binding})", expected=expected.hex()
    )


@check(
    "gpu.distinct_devices",
    title="No GPU is counted twice",
    explanation=(
        "One genuine GPU could be listed eight times to look like eight. Each chip has its own identity key; all of "
        "them must differ."
    ),
    source="NVIDIA Attestation documentation, GPU device certificate chain",
    anchor="NVIDIA root",
    requires=("gpu.cert_chain",),
    reasons={**NO_EVIDENCE, "device_repeated": "Two entries are the same GPU."},
)
def judge_distinct_devices(subject: Subject, _policy: Policy) -> Finding:
    """Identity keys and attestation certificates, pairwise."""
    claims = subject.gpu
    if not is_there(claims):
        return no_evidence()
    need(claims.payload)
    seen: dict[bytes | str, GpuDevice] = {}
    for device in claims.devices:
        certificate = need(device.certificate)
        for key in (certificate.identity, certificate.ueid):
            if key in seen:
                return failed(
                    "device_repeated", f"{device.name} is the same device as {seen[key].name}; each GPU counts once"
                )
        seen.update({certificate.identity: device, certificate.ueid: device})
    return passed(f"all {len(claims.devices)} GPUs are different devices")
