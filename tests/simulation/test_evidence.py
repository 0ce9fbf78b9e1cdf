"""The evidence of the live simulation, judged by the verifier: the truth is VERIFIED, each lie is found out."""

from __future__ import annotations

import pytest

from teeverify.policy import Policy
from teeverify.testing import SimulatedTee
from teeverify.testing.simulation import FAULTS
from teeverify.testing.simulation.near.hosts import DIRECT_HOST, backend_host

from .judging import attest
from .raw_client import RawClient

pytestmark = pytest.mark.loopback

EDITED = ("swapped-key", "other-tls-key", "forged-event", "bad-gpu", "other-model", "no-compose-manager")
"""Faults that edit the report itself, whose two shapes are not alike."""
OWN = [
    (name, cloud)
    for name, fault in FAULTS.items()
    if fault.area in ("evidence", "clock") and not fault.lean and fault.backends == 1
    for cloud in (True, False)
    if cloud or name in EDITED
]
DEFECTS = {
    False: (
        "nonce-replayed-echo-edited",
        "address-by-sha3",
        "fingerprint-of-the-intruder",
        "collateral-missing",
        "nras-unavailable",
        "key-set-foreign",
        "gpu-same-twice",
        "json-duplicate-key-in-payload",
        "report-redirected",
        "copy-differs",
        "good-april-shape",
    ),
    True: (
        "gateway-live-key-of-model",
        "gateway-live-key-in-report-only",
        "models-second-bad",
        "gateway-serves-unattested",
        "collateral-of-gateway-missing",
    ),
}


def padded_policy(tee: SimulatedTee) -> Policy:
    waive = [(check, role) for check in ("binding.tls_spki", "channel.tls_spki") for role in ("model", "gateway")]
    return Policy.from_toml(tee.policy_text_with(waive=waive))


@pytest.mark.parametrize("tls_bound", [True, False])
@pytest.mark.parametrize("algorithm", ["ed25519", "ecdsa"])
@pytest.mark.parametrize("cloud", [True, False])
def test_the_truth_is_verified(cloud: bool, algorithm: str, tls_bound: bool) -> None:
    with SimulatedTee.near(cloud=cloud, gpus=2 if tls_bound else 1) as tee:
        policy = tee.policy if tls_bound else padded_policy(tee)
        judged = attest(tee, algorithm=algorithm, tls_bound=tls_bound, policy=policy)
        assert judged.outcome == "VERIFIED", judged.verdict.conclusion
    asked = sorted(f"{entry.method} {entry.host}" for entry in tee.asked[: 9 if cloud else 7])
    assert asked.count("POST nras.attestation.nvidia.com") == 1
    assert sum("intel.com" in entry for entry in asked) == (5 if cloud else 4)


def test_every_machine_is_verified_by_itself() -> None:
    with SimulatedTee.near(cloud=False, gpus=1, backends=2) as tee:
        for host in (DIRECT_HOST, backend_host(0), backend_host(1)):
            judged = attest(tee, host=host)
            assert judged.outcome == "VERIFIED", judged.verdict.conclusion


@pytest.mark.parametrize(("name", "cloud"), OWN)
def test_own_faults(name: str, cloud: bool) -> None:
    fault = FAULTS[name]
    with SimulatedTee.near(cloud=cloud, gpus=1, backends=2, fault=name) as tee:
        judged = attest(tee)
    assert judged.decides(fault.outcome, fault.checks), judged.verdict.conclusion


def test_one_machine_of_several_is_bad() -> None:
    with SimulatedTee.near(cloud=False, gpus=1, backends=2, fault="bad-backend") as tee:
        bad = attest(tee, host=backend_host(1))
        assert bad.decides("REJECTED", frozenset({"tdx.debug_off"})), bad.verdict.conclusion
        assert attest(tee).outcome == attest(tee, host=backend_host(0)).outcome == "VERIFIED"


def test_the_truth_comes_back() -> None:
    with SimulatedTee.near(gpus=1, fault="debug-td") as tee:
        assert attest(tee).outcome == "REJECTED"
        tee.set_fault(None)
        assert attest(tee).outcome == "VERIFIED"
        tee.set_fault("other-tls-key")
        assert attest(tee).outcome == "REJECTED"
        tee.set_fault("intel-status-503")
        assert attest(tee).outcome == "INCONCLUSIVE"


def test_the_padded_form_is_not_enough_without_a_waiver() -> None:
    with SimulatedTee.near(gpus=1) as tee:
        judged = attest(tee, tls_bound=False)
    assert judged.outcome != "VERIFIED"
    assert "channel.tls_spki" in judged.failed | judged.unevaluated


@pytest.mark.parametrize(("cloud", "name"), [(cloud, name) for cloud, names in DEFECTS.items() for name in names])
def test_defects_over_live_connections(cloud: bool, name: str) -> None:
    fault = FAULTS[name]
    with SimulatedTee.near(cloud=cloud, gpus=fault.gpus, fault=name) as tee:
        judged = attest(tee, algorithm=fault.algorithm or "ed25519")
    assert any(judged.decides(outcome, fault.checks) for outcome in fault.outcomes), judged.verdict.conclusion


def test_every_connection_may_end_at_another_machine() -> None:
    with SimulatedTee.near(cloud=False, gpus=1, backends=2, fault="other-machine-per-connection") as tee:
        keys = []
        for _ in range(4):
            with RawClient(tee, DIRECT_HOST) as client:
                keys.append(client.peer_spki)
                target = "/v1/attestation/report?include_tls_fingerprint=true&nonce=" + "ab" * 32
                fingerprint = client.get(target).json()["tls_cert_fingerprint"]
                assert client.get(target).json()["tls_cert_fingerprint"] == fingerprint, "one connection, one machine"
    assert keys[0] == keys[2] != keys[1] == keys[3]


def test_a_question_that_cannot_show_the_fault_is_not_answered() -> None:
    """Else a client that asks otherwise would meet the truth, and a test would show nothing."""
    with SimulatedTee.near(cloud=False, gpus=1, fault="address-by-sha3") as tee:
        judged = attest(tee, algorithm="ed25519")
        assert judged.outcome == "INCONCLUSIVE"
        assert {entry.status for entry in tee.asked} == {409}
        tee.set_fault("downgraded-form")
        attest(tee, tls_bound=False)
        assert tee.asked[-1].status == 409


def test_the_model_host_tells_the_truth_while_the_gateway_lies() -> None:
    with SimulatedTee.near(gpus=1, fault="gateway-missing") as tee:
        assert attest(tee).outcome == "REJECTED"
        assert attest(tee, host=DIRECT_HOST).outcome == "VERIFIED"
