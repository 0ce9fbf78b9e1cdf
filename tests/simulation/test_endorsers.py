"""Intel's and NVIDIA's services: they answer what is asked of them, and nothing that they were not shown."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from teeverify.testing import SimulatedTee
from teeverify.testing.simulation.near.hosts import CLOUD_HOST, DIRECT_HOST

from .raw_client import INTEL, NVIDIA, Got, RawClient

pytestmark = pytest.mark.loopback

ATTEST = "/v3/attest/gpu"
JWKS = "/.well-known/jwks.json"
TCB = "/tdx/certification/v4/tcb?fmspc="
NONCE = "ab" * 32


def payload(tee: SimulatedTee, nonce: str = NONCE) -> dict[str, Any]:
    """The GPU evidence of a fresh report."""
    with RawClient(tee, DIRECT_HOST) as client:
        report = client.get(f"/v1/attestation/report?nonce={nonce}&signing_algo=ed25519").json()
    document: dict[str, Any] = json.loads(report["nvidia_payload"])
    return document


def attested(tee: SimulatedTee, value: Any) -> Got:
    with RawClient(tee, NVIDIA, key="") as client:
        return client.post(ATTEST, value)


def claims(token: str) -> dict[str, Any]:
    middle = token.split(".")[1]
    document: dict[str, Any] = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    return document


def test_nvidia_answers_for_what_was_posted() -> None:
    with SimulatedTee.near(cloud=False, backends=2) as tee:
        first, second = payload(tee), payload(tee, "cd" * 32)
        for posted in (first, second, first):
            bundle = attested(tee, posted).json()
            overall = claims(bundle[0][1])
            assert overall["eat_nonce"] == posted["nonce"]
            assert overall["x-nvidia-overall-att-result"] is True
            assert sorted(bundle[1]) == ["GPU-0", "GPU-1"]


def test_nvidia_answers_for_a_part_of_the_evidence() -> None:
    with SimulatedTee.near(cloud=False) as tee:
        posted = payload(tee)
        bundle = attested(tee, {**posted, "evidence_list": posted["evidence_list"][1:]}).json()
        assert sorted(bundle[1]) == ["GPU-0"]
        whole = attested(tee, posted).json()
        assert claims(bundle[1]["GPU-0"])["ueid"] == claims(whole[1]["GPU-1"])["ueid"]


def test_nvidia_says_no_to_evidence_for_another_nonce() -> None:
    with SimulatedTee.near(cloud=False) as tee:
        bundle = attested(tee, {**payload(tee), "nonce": "cd" * 32}).json()
    assert claims(bundle[0][1])["x-nvidia-overall-att-result"] is False
    assert "measres" not in claims(bundle[1]["GPU-0"])


def broken(posted: dict[str, Any], case: str) -> Any:
    first, second = posted["evidence_list"]
    raw = bytearray(base64.b64decode(first["evidence"]))
    raw[60] ^= 1
    return {
        "flipped": {**posted, "evidence_list": [{**first, "evidence": base64.b64encode(raw).decode()}]},
        "swapped": {**posted, "evidence_list": [{**first, "certificate": second["certificate"]}]},
        "stranger": {**posted, "evidence_list": [{**first, "certificate": "AAAA"}]},
        "empty": {**posted, "evidence_list": []},
        "no-nonce": {"evidence_list": [first]},
        "short-nonce": {**posted, "nonce": "ab"},
        "no-object": [],
        "no-json": b"{",
        "deep": b"[" * 100_000,
    }[case]


@pytest.mark.parametrize(
    "case",
    ["flipped", "swapped", "stranger", "empty", "no-nonce", "short-nonce", "no-object", "no-json", "deep"],
)
def test_nvidia_knows_no_other_evidence(case: str) -> None:
    with SimulatedTee.near(cloud=False) as tee:
        got = attested(tee, broken(payload(tee), case))
    assert got.status == 400


def test_a_lie_about_evidence_holds_for_what_was_shown_under_it() -> None:
    with SimulatedTee.near(cloud=False) as tee:
        before = payload(tee)
        tee.set_fault("nras-refuses")
        assert attested(tee, before).status == 400, "an answer about it would be the truth"
        bundle = attested(tee, payload(tee)).json()
    assert claims(bundle[0][1])["x-nvidia-overall-att-result"] is False


def test_intel_answers_before_any_report_was_asked_for() -> None:
    with SimulatedTee.near() as tee, RawClient(tee, INTEL, key="") as client:
        for fmspc in ("90c06f000000", "b0c06f000000"):
            got = client.get(f"{TCB}{fmspc}")
            assert got.json()["tcbInfo"]["fmspc"] == fmspc
            assert "tcb-info-issuer-chain" in got.headers
        assert client.get(f"{TCB}000000000000").status == 404
        assert client.get("/sgx/certification/v4/pckcrl?encoding=der&ca=platform").status == 200
        assert client.get("/sgx/certification/v4/pckcrl?ca=processor&encoding=der").status == 404
        assert client.post(f"{TCB}90c06f000000", {}).status == 405


def test_a_report_of_a_model_host_does_not_change_what_the_gateway_needs() -> None:
    with SimulatedTee.near(gpus=1) as tee:
        for host in (CLOUD_HOST, DIRECT_HOST):
            with RawClient(tee, host) as client:
                assert client.get(f"/v1/attestation/report?nonce={NONCE}&model={tee.model}").status == 200
        with RawClient(tee, INTEL, key="") as client:
            for fmspc in ("90c06f000000", "b0c06f000000"):
                assert client.get(f"{TCB}{fmspc}").json()["tcbInfo"]["fmspc"] == fmspc


def test_answers_are_of_the_time_that_the_simulation_says() -> None:
    time = [datetime(2026, 7, 1, 12, tzinfo=timezone.utc)]
    with SimulatedTee.near(cloud=False, at=lambda: time[0]) as tee, RawClient(tee, INTEL, key="") as client:
        assert client.get(f"{TCB}90c06f000000").json()["tcbInfo"]["issueDate"] == "2026-07-01T11:30:00Z"
        time[0] += timedelta(days=40)
        assert client.get(f"{TCB}90c06f000000").json()["tcbInfo"]["issueDate"] == "2026-08-10T11:30:00Z"


def test_tokens_of_yesterday_are_known_at_midnight() -> None:
    time = [datetime(2026, 7, 1, 23, 59, 59, tzinfo=timezone.utc)]
    with SimulatedTee.near(cloud=False, gpus=1, at=lambda: time[0]) as tee:
        late = attested(tee, payload(tee)).json()
        time[0] += timedelta(seconds=10)
        early = attested(tee, payload(tee, "cd" * 32)).json()
        with RawClient(tee, NVIDIA, key="") as client:
            known = {key["kid"] for key in client.get(JWKS).json()["keys"]}
    headers = [json.loads(base64.urlsafe_b64decode(bundle[0][1].split(".")[0] + "==")) for bundle in (late, early)]
    kids = {header["kid"] for header in headers}
    assert len(kids) == 2
    assert kids <= known
