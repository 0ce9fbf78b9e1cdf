"""What a waiver does not reach: another record than the one that was asked for. And where an API key never goes."""

import copy
import json
from typing import Any

import pytest

from fronts.world import judge as judge_front
from live.provider import AT, MODEL, Provider, live_verifier
from live.provider import policy as live_policy
from teeverify.checks.catalogue import all_checks
from teeverify.cli import main
from teeverify.flow import Response
from teeverify.policy import Policy
from teeverify.providers.near import NearVerifier
from teeverify.saved import SavedReport
from teeverify.testing import FrontSession, PolicyText, front_policy, trust_roots
from teeverify.verdict import AttestationVerdict, Outcome

from .world import judge, session

REJECTED, VERIFIED = Outcome.REJECTED, Outcome.VERIFIED
COMPLETE = ("evidence.complete", "model")


def found(verdict: AttestationVerdict) -> set[tuple[str, bool]]:
    return {(check.reason, check.enforced) for check in verdict.checks if check.id == "evidence.complete"}


@pytest.mark.parametrize("provider", ["phala", "nanogpt", "venice"])
def test_a_waiver_of_missing_parts_does_not_reach_another_model(provider: str) -> None:
    made = FrontSession.build(provider, "dstack")
    text = PolicyText(name="waived", min_count=len(made.machines.gpus), waive=[COMPLETE])
    rules = Policy.from_toml(front_policy(made, text=text))
    document = made.saved()
    assert judge_front(document, rules).outcome is VERIFIED
    verdict = judge_front({**document, "model": "test-org/another-model"}, rules)
    assert verdict.outcome is REJECTED
    assert ("other_model", True) in found(verdict)


def test_a_waiver_of_missing_parts_does_not_reach_a_pinned_role_that_is_not_there() -> None:
    made = session()
    report = copy.deepcopy(made.report())
    del report["compose_manager_attestation"]
    verdict = judge(made, made.saved(report), waive=[COMPLETE])
    assert verdict.outcome is REJECTED
    assert ("role_missing", True) in found(verdict)


def test_a_waiver_still_reaches_what_is_missing() -> None:
    made = session()
    members = {name: value for name, value in made.report().items() if name != "request_nonce"}
    verdict = judge(made, made.saved(members), waive=[COMPLETE])
    assert ("missing", False) in found(verdict)


def test_explain_says_what_a_waiver_does_not_reach(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "evidence.complete"]) == 0
    assert "not other_model, other_provider, role_missing" in " ".join(capsys.readouterr().out.split())
    for check in all_checks():
        assert check.unwaivable <= set(check.reasons)


def _signature_requests(verifier: NearVerifier, provider: Provider, document: dict[str, Any]) -> dict[str, bool]:
    """Whether each host that was asked for a signature got the API key."""
    provider.asked.clear()
    attestation = verifier.verify_saved(SavedReport.from_bytes(json.dumps(document).encode()))
    verifier.verify_exchange(provider.chat("chatcmpl-9"), attestation=attestation)
    asked = [request for request in provider.asked if "/v1/signature/" in request.url]
    return {request.url.split("/")[2]: "Authorization" in request.headers for request in asked}


@pytest.mark.parametrize("cloud", [True, False])
def test_the_api_key_goes_to_no_host_that_only_a_file_names(cloud: bool) -> None:
    provider = Provider(cloud=cloud)
    provider.answers["/v1/signature/"] = Response(status=404, headers={}, body=b"{}")
    live = live_verifier(provider, api_key="secret-key")
    evidence = live.verify_attestation(MODEL).require().evidence
    assert evidence is not None
    document = json.loads(evidence.to_bytes())
    (url,) = {one["request"]["url"] for one in document["exchanges"] if "/attestation/report" in one["request"]["url"]}
    host = url.split("/")[2]
    assert _signature_requests(live, provider, document) == {host: True}

    def fresh() -> NearVerifier:
        rules = live_policy(cloud=cloud)
        return NearVerifier(rules, roots=trust_roots(), transport=provider, api_key="secret-key", clock=lambda: AT)

    assert _signature_requests(fresh(), provider, document) == {host: cloud}  # no directory has named the host yet
    renamed = json.loads(json.dumps(document).replace(host, "evil.near.ai"))
    for verifier in (live, fresh()):
        assert _signature_requests(verifier, provider, renamed) == {"evil.near.ai": False}
