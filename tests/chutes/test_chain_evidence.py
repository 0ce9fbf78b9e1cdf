"""Attacks on the evidence that a proxy hands on: changed after signing, or signed as it came from a liar."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any, Final

import pytest

from teeverify.testing.chain_report import canonical
from teeverify.testing.chutes_world import ml_kem_key_text
from teeverify.verdict import AttestationVerdict, Outcome

from .chain_world import (
    MALFORMED,
    OTHER,
    build,
    causes,
    judge_document,
    judge_session,
    policy,
    refused,
    resigned,
    truthful,
)

Cause = tuple[str, str]
MISSING: Final = ("evidence.complete", "missing")
BINDING: Final = "receipt.binding"


def shown(document: dict[str, Any]) -> Any:
    return document["upstream"]["attestation"]


@pytest.mark.parametrize(
    "edit",
    [
        lambda u: u.update(more=1),
        lambda u: u.update(chute_id="00000000-0000-4000-8000-000000000000"),
        lambda u: u["all_attestations"].reverse(),
        lambda u: u["all_attestations"].pop(),
        lambda u: u["all_attestations"][0].update(tdx_verification={"status": "UpToDate"}),
        lambda u: u["all_attestations"][0].update(gpu_tokens=0),
    ],
)
def test_evidence_that_was_changed_after_signing(edit: Callable[[Any], Any]) -> None:
    refused(judge_document(lambda d: edit(shown(d)), instances=2), (BINDING, "other_evidence"))


@pytest.mark.parametrize("value", [None, "", "00" * 32, 5, ["x"], ...], ids=str)
@pytest.mark.parametrize("name", ["attestation_sha256", "provider", "model", "base_url"])
def test_what_stands_beside_the_evidence(name: str, value: Any) -> None:
    def edit(document: dict[str, Any]) -> None:
        if value is ...:
            del document["upstream"][name]
        else:
            document["upstream"][name] = value

    refused(judge_document(edit), (BINDING, "payload"))


def test_nothing_beside_the_evidence_and_nothing_signed() -> None:
    def edit(document: dict[str, Any]) -> None:
        del document["upstream"]["base_url"]
        resigned(document, truthful(), upstream_base_url=...)

    refused(judge_document(edit), (BINDING, "payload"))


def handed_on(edit: Callable[[Any], Any], instances: int = 2) -> AttestationVerdict:
    """The verdict on evidence that was changed before the proxy hashed and signed it."""
    session = truthful(instances=instances)

    def changed(document: dict[str, Any]) -> None:
        edit(shown(document))
        digest = hashlib.sha256(canonical(shown(document))).hexdigest()
        document["upstream"]["attestation_sha256"] = digest
        resigned(document, session, upstream_attestation_sha256=digest)

    return judge_document(changed, instances=instances)


def second(**changes: Any) -> Callable[[Any], Any]:
    """Change the second of two entries; a function gets the first one."""

    def edit(upstream: Any) -> None:
        first, own = upstream["all_attestations"]
        own.update({name: value(first) if callable(value) else value for name, value in changes.items()})

    return edit


LIES: Final[dict[str, tuple[Callable[[Any], Any], Cause]]] = {
    "outer nonce": (lambda u: u.update(nonce=OTHER.hex()), ("freshness.nonce_bound", "echo_mismatch")),
    "inner nonce": (second(nonce=OTHER.hex()), ("freshness.nonce_bound", "echo_mismatch")),
    "no inner nonce": (second(nonce=None), MALFORMED),
    "certificate swapped": (
        second(certificate=lambda first: first["certificate"]),
        ("binding.report_data", "other_second_half"),
    ),
    "certificate null": (second(certificate=None), MISSING),
    "certificate left out": (lambda u: u["all_attestations"][1].pop("certificate"), MISSING),
    "certificate empty": (second(certificate=""), MISSING),
    "certificate of another type": (second(certificate=5), MALFORMED),
    "key of another": (
        second(e2e_pubkey=lambda first: first["e2e_pubkey"]),
        ("binding.report_data", "other_bytes"),
    ),
    "no key": (second(e2e_pubkey=None), MISSING),
    "quote of another": (
        second(intel_quote=lambda first: first["intel_quote"]),
        ("freshness.nonce_bound", "nonce_mismatch"),
    ),
    "quote in hex": (second(intel_quote=lambda f: base64.b64decode(f["intel_quote"]).hex()), MALFORMED),
    "no quote": (second(intel_quote=None), MISSING),
    "no GPUs": (second(gpu_evidence=[]), ("gpu.present", "no_evidence")),
    "GPUs of another": (
        second(gpu_evidence=lambda first: first["gpu_evidence"]),
        ("gpu.nonce_bound", "nonce_mismatch"),
    ),
    "id of another": (second(instance_id=lambda first: first["instance_id"]), MALFORMED),
    "id that is none": (second(instance_id="../x"), MALFORMED),
    "an instance twice": (lambda u: u["all_attestations"].append(u["all_attestations"][0]), MALFORMED),
    "no instances": (lambda u: u.update(all_attestations=[]), MISSING),
    "null for instances": (lambda u: u.update(all_attestations=None), MISSING),
    "no list of instances": (lambda u: u.update(all_attestations={}), MALFORMED),
    "instances that are none": (lambda u: u.update(all_attestations=[5]), MALFORMED),
    "too many": (lambda u: u.update(all_attestations=[{}] * 257), MALFORMED),
    "another kind": (lambda u: u.update(attestation_type="tinfoil"), MALFORMED),
    "no kind": (lambda u: u.pop("attestation_type"), MALFORMED),
    "a chute that is none": (lambda u: u.update(chute_id={"a": 1}), MALFORMED),
    "a chute that is no UUID": (lambda u: u.update(chute_id="x"), MALFORMED),
    "no chute": (lambda u: u.pop("chute_id"), MALFORMED),
    "nothing": (lambda u: u.clear(), MISSING),
}


@pytest.mark.parametrize("name", sorted(LIES))
def test_a_proxy_that_signs_whatever_it_got(name: str) -> None:
    edit, expected = LIES[name]
    verdict = handed_on(edit)
    refused(verdict, expected)
    assert not causes(verdict, "gateway"), causes(verdict, "gateway")


def test_a_quote_that_two_instances_show() -> None:
    verdict = handed_on(second(intel_quote=lambda f: f["intel_quote"], e2e_pubkey=lambda f: f["e2e_pubkey"]))
    refused(verdict)
    assert any(check == "binding.distinct_instances" for check, _ in causes(verdict))


@pytest.mark.parametrize("value", [None, [], "x", 5, True], ids=str)
def test_no_evidence(value: Any) -> None:
    refused(judge_document(lambda d: d["upstream"].update(attestation=value)), MISSING, MALFORMED)
    refused(judge_document(lambda d: d.update(upstream=value)), MISSING, MALFORMED)
    delegated = judge_document(lambda d: d.update(upstream=value), rules=policy("delegated"))
    refused(delegated, MISSING, MALFORMED)


def test_instances_that_answered_a_nonce_of_the_proxys_own() -> None:
    session = build(instances=2)
    for instance in session.behind.instances:
        instance.attested_nonce = OTHER
    session.behind.envelope_nonce = OTHER
    refused(judge_session(session), ("freshness.nonce_bound", "nonce_mismatch"))
    for instance in session.behind.instances:  # and says that it was ours
        instance.shown_nonce = session.nonce
    session.behind.envelope_nonce = session.nonce
    refused(judge_session(session), ("freshness.nonce_bound", "nonce_mismatch"))
    refused(judge_session(session, policy("any")), ("freshness.nonce_bound", "nonce_mismatch"))


def test_any_attests_keys_of_good_instances_only() -> None:
    session = build(instances=2)
    session.behind.instances[1].shown_key = ml_kem_key_text(session.keys, "stranger")
    refused(judge_session(session), ("binding.report_data", "other_bytes"))
    relaxed = judge_session(session, policy("any"))
    assert relaxed.outcome is Outcome.VERIFIED
    attested = [key.public_key for one in relaxed.subjects for key in one.attested_keys if key.use == "e2ee"]
    assert attested == [base64.b64decode(session.behind.instances[0].key).hex()]
    assert "1 of 2 instances" in relaxed.trust_boundary


def test_one_missing_certificate_under_any() -> None:
    session = build(instances=2)
    session.behind.instances[1].shows_certificate = False
    refused(judge_session(session), MISSING)
    relaxed = judge_session(session, policy("any"))
    assert [one.outcome for one in relaxed.subjects] == [Outcome.VERIFIED, Outcome.VERIFIED, Outcome.REJECTED]


def test_what_is_said_of_tokens_and_checks_counts_for_nothing() -> None:
    session = build()
    session.behind.instances[0].guest.td_changes["td_attributes"] = 1
    refused(judge_session(session), ("tdx.debug_off", "debug_on"))
    entry = {"tdx_verification": {"status": "UpToDate"}, "gpu_tokens": {"overall": True}}
    assert handed_on(lambda u: u["all_attestations"][0].update(entry)).outcome is Outcome.VERIFIED
    refused(
        handed_on(lambda u: u["all_attestations"][0].update(entry, gpu_evidence=[])), ("gpu.present", "no_evidence")
    )
