"""What an adversary found in the verification of Chutes, each turned into a test."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from typing import Any

import pytest
from attrs import evolve

from teeverify.errors import ConfigurationError, TransportError
from teeverify.flow import Response
from teeverify.policy import Policy
from teeverify.providers.chutes_wire import asked_from_urls, read_instances
from teeverify.registry import verifier_for
from teeverify.saved import SavedReport
from teeverify.testing import chutes_policy, trust_roots
from teeverify.testing.chutes_world import MODEL
from teeverify.testing.recording import edit_json
from teeverify.verdict import AttestationVerdict, Outcome

from .synthetic import EVIDENCE, MODELS, Provider, build, failing, judge, policy, verifier

STRANGER = "00000000-0000-0000-0000-000000000000"


def saved(document: dict[str, Any]) -> SavedReport:
    return SavedReport.from_bytes(json.dumps(document).encode())


def test_mr_config_id() -> None:
    session = build()
    session.instances[1].guest.td_changes["mr_config_id"] = b"\1" * 48
    verdict = judge(session.saved())
    assert verdict.outcome is Outcome.REJECTED
    assert failing(verdict, session.instances[1])


def test_a_pinned_chute_holds_for_saved_reports() -> None:
    with pytest.raises(ConfigurationError, match="another chute"):
        verifier(policy(), chute=STRANGER).verify_saved(saved(build().saved()))


def test_a_model_that_is_a_chute_id_is_the_chute_that_was_asked() -> None:
    document = build(models_recorded=False).saved()
    document["model"] = STRANGER
    assert not judge(document).verified


def test_live_pin_and_model_contradict() -> None:
    try:
        verdict = verifier(policy(), chute=build().chute_id, transport=Provider()).verify_attestation(STRANGER)
    except ConfigurationError:
        return
    assert not verdict.verified


def test_the_gateway_was_asked_for_another_model() -> None:
    nonce = bytes(range(32))
    document = build(gateway=True, nonce=nonce, inner_nonce=nonce).saved()
    document["model"] = "other/model"
    assert not judge(document).verified


def test_the_form_of_gpu_evidence_does_not_keep_nvidia_out() -> None:
    def as_text(document: Any) -> None:
        for entry in document["evidence"]:
            entry["gpu_evidence"] = json.dumps({"evidence_list": entry["gpu_evidence"]})

    session = build()
    for instance in session.instances:  # NVIDIA would say no, and its answer is in the file
        instance.nras.overall_changes["x-nvidia-overall-att-result"] = False
    assert judge(session.saved(), nras="when_present").outcome is Outcome.REJECTED
    verdict = judge(edit_json(session.saved(), EVIDENCE, as_text), nras="when_present")
    assert not verdict.verified


@pytest.mark.parametrize("value", [[], {}])
def test_an_instance_id_of_another_type(value: Any) -> None:
    document = edit_json(build().saved(), EVIDENCE, lambda d: d["evidence"][0].update(instance_id=value))
    assert judge(document).outcome is Outcome.REJECTED


@pytest.mark.parametrize("value", [[], {}])
def test_an_architecture_of_another_type(value: Any) -> None:
    document = edit_json(build().saved(), EVIDENCE, lambda d: d["evidence"][0]["gpu_evidence"][0].update(arch=value))
    assert judge(document).outcome is Outcome.REJECTED


@pytest.mark.parametrize("gateway", [False, True])
def test_many_parameters(gateway: bool) -> None:
    document = build(gateway=gateway).saved()
    for exchange in document["exchanges"]:
        if "nonce=" in exchange["request"]["url"]:
            exchange["request"]["url"] += "&a=1" * 20
    assert not judge(document).verified


def test_asked_from_urls() -> None:
    asked_from_urls([f"https://api.chutes.ai/chutes/{STRANGER}/evidence?" + "&".join(["a=1"] * 20)])


def test_a_list_of_losses_is_bounded() -> None:
    ids = [f"{number:08x}-0000-0000-0000-000000000000" for number in range(2000)]
    body = json.dumps({"evidence": [], "failed_instance_ids": ids}).encode()
    assert len(read_instances(b'{"instances":[]}', body)) <= 513


def test_the_boundary_does_not_speak_of_waived_pins() -> None:
    session = build()
    waivers = "".join(
        f'\n[[waive]]\ncheck = "{check}"\nreason = "x"\nexpires = 2030-01-01\n'
        for check in ("policy.pinned", "pin.base_image")
    )
    rules = Policy.from_toml(chutes_policy(session) + waivers)
    for instance in session.instances:
        instance.guest.td_changes["rtmr1"] = bytes(48)
    verdict = verifier(rules).verify_saved(saved(session.saved()))
    assert "run a pinned guest" not in verdict.trust_boundary


def _alike(provider: Provider) -> tuple[AttestationVerdict, AttestationVerdict]:
    live = verifier(policy(), transport=provider).verify_attestation(MODEL)
    assert live.evidence is not None
    return live, judge(json.loads(live.evidence.to_bytes()))


@pytest.mark.parametrize(
    ("part", "answer"),
    [
        (MODELS, TransportError("down")),
        (MODELS, Response(status=500, headers={}, body=b"")),
        (MODELS, Response(status=200, headers={}, body=b'{"data":[]}')),
        (EVIDENCE, TransportError("down")),
    ],
)
def test_an_outage_is_judged_alike_offline(part: str, answer: Any) -> None:
    provider = Provider()
    provider.answers[part] = answer
    live, offline = _alike(provider)
    assert live.outcome is Outcome.INCONCLUSIVE
    assert offline.outcome is live.outcome


def test_the_decisive_line_counts_what_it_rests_on() -> None:
    session = build()
    session.instances[1].key_entries = 0
    verdict = judge(session.saved(), mode="any")
    assert verdict.verified
    assert ": 2 subjects," not in verdict.conclusion


@pytest.mark.parametrize("value", [0, "", False, {}])
def test_losses_of_another_type(value: Any) -> None:
    document = edit_json(build().saved(), EVIDENCE, lambda d: d.update(failed_instance_ids=value))
    assert not judge(document).verified


def test_the_request_to_nvidia_does_not_depend_on_the_hash_seed() -> None:
    code = (
        "from teeverify.providers.chutes_flow import _nras_payload as p;"
        "print(p(bytes(32), [{'arch': 'HOPPER'}, {'arch': 'BLACKWELL'}, {'arch': 'LS10'}]).decode())"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": str(seed)}, capture_output=True, check=True
        ).stdout
        for seed in random.Random(1).sample(range(1000), 6)
    }
    assert len(seen) == 1


@pytest.mark.parametrize("gateway", [False, True])
@pytest.mark.parametrize("part", ["/evidence", "/e2e/instances/", "/attestation/report"])
def test_two_answers_to_one_question_leave_open_which_one_counts(part: str, gateway: bool) -> None:
    session = build(
        gateway=gateway, **({"inner_nonce": bytes(range(32)), "nonce": bytes(range(32))} if gateway else {})
    )
    report = saved(session.saved())
    asked = [exchange for exchange in report.exchanges if part in exchange.request.url]
    if not asked:
        pytest.skip("this shape does not ask that")
    own = Policy.from_toml(chutes_policy(session).replace('"chutes"', f'"{session.provider}"'))
    judging = verifier_for(session.provider)(own, roots=trust_roots())
    assert judging.verify_saved(report).verified
    rival = evolve(asked[0], response=evolve(asked[0].response, body=asked[0].response.body + b" "))
    for exchanges in ((*report.exchanges, rival), (rival, *report.exchanges)):
        assert judging.verify_saved(evolve(report, exchanges=exchanges)).outcome is Outcome.REJECTED
    outage = evolve(rival, response=evolve(rival.response, status=502))
    assert judging.verify_saved(evolve(report, exchanges=(outage, *report.exchanges))).verified


@pytest.mark.parametrize("part", [EVIDENCE, "/e2e/instances/", MODELS])
def test_a_web_page_is_an_outage(part: str) -> None:
    provider = Provider()
    page = Response(status=200, headers={"Content-Type": ("text/html",)}, body=b"<html>log in</html>")
    provider.answers[part] = page
    verdict = verifier(policy(), transport=provider).verify_attestation(MODEL)
    assert verdict.outcome is Outcome.INCONCLUSIVE
