"""The protocol of the simulated Chutes: hosts, questions, errors, and what is fresh in every answer."""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from teeverify.formats.tdx_quote import parse_quote
from teeverify.policy_pins import BaseImage
from teeverify.testing import SimulatedTee

from .chutes_world import API, EVIDENCE, LLM, chute_of, evidence_of
from .raw_client import NVIDIA, Got, RawClient

pytestmark = pytest.mark.loopback

NONCE = "ab" * 32
STRANGER = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def tee() -> Iterator[SimulatedTee]:
    """Nobody sets a fault here."""
    with SimulatedTee.chutes(gpus=1) as running:
        yield running
        assert running.fault is None


def got(tee: SimulatedTee, target: str, host: str = API, **options: Any) -> Got:
    with RawClient(tee, host, **options) as client:
        return client.get(target)


def report_data(entry: dict[str, Any]) -> bytes:
    return parse_quote(base64.b64decode(entry["quote"])).report.report_data


def test_the_list_of_models_needs_no_key(tee: SimulatedTee) -> None:
    answer = got(tee, "/v1/models", LLM, key="")
    rows = answer.json()["data"]
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert [row["id"] for row in rows].count(tee.model) == 1
    assert sum(tee.model in row["id"] for row in rows) == 2, "a name that begins alike is there to be mixed up"
    assert got(tee, "/v1/models", "127.0.0.1", key="").json() == answer.json()


def test_keys_and_evidence_are_of_the_same_instances(tee: SimulatedTee) -> None:
    keys = got(tee, f"/e2e/instances/{chute_of(tee)}").json()
    document = evidence_of(tee, NONCE)
    assert (document["failed_instance_ids"], keys["nonce_expires_in"]) == ([], 60)
    assert abs(keys["nonce_expires_at"] - time.time() - 60) < 20
    shown = {entry["instance_id"]: entry["e2e_pubkey"] for entry in keys["instances"]}
    assert list(shown) == [entry["instance_id"] for entry in reversed(document["evidence"])], "their order differs"
    for entry in document["evidence"]:
        first = hashlib.sha256((NONCE + shown[entry["instance_id"]]).encode()).digest()
        certificate = x509.load_der_x509_certificate(base64.b64decode(entry["certificate"]))
        spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert report_data(entry) == first + hashlib.sha256(spki).digest()
        (gpu,) = entry["gpu_evidence"]
        assert sorted(gpu) == ["arch", "certificate", "evidence"]
        assert base64.b64decode(gpu["evidence"])[4:36] == first


def test_evidence_is_fresh_for_every_nonce_and_tokens_for_every_client(tee: SimulatedTee) -> None:
    ours, theirs = (evidence_of(tee, nonce) for nonce in (NONCE, "cd" * 32))
    for own, other in zip(ours["evidence"], theirs["evidence"], strict=True):
        assert own["instance_id"] == other["instance_id"]
        assert report_data(own)[:32] != report_data(other)[:32]
        assert report_data(own)[32:] == report_data(other)[32:]
    chute = chute_of(tee)
    lists = [got(tee, f"/e2e/instances/{chute}").json()["instances"] for _ in range(2)]
    tokens = [token for entries in lists for entry in entries for token in entry["nonces"]]
    assert len(set(tokens)) == len(tokens) == 40
    assert lists[0][0]["e2e_pubkey"] == lists[1][0]["e2e_pubkey"]


def test_evidence_of_one_instance_and_by_name(tee: SimulatedTee) -> None:
    whole = evidence_of(tee, NONCE)["evidence"]
    for entry in whole:
        assert got(tee, f"/instances/{entry['instance_id']}/evidence?nonce={NONCE}").json() == entry
    named = got(tee, EVIDENCE.format(tee.model.replace("/", "%2F"), NONCE))
    assert [entry["instance_id"] for entry in named.json()["evidence"]] == [entry["instance_id"] for entry in whole]


@pytest.mark.parametrize(
    ("target", "status", "detail"),
    [
        ("/chutes/{chute}/evidence", 400, "nonce is not 64 hex characters"),
        ("/chutes/{chute}/evidence?nonce=", 400, "nonce is not 64 hex characters"),
        ("/chutes/{chute}/evidence?nonce=" + "ab" * 31, 400, "nonce is not 64 hex characters"),
        ("/chutes/{chute}/evidence?nonce=" + "ab" * 33, 400, "nonce is not 64 hex characters"),
        ("/chutes/{chute}/evidence?nonce=" + "zz" * 32, 400, "nonce is not 64 hex characters"),
        ("/instances/{instance}/evidence?nonce=0", 400, "nonce is not 64 hex characters"),
        (f"/chutes/{STRANGER}/evidence?nonce={NONCE}", 404, "there is no such chute"),
        (f"/e2e/instances/{STRANGER}", 404, "there is no such chute"),
        ("/e2e/instances/model", 404, "there is no such chute"),
        (f"/instances/{STRANGER}/evidence?nonce={NONCE}", 404, "there is no such instance"),
        ("/v1/models", 404, "Not Found"),
        ("/", 404, "Not Found"),
    ],
)
def test_errors_have_a_detail(tee: SimulatedTee, target: str, status: int, detail: str) -> None:
    instance = evidence_of(tee, NONCE)["evidence"][0]["instance_id"]
    answer = got(tee, target.format(chute=chute_of(tee), instance=instance))
    assert (answer.status, answer.json()) == (status, {"detail": detail})


def test_keys_and_evidence_want_the_api_key(tee: SimulatedTee) -> None:
    chute, instance = chute_of(tee), evidence_of(tee, NONCE)["evidence"][0]["instance_id"]
    for target in (
        f"/e2e/instances/{chute}",
        EVIDENCE.format(chute, NONCE),
        f"/instances/{instance}/evidence?nonce={NONCE}",
        f"/e2e/instances/{STRANGER}",
    ):
        for key in ("", "another", tee.api_key + "x"):
            answer = got(tee, target, key=key)
            assert answer.status == 401
            assert "evidence" not in answer.json()
        assert got(tee, target).status in (200, 404)


def test_only_get(tee: SimulatedTee) -> None:
    with RawClient(tee, API) as client:
        answer = client.post(f"/e2e/instances/{chute_of(tee)}", {})
        assert (answer.status, answer.headers["allow"]) == (405, "GET")
        assert client.get("/servers/tee/measurements").status == 200, "the connection goes on"


def test_published_measurements_are_those_of_the_policy() -> None:
    with SimulatedTee.chutes(instances=3, gpus=1) as tee:
        rows = got(tee, "/servers/tee/measurements", key="").json()
        pins = tee.policy.pins["instance"].base_images
    assert pins is not None
    assert len(rows) == 2, "the third instance is of the first one's kind"
    fields = ("version", "name", "mrtd", "boot_rtmrs", "runtime_rtmrs", "expected_gpus", "gpu_count")
    assert {tuple(row) for row in rows} == {fields}
    shown = {(row["mrtd"], *row["runtime_rtmrs"].values()) for row in rows}
    pinned = set()
    for pin in pins:
        assert isinstance(pin, BaseImage)
        assert pin.rtmr0 is not None
        assert pin.rtmr3 is not None
        pinned.add(tuple(value.hex() for value in (pin.mrtd, pin.rtmr0, pin.rtmr1, pin.rtmr2, pin.rtmr3)))
    assert shown == pinned
    assert {row["boot_rtmrs"]["RTMR3"] for row in rows} == {"00" * 48}


def test_hosts_of_others_are_not_served(tee: SimulatedTee) -> None:
    for host in ("cloud-api.near.ai", "completions.near.ai", "chutes.ai", "api.chutes.ai.example"):
        with pytest.raises(ssl.SSLError):
            RawClient(tee, host)
    with RawClient(tee, LLM) as client:
        client.host = API
        client.socket.sendall(f"GET /servers/tee/measurements HTTP/1.1\r\nHost: {API}\r\n\r\n".encode())
        assert client.socket.recv(65536).startswith(b"HTTP/1.1 421 ")


def test_the_two_hosts_have_keys_of_their_own(tee: SimulatedTee) -> None:
    assert got(tee, "/v1/models", LLM).peer_spki != got(tee, "/servers/tee/measurements", API).peer_spki


def claims(token: str) -> dict[str, Any]:
    middle = token.split(".")[1]
    document: dict[str, Any] = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    return document


@pytest.mark.parametrize("fault", [None, "swapped-key", "debug-td"])
def test_nvidia_judges_what_is_posted_whatever_chutes_shows(fault: str | None) -> None:
    with SimulatedTee.chutes(gpus=1, fault=fault, at=datetime(2026, 7, 1, 12, tzinfo=timezone.utc)) as tee:
        entry = evidence_of(tee, NONCE)["evidence"][0]
        nonce = base64.b64decode(entry["gpu_evidence"][0]["evidence"])[4:36].hex()
        with RawClient(tee, NVIDIA, key="") as client:
            for asked, result in ((nonce, True), ("00" * 32, False)):
                document = {"nonce": asked, "evidence_list": entry["gpu_evidence"], "arch": "HOPPER"}
                overall = claims(client.post("/v3/attest/gpu", document).json()[0][1])
                assert (overall["eat_nonce"], overall["x-nvidia-overall-att-result"]) == (asked, result)
            forged = base64.b64decode(entry["gpu_evidence"][0]["evidence"])[:-1] + b"\0"
            other = {**entry["gpu_evidence"][0], "evidence": base64.b64encode(forged).decode()}
            document = {"nonce": nonce, "evidence_list": [other], "arch": "HOPPER"}
            assert client.post("/v3/attest/gpu", document).status == 400
