"""Each knob of a simulated Chutes session spoils what it says, and nothing else; gateways wrap the evidence."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from chutes_reading import binding_of, brom_serial, evidence_of, keys_of, quote_of, spki_digest, submissions
from evidence_reading import body, check_gpu, provider_report, verify_quote

from captures import captures_folder
from teeverify.policy import Policy
from teeverify.testing import ChutesSession, chutes_policy
from teeverify.testing.chutes_instance import ChutesInstance

OTHER = bytes(range(100, 132))
GATEWAY = "attestation/report"


def faults(session: ChutesSession, document: dict[str, Any]) -> dict[str, set[str]]:
    """What does not hold, by instance id, judged from what a client sees and from its own nonce."""
    keys, evidence, found = keys_of(document), evidence_of(document), {}
    posts = {request["nonce"]: answer for request, answer in submissions(document)}
    serials = [brom_serial(gpu) for entry in evidence.values() for gpu in entry["gpu_evidence"]]
    for name, entry in evidence.items():
        quote, nonce = quote_of(entry), binding_of(session.nonce.hex(), keys.get(name, ""))
        own = [brom_serial(gpu) for gpu in entry["gpu_evidence"]]
        checks = {
            "key missing": name in keys,
            "binding": quote[568:600] == nonce,
            "certificate": "certificate" in entry and quote[600:632] == spki_digest(entry),
            "rtmr3": any(quote[520:568]),
            "dcap": _accepts(session, document, quote),
            "gpu": all(_good_gpu(gpu, quote[568:600], session) for gpu in entry["gpu_evidence"]),
            "gpu twice": all(serials.count(serial) == 1 for serial in own),
            "nras": quote[568:600].hex() in posts and len(posts[quote[568:600].hex()][1]) == len(own),
        }
        found[name] = {check for check, holds in checks.items() if not holds}
    return found


def _accepts(session: ChutesSession, document: dict[str, Any], quote: bytes) -> bool:
    try:
        return bool(verify_quote(document, quote, session.intel.root.der).status == "UpToDate")
    except ValueError:
        return False


def _good_gpu(gpu: dict[str, str], nonce: bytes, session: ChutesSession) -> bool:
    try:
        check_gpu(gpu, nonce, session.nvidia.root.der)
    except AssertionError:
        return False
    return True


def spoil(change: Callable[[ChutesInstance, ChutesInstance, ChutesSession], object]) -> tuple[Any, ...]:
    """Session, document and faults of the second instance, after a change to it; the first must stay good."""
    session = ChutesSession.build()
    first, second = session.instances
    change(second, first, session)
    document = session.saved()
    found = faults(session, document)
    assert found.pop(first.instance_id) == set()
    return session, document, found


def turn(**knobs: Any) -> Callable[[ChutesInstance, ChutesInstance, ChutesSession], None]:
    """A change that sets attributes; a function is called with the other instance."""

    def change(instance: ChutesInstance, other: ChutesInstance, session: ChutesSession) -> None:
        del session
        for knob, value in knobs.items():
            setattr(instance, knob, value(instance, other) if callable(value) else value)

    return change


SPOILED: dict[str, tuple[Any, set[str]]] = {
    "nothing": (turn(), set()),
    "nonce": (turn(attested_nonce=OTHER), {"binding"}),
    "key-shown": (turn(shown_key=lambda own, _: own.key[:-4] + "AAAA"), {"binding"}),
    "key-of-other": (turn(shown_key=lambda _, other: other.key), {"binding"}),
    "certificate-shown": (turn(shown_certificate=lambda _, other: other.certificate.der), {"certificate"}),
    "certificate-missing": (turn(shows_certificate=False), {"certificate"}),
    "report-data": (turn(report_data=OTHER * 2), {"binding", "certificate", "gpu", "nras"}),
    "gpu-nonce": (turn(gpu_nonce=OTHER), {"gpu"}),
    "gpu-report": (turn(gpu_evidence=lambda own, _: {1: own.gpus[1].evidence(OTHER)}), {"gpu"}),
    "gpu-twice": (turn(gpus=lambda own, _: own.gpus[:1] * 2), {"gpu twice"}),
    "gpu-missing": (turn(gpus=lambda own, _: own.gpus[:1]), set()),
    "nras-nonce": (turn(nras_nonce=OTHER), {"nras"}),
    "nras-devices": (turn(nras_devices=lambda own, _: own.gpus[:1]), {"nras"}),
    "nras-bundle": (turn(nras_bundle=[["JWT", "x"], {}]), {"nras"}),
    "nras-missing": (turn(nras_recorded=False), {"nras"}),
    "key-missing": (turn(key_entries=0), {"key missing", "binding"}),
    "rtmr3-zero": (lambda own, *_: own.guest.reboot(rtmr3=bytes(48)), {"rtmr3"}),
    "debug": (lambda own, *_: own.guest.td_changes.update(td_attributes=1 | 1 << 28), {"dcap"}),
    "signature": (lambda own, *_: own.guest.quote_changes.update(signature=bytes(range(64))), {"dcap"}),
    "no-tcb-level": (
        lambda *around: around[2].pcs.tcb_changes_for.update(b0c06f000000={"tcbLevels": []}),
        {"dcap"},
    ),
}


@pytest.mark.parametrize("name", list(SPOILED))
def test_a_knob_spoils_one_thing(name: str) -> None:
    change, expected = SPOILED[name]
    session, _, found = spoil(change)
    assert found == {session.instances[1].instance_id: expected}


def test_gpus_of_another_instance_stand_in_both() -> None:
    session = ChutesSession.build()
    first, second = session.instances
    second.gpus = first.gpus
    assert set(map(frozenset, faults(session, session.saved()).values())) == {frozenset({"gpu twice"})}


@pytest.mark.parametrize("entries", [0, 1, 2])
def test_entries_are_dropped_and_repeated(entries: int) -> None:
    session = ChutesSession.build(gpus=1)
    session.instances[1].key_entries = entries
    ids = [one.instance_id for one in session.instances]
    rows = json.loads(body(session.saved(), "/e2e/instances/"))["instances"]
    assert [row["instance_id"] for row in rows] == ids[:1] + ids[1:] * entries

    session.instances[1].evidence_entries = entries
    document = session.saved()
    evidence = json.loads(body(document, "/evidence?nonce="))["evidence"]
    assert [entry["instance_id"] for entry in evidence] == ids[1:] * entries + ids[:1]
    assert len(submissions(document)) == 1 + min(entries, 1)
    asked = {entry["request"]["url"] for entry in document["exchanges"]}
    assert any("fmspc=b0c06f000000" in url for url in asked) == (entries > 0)


def test_ids_and_failures_are_only_words() -> None:
    session = ChutesSession.build(gpus=1)
    first, second = session.instances
    second.evidence_id = first.instance_id
    session.failed_instance_ids = [second.instance_id]
    answer = json.loads(body(session.saved(), "/evidence?nonce="))
    assert [entry["instance_id"] for entry in answer["evidence"]] == [first.instance_id] * 2
    assert answer["evidence"][0]["quote"] != answer["evidence"][1]["quote"]
    assert answer["failed_instance_ids"] == [second.instance_id]


def test_nvidias_answer_can_fail_for_one_instance_alone() -> None:
    session = ChutesSession.build(gpus=1)
    session.instances[1].nras.overall_changes = {"x-nvidia-overall-att-result": False}
    results = []
    for _, (overall, _tokens) in submissions(session.saved()):
        claims = overall[1].split(".")[1]
        results.append(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4))))
    assert [claims["x-nvidia-overall-att-result"] for claims in results] == [False, True]


@cache
def wrapped() -> tuple[ChutesSession, str]:
    session = ChutesSession.build(gateway=True)
    return session, json.dumps(session.saved())


def test_a_gateway_binds_its_own_nonce() -> None:
    session, text = wrapped()
    document = json.loads(text)
    report = provider_report(document)
    assert (document["provider"], document["nonce"]) == ("phala", session.nonce.hex())
    assert document["exchanges"][0]["request"]["url"] == (
        f"https://api.redpill.ai/v1/attestation/report?model=test-org%2Fmodel-1b-TEE&nonce={session.nonce.hex()}"
    )
    assert report["attestation_type"] == "chutes"
    assert report["nonce"] != session.nonce.hex()
    for entry in report["all_attestations"]:
        quote = quote_of(entry)
        assert entry["nonce"] == report["nonce"]
        assert quote[568:600] == binding_of(entry["nonce"], entry["e2e_pubkey"])
        assert quote[568:600] != binding_of(session.nonce.hex(), entry["e2e_pubkey"])
        assert verify_quote(document, quote, session.intel.root.der).status == "UpToDate"
        assert all(_good_gpu(gpu, quote[568:600], session) for gpu in entry["gpu_evidence"])
    nonces = [request["nonce"] for request, _ in submissions(document)]
    assert nonces == [quote_of(entry)[568:600].hex() for entry in report["all_attestations"]]
    assert json.dumps(ChutesSession.build(gateway=True).saved()) == text


def test_a_gateways_document_has_the_members_of_a_capture() -> None:
    real = json.loads((captures_folder() / "redpill-chutes-2026-06-10.json").read_text())
    theirs, ours = provider_report(real), provider_report(json.loads(wrapped()[1]))
    assert list(theirs) == list(ours)
    assert list(theirs["all_attestations"][0]) == list(ours["all_attestations"][0])
    assert real["exchanges"][0]["request"]["url"].split("?")[0] == wrapped()[0].gateway_url.split("?")[0]


def test_a_gateway_can_pass_the_nonce_on() -> None:
    nonce = bytes(range(32))
    report = provider_report(ChutesSession.build(gateway=True, nonce=nonce, inner_nonce=nonce).saved())
    assert report["nonce"] == nonce.hex()
    for entry in report["all_attestations"]:
        assert quote_of(entry)[568:600] == binding_of(nonce.hex(), entry["e2e_pubkey"])


def test_a_gateway_can_stamp_our_nonce_on_its_own_evidence() -> None:
    session = ChutesSession.build(gateway=True, gpus=1)
    session.envelope_nonce = session.nonce
    session.instances[0].shown_nonce = session.nonce
    session.instances[1].key_entries = 0
    report = provider_report(session.saved())
    stamped, keyless = report["all_attestations"]
    assert report["nonce"] == stamped["nonce"] == session.nonce.hex() != keyless["nonce"]
    assert quote_of(stamped)[568:600] != binding_of(session.nonce.hex(), stamped["e2e_pubkey"])
    assert keyless["e2e_pubkey"] is None


def test_policies_of_gateways_and_of_spoiled_sessions() -> None:
    assert Policy.from_toml(chutes_policy(wrapped()[0])).provider == "phala"
    session = ChutesSession.build(instances=3)
    session.instances[1].gpus.pop()
    session.instances[2].guest.td_changes["rtmr1"] = bytes(48)
    policy = Policy.from_toml(chutes_policy(session))
    assert policy.gpu.min_count == 2
    assert len(policy.pins["instance"].base_images or ()) == 2
    session.instances[2].guest.reboot(rtmr3=bytes(48))
    images = Policy.from_toml(chutes_policy(session, min_count=1)).pins["instance"].base_images or ()
    assert [image.rtmr3 == bytes(48) for image in images] == [False, False, True]
