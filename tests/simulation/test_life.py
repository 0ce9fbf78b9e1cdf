"""Starting, stopping, many clients at once, and what is remembered of them."""

from __future__ import annotations

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from teeverify.errors import ConfigurationError
from teeverify.formats.chat_body import chat_id_of
from teeverify.policy import Policy
from teeverify.roots import TrustRoots
from teeverify.testing import SimulatedTee
from teeverify.testing.simulation import API_KEY, AskedLog
from teeverify.testing.simulation.near.hosts import CLOUD_HOST, DIRECT_HOST

from .judging import attest
from .raw_client import DISCOVERY, RawClient

pytestmark = pytest.mark.loopback


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("teeverify-simulation")}


def test_start_and_close() -> None:
    tee = SimulatedTee.near(gpus=1)
    for attribute in ("port", "address", "directory", "ca_file", "base_url"):
        with pytest.raises(ConfigurationError, match="not started"):
            getattr(tee, attribute)
    assert tee.start() is tee
    directory, port = tee.directory, tee.port
    client = RawClient(tee, CLOUD_HOST)
    assert client.get("/v1/models").status == 200
    assert threads()
    tee.close()
    tee.close()
    client.close()
    assert not threads()
    assert not directory.exists()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=20)
    with pytest.raises(ConfigurationError, match="started before"):
        tee.start()


def test_a_port_of_ones_own_and_a_taken_one(tee_cloud: SimulatedTee) -> None:
    taken = SimulatedTee.near(gpus=1, port=tee_cloud.port)
    with pytest.raises(ConfigurationError, match=f"port {tee_cloud.port} of 127.0.0.1 cannot be had"):
        taken.start()
    with pytest.raises(ConfigurationError, match="cannot be had"):
        SimulatedTee.near(gpus=1, port=70_000).start()
    port = tee_cloud.port
    tee_cloud.close()
    with SimulatedTee.near(gpus=1, port=port) as tee:
        assert tee.port == port


def test_it_starts_in_less_than_half_a_second() -> None:
    attempts = []
    for _ in range(3):
        began = time.perf_counter()
        with SimulatedTee.near():
            attempts.append(time.perf_counter() - began)
    assert min(attempts) < 0.5


def test_what_is_written_is_what_it_is_judged_by(tee_cloud: SimulatedTee, tmp_path: Path) -> None:
    for directory in (tee_cloud.directory, tmp_path / "files"):
        tee_cloud.write(directory)
        assert TrustRoots.from_directory(directory / "roots") == tee_cloud.roots
        assert Policy.load(directory / "policy.toml").digest == tee_cloud.policy.digest
        assert (directory / "tls-ca.pem").read_bytes() == tee_cloud.ca_file.read_bytes()
    assert tee_cloud.roots.test
    names = {path.name for path in (tmp_path / "files").iterdir()}
    assert names == {"roots", "policy.toml", "tls-ca.pem"}, "no private key leaves the temporary directory"
    with pytest.raises(ConfigurationError, match="cannot be written to"):
        tee_cloud.write(tmp_path / "files" / "policy.toml")


def test_a_gateway_that_signs_has_a_policy_that_says_so() -> None:
    assert SimulatedTee.near(signature_kind="gateway").policy.exchange.signed_by == "gateway"
    assert SimulatedTee.near().policy.exchange.signed_by == "model"


@pytest.mark.parametrize(
    "settings", [{"gpus": 0}, {"gpus": 33}, {"backends": 0}, {"latency": -1.0}, {"signature_kind": "other"}]
)
def test_settings_that_make_no_sense(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        SimulatedTee.near(**settings)  # type: ignore[arg-type]


def test_keep_alive_and_close(tee_cloud: SimulatedTee) -> None:
    with RawClient(tee_cloud, CLOUD_HOST) as client:
        assert client.get("/v1/models").headers["connection"] == "keep-alive"
        assert client.get("/v1/models").status == 200
        client.socket.sendall(b"GET / HTTP/1.1\r\nHost: cloud-api.near.ai\r\nConnection: close\r\n\r\n")
        received = b""
        while data := client.socket.recv(65536):
            received += data
    assert b"\r\nConnection: close\r\n" in received
    assert len({entry.connection for entry in tee_cloud.asked}) == 1


def test_a_change_of_the_fault_meets_the_next_request(tee_cloud: SimulatedTee) -> None:
    with RawClient(tee_cloud, CLOUD_HOST) as client:
        assert client.get("/v1/models").status == 200
        tee_cloud.set_fault("other-tls-key")
        assert client.socket.recv(1) == b""
    with RawClient(tee_cloud, CLOUD_HOST) as client:
        assert client.get("/v1/models").status == 200
        meanwhile = client.peer_spki
    tee_cloud.set_fault(None)
    with RawClient(tee_cloud, CLOUD_HOST) as client:
        assert client.peer_spki != meanwhile
    assert tee_cloud.fault is None


def test_32_clients_at_once(tee_direct: SimulatedTee) -> None:
    """Each gets its own nonce, chat and signature, whatever the others do."""
    start = threading.Barrier(32)

    def work(number: int) -> str:
        nonce = bytes([number]) * 32
        body = json.dumps({"model": tee_direct.model, "messages": [{"content": str(number)}]}).encode()
        start.wait(30)
        with RawClient(tee_direct, DIRECT_HOST) as client:
            report = client.get(f"/v1/attestation/report?nonce={nonce.hex()}").json()
            assert report["request_nonce"] == nonce.hex()
            answer = client.ask("POST", "/v1/chat/completions", body).body
            chat_id = str(chat_id_of(answer))
            assert client.get(f"/v1/signature/{chat_id}?signing_algo=ed25519").status == 200
        return chat_id

    with ThreadPoolExecutor(32) as pool:
        chats = list(pool.map(work, range(32)))
    assert len(set(chats)) == 32
    asked = tee_direct.asked
    assert [entry.order for entry in asked] == list(range(96))
    assert {entry.status for entry in asked} == {200}
    assert tee_direct.log.most_at_once > 1
    assert len({entry.connection for entry in asked}) == 32


def test_several_sessions_at_once_are_all_verified(tee_cloud: SimulatedTee) -> None:
    with ThreadPoolExecutor(8) as pool:
        judged = list(pool.map(lambda number: attest(tee_cloud, nonce=bytes([number]) * 32), range(8)))
    assert {one.outcome for one in judged} == {"VERIFIED"}


def test_the_log_tells_hosts_and_queries_and_no_secrets(tee_cloud: SimulatedTee) -> None:
    with RawClient(tee_cloud, DISCOVERY) as client:
        client.get(f"/backends/count?domain={DIRECT_HOST}")
    with RawClient(tee_cloud, CLOUD_HOST) as client:
        client.post("/v1/chat/completions", {"messages": ["secret words"]})
    first, second = tee_cloud.asked
    assert (first.method, first.host, first.target) == ("GET", DISCOVERY, f"/backends/count?domain={DIRECT_HOST}")
    assert (second.method, second.path, second.status) == ("POST", "/v1/chat/completions", 404)
    assert second.ended is not None
    assert first.ended is not None
    assert first.started <= first.ended <= second.started <= second.ended
    assert "secret" not in repr(tee_cloud.asked)
    assert API_KEY not in repr(tee_cloud.asked)
    tee_cloud.log.forget()
    assert (tee_cloud.asked, tee_cloud.log.names, tee_cloud.log.most_at_once) == ((), (), 0)


def test_latency_is_waited_for() -> None:
    with SimulatedTee.near(gpus=1, latency=0.05) as tee, RawClient(tee, CLOUD_HOST) as client:
        for _ in range(2):
            client.get("/v1/models")
    assert all(entry.ended is not None and entry.ended - entry.started >= 0.05 for entry in tee.asked)
    assert tee.log.rounds == 2


def test_rounds_and_requests_at_once() -> None:
    log = AskedLog()
    for batch in (1, 3, 2):
        orders = [log.began(0, "GET", "host", f"/{number}") for number in range(batch)]
        for order in orders:
            log.ended(order, 200)
    assert log.rounds == 3
    assert log.most_at_once == 3
    assert len(log.entries) == 6


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    with SimulatedTee.near(gpus=1) as tee:
        with RawClient(tee, CLOUD_HOST) as client:
            client.get("/v1/models")
        with socket.create_connection(tee.address, timeout=20) as bare:
            bare.sendall(b"this is not TLS\r\n\r\n")
            assert bare.recv(1024)[:1] in (b"\x15", b"")
    assert capfd.readouterr() == ("", "")


def test_bugs_of_the_simulation_are_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    from teeverify.testing.simulation.near.routes import NearRoutes

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(NearRoutes, "answer", broken)
    tee = SimulatedTee.near(gpus=1).start()
    with RawClient(tee, CLOUD_HOST) as client:
        assert client.get("/v1/models").status == 500
    assert isinstance(tee.failures[0], ZeroDivisionError)
    with pytest.raises(RuntimeError, match="failed 1 times"):
        tee.__exit__(None, None, None)
