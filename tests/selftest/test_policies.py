"""Policies shift what must be refused: waivers, GPUs that are not demanded, NVIDIA's opinion that is not asked for."""

from __future__ import annotations

import json

import attrs
import pytest

from teeverify.saved import SavedReport
from teeverify.selftest import Category, Row
from teeverify.testing import NearSession

from .sessions import Session, made


def row_of(session: Session, name: str, kind: str) -> Row:
    (wanted,) = (each for each in session.named(name) if each.kind == kind)
    (row,) = session.judged((wanted,)).rows
    return row


@pytest.fixture(scope="module")
def two_gpus() -> NearSession:
    return NearSession.direct(gpus=2, copies=False)


def test_a_waived_check_that_notices_is_named(two_gpus: NearSession) -> None:
    session = made(two_gpus, waive=[("dstack.reported_info", "model"), ("binding.e2ee_key", "model")])
    for name, check in (
        ("model / info / app_id", "dstack.reported_info"),
        ("model / ohttp_attestation / signature", "binding.e2ee_key"),
    ):
        row = row_of(session, name, "changed")
        assert (row.category, row.checks) == (Category.WAIVED, (check,))
    assert row_of(session, "model / info / tcb_info / rtmr1", "changed").category is Category.REFUSED


def test_a_waiver_for_another_role_changes_nothing(two_gpus: NearSession) -> None:
    session = made(two_gpus, waive=[("dstack.reported_info", "compose_manager")])
    assert row_of(session, "model / info / app_id", "changed").category is Category.REFUSED


def test_a_waived_check_that_could_not_see_anything_before() -> None:
    """Without the TLS-bound form the connection's key is never compared, so nothing about it can change."""
    unbound = NearSession.direct(gpus=1, tls_bound=False, copies=False)
    session = made(unbound, waive=[("channel.tls_spki", "model"), ("binding.tls_spki", "model")])
    row = row_of(session, "session / connection's key", "changed")
    assert (row.category, row.checks) == (Category.WAIVED, ("channel.tls_spki",))


def test_a_waived_date(two_gpus: NearSession) -> None:
    session = made(two_gpus, waive=[("saved.recorded_at", role) for role in ("model", "compose_manager")])
    assert row_of(session, "session / recorded_at", "moved back").category is Category.WAIVED


def test_nvidias_answer_may_be_missing_where_the_policy_says_so(two_gpus: NearSession) -> None:
    strict, lenient = made(two_gpus), made(two_gpus, nras="when_present")
    assert row_of(strict, "NVIDIA / answer", "removed").category is Category.NOT_EVALUATED
    assert "when_present" in row_of(lenient, "NVIDIA / answer", "removed").why
    for name, kind in (("NVIDIA / answer / status", "changed"), ("NVIDIA / key set", "removed")):
        assert row_of(lenient, name, kind).category is Category.NOT_EVALUATED


def test_nvidias_answer_is_not_read_where_the_policy_ignores_it(two_gpus: NearSession) -> None:
    session = made(two_gpus, nras="ignore")
    assert not session.altered(lambda each: each.subject == "NVIDIA")
    row = row_of(session, "session / exchanges with nras.attestation.nvidia.com", "removed")
    assert row.category is Category.UNMEASURED
    order = row_of(session, "model / nvidia_payload / evidence_list", "reordered")
    assert order.category is Category.UNMEASURED


@pytest.mark.parametrize(("min_count", "category"), [(1, Category.UNMEASURED), (2, Category.REFUSED)])
def test_a_gpu_that_nobody_demands_may_be_left_out(two_gpus: NearSession, min_count: int, category: Category) -> None:
    session = made(two_gpus, nras="ignore", min_count=min_count)
    assert row_of(session, "model / nvidia_payload / evidence_list[1]", "removed").category is category


def test_gpus_that_are_not_required(two_gpus: NearSession) -> None:
    session = made(two_gpus, edit=lambda text: text.replace("require = true", "require = false"))
    assert row_of(session, "model / nvidia_payload", "removed").category is Category.UNMEASURED
    changed = row_of(session, "model / nvidia_payload / evidence_list[0].evidence / signature", "changed")
    assert changed.category is Category.REFUSED


def test_a_role_that_is_not_pinned(two_gpus: NearSession) -> None:
    def unpinned(text: str) -> str:
        start, end = text.index("[pins.compose_manager]"), text.index("[[waive]]")
        return text[:start] + text[end:]

    session = made(two_gpus, edit=unpinned, waive=[("policy.pinned", "compose_manager")])
    assert row_of(session, "compose_manager / the whole record", "removed").category is Category.UNMEASURED
    assert row_of(session, "compose_manager / the whole record", "emptied").category is Category.REFUSED


def test_what_an_algorithm_by_default_means() -> None:
    name = "session / request / URL / signing_algo"
    ecdsa = made(NearSession.direct(gpus=1, algorithm="ecdsa", copies=False))
    assert row_of(ecdsa, name, "removed").category is Category.UNMEASURED
    assert row_of(ecdsa, name, "changed").category is Category.REFUSED
    ed25519 = made(NearSession.direct(gpus=1, copies=False))
    assert row_of(ed25519, name, "removed").category is Category.REFUSED


def test_a_member_that_nobody_knows_is_listed(two_gpus: NearSession) -> None:
    report = {**two_gpus.report(), "region": "somewhere", "ohttp_note": {"text": "x"}}
    document = SavedReport.from_bytes(json.dumps(two_gpus.saved(report)).encode())
    session = attrs.evolve(made(two_gpus), report=document)
    for name in ("model / region", "model / ohttp_note / text"):
        row = row_of(session, name, "changed")
        assert row.category is Category.UNMEASURED
        assert "teeverify does not know this field" in row.why


def test_an_outage_of_nvidia_is_no_answer(two_gpus: NearSession) -> None:
    """Where the policy lets it be missing, a recorded outage means that nothing of NVIDIA's is read."""
    document = two_gpus.saved()
    place = next(i for i, each in enumerate(document["exchanges"]) if "attest/gpu" in each["request"]["url"])
    document["exchanges"][place]["response"] |= {"status": 503, "body": None}
    session = made(two_gpus, nras="when_present", min_count=1)
    session = attrs.evolve(session, report=SavedReport.from_bytes(json.dumps(document).encode()))
    assert not session.altered(lambda each: each.subject == "NVIDIA")
    removed = row_of(session, "model / nvidia_payload / evidence_list[1]", "removed")
    assert removed.category is Category.UNMEASURED


def test_waived_opinions_of_nvidia(two_gpus: NearSession) -> None:
    waived = [("gpu.nras_token", "model"), ("gpu.nras_result", "model")]
    session = made(two_gpus, waive=waived)
    for name in ("NVIDIA / answer / overall token / signature", "NVIDIA / key set / signing key / x"):
        assert row_of(session, name, "changed").checks == ("gpu.nras_token", "gpu.nras_result")
    document = two_gpus.saved()
    document["exchanges"] = [each for each in document["exchanges"] if "jwks" not in each["request"]["url"]]
    session = attrs.evolve(session, report=SavedReport.from_bytes(json.dumps(document).encode()))
    assert row_of(session, "NVIDIA / answer", "removed").category is Category.WAIVED


def test_two_machines_behind_the_gateway() -> None:
    """Nothing says how many there should be, and each that is shown must be good."""
    gateway = NearSession.cloud(gpus=1)
    report = gateway.report()
    (first,) = report["model_attestations"]
    second = {**first, "info": {**first["info"], "app_name": "second"}}
    document = gateway.saved({**report, "model_attestations": [first, second]})
    session = attrs.evolve(made(gateway), report=SavedReport.from_bytes(json.dumps(document).encode()))
    assert row_of(session, "model:2 / the whole record", "removed").category is Category.UNMEASURED
    assert row_of(session, "model:2 / the whole record", "emptied").category is Category.REFUSED
    for name in ("model:2 / signing_algo", "compose_manager:2 / nonce", "model / signing_algo"):
        assert row_of(session, name, "changed").category is Category.REFUSED


def test_parameters_of_the_url_that_nothing_reads() -> None:
    unbound = NearSession.direct(gpus=1, tls_bound=False, copies=False)
    document = unbound.saved()
    document["exchanges"][0]["request"]["url"] += "&include_tls_fingerprint=false&model=some&x=1"
    session = made(unbound, waive=[("channel.tls_spki", "model"), ("binding.tls_spki", "model")])
    session = attrs.evolve(session, report=SavedReport.from_bytes(json.dumps(document).encode()))
    for name in ("model", "x"):
        for kind in ("changed", "removed"):
            assert row_of(session, f"session / request / URL / {name}", kind).category is Category.UNMEASURED
    tls = "session / request / URL / include_tls_fingerprint"
    assert row_of(session, tls, "removed").category is Category.UNMEASURED
    assert row_of(session, tls, "changed").category is Category.REFUSED


def test_several_answers_to_one_request_do_not_hide_an_alteration() -> None:
    """A replay takes the first good answer; an untouched second one must not answer for the altered first."""
    document = NearSession.direct(gpus=1, copies=False).saved()
    document["exchanges"] += document["exchanges"]
    session = made(NearSession.direct(gpus=1, copies=False))
    session = attrs.evolve(session, report=SavedReport.from_bytes(json.dumps(document).encode()))
    for name, kind, category in (
        ("session / connection's key", "changed", Category.REFUSED),
        ("Intel / TCB info / signature", "changed", Category.REFUSED),
        ("Intel / TCB info", "removed", Category.NOT_EVALUATED),
        ("NVIDIA / answer / overall token / signature", "changed", Category.REFUSED),
    ):
        assert row_of(session, name, kind).category is category
    assert not session.altered(lambda each: each.field.startswith("exchanges with"))
