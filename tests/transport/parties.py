"""Certificates of the servers in these tests, and the files that TLS reads them from."""

from __future__ import annotations

import hashlib
import ipaddress
import ssl
from datetime import datetime
from pathlib import Path
from typing import Final

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from teeverify.testing.certificates import (
    TEST_MARK,
    Issued,
    authority_key,
    basic_constraints,
    day,
    issue,
    key_usage,
    name,
    subject_key,
)
from teeverify.testing.keys import KeyRing

HOST: Final = "good.test"
ORIGIN: Final = f"https://{HOST}"
_RING: Final = KeyRing("teeverify transport tests")
_FROM, _TO, _PAST = day("2020-01-01"), day("2070-01-01"), day("2021-01-01")


@frozen
class Party:
    """A server: its certificate, its file for TLS, and what a pin of its key would be."""

    issued: Issued
    file: Path

    @property
    def spki(self) -> bytes:
        return self.issued.spki

    @property
    def pin(self) -> bytes:
        return hashlib.sha256(self.issued.spki).digest()

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file)
        return context


@frozen
class Parties:
    """All servers of the tests. ``good`` and ``twin`` differ in their keys only."""

    ca_file: str
    good: Party
    twin: Party
    expired: Party
    early: Party
    misnamed: Party
    foreign: Party
    self_signed: Party


def _authority(label: str) -> Issued:
    key = _RING.p256(label)
    return issue(
        subject=name(("CN", label), ("OU", TEST_MARK)),
        issuer=None,
        key=key,
        serial=_RING.serial(label),
        not_before=_FROM,
        not_after=_TO,
        extensions=[basic_constraints(True), key_usage(certs=True, crls=True), subject_key(key)],
    )


def _server(
    label: str, issuer: Issued | None, *, host: str = HOST, since: datetime = _FROM, until: datetime = _TO
) -> Issued:
    key = _RING.p256(label)
    names = x509.SubjectAlternativeName([x509.DNSName(host), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    authority = [authority_key(issuer.key)] if issuer else []
    return issue(
        subject=name(("CN", host)),
        issuer=issuer,
        key=key,
        serial=_RING.serial(label),
        not_before=since,
        not_after=until,
        extensions=[
            basic_constraints(False),
            key_usage(sign=True),
            subject_key(key),
            *authority,
            (names if host == HOST else x509.SubjectAlternativeName([x509.DNSName(host)]), False),
        ],
    )


def make_parties(folder: Path) -> Parties:
    """Write all files into a folder."""

    def party(label: str, issued: Issued) -> Party:
        key = issued.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file = folder / f"{label}.pem"
        file.write_text(issued.pem + key.decode(), encoding="ascii")
        return Party(issued, file)

    authority = _authority("authority")
    ca_file = folder / "authority.pem"
    ca_file.write_text(authority.pem, encoding="ascii")
    return Parties(
        ca_file=str(ca_file),
        good=party("good", _server("good", authority)),
        twin=party("twin", _server("twin", authority)),
        expired=party("expired", _server("expired", authority, until=_PAST)),
        early=party("early", _server("early", authority, since=day("2069-01-01"))),
        misnamed=party("misnamed", _server("misnamed", authority, host="other.test")),
        foreign=party("foreign", _server("foreign", _authority("foreign authority"))),
        self_signed=party("self_signed", _server("self_signed", None)),
    )
