"""What an adversary found in this code, each as the report that fooled it."""

import base64
import copy
import json
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from teeverify.cli import main
from teeverify.errors import ConfigurationError
from teeverify.policy import Policy, Waiver
from teeverify.providers.near import NearVerifier
from teeverify.saved import SavedReport
from teeverify.testing import near_policy, trust_roots, write_roots
from teeverify.testing.defects import DEFECTS
from teeverify.testing.recording import find_exchange
from teeverify.verdict import Outcome, Status

from .world import deciding, judge, session, verifier, with_report

REJECTED, INCONCLUSIVE, VERIFIED = Outcome.REJECTED, Outcome.INCONCLUSIVE, Outcome.VERIFIED


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A good session on disk: saved.json, policy.toml, roots."""
    made = session()
    write_roots(tmp_path / "roots")
    (tmp_path / "saved.json").write_text(json.dumps(made.saved()), encoding="utf-8")
    (tmp_path / "policy.toml").write_text(near_policy(made), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("path", ["/v1/attestation/rep\tort", "/v1/attestation/report"])
def test_collateral_cannot_bring_a_report_of_its_own(
    files: Path, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads((files / "saved.json").read_text(encoding="utf-8"))
    own = find_exchange(document, "/attestation/report")
    own["request"]["url"] = own["request"]["url"].replace("/v1/attestation/report", path)
    (files / "collateral.json").write_text(json.dumps(document), encoding="utf-8")
    (files / "report.json").write_text('{"my": "own answer, which is junk"}', encoding="utf-8")
    arguments = ["verify", "--provider", "near", "--report", str(files / "report.json"), "--model", document["model"]]
    arguments += ["--nonce", document["nonce"], "--collateral", str(files / "collateral.json")]
    arguments += ["--policy", str(files / "policy.toml"), "--test-roots", str(files / "roots"), "-q"]
    assert main(arguments) in (1, 4)
    other = own["request"]["url"].replace(document["nonce"], "00" * 32).replace(path, "/v1/attestation/report")
    assert main([*arguments, "--url", other]) in (2, 4)
    assert "VERIFIED" not in capsys.readouterr().out


@pytest.mark.parametrize("form", ["list", "too_long", "after_an_outage"])
def test_a_recorded_bad_answer_of_nvidia_cannot_be_made_a_missing_one(form: str) -> None:
    made = session()
    document = made.saved()
    recorded = find_exchange(document, "/attest/gpu")
    bad = copy.deepcopy(recorded)
    bad["response"]["body"] = base64.b64encode(b"[]").decode()
    if form == "list":
        payload = json.loads(made.report()["nvidia_payload"])
        document = with_report(made, nvidia_payload=payload["evidence_list"])
        find_exchange(document, "/attest/gpu").update(bad)
    elif form == "too_long":
        recorded["response"]["body"] = base64.b64encode(b"[]" + b" " * (1 << 20)).decode()
    else:
        outage = copy.deepcopy(bad)
        outage["response"]["status"] = 503
        place = document["exchanges"].index(recorded)
        document["exchanges"][place : place + 1] = [outage, bad]
    assert judge(made, document, nras="when_present").outcome is not VERIFIED


@pytest.mark.parametrize("algorithm_key", ["66" * 32, "66" * 64, "66", 7])
def test_a_public_key_beside_the_gateways_address_must_be_its_own(algorithm_key: object) -> None:
    made = session(cloud=True)
    gateway = {**made.report()["gateway_attestation"], "signing_public_key": algorithm_key}
    verdict = judge(made, with_report(made, gateway_attestation=gateway))
    assert verdict.outcome is REJECTED
    assert deciding(verdict) & {"binding.signing_key", "evidence.wellformed"}


def test_copies_inside_a_model_record_of_the_gateway_are_judged() -> None:
    made = session(cloud=True)
    report = made.report()
    evil = {**report["model_attestations"][0], "signing_address": "66" * 32}
    report["model_attestations"][0]["all_attestations"] = [evil]
    verdict = judge(made, made.saved(report))
    assert verdict.outcome is REJECTED
    assert "model:2" in {subject.id for subject in verdict.subjects}


@pytest.mark.parametrize("member", ["ohttp_key_config", "ohttp_attestation", "compose_manager_attestation"])
def test_a_copy_with_companions_of_its_own_is_no_copy(member: str) -> None:
    made = session(copies=True)
    report = made.report()
    report["all_attestations"][0][member] = {"quote": "00"} if member != "ohttp_key_config" else "00"
    assert judge(made, made.saved(report)).outcome is REJECTED


def test_the_same_record_twice_is_one_machine() -> None:
    made = session(cloud=True)
    entry = made.report()["model_attestations"][0]
    verdict = judge(made, with_report(made, model_attestations=[entry, copy.deepcopy(entry), entry]))
    assert verdict.outcome is VERIFIED
    assert [subject.id for subject in verdict.subjects] == ["gateway", "model", "compose_manager"]


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        ("info", "rtmr0", "66" * 48),
        ("info", "rtmr3", "66" * 48),
        ("vm_config", "compose_hash", "66" * 32),
        ("info", "key_provider_info", {"name": "kms"}),
        ("info", "key_provider_info", True),
    ],
)
def test_no_stated_value_escapes(where: str, name: str, value: object) -> None:
    made = session()
    info = made.report()["info"]
    if where == "vm_config":
        info["vm_config"] = json.dumps({**json.loads(info["vm_config"]), name: value})
    else:
        info[name] = value
    assert judge(made, with_report(made, info=info)).outcome is REJECTED


@pytest.mark.parametrize("name", ["compose-hash", "system-ready", "key-provider"])
def test_boot_rows_cannot_borrow_names_of_runtime_events(name: str) -> None:
    made = session()
    report = made.report()
    for log in (report["event_log"], report["info"]["tcb_info"]["event_log"]):
        log[0]["event"] = name
    verdict = judge(made, made.saved(report))
    assert verdict.outcome is REJECTED
    assert "evidence.wellformed" in deciding(verdict)


def test_subjects_of_other_roots_another_nonce_or_another_time_are_not_concluded() -> None:
    made = session()
    report = SavedReport.from_bytes(json.dumps(made.saved()).encode())
    tested = verifier(made)
    production = type(tested)(tested.policy)
    at = report.recorded_at
    subjects = tested.subjects_of_saved(report, roots=trust_roots(), at=at, wall_clock=at)
    good: dict[str, Any] = {"model": report.model, "nonce": report.nonce, "at": at}
    assert tested.conclude(subjects, **good).outcome is VERIFIED
    with pytest.raises(ConfigurationError, match="kind of roots"):
        production.conclude(subjects, **good)
    for changes in ({"nonce": bytes(32)}, {"at": at + timedelta(days=1)}):
        with pytest.raises(ConfigurationError, match="derived for another"):
            tested.conclude(subjects, **{**good, **changes})
    naive = evolve(report, recorded_at=at.replace(tzinfo=None))
    with pytest.raises(ConfigurationError, match="without time zone"):
        tested.verify_saved(naive, at=at.astimezone(timezone.utc))


def test_the_trust_boundary_claims_what_was_enforced_and_no_more() -> None:
    made = session()
    full = judge(made).trust_boundary
    assert "the connection ends inside the model machine" in full
    assert "NVIDIA's service finds their firmware good" in full
    unbound = judge(made, waive=[("channel.tls_spki", "model")], nras="ignore").trust_boundary
    assert "nothing shows where the connection ends" in unbound
    assert "nobody judged their firmware" in unbound
    rejected = judge(made, with_report(made, signing_address="66" * 32)).trust_boundary
    assert rejected.partition("Nothing is proven")[1]


@pytest.mark.parametrize("check", ["pin.base_image", "pin.compose"])
def test_a_role_whose_enforcing_check_is_waived_is_not_pinned(check: str) -> None:
    verdict = judge(session(), waive=[(check, "model")])
    assert verdict.outcome is REJECTED
    assert deciding(verdict) == {"policy.pinned"}


def test_policy_pin_refuses_gpus_that_nvidia_refused(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["policy", "pin", str(files / "saved.json"), "--test-roots", str(files / "roots")]
    assert main(arguments) == 0
    assert "UNDER TEST ROOTS" in capsys.readouterr().out
    document = json.loads((files / "saved.json").read_text(encoding="utf-8"))
    find_exchange(document, "/attest/gpu")["response"]["body"] = base64.b64encode(b"[]").decode()
    (files / "saved.json").write_text(json.dumps(document), encoding="utf-8")
    assert main(arguments) == 2
    assert "gpu.nras_token" in capsys.readouterr().err


def test_a_chain_header_of_many_megabytes_is_not_unpacked() -> None:
    made = session()
    document = made.saved()
    answer = find_exchange(document, "/tdx/certification/v4/tcb")
    name = next(header for header in answer["response"]["headers"] if "issuer-chain" in header.lower())
    answer["response"]["headers"][name] = ["%41" * 30_000]
    with pytest.raises(Exception, match="longer than"):
        SavedReport.from_bytes(json.dumps(document).encode())


@pytest.mark.parametrize("part", ["/attestation/report", "/tdx/certification/v4/tcb", "/attest/gpu", "jwks.json"])
def test_an_answer_that_came_after_an_outage_counts(part: str) -> None:
    made = session()
    document = made.saved()
    answered = find_exchange(document, part)
    outage = copy.deepcopy(answered)
    outage["response"].update(status=503, body="")
    document["exchanges"].insert(document["exchanges"].index(answered), outage)
    assert judge(made, document).outcome is VERIFIED


def test_two_different_reports_to_one_request_are_ambiguous() -> None:
    made = session()
    document = made.saved()
    other = copy.deepcopy(find_exchange(document, "/attestation/report"))
    other["response"]["body"] = base64.b64encode(b"{}").decode()
    for place in (0, 1):
        doubled = {**document, "exchanges": list(document["exchanges"])}
        doubled["exchanges"].insert(place, other)
        assert judge(made, doubled).outcome is REJECTED


def test_a_waived_tcb_status_does_not_date_the_verdict_back() -> None:
    defect = DEFECTS["tcb-out-of-date"]
    document = json.dumps(defect.document()).encode()
    policy = Policy.from_toml(defect.policy_text())
    waivers = tuple(Waiver(check=check, reason="a test") for check in ("tcb.status", "tcb.advisories"))
    verdict = NearVerifier(evolve(policy, waivers=waivers), roots=trust_roots()).verify_saved(
        SavedReport.from_bytes(document)
    )
    assert verdict.outcome is VERIFIED
    assert verdict.expires_at is not None
    assert verdict.expires_at > verdict.evaluated_at


def test_a_subject_of_a_role_that_nothing_judges_is_not_verified() -> None:
    made = session()
    report = SavedReport.from_bytes(json.dumps(made.saved()).encode())
    at = report.recorded_at
    own = verifier(made)
    subjects = own.subjects_of_saved(report, roots=trust_roots(), at=at, wall_clock=at)
    foreign = (evolve(subjects[0], role="instance"), *subjects[1:])
    verdict = own.conclude(foreign, model=report.model, nonce=report.nonce, at=at)
    assert verdict.outcome is INCONCLUSIVE
    assert {check.status for check in verdict.subjects[0].checks} == {Status.NOT_APPLICABLE}
