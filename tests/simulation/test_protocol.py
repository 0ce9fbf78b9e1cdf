"""NEAR's endpoints as a client of the standard library sees them: discovery, reports, refusals."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import pytest

from teeverify.testing import SimulatedTee
from teeverify.testing.simulation.near.hosts import CLOUD_HOST, DIRECT_HOST, backend_host

from .raw_client import DISCOVERY, INTEL, RawClient

pytestmark = pytest.mark.loopback

NONCE = "ab" * 32
REPORT = "/v1/attestation/report"


@pytest.fixture
def cloud(quiet_tee: SimulatedTee) -> SimulatedTee:
    quiet_tee.log.forget()
    return quiet_tee


@pytest.fixture
def gateway(cloud: SimulatedTee) -> Iterator[RawClient]:
    with RawClient(cloud, CLOUD_HOST) as client:
        yield client


@pytest.fixture
def model_host(cloud: SimulatedTee) -> Iterator[RawClient]:
    with RawClient(cloud, DIRECT_HOST) as client:
        yield client


def test_discovery_needs_no_key(cloud: SimulatedTee) -> None:
    with RawClient(cloud, DISCOVERY, key="") as client:
        assert client.get("/endpoints").json() == {"endpoints": [{"domain": DIRECT_HOST, "models": [cloud.model]}]}
        assert client.get(f"/backends/count?domain={DIRECT_HOST}").json() == {"healthy": 2, "total": 2}
        assert client.get("/backends/count?domain=other.near.ai").status == 404
        assert client.post("/endpoints", {}).status == 405


@pytest.mark.parametrize("target", [REPORT, "/v1/models", "/v1/signature/chatcmpl-1"])
@pytest.mark.parametrize("key", ["", "wrong"])
def test_the_api_key_is_wanted(cloud: SimulatedTee, target: str, key: str) -> None:
    with RawClient(cloud, CLOUD_HOST, key=key) as client:
        got = client.get(target)
    assert got.status == 401
    assert got.json()["error"]["type"] == "authentication_error"


def test_a_direct_report_answers_the_question(model_host: RawClient) -> None:
    got = model_host.get(f"{REPORT}?nonce={NONCE.upper()}&include_tls_fingerprint=true&what=ever")
    report = got.json()
    assert got.headers["content-length"] == str(len(got.body))
    assert report["request_nonce"] == NONCE
    assert report["signing_algo"] == "ecdsa", "the default of model hosts"
    assert len(report["tls_cert_fingerprint"]) == 64
    copy = report["all_attestations"][0]
    assert copy == {name: report[name] for name in copy}


def test_a_cloud_report_answers_the_question(cloud: SimulatedTee, gateway: RawClient) -> None:
    report = gateway.get(f"{REPORT}?nonce={NONCE}&model={cloud.model.replace('/', '%2F')}&provider=near").json()
    record = report["model_attestations"][0]
    assert report["gateway_attestation"]["signing_algo"] == "ed25519", "the default of the gateway"
    assert record["model_name"] == cloud.model
    assert {report["gateway_attestation"]["request_nonce"], record["request_nonce"]} == {NONCE}
    assert "tls_cert_fingerprint" not in record
    assert gateway.get(f"{REPORT}?nonce={NONCE}").json()["model_attestations"] == []


@pytest.mark.parametrize("nonce", ["", "ab", "zz" * 32, "ab" * 33, "0x" + "ab" * 31])
@pytest.mark.parametrize("host", [CLOUD_HOST, DIRECT_HOST])
def test_a_nonce_of_another_form_is_refused(cloud: SimulatedTee, host: str, nonce: str) -> None:
    with RawClient(cloud, host) as client:
        got = client.get(f"{REPORT}?nonce={nonce}")
    assert got.status == 400
    assert got.json()["error"]["type"] == "invalid_request_error"
    assert got.json()["error"]["param"] == "nonce"


def test_refusals_of_reports(cloud: SimulatedTee, gateway: RawClient) -> None:
    assert gateway.get(f"{REPORT}?nonce={NONCE}&signing_algo=rsa").json()["error"]["param"] == "signing_algo"
    unknown = gateway.get(f"{REPORT}?nonce={NONCE}&model=other")
    assert (unknown.status, unknown.json()["error"]["type"]) == (503, "provider_error")
    assert gateway.get(f"{REPORT}?nonce={NONCE}&model={cloud.model}&provider=chutes").status == 503
    assert gateway.post(REPORT, {}).status == 405
    assert gateway.get("/v1/nothing").status == 404


def test_a_report_for_one_signer(model_host: RawClient) -> None:
    base = f"{REPORT}?nonce={NONCE}&signing_algo=ecdsa"
    address = model_host.get(base).json()["signing_address"]
    assert model_host.get(f"{base}&signing_address={address.upper().replace('0X', '0x')}").status == 200
    assert model_host.get(f"{base}&signing_address=0x{'11' * 20}").status == 404
    assert model_host.get(f"{base.replace('ecdsa', 'ed25519')}&signing_address={address}").status == 404


def test_without_a_nonce_comes_an_old_report(model_host: RawClient) -> None:
    first, second = model_host.get(REPORT), model_host.get(REPORT)
    assert first.body == second.body
    assert first.json()["request_nonce"] != NONCE
    assert model_host.get(f"{REPORT}?nonce={NONCE}").json()["request_nonce"] == NONCE


def test_each_machine_answers_for_itself(cloud: SimulatedTee) -> None:
    reports = []
    for number in range(2):
        with RawClient(cloud, backend_host(number)) as client:
            reports.append(client.get(f"{REPORT}?nonce={NONCE}&include_tls_fingerprint=true").json())
    first, second = reports
    assert first["signing_address"] == second["signing_address"]
    assert first["tls_cert_fingerprint"] != second["tls_cert_fingerprint"]
    assert first["info"]["instance_id"] != second["info"]["instance_id"]
    assert first["info"]["compose_hash"] == second["info"]["compose_hash"]
    with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
        RawClient(cloud, backend_host(2))


@pytest.mark.parametrize("host", ["cloud-api.near.ai.attacker.invalid", "example.com", CLOUD_HOST])
def test_hosts_that_are_not_there(host: str) -> None:
    with SimulatedTee.near(cloud=False, gpus=1) as tee:
        with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
            RawClient(tee, host)
        assert tee.log.names == (host,)
        assert tee.asked == ()


def test_the_host_of_a_request_is_that_of_its_connection(cloud: SimulatedTee) -> None:
    with RawClient(cloud, INTEL) as client:
        assert client.get("/endpoints", Host=DISCOVERY).status == 421
    with RawClient(cloud, "127.0.0.1") as client:
        assert client.get("/v1/models", Host=f"127.0.0.1:{cloud.port}").status == 200
    with RawClient(cloud, "127.0.0.1") as client:
        assert client.get("/v1/models", Host=CLOUD_HOST).status == 421


@pytest.mark.parametrize(
    "request_text",
    [
        b"GET /v1/models HTTP/1.0\r\n\r\n",
        b"GET  /v1/models HTTP/1.1\r\n\r\n",
        b"GET http://other/ HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000,
    ],
)
def test_what_is_no_request_is_told_so(cloud: SimulatedTee, request_text: bytes) -> None:
    with RawClient(cloud, CLOUD_HOST) as client:
        client.socket.sendall(request_text)
        received = b""
        while data := client.socket.recv(65536):
            received += data
    assert received.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"\r\nConnection: close\r\n" in received
    assert cloud.asked == ()
