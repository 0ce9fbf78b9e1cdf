"""Each way in which servers fail, as it looks on the wire."""

from __future__ import annotations

import gzip
import http.client
import socket
import ssl
from collections.abc import Iterator
from datetime import datetime, timezone

import pytest

from teeverify.testing import SimulatedTee
from teeverify.testing.simulation import FAULTS
from teeverify.testing.simulation.faults.transport import TRICKS
from teeverify.testing.simulation.near.hosts import CLOUD_HOST

from .judging import attest
from .raw_client import DISCOVERY, INTEL, NVIDIA, Got, RawClient, spki_of

pytestmark = pytest.mark.loopback

QUESTIONS = {
    "provider": (CLOUD_HOST, "/v1/models"),
    "intel": (INTEL, "/tdx/certification/v4/qe/identity"),
    "nvidia": (NVIDIA, "/.well-known/jwks.json"),
}
GROUPS = list(QUESTIONS)
STATUSES = [int(trick.removeprefix("status-")) for trick in TRICKS if trick.startswith("status-")]


@pytest.fixture
def tee() -> Iterator[SimulatedTee]:
    """At a fixed time, so that an answer is the same when it is asked for again."""
    with SimulatedTee.near(gpus=1, at=datetime(2026, 7, 1, tzinfo=timezone.utc)) as tee:
        yield tee


def truth(tee: SimulatedTee, group: str) -> Got:
    host, target = QUESTIONS[group]
    with RawClient(tee, host) as client:
        return client.get(target)


def told(tee: SimulatedTee, group: str, trick: str) -> Got:
    tee.set_fault(f"{group}-{trick}")
    return truth(tee, group)


def question(tee: SimulatedTee, group: str) -> bytes:
    """The question of a group, as bytes."""
    host, target = QUESTIONS[group]
    return f"GET {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {tee.api_key}\r\n\r\n".encode()


def raw_answer(tee: SimulatedTee, group: str, trick: str) -> tuple[bytes, Exception | None]:
    """Every byte after the request, and how the connection ended where it did not end well."""
    tee.set_fault(f"{group}-{trick}")
    with RawClient(tee, QUESTIONS[group][0]) as client:
        client.socket.sendall(question(tee, group))
        received = b""
        try:
            while data := client.socket.recv(65536):
                received += data
        except OSError as error:
            return received, error
    return received, None


def parted(received: bytes) -> tuple[dict[str, str], bytes]:
    """Headers and body of an answer."""
    head, _, body = received.partition(b"\r\n\r\n")
    lines = (line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    return {name.lower(): value for name, value in lines}, body


@pytest.mark.parametrize("group", GROUPS)
def test_statuses(tee: SimulatedTee, group: str) -> None:
    for status in STATUSES:
        got = told(tee, group, f"status-{status}")
        assert got.status == status
        assert ("retry-after" in got.headers) is (status == 429)


@pytest.mark.parametrize("group", GROUPS)
def test_busy_once(tee: SimulatedTee, group: str) -> None:
    assert told(tee, group, "busy-once").status == 429
    assert truth(tee, group).status == 200


@pytest.mark.parametrize("group", GROUPS)
def test_bodies_that_are_no_answers(tee: SimulatedTee, group: str) -> None:
    good = truth(tee, group).body
    page = told(tee, group, "html-page")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert told(tee, group, "empty-body").body == b""
    half = told(tee, group, "invalid-json").body
    assert half == good[: len(good) // 2]
    bomb = told(tee, group, "gzip-bomb")
    assert bomb.headers["content-encoding"] == "gzip"
    assert len(gzip.decompress(bomb.body)) > 900 * len(bomb.body)


@pytest.mark.parametrize("group", GROUPS)
def test_redirects(tee: SimulatedTee, group: str) -> None:
    host, target = QUESTIONS[group]
    elsewhere = told(tee, group, "redirects")
    assert (elsewhere.status, elsewhere.headers["location"]) == (302, f"https://attacker.invalid{target}")
    assert told(tee, group, "redirects-to-itself").headers["location"] == f"https://{host}{target}"


@pytest.mark.parametrize("group", GROUPS)
def test_lengths(tee: SimulatedTee, group: str) -> None:
    good = truth(tee, group).body
    for trick, difference in (("length-too-long", 10), ("length-too-short", -10)):
        received, error = raw_answer(tee, group, trick)
        headers, body = parted(received)
        assert error is None
        assert body == good
        assert int(headers["content-length"]) == len(good) + difference


@pytest.mark.parametrize("group", GROUPS)
def test_resets(tee: SimulatedTee, group: str) -> None:
    good = truth(tee, group).body
    received, _ = raw_answer(tee, group, "resets")
    headers, body = parted(received)
    assert body == good[: len(good) // 2]
    assert headers["content-length"] == str(len(good))
    with RawClient(tee, QUESTIONS[group][0]) as client:
        client.socket.sendall(question(tee, group))
        below_tls = iter(lambda: socket.socket.recv(client.socket, 65536), b"")
        with pytest.raises(ConnectionResetError):  # TLS calls this an unexpected end
            list(below_tls)


@pytest.mark.parametrize("group", GROUPS)
def test_stalls_end_when_the_fault_ends(tee: SimulatedTee, group: str) -> None:
    tee.set_fault(f"{group}-stalls")
    with RawClient(tee, QUESTIONS[group][0]) as client:
        client.socket.sendall(question(tee, group))
        tee.set_fault(None)
        assert client.socket.recv(65536) == b""


@pytest.mark.parametrize("group", GROUPS)
def test_stalls_end_when_the_simulation_ends(group: str) -> None:
    tee = SimulatedTee.near(gpus=1, fault=f"{group}-stalls").start()
    client = RawClient(tee, QUESTIONS[group][0])
    try:
        client.socket.sendall(question(tee, group))
        tee.close()
        assert client.socket.recv(65536) == b""
    finally:
        client.close()
        tee.close()
    assert [entry.status for entry in tee.asked] in ([None], [])


@pytest.mark.parametrize("group", GROUPS)
def test_drips(tee: SimulatedTee, group: str) -> None:
    good = truth(tee, group).body
    tee.set_fault(f"{group}-drips")
    with RawClient(tee, QUESTIONS[group][0]) as client:
        client.socket.sendall(question(tee, group))
        headers, body = parted(client.socket.recv(65536))
        assert body == b""
        assert headers["content-length"] == str(len(good))
        assert [client.socket.recv(65536) for _ in range(5)] == [good[index : index + 1] for index in range(5)]


@pytest.mark.parametrize("group", GROUPS)
def test_endless(tee: SimulatedTee, group: str) -> None:
    host, target = QUESTIONS[group]
    tee.set_fault(f"{group}-endless")
    with RawClient(tee, host) as client:
        connection = http.client.HTTPSConnection(host)
        connection.sock = client.socket
        connection.request("GET", target, headers={"Authorization": f"Bearer {tee.api_key}"})
        answer = connection.getresponse()
        assert len(answer.read(4 << 20)) == 4 << 20
        answer.close()


@pytest.mark.parametrize("group", GROUPS)
def test_refused_and_broken_handshakes(tee: SimulatedTee, group: str) -> None:
    host, _ = QUESTIONS[group]
    tee.set_fault(f"{group}-refuses")
    with pytest.raises(ConnectionResetError):
        RawClient(tee, host)
    tee.set_fault(f"{group}-hangs-up")
    with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
        RawClient(tee, host)
    assert tee.asked == ()


@pytest.mark.parametrize(
    ("trick", "reason"),
    [
        ("certificate-expired", "certificate has expired"),
        ("certificate-foreign-ca", r"unable to get local issuer certificate|self.signed certificate"),
        ("certificate-other-name", "Hostname mismatch"),
    ],
)
@pytest.mark.parametrize("group", GROUPS)
def test_bad_certificates_over_the_right_key(tee: SimulatedTee, group: str, trick: str, reason: str) -> None:
    host, target = QUESTIONS[group]
    genuine = truth(tee, group).peer_spki
    tee.set_fault(f"{group}-{trick}")
    with pytest.raises(ssl.SSLCertVerificationError, match=reason):
        RawClient(tee, host)
    careless = ssl.create_default_context()
    careless.check_hostname, careless.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(tee.address, timeout=20) as bare,
        careless.wrap_socket(bare, server_hostname=host) as wrapped,
    ):
        certificate = wrapped.getpeercert(binary_form=True)
        wrapped.sendall(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        assert wrapped.recv(65536).startswith(b"HTTP/1.1 ")
    assert certificate is not None
    assert spki_of(certificate) == genuine, "who pins the key only would go on"


@pytest.mark.parametrize("group", GROUPS)
def test_the_other_groups_are_well(tee: SimulatedTee, group: str) -> None:
    tee.set_fault(f"{group}-status-500")
    assert [truth(tee, other).status for other in GROUPS] == [500 if other == group else 200 for other in GROUPS]


def test_all_hosts_of_the_provider_fail_together(tee: SimulatedTee) -> None:
    tee.set_fault("provider-status-503")
    for host in (DISCOVERY, CLOUD_HOST, "127.0.0.1"):
        with RawClient(tee, host) as client:
            assert client.get("/endpoints").status == 503


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("trick", ["resets", "html-page"])
def test_what_a_client_concludes(tee: SimulatedTee, group: str, trick: str) -> None:
    fault = FAULTS[f"{group}-{trick}"]
    tee.set_fault(fault.name)
    judged = attest(tee)
    assert judged.decides(fault.outcome, fault.checks), judged.verdict.conclusion
