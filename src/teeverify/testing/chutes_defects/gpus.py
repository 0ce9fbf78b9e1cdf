"""Faults of GPU evidence and of NVIDIA's answer to it."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any, Final

from attrs import evolve

from teeverify.testing.chutes import ChutesSession
from teeverify.testing.chutes_instance import ChutesInstance
from teeverify.testing.nvidia import Device, NvidiaPki

from .binding import OTHER_NONCE
from .model import EVIDENCE, INCONCLUSIVE, Change, ChutesDefect, answer, instance, nras, session, turn

__all__ = ["GPUS"]

PRESENT: Final = "gpu.present"
NONCE: Final = "gpu.nonce_bound"
CHAIN: Final = "gpu.cert_chain"
SIGNATURE: Final = "gpu.evidence_signature"
TOKEN: Final = "gpu.nras_token"  # noqa: S105 - a check id
RESULT: Final = "gpu.nras_result"
BOTH: Final = (TOKEN, RESULT)


def _shown(make: Any) -> Change:
    """Put another device into the first place; NVIDIA's answer is about it and knows no better."""

    def change(own: ChutesInstance, _: ChutesInstance, whole: ChutesSession) -> None:
        own.gpus = [make(own.gpus[0], whole), *own.gpus[1:]]

    return change


def _stranger(genuine: Device, whole: ChutesSession) -> Device:
    return NvidiaPki(whole.keys, "stranger").device(0, fabric=bool(genuine.fabric))


def _forged(genuine: Device, whole: ChutesSession) -> Device:
    forged = _stranger(genuine, whole)
    return evolve(forged, chain=(*forged.chain[:-1], whole.nvidia.root))


def _leaf_under_leaf(genuine: Device, whole: ChutesSession) -> Device:
    leaf = whole.nvidia.leaf("GH100 A01 GSP FMC LF", genuine.chain[0], "intruder/gpu", genuine.firmware_id)
    return evolve(genuine, chain=(leaf, *genuine.chain))


def _weaker_key(own: ChutesInstance, _: ChutesInstance, whole: ChutesSession) -> None:
    """NVIDIA's own CA certified a P-256 key; the signature is good, and written as long as one of P-384."""
    genuine, key = own.gpus[0], whole.keys.p256("gpu/p256")
    leaf = whole.nvidia.leaf("GH100 A01 GSP FMC LF", genuine.chain[1], "gpu/p256", genuine.firmware_id, key=key)
    device = evolve(genuine, chain=(leaf, *genuine.chain[1:]))
    evidence = device.evidence(own.binding)
    signature = evidence.signed(leaf)[-64:]
    own.gpus = [device, *own.gpus[1:]]
    own.gpu_evidence[0] = evolve(evidence, signature=signature[:32].rjust(48, b"\0") + signature[32:].rjust(48, b"\0"))


def _reported(position: int, **changes: Any) -> Change:
    """Change what one GPU reports; a ``nonce`` is signed, a ``signature`` stands as it is."""

    def change(own: ChutesInstance, *_: object) -> None:
        index = position % len(own.gpus)
        own.gpu_evidence[index] = evolve(own.gpus[index].evidence(own.binding), **changes)

    return change


def _of_the_neighbour(own: ChutesInstance, other: ChutesInstance, _: ChutesSession) -> None:
    own.gpus, own.gpu_nonce = other.gpus, other.binding


def _of_two_hosts(own: ChutesInstance, _: ChutesInstance, whole: ChutesSession) -> None:
    own.gpus = [*own.gpus[:-1], whole.nvidia.device(31, host="elsewhere")]


def _flip(document: dict[str, Any]) -> None:
    entry = document["evidence"][0]["gpu_evidence"][0]
    raw = bytearray(base64.b64decode(entry["evidence"]))
    raw[37 + 8 + 7] ^= 1  # inside the first measurement value
    entry["evidence"] = base64.b64encode(raw).decode()


def _gpu_list(edit: Any) -> Any:
    return lambda document: edit(document["evidence"][0])


def _bundle(make: Any) -> Change:
    return turn(nras_bundle=lambda own, other, _: make(own, other))


def _aged(**age: int) -> Change:
    def change(own: ChutesInstance, *_: object) -> None:
        own.nras.issued += timedelta(**age)

    return change


def _foreign_keys(whole: ChutesSession) -> None:
    for service in (whole.nras, *(entry.nras for entry in whole.instances)):
        service.label = "intruder/nras"


GPUS: Final[tuple[ChutesDefect, ...]] = (
    # the evidence
    instance("gpu-missing", turn(gpus=[]), "An instance shows no GPU.", PRESENT),
    answer(
        "gpu-list-left-out",
        EVIDENCE,
        _gpu_list(lambda e: e.pop("gpu_evidence")),
        "The list of GPUs is left out.",
        PRESENT,
    ),
    answer(
        "gpu-list-null",
        EVIDENCE,
        _gpu_list(lambda e: e.update(gpu_evidence=None)),
        "The list of GPUs is null.",
        PRESENT,
    ),
    answer(
        "gpu-list-is-text",
        EVIDENCE,
        _gpu_list(lambda e: e.update(gpu_evidence="[]")),
        "The list of GPUs is text.",
        "evidence.wellformed",
    ),
    instance(
        "gpu-one-fewer", lambda own, *_: own.gpus.pop(), "One GPU fewer than the policy asks for.", PRESENT, gpus=2
    ),
    instance(
        "gpu-same-twice",
        turn(gpus=lambda own, *_: own.gpus[:1] * len(own.gpus)),
        "One GPU stands in the list several times.",
        "gpu.distinct_devices",
        gpus=2,
    ),
    instance("gpu-other-nonce", turn(gpu_nonce=OTHER_NONCE), "The GPU evidence is an old one.", NONCE),
    instance(
        "gpu-raw-nonce",
        turn(gpu_nonce=lambda own, *_: own.attested_nonce),
        "The GPUs signed the client's nonce, not its hash with the key.",
        NONCE,
    ),
    instance(
        "gpu-one-of-many-old", _reported(-1, nonce=OTHER_NONCE), "Only the last GPU's evidence is old.", NONCE, gpus=2
    ),
    instance(
        "gpu-of-other-instance",
        _of_the_neighbour,
        "An instance shows the GPU evidence of another one.",
        NONCE,
        "binding.distinct_instances",
        instances=2,
    ),
    instance(
        "gpu-shared",
        turn(gpus=lambda _, other, __: other.gpus),
        "Two instances show the same GPUs, each with evidence of its own.",
        "binding.distinct_instances",
        instances=2,
    ),
    instance(
        "gpu-of-two-hosts", _of_two_hosts, "One GPU is genuine and sits in another machine.", "gpu.same_fabric", gpus=2
    ),
    answer("bad-gpu", EVIDENCE, _flip, "One bit of a GPU measurement is flipped after signing.", SIGNATURE),
    instance(
        "gpu-signature-forged", _reported(0, signature=bytes(95) + b"\1"), "A GPU's signature is made up.", SIGNATURE
    ),
    instance(
        "gpu-one-of-many-bad",
        _reported(-1, signature=bytes(95) + b"\1"),
        "Only the last signature is bad.",
        SIGNATURE,
        gpus=2,
    ),
    instance("gpu-foreign-root", _shown(_stranger), "A GPU with a chain of the attacker's own making.", CHAIN),
    instance("gpu-forged-chain-real-root", _shown(_forged), "The attacker's chain, followed by NVIDIA's root.", CHAIN),
    instance("gpu-leaf-issues-leaf", _shown(_leaf_under_leaf), "A GPU's own key certified the attacker's key.", CHAIN),
    instance("gpu-leaf-p256", _weaker_key, "A GPU's key is on P-256, where P-384 is the rule.", CHAIN),
    # NVIDIA's answer
    instance(
        "nras-refuses",
        nras(overall_changes={"x-nvidia-overall-att-result": False}),
        "NVIDIA's service says that attestation failed.",
        RESULT,
    ),
    instance(
        "nras-failure-form",
        _bundle(lambda own, _: own.nras.failed_bundle(own.gpus, own.binding)),
        "NVIDIA's form of a failure: overall false, and tokens with NONCE_NOT_MATCHING.",
        RESULT,
    ),
    instance(
        "nras-step-failed",
        nras(gpu_changes={0: {"x-nvidia-gpu-attestation-report-nonce-match": False}}),
        "One step failed for one GPU, behind an overall yes.",
        RESULT,
    ),
    instance(
        "nras-truthy", nras(overall_changes={"x-nvidia-overall-att-result": 1}), "The overall result is 1.", TOKEN
    ),
    instance(
        "nras-other-nonce",
        _bundle(lambda own, _: own.nras.bundle(own.gpus, OTHER_NONCE)),
        "NVIDIA's answer is good and for another nonce: no answer to our question.",
        *BOTH,
        outcome=INCONCLUSIVE,
    ),
    instance(
        "nras-raw-nonce",
        _bundle(lambda own, _: own.nras.bundle(own.gpus, own.attested_nonce)),
        "NVIDIA's answer is for the client's nonce, not for its hash with the key.",
        *BOTH,
        outcome=INCONCLUSIVE,
    ),
    instance(
        "nras-gpu-raw-nonce",
        lambda own, *_: own.nras.gpu_changes.update({0: {"eat_nonce": own.attested_nonce.hex()}}),
        "NVIDIA's token for one GPU is for the client's nonce.",
        RESULT,
    ),
    instance("token-unsigned", nras(header_changes={"alg": "none"}, sign=lambda *_: b""), "Algorithm none.", TOKEN),
    instance("token-hmac", nras(header_changes={"alg": "HS384"}), "The token calls itself symmetric.", TOKEN),
    instance(
        "token-key-unknown", nras(header_changes={"kid": "nv-eat-kid-other"}), "A key that is not in the set.", TOKEN
    ),
    instance("token-issuer", nras(overall_changes={"iss": "https://nras.example"}), "Another issuer's token.", TOKEN),
    instance("token-forged", nras(sign=lambda *_: bytes(95) + b"\1"), "The tokens' signatures are made up.", TOKEN),
    instance("token-expired", _aged(days=-2), "The tokens are two days old.", TOKEN),
    instance("token-from-future", _aged(hours=1), "The tokens are of the hour to come.", TOKEN),
    instance("token-too-few", turn(nras_devices=[]), "NVIDIA's answer is about no GPU.", TOKEN),
    instance(
        "token-of-other-gpu",
        turn(nras_devices=lambda _, other, __: other.gpus),
        "NVIDIA's answer is about another instance's GPUs.",
        RESULT,
        instances=2,
    ),
    session("key-set-foreign", _foreign_keys, "Tokens and key set are the attacker's own, names copied.", TOKEN),
)
"""The evidence itself, then NVIDIA's word on it."""
