"""Which key and certificate a client meets, by the name that it asks for."""

from __future__ import annotations

import hashlib
import socket
import ssl

import pytest

from teeverify.testing import NearSession, SimulatedTee
from teeverify.testing.keys import KeyRing, spki
from teeverify.testing.simulation.near.hosts import CLOUD_HOST, DIRECT_HOST, backend_host

from .raw_client import DISCOVERY, INTEL, NVIDIA, RawClient

pytestmark = pytest.mark.loopback

REPORT = "/v1/attestation/report?include_tls_fingerprint=true&signing_algo=ed25519&nonce=" + "ab" * 32
CERTIFICATES = "certificates.trustedservices.intel.com"


def keys_of(tee: SimulatedTee, *hosts: str) -> list[bytes]:
    found = []
    for host in hosts:
        with RawClient(tee, host) as client:
            found.append(client.peer_spki)
    return found


@pytest.mark.parametrize("cloud", [True, False])
def test_every_host_has_its_key(cloud: bool) -> None:
    with SimulatedTee.near(cloud=cloud, gpus=1, backends=2) as tee:
        front = CLOUD_HOST if cloud else DIRECT_HOST
        hosts = (front, DISCOVERY, INTEL, NVIDIA, backend_host(1))
        found = keys_of(tee, *hosts)
        assert len(set(found)) == len(hosts)
        same = keys_of(tee, "localhost", "127.0.0.1", CERTIFICATES, DIRECT_HOST, backend_host(0))
    assert same[:2] == [found[0]] * 2, "ordinary clients meet the front"
    assert same[2] == found[2]
    assert same[3] == same[4]
    session = NearSession.build(cloud=cloud)
    assert found[0] == session.front.tls_spki
    assert same[3] == session.model.tls_spki


@pytest.mark.parametrize(("cloud", "host"), [(True, CLOUD_HOST), (False, DIRECT_HOST), (False, backend_host(1))])
def test_the_live_key_is_the_attested_one(cloud: bool, host: str) -> None:
    with SimulatedTee.near(cloud=cloud, gpus=1, backends=2) as tee, RawClient(tee, host) as client:
        report = client.get(REPORT).json()
    record = report.get("gateway_attestation", report)
    assert record["tls_cert_fingerprint"] == hashlib.sha256(client.peer_spki).hexdigest()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions_that_are_spoken(version: ssl.TLSVersion) -> None:
    with SimulatedTee.near(gpus=1) as tee:
        context = ssl.create_default_context(cafile=str(tee.ca_file))
        context.minimum_version = context.maximum_version = version
        with (
            socket.create_connection(tee.address, timeout=20) as bare,
            context.wrap_socket(bare, server_hostname=CLOUD_HOST) as wrapped,
        ):
            assert wrapped.version() == version.name.replace("_", ".")


def test_old_versions_are_refused() -> None:
    with SimulatedTee.near(gpus=1) as tee:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(tee.ca_file)
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        with socket.create_connection(tee.address, timeout=20) as bare, pytest.raises((ssl.SSLError, OSError)):
            context.wrap_socket(bare, server_hostname=CLOUD_HOST)


def test_strict_clients_accept_the_chain() -> None:
    """Python 3.13 checks certificates strictly by default."""
    with SimulatedTee.near(gpus=1) as tee:
        context = ssl.create_default_context(cafile=str(tee.ca_file))
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        for host in (CLOUD_HOST, INTEL, "127.0.0.1"):
            with (
                socket.create_connection(tee.address, timeout=20) as bare,
                context.wrap_socket(bare, server_hostname=host) as wrapped,
            ):
                assert wrapped.getpeercert() is not None


def test_nobody_else_trusts_it() -> None:
    with SimulatedTee.near(gpus=1) as tee, socket.create_connection(tee.address, timeout=20) as bare:
        context = ssl.create_default_context()
        with pytest.raises(ssl.SSLCertVerificationError):
            context.wrap_socket(bare, server_hostname=CLOUD_HOST)


def test_another_seed_is_another_world() -> None:
    with SimulatedTee.near(gpus=1, seed="another") as tee:
        (key,) = keys_of(tee, CLOUD_HOST)
    assert key == spki(KeyRing("another").p256("tls/gateway")) != spki(KeyRing().p256("tls/gateway"))


def test_a_client_without_a_name_meets_the_front() -> None:
    with SimulatedTee.near(gpus=1) as tee:
        context = ssl.create_default_context(cafile=str(tee.ca_file))
        context.check_hostname = False
        with (
            socket.create_connection(tee.address, timeout=20) as bare,
            context.wrap_socket(bare, server_hostname=None) as wrapped,
        ):
            certificate = wrapped.getpeercert()
        assert tee.log.names == (None,)
    assert certificate is not None
    assert set(certificate["subjectAltName"]) == {
        ("DNS", CLOUD_HOST),
        ("DNS", "localhost"),
        ("IP Address", "127.0.0.1"),
    }
