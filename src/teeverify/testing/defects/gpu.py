"""Faults of the GPU evidence. NVIDIA's answer is good in all of them: the evidence must be found bad without it."""

from __future__ import annotations

import base64
from typing import Any

from attrs import evolve

from teeverify.testing.near import NearSession
from teeverify.testing.nvidia import Device, Evidence, NvidiaPki
from teeverify.testing.recording import Document

from .edits import edit_payload
from .model import defect

CHAIN = "gpu.cert_chain"
SIGNATURE = "gpu.evidence_signature"
PRESENT = ("gpu.present", "evidence.wellformed", "evidence.complete")


def _truth(session: NearSession, index: int = 0) -> Evidence:
    return session.gpus[index].evidence(session.nonce)


def _show(session: NearSession, device: Device) -> None:
    """Put a device into the first place of the report; NVIDIA's answer is about it and knows no better."""
    session.gpus[0] = device


# --- presence ------------------------------------------------------------------------------------------------------


@defect("gpu.present", gpus=2)
def gpu_one_fewer(session: NearSession) -> None:
    """One GPU fewer than the policy asks for."""
    session.gpus = session.gpus[:1]


@defect(*PRESENT)
def gpu_payload_missing(session: NearSession) -> Document:
    """The report has no GPU evidence."""
    report = session.report()
    del report["nvidia_payload"]
    return session.saved(report)


@defect(*PRESENT, shipped=False)
def gpu_payload_empty_text(session: NearSession) -> Document:
    """The GPU evidence is an empty text."""
    return session.saved({**session.report(), "nvidia_payload": ""})


@defect(*PRESENT, shipped=False)
def gpu_payload_null(session: NearSession) -> Document:
    """The GPU evidence is null."""
    return session.saved({**session.report(), "nvidia_payload": None})


@defect(*PRESENT, shipped=False)
def gpu_list_empty(session: NearSession) -> Document:
    """The list of GPU evidence is empty."""
    return session.saved(edit_payload(session.report(), lambda payload: payload.update(evidence_list=[])))


@defect(*PRESENT, CHAIN, shipped=False)
def gpu_arch_unknown(session: NearSession) -> Document:
    """The payload claims an architecture that its certificates do not have."""

    def blackwell(payload: dict[str, Any]) -> None:
        payload["arch"] = payload["evidence_list"][0]["arch"] = "BLACKWELL"

    return session.saved(edit_payload(session.report(), blackwell))


# --- nonce ---------------------------------------------------------------------------------------------------------


@defect("gpu.nonce_bound", shipped=False)
def gpu_old_nonce(session: NearSession) -> None:
    """The GPU evidence is an old one, for another nonce, and says so."""
    session.gpu_nonce = session.keys.material("old-nonce", 32)


@defect("gpu.nonce_bound")
def gpu_old_nonce_echo_edited(session: NearSession) -> None:
    """The GPU evidence is an old one; the nonce written beside it is ours."""
    session.evidence[0] = session.gpus[0].evidence(session.keys.material("old-nonce", 32))


# --- evidence ------------------------------------------------------------------------------------------------------


@defect(SIGNATURE)
def gpu_measurement_flipped(session: NearSession) -> Document:
    """One bit of a measurement is flipped after signing."""

    def flip(payload: dict[str, Any]) -> None:
        raw = bytearray(base64.b64decode(payload["evidence_list"][0]["evidence"]))
        raw[37 + 8 + 7] ^= 1
        payload["evidence_list"][0]["evidence"] = base64.b64encode(raw).decode()

    return session.saved(edit_payload(session.report(), flip))


@defect(SIGNATURE, shipped=False)
def gpu_signature_zero(session: NearSession) -> None:
    """The evidence's signature is all zeros."""
    session.evidence[0] = evolve(_truth(session), signature=bytes(96))


@defect(SIGNATURE, shipped=False)
def gpu_signed_by_other(session: NearSession) -> None:
    """The evidence is signed by another GPU than the certificates say."""
    other = session.nvidia.device(7, fabric=False)
    session.evidence[0] = evolve(_truth(session), sign_with=other.chain[0])


@defect("evidence.wellformed", SIGNATURE, shipped=False)
def gpu_trailing_bytes(session: NearSession) -> None:
    """Bytes follow the evidence's signature."""
    session.evidence[0] = evolve(_truth(session), trailing=b"EVIL")


@defect("evidence.wellformed", SIGNATURE, shipped=False)
def gpu_opaque_field_twice(session: NearSession) -> None:
    """An opaque field stands twice in the signed evidence."""
    truth = _truth(session)
    session.evidence[0] = evolve(truth, opaque=(*truth.opaque, (20, bytes(48))))


@defect(SIGNATURE, CHAIN)
def gpu_firmware_mismatch(session: NearSession) -> None:
    """The firmware id in the signed evidence is not the one in the leaf certificate."""
    session.evidence[0] = _truth(session).with_opaque(20, b"\x66" * 48)


# --- certificates --------------------------------------------------------------------------------------------------


@defect(CHAIN, shipped=False)
def gpu_foreign_root(session: NearSession) -> None:
    """A simulated GPU with a chain of the attacker's own making, names copied."""
    _show(session, NvidiaPki(session.keys, "intruder").device(0, fabric=False))


@defect(CHAIN)
def gpu_forged_chain_real_root(session: NearSession) -> None:
    """The attacker's chain is followed by NVIDIA's root."""
    forged = NvidiaPki(session.keys, "intruder").device(0, fabric=False)
    _show(session, evolve(forged, chain=(*forged.chain[:-1], session.nvidia.root)))


@defect(CHAIN)
def gpu_leaf_issues_leaf(session: NearSession) -> None:
    """A genuine attestation key, which is no CA, certified a key of the attacker."""
    genuine = session.gpus[0]
    forged = session.nvidia.leaf("GH100 A01 GSP FMC LF", genuine.chain[0], "intruder/gpu", genuine.firmware_id)
    _show(session, evolve(genuine, chain=(forged, *genuine.chain)))


@defect(CHAIN, shipped=False)
def gpu_chain_without_root(session: NearSession) -> None:
    """The chain ends before the root."""
    genuine = session.gpus[0]
    _show(session, evolve(genuine, chain=genuine.chain[:-1]))


@defect(CHAIN, *PRESENT, SIGNATURE)
def gpu_is_a_switch(session: NearSession) -> None:
    """Genuine evidence of a switch, whose chain also has GH100 in a name, poses as a GPU."""
    switch = session.nvidia.device(0, arch="LS10", fabric=False)
    report = evolve(switch.evidence(session.nonce), opaque=session.gpus[0].evidence(session.nonce).opaque)
    _show(session, evolve(switch, arch="HOPPER"))
    session.evidence[0] = report.with_opaque(20, switch.firmware_id)


# --- several devices -----------------------------------------------------------------------------------------------


@defect("gpu.distinct_devices", gpus=2)
def gpu_same_twice(session: NearSession) -> None:
    """The same GPU's evidence stands twice."""
    session.gpus[1] = session.gpus[0]


@defect("gpu.distinct_devices", gpus=2, shipped=False)
def gpu_same_device_two_keys(session: NearSession) -> None:
    """One GPU shows two attestation keys and poses as two."""
    first = session.gpus[0]
    leaf = session.nvidia.leaf("GH100 A01 GSP FMC LF", first.chain[1], "second-leaf", first.firmware_id)
    session.gpus[1] = evolve(first, label="second", chain=(leaf, *first.chain[1:]))


@defect("gpu.same_fabric", gpus=2, shipped=False)
def gpu_of_two_hosts(session: NearSession) -> None:
    """The second GPU is genuine and sits in another machine."""
    session.gpus[1] = session.nvidia.device(1, host="host-2")


@defect(SIGNATURE, CHAIN, "gpu.distinct_devices", gpus=2, shipped=False)
def gpu_certificates_swapped(session: NearSession) -> Document:
    """The certificates of the two GPUs stand in each other's place."""

    def swap(payload: dict[str, Any]) -> None:
        first, second = payload["evidence_list"]
        first["certificate"], second["certificate"] = second["certificate"], first["certificate"]

    return session.saved(edit_payload(session.report(), swap))
