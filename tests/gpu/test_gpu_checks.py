"""gpu.* checks on the devices' own evidence: each passes once and gives each of its reasons."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve
from cryptography.hazmat.primitives import hashes

from teeverify.appraisal import fold
from teeverify.checks.catalogue import get_check
from teeverify.claims.gpu import GpuClaims
from teeverify.claims.problem import Problem, ProblemKind, problems_in
from teeverify.verdict import Outcome, Status

from . import synthetic as s
from .judging import GPU_CHECKS, find, judge, statuses


@pytest.fixture(scope="module")
def host() -> list[s.Device]:
    return [s.device(number) for number in range(4)]


def one(item: s.Device, **changes: Any) -> GpuClaims:
    return s.claims_of([item], **changes)


def chain_of(*issued: s.Issued) -> GpuClaims:
    return one(evolve(s.device(), chain=issued))


def test_truthful_host_passes_everything(host: list[s.Device]) -> None:
    results = judge(s.claims_of(host), s.policy_of(min_count=4))
    assert set(statuses(results).values()) == {"pass", "info"}
    assert statuses(results)["gpu.cpu_binding"] == "info"
    assert "not attested" in results["gpu.same_fabric"].summary
    assert fold(results.values()) is Outcome.VERIFIED


def test_bare_list_passes(host: list[s.Device]) -> None:
    claims = s.claims_of(host, payload_value=[item.entry() for item in host], nonce_binding="nonce-derived")
    results = judge(claims)
    assert fold(results.values()) is Outcome.VERIFIED
    assert results["gpu.cpu_binding"].reason == "nonce_derived"


def test_blackwell_passes_where_the_policy_lists_it() -> None:
    extension = (s.MULTI, s.multi_tcb_info(s.FIRMWARE, bytes(48)))
    item = s.device(40, "GB100", arch="BLACKWELL", extension=extension)
    claims = one(item, payload_value=[item.entry()], service=s.Service(gpu=lambda c: c.update(hwmodel="GB100")))
    assert fold(judge(claims, s.policy_of(arch=("BLACKWELL",))).values()) is Outcome.VERIFIED
    assert judge(claims)["gpu.present"].reason == "kind_not_allowed"


# --- gpu.present ---


def test_absent_evidence() -> None:
    claims = s.claims_of([], payload_value=None, service=Problem(kind=ProblemKind.UNAVAILABLE, code="x", detail="x"))
    assert find("gpu.present", claims).reason == "no_evidence"
    relaxed = find("gpu.present", claims, s.policy_of(require=False))
    assert (relaxed.status, relaxed.reason) == (Status.NOT_APPLICABLE, "gpu_not_required")
    for check_id in GPU_CHECKS[1:]:
        finding = find(check_id, claims)
        assert (finding.status, finding.reason) == (Status.NOT_APPLICABLE, "no_gpu_evidence"), check_id
    assert fold(judge(claims).values()) is Outcome.REJECTED
    assert not [problem for problem in problems_in(claims) if problem.kind is ProblemKind.MALFORMED]


def test_no_gpu_section() -> None:
    assert find("gpu.present", None).reason == "no_evidence"
    assert all(find(check_id, None).status is Status.NOT_APPLICABLE for check_id in GPU_CHECKS[1:])


def test_evidence_that_nobody_demands_is_judged(host: list[s.Device]) -> None:
    policy = s.policy_of(require=False, min_count=8)
    assert judge(s.claims_of(host), policy)["gpu.present"].reason == "too_few"


@pytest.mark.parametrize(
    "value", ["", "[]", "null", "{}", "not json", {}, {"evidence_list": []}, [], 7, [1], True, "[1]"]
)
def test_malformed_payload_is_no_pass(value: object) -> None:
    claims = s.claims_of([], payload_value=value, service=Problem(kind=ProblemKind.UNAVAILABLE, code="x", detail="x"))
    assert isinstance(claims.payload, Problem)
    assert claims.payload.kind is ProblemKind.MALFORMED
    assert all(find(check_id, claims).status is not Status.PASS for check_id in GPU_CHECKS)
    assert fold(judge(claims).values()) is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("reason", "item"),
    [
        ("switch_as_gpu", s.device(30, "LS_10")),
        ("kind_unknown", s.device(31, "GA100")),
        ("kind_unknown", s.device(32, names=("GH100 A01 GSP FMC LF", "LS_10 A01 FSP BROM"))),
        ("kind_unknown", s.device(33, names=("LS_10 A01 FSP FMC LF", "GH100 A01 GSP BROM"))),
        ("kind_unknown", s.device(34, names=("GB100 A01", "GB102 A01"))),
        ("kind_unknown", s.device(35, names=("GH1000 A01", "GH1000 A01"))),
        ("kind_not_allowed", s.device(36, "GB100")),
        ("label_mismatch", evolve(s.device(), arch="BLACKWELL")),
        ("label_mismatch", evolve(s.device(), arch="hopper")),
    ],
)
def test_kind_is_what_the_certificates_say(reason: str, item: s.Device) -> None:
    assert find("gpu.present", one(item)).reason == reason
    assert fold(judge(one(item)).values()) is Outcome.REJECTED


def test_label_of_the_payload() -> None:
    value = s.payload([evolve(s.device(), arch=None)], lambda document: document.update(arch="BLACKWELL"))
    assert find("gpu.present", one(s.device(), payload_value=value)).reason == "label_mismatch"


def test_unreadable_chain_has_no_kind() -> None:
    entry = {**s.device().entry(), "certificate": s.b64(b"-----BEGIN NOTHING")}
    claims = s.claims_of([s.device()], payload_value=[entry])
    results = judge(claims)
    assert statuses(results)["gpu.present"] == "unevaluated"
    assert fold(results.values()) is not Outcome.VERIFIED
    assert next(problem.kind for problem in problems_in(claims)) is ProblemKind.MALFORMED


# --- gpu.cert_chain ---

LEAF, DEVICE, PROVISIONER, IDENTITY, ROOT = s.device().chain
FAKE_ROOT = s.issue("Test Device Identity CA", s.p384_key("fake root"))
FAKE_IDENTITY = s.issue("Test GH100 Identity", s.p384_key("identity"), FAKE_ROOT)
FAKE_LEAF = s.issue("GH100 A01 GSP FMC LF", s.p384_key("fake leaf"), LEAF, ca=None, cert_sign=False)


def reissued_device(**changes: Any) -> GpuClaims:
    """The device's own CA certificate reissued with changes, and a leaf under it."""
    identity = s.issue("GH100 A01 GSP BROM", changes.pop("key", DEVICE.key), PROVISIONER, **changes)
    return chain_of(reissued_leaf(identity), identity, PROVISIONER, IDENTITY, ROOT)


def reissued_leaf(issuer: s.Issued = DEVICE, **changes: Any) -> s.Issued:
    changes = {"extensions": {s.DICE: s.composite_device_id(s.FIRMWARE)}, "ca": None, "cert_sign": False, **changes}
    return s.issue("GH100 A01 GSP FMC LF", changes.pop("key", LEAF.key), issuer, **changes)


def leaf_claims(**changes: Any) -> GpuClaims:
    return chain_of(reissued_leaf(**changes), DEVICE, PROVISIONER, IDENTITY, ROOT)


CHAINS = {
    "only the leaf": ("chain_length", chain_of(LEAF)),
    "reversed": ("chain_root", chain_of(ROOT, IDENTITY, PROVISIONER, DEVICE, LEAF)),
    "root dropped": ("chain_root", chain_of(LEAF, DEVICE, PROVISIONER, IDENTITY)),
    "forged root of the same name": ("chain_root", chain_of(LEAF, DEVICE, PROVISIONER, FAKE_IDENTITY, FAKE_ROOT)),
    "intermediate dropped": ("chain_issuer", chain_of(LEAF, DEVICE, IDENTITY, ROOT)),
    "real root appended": ("chain_signature", chain_of(LEAF, DEVICE, PROVISIONER, FAKE_IDENTITY, ROOT)),
    "leaf as issuer": ("chain_ca", chain_of(FAKE_LEAF, LEAF, DEVICE, PROVISIONER, IDENTITY, ROOT)),
    "not a CA": ("chain_ca", reissued_device(ca=False)),
    "no basic constraints": ("chain_ca", reissued_device(ca=None)),
    "may not sign certificates": ("chain_ca", reissued_device(cert_sign=False)),
    "unknown critical extension": (
        "chain_extension",
        reissued_device(extensions={"1.2.3.4": b"\x05\x00"}, critical=True),
    ),
    "expired": ("chain_time", reissued_device(not_after=s.NOW - timedelta(seconds=1))),
    "not valid yet": ("chain_time", reissued_device(not_before=s.NOW + timedelta(seconds=1))),
    "RSA key": ("chain_key", reissued_device(key=s.rsa_key("device"), hash_algorithm=hashes.SHA256())),
    "other issuer name": ("chain_issuer", leaf_claims(issuer_cn="GH100 A01 GSP BROM")),
    "leaf signed by another": (
        "chain_signature",
        chain_of(
            reissued_leaf(s.Issued(certificate=DEVICE.certificate, key=s.p384_key("thief"))), *s.device().chain[1:]
        ),
    ),
    "leaf on another curve": ("leaf_key", one(evolve(s.device(5, leaf_key="p256"), sign_with=LEAF))),
    "no firmware id in the certificate": ("fwid_missing", one(s.device(6, extension=None))),
    "no firmware id in the evidence": ("fwid_missing", one(s.device().with_opaque(20, None))),
    "other firmware": ("fwid_mismatch", one(s.device().with_opaque(20, bytes(48)))),
    "second firmware id only": (
        "fwid_mismatch",
        one(s.device(7, extension=(s.MULTI, s.multi_tcb_info(bytes(48), s.FIRMWARE)))),
    ),
    "unreadable firmware id": ("fwid_syntax", one(s.device(8, extension=(s.DICE, b"\x30\x03\x02\x01\x01")))),
    "no firmware id in the list": ("fwid_syntax", one(s.device(9, extension=(s.MULTI, s.multi_tcb_info())))),
}


@pytest.mark.parametrize(("reason", "claims"), CHAINS.values(), ids=CHAINS.keys())
def test_bad_chain(reason: str, claims: GpuClaims) -> None:
    finding = find("gpu.cert_chain", claims)
    assert (finding.status, finding.reason) == (Status.FAIL, reason)
    assert finding.summary.startswith("GPU-0")
    assert fold(judge(claims).values()) is Outcome.REJECTED


def test_path_length() -> None:
    identity = s.issue("Test GH100 Identity", s.p384_key("short"), ROOT, path_length=0)
    provisioner = s.issue("Test GH100 Provisioner ICA 1", PROVISIONER.key, identity)
    claims = chain_of(LEAF, DEVICE, provisioner, identity, ROOT)
    assert find("gpu.cert_chain", claims).reason == "chain_ca"


def test_chain_of_another_gpu() -> None:
    claims = one(evolve(s.device(), chain=s.device(1).chain, sign_with=LEAF))
    assert find("gpu.cert_chain", claims).status is Status.PASS
    assert judge(claims)["gpu.evidence_signature"].reason == "signature_invalid"


def test_one_bad_gpu_among_good_ones_is_named(host: list[s.Device]) -> None:
    claims = s.claims_of([*host[:3], host[3].with_opaque(20, bytes(48))])
    assert "GPU-3" in find("gpu.cert_chain", claims).summary


# --- gpu.evidence_signature and gpu.nonce_bound ---


def flipped(position: int) -> GpuClaims:
    def flip(evidence: bytes) -> bytes:
        index = position % len(evidence)
        return evidence[:index] + bytes([evidence[index] ^ 1]) + evidence[index + 1 :]

    return one(evolve(s.device(), edit=flip))


@pytest.mark.parametrize(
    "claims",
    [
        flipped(4),
        flipped(35),
        flipped(45 + 7),
        flipped(45 + 64 * 55 + 3),
        flipped(-1),
        flipped(-96),
        one(evolve(s.device(), signature=bytes(96))),
        one(evolve(s.device(), signature=bytes(48) + b"\x01" * 48)),
        one(evolve(s.device(), signature=b"\x01" * 48 + bytes(48))),
        one(evolve(s.device(), signature=b"\xff" * 96)),
        one(evolve(s.device(), sign_with=DEVICE)),
    ],
)
def test_changed_evidence(claims: GpuClaims) -> None:
    assert find("gpu.cert_chain", claims).status is Status.PASS
    finding = find("gpu.evidence_signature", claims)
    assert (finding.status, finding.reason) == (Status.FAIL, "signature_invalid")
    assert fold(judge(claims).values()) is Outcome.REJECTED


def test_other_challenge(host: list[s.Device]) -> None:
    other = bytes(32)
    for claims in (
        s.claims_of(host, nonce=other),
        s.claims_of([*host[:3], evolve(host[3], nonce=other)]),
        s.claims_of(host, nonce=b""),
    ):
        assert find("gpu.nonce_bound", claims).reason == "nonce_mismatch"
        assert fold(judge(claims).values()) is Outcome.REJECTED


def test_old_evidence_with_fresh_labels() -> None:
    old = evolve(s.device(), nonce=bytes(32), label_nonce=s.NONCE.hex())
    assert find("gpu.nonce_bound", one(old)).reason == "nonce_mismatch"


def test_label_of_another_challenge() -> None:
    value = s.payload([s.device()], lambda document: document.update(nonce="00" * 32))
    assert find("gpu.nonce_bound", one(s.device(), payload_value=value)).reason == "label_nonce_mismatch"
    labelled = evolve(s.device(), label_nonce="11" * 32)
    finding = find("gpu.nonce_bound", one(labelled))
    assert finding.reason == "label_nonce_mismatch"
    assert "GPU-0" in finding.summary


def test_labels_in_capitals_are_the_same_nonce() -> None:
    assert find("gpu.nonce_bound", one(evolve(s.device(), label_nonce=s.NONCE.hex().upper()))).status is Status.PASS


# --- gpu.distinct_devices, gpu.same_fabric, gpu.cpu_binding ---


def test_one_gpu_listed_twice(host: list[s.Device]) -> None:
    results = judge(s.claims_of([*host, host[1]]), s.policy_of(min_count=5))
    assert results["gpu.distinct_devices"].reason == "device_repeated"
    assert "GPU-4" in results["gpu.distinct_devices"].summary
    assert host[1].ueid not in json.dumps([result.summary for result in results.values()])


def test_one_device_identity_with_two_attestation_keys(host: list[s.Device]) -> None:
    second = s.issue(
        "GH100 A01 GSP FMC LF",
        s.p384_key("second leaf"),
        DEVICE,
        ca=None,
        cert_sign=False,
        organization="another",
        extensions={s.DICE: s.composite_device_id(s.FIRMWARE)},
    )
    twin = evolve(s.device(), chain=(second, *s.device().chain[1:]))
    assert find("gpu.distinct_devices", s.claims_of([s.device(), twin])).reason == "device_repeated"


def fabric(*switches: bytes) -> bytes:
    return b"".join(switches) + bytes(8)


def test_two_machines_mixed(host: list[s.Device]) -> None:
    foreign = host[3].with_opaque(22, fabric(*s.SWITCHES[:3], b"foreign!"))
    fewer = host[3].with_opaque(22, fabric(*s.SWITCHES[:3]))
    for stranger in (foreign, fewer):
        claims = s.claims_of([*host[:3], stranger])
        assert find("gpu.same_fabric", claims).reason == "fabric_differs"
        assert fold(judge(claims).values()) is Outcome.REJECTED


def test_links_that_are_off_do_not_count(host: list[s.Device]) -> None:
    item = host[3].with_opaque(22, fabric(*reversed(s.SWITCHES)))
    assert find("gpu.same_fabric", s.claims_of([*host[:3], item])).status is Status.PASS


@pytest.mark.parametrize("value", [None, bytes(16)])
def test_fabric_reported_by_some(host: list[s.Device], value: bytes | None) -> None:
    claims = s.claims_of([*host[:3], host[3].with_opaque(22, value)])
    assert find("gpu.same_fabric", claims).reason == "fabric_partial"


def test_no_fabric() -> None:
    finding = find("gpu.same_fabric", one(s.device(50, fabric=False)))
    assert (finding.status, finding.reason) == (Status.NOT_APPLICABLE, "no_fabric")
    several = s.claims_of([s.device(50 + number, fabric=False) for number in range(2)])
    finding = find("gpu.same_fabric", several)
    assert (finding.status, finding.reason) == (Status.INFO, "no_fabric")


def test_cpu_binding_is_information() -> None:
    finding = find("gpu.cpu_binding", one(s.device()))
    assert (finding.status, finding.reason) == (Status.INFO, "nonce_shared")
    assert "not prove" in finding.summary


# --- malformed evidence ---


def test_malformed_evidence_is_named_and_never_passes(host: list[s.Device]) -> None:
    claims = s.claims_of([*host[:3], evolve(host[3], trailing=b"\0")])
    assert next(problem.code for problem in problems_in(claims)) == "spdm_length"
    results = judge(claims)
    for check_id in (
        "gpu.cert_chain",
        "gpu.evidence_signature",
        "gpu.nonce_bound",
        "gpu.same_fabric",
        "gpu.nras_result",
    ):
        assert results[check_id].status is Status.UNEVALUATED, check_id
    assert fold(results.values()) is Outcome.INCONCLUSIVE  # evidence.wellformed turns it into REJECTED


@pytest.mark.parametrize("check_id", GPU_CHECKS)
def test_catalogue_entry(check_id: str) -> None:
    check = get_check(check_id)
    assert check.title
    assert check.explanation.endswith(".")
    assert all(sentence.endswith(".") for sentence in check.reasons.values())
    assert set(check.requires) <= set(GPU_CHECKS)
    assert check.anchor in {"NVIDIA root", "NVIDIA attestation service key", "policy", "none"}
