"""Every attack on an ACI report is refused by the check that should."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import pytest

from teeverify.testing.aci import ACI_HOST, AciSession
from teeverify.testing.event_log import runtime_event
from teeverify.testing.keys import spki
from teeverify.testing.near_world import RECORDED_AT
from teeverify.testing.recording import edit_json
from teeverify.verdict import Status

from .world import REJECTED, build, failing, judge

REPORT: Final = "/aci/attestation"
OTHER: Final = bytes(range(100, 132))
UNBOUND: Final = {
    ("aci.keyset", "not_bound"),
    ("binding.report_data", "other_bytes"),
    ("freshness.nonce_bound", "nonce_mismatch"),
}
MALFORMED: Final = ("evidence.wellformed", "malformed")


def keyset(**members: Any) -> Callable[[AciSession], object]:
    """Another keyset, shown and attested alike."""
    return lambda session: session.keyset_changes.update(members)


def turn(**knobs: Any) -> Callable[[AciSession], object]:
    def change(session: AciSession) -> None:
        for knob, value in knobs.items():
            setattr(session, knob, value(session) if callable(value) else value)

    return change


def custody(**knobs: Any) -> Callable[[AciSession], object]:
    def change(session: AciSession) -> None:
        for knob, value in knobs.items():
            setattr(session.custody, knob, value)

    return change


def _without_member(session: AciSession) -> None:
    """The quote is over a keyset with one member more than the one shown."""
    session.attested_keyset = {**session.keyset(), "future": 1}


def _member_dropped_from_digest(session: AciSession) -> None:
    """A member is shown that was dropped before the keyset was hashed."""
    session.attested_keyset = session.keyset()
    session.keyset_changes["future"] = "shown, not hashed"


def _own_os(session: AciSession) -> None:
    session.gateway.reboot(image=session.gateway.boot.image.with_other_command_line())


def _late_compose(session: AciSession) -> None:
    boot = session.gateway.boot
    session.gateway.boot = boot.with_runtime(*boot.runtime_events(), runtime_event("compose-hash", bytes(32)))


def _tls(**entry: Any) -> Callable[[AciSession], object]:
    def change(session: AciSession) -> None:
        shown = {"spki_sha256": session.gateway.fingerprint.hex(), **entry}
        session.keyset_changes["tls_public_keys"] = [shown]

    return change


def _days(days: float) -> int:
    return int((RECORDED_AT + timedelta(days=days)).timestamp())


def _shared(session: AciSession) -> None:
    shared = {**session.keyset()["e2ee_public_keys"][0], "public_key": session.gateway.signing.ed25519_public.hex()}
    session.keyset_changes["e2ee_public_keys"] = [shared]


def _second_key(session: AciSession) -> None:
    """A receipt key that nobody vouches for, beside a good one."""
    first = session.keyset()["receipt_signing_keys"][0]
    session.keyset_changes["receipt_signing_keys"] = [first, {**first, "key_id": "receipt-2", "public_key": "11" * 32}]


ATTACKS: Final[dict[str, tuple[Callable[[AciSession], object], set[tuple[str, str]]]]] = {
    "48 keyset with another key": (
        lambda s: setattr(s, "attested_keyset", {**s.keyset(), "e2ee_public_keys": []}),
        UNBOUND,
    ),
    "48 member dropped from what is shown": (_without_member, UNBOUND),
    "48 member dropped before hashing": (_member_dropped_from_digest, UNBOUND),
    "49 null nonce": (turn(attested_nonce=None), UNBOUND),
    "49 other nonce": (turn(attested_nonce=OTHER), UNBOUND),
    "49 second half not zero": (
        turn(report_data=lambda s: hashlib.sha256(s.statement()).digest() + s.nonce),
        {("aci.keyset", "not_bound"), ("binding.report_data", "other_second_half")},
    ),
    "49 layout of a legacy proxy": (turn(report_data=lambda s: s.gateway.signing.address + s.nonce), UNBOUND),
    "49 expired": (keyset(not_after=_days(-1)), {("aci.expiry", "expired")}),
    "49 ends this second": (keyset(not_after=_days(0)), {("aci.expiry", "expired")}),
    "49 ends in 401 days": (keyset(not_after=_days(401)), {("aci.expiry", "too_far")}),
    "50 key in two roles": (_shared, {("aci.roles", "shared")}),
    "50 TLS key of another domain": (_tls(domain=f"other.{ACI_HOST}"), {("aci.channel", "other_key")}),
    "50 TLS key of the parent domain": (_tls(domain=ACI_HOST.partition(".")[2]), {("aci.channel", "other_key")}),
    "50 TLS key not listed": (keyset(tls_public_keys=[]), {("aci.channel", "other_key")}),
    "50 connection of a stranger": (
        turn(peer_spki=lambda s: spki(s.keys.p256("tls/stranger"))),
        {("aci.channel", "other_key")},
    ),
    "51 one signature": (custody(links=1), {("aci.custody", "malformed")}),
    "51 three signatures": (custody(links=3), {("aci.custody", "malformed")}),
    "51 other purpose": (custody(purpose="aci.e2ee.v1"), {("aci.custody", "purpose")}),
    "51 other app": (custody(app_id=bytes(20)), {("aci.custody", "other_root")}),
    "51 unpinned root": (custody(root_label="kms/stranger"), {("aci.custody", "other_root")}),
    "51 other provider": (custody(provider="my-kms"), {("aci.custody", "malformed")}),
    "51 v that no signature has": (custody(first_v=2), {("aci.custody", "signature")}),
    "51 no custody": (custody(shown=False), {("aci.custody", "missing")}),
    "51 custody of one key of two": (_second_key, {("aci.custody", "missing")}),
    "51 custody of another role": (custody(role="e2ee-x25519"), {("aci.custody", "missing")}),
    "51 custody of another key": (custody(public_key=OTHER), {("aci.custody", "stranger")}),
    "subject of another app": (keyset(subject=f"app-id:0x{'00' * 20}"), {("aci.custody", "other_subject")}),
    "subject of no app": (keyset(subject="dstack-app://x"), {("aci.custody", "other_subject")}),
    "float in the keyset": (keyset(future=1.5), {MALFORMED}),
    "older revision": (keyset(keyset_epoch={"version": 1, "not_after": 1}), {MALFORMED}),
    "other OS image": (_own_os, {("pin.base_image", "not_pinned")}),
    "debug TD": (
        lambda s: s.gateway.td_changes.update(td_attributes=1),
        {("tdx.debug_off", "debug_on"), ("tdx.attributes", "td_attributes")},
    ),
    "forged quote": (
        lambda s: s.gateway.quote_changes.update(signature=bytes(range(64))),
        {("tdx.quote_signature", "quote_signature_invalid")},
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused_by_the_check_that_should(name: str) -> None:
    spoil, expected = ATTACKS[name]
    session = build()
    spoil(session)
    verdict = judge(session)
    assert verdict.outcome is REJECTED
    assert expected <= failing(verdict)
    # What cannot be judged for lack of a claim comes along; nothing that was judged may fail besides.
    failed = {(check.id, check.reason) for check in verdict.checks if check.status is Status.FAIL}
    assert failed <= expected
    assert not any(subject.attested_keys for subject in verdict.subjects)


def test_good_variants_are_verified() -> None:
    changes = (
        custody(first_v=27),
        _tls(domain=ACI_HOST.upper()),
        _tls(),
        _tls(domain=None),
        keyset(not_after=_days(400)),
        keyset(future=["kept", None, 3]),
        lambda s: s.keyset_changes.update(subject=f"app-id:0x{s.gateway.boot.app_id.hex()}"),
        _late_compose,
    )
    for change in changes:
        session = build()
        change(session)
        assert judge(session).verified


def edited(edit: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    document = build().saved()

    def change(report: dict[str, Any]) -> None:
        edit(report)

    return edit_json(document, REPORT, change)


EDITS: Final[dict[str, tuple[Callable[[dict[str, Any]], object], set[tuple[str, str]]]]] = {
    "stated digest": (
        lambda d: d.update(workload_keyset_digest="sha256:" + "00" * 32),
        {("aci.keyset", "other_digest")},
    ),
    "key exchanged": (
        lambda d: d["attestation"]["workload_keyset"]["receipt_signing_keys"][0].update(public_key="11" * 32),
        {("aci.keyset", "other_digest"), ("aci.custody", "stranger")},
    ),
    "stated report data": (
        lambda d: d["attestation"].update(report_data="00" * 32),
        {("aci.keyset", "stated_report_data")},
    ),
    "stated quote report data": (
        lambda d: d["attestation"]["evidence"].update(quote_report_data="00" * 64),
        {("binding.report_data", "stated_copy")},
    ),
    "55 no version": (lambda d: d.pop("api_version"), {MALFORMED}),
    "55 other version": (lambda d: d.update(api_version="aci/2"), {MALFORMED}),
    "endorsed keyset": (lambda d: d["attestation"].update(keyset_endorsement={}), {MALFORMED}),
    "SEV-SNP": (lambda d: d["attestation"].update(tee_type="sev_snp"), {MALFORMED}),
    "no TEE type": (lambda d: d["attestation"].pop("tee_type"), {MALFORMED}),
    "compose exchanged": (
        lambda d: d["attestation"]["evidence"].update(app_compose="{}"),
        {("dstack.compose_event", "other_compose"), ("dstack.mr_config_id", "other_config")},
    ),
    "compose missing": (
        lambda d: d["attestation"]["evidence"].pop("app_compose"),
        {("evidence.complete", "missing")},
    ),
    "log missing": (lambda d: d["attestation"]["evidence"].pop("event_log"), {("evidence.complete", "missing")}),
    "quote missing": (lambda d: d["attestation"]["evidence"].pop("quote"), {("evidence.complete", "missing")}),
    "keyset missing": (lambda d: d["attestation"].pop("workload_keyset"), {("evidence.complete", "missing")}),
    "no evidence": (lambda d: d["attestation"].update(evidence=[]), {MALFORMED}),
    "OS image of the configuration": (
        lambda d: d["attestation"]["evidence"].update(vm_config=json.dumps({"os_image_hash": "00" * 32})),
        {("dstack.reported_info", "differs")},
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_report_is_refused_by_the_check_that_should(name: str) -> None:
    edit, expected = EDITS[name]
    verdict = judge(edited(edit))
    assert verdict.outcome is REJECTED
    assert expected <= failing(verdict)


@pytest.mark.parametrize(
    "report",
    [
        {"attestation_type": "chutes", "nonce": "00", "all_attestations": []},
        {"intel_quote": "00", "signing_address": "0x00"},
        {"format": "https://tinfoil.example/v2", "body": ""},
        {"gateway_attestation": {}, "model_attestations": []},
        {},
    ],
)
def test_a_report_of_another_shape_is_refused(report: dict[str, Any]) -> None:
    """Attack 55: the kind of attester is the caller's choice, and no answer makes it weaker."""
    verdict = judge(build().saved(report))
    assert verdict.outcome is REJECTED
    assert MALFORMED in failing(verdict)
