"""Certificates of the simulated hosts, all issued by one test authority, and TLS contexts that show them."""

from __future__ import annotations

import hashlib
import ipaddress
import ssl
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

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
from teeverify.testing.keys import KeyRing, spki

__all__ = ["EXPIRED", "FOREIGN_CA", "OTHER_NAME", "SOUND", "CertificateShelf", "TlsIdentity", "tls_authority"]

SOUND: Final = "sound"
EXPIRED: Final = "expired"
FOREIGN_CA: Final = "foreign-ca"
OTHER_NAME: Final = "other-name"

# Clients hold these against the machine's own clock, whatever the simulation's clock says.
_SINCE: Final = day("2024-01-01")
_UNTIL: Final = day("2036-01-01")
_LONG_AGO: Final = day("2025-01-01")


@frozen
class TlsIdentity:
    """What a server shows: its key, and the names in its certificate (host names and IP addresses).

    ``certificate`` is the DER of one that the server made itself; it is shown in place of one of the authority's.
    """

    key: ec.EllipticCurvePrivateKey
    names: tuple[str, ...]
    certificate: bytes | None = None

    @property
    def spki(self) -> bytes:
        """DER SubjectPublicKeyInfo of the key."""
        return spki(self.key)


def tls_authority(keys: KeyRing, label: str = "simulation/tls-ca") -> Issued:
    """The CA above the simulated hosts; ``label`` separates several of them."""
    key = keys.p256(label)
    return issue(
        subject=name(("C", "US"), ("O", "teeverify TEST"), ("CN", f"teeverify {label}"), ("OU", TEST_MARK)),
        issuer=None,
        key=key,
        serial=keys.serial(label),
        not_before=_SINCE,
        not_after=_UNTIL,
        extensions=[basic_constraints(True, 0), key_usage(certs=True, crls=True), subject_key(key)],
    )


class CertificateShelf:
    """TLS contexts by identity and fault, made when first asked for; safe under threads.

    Args:
        keys: where the authority's key comes from.
        directory: where certificates and keys are written, since `ssl` reads them from files only.
    """

    def __init__(self, keys: KeyRing, directory: Path) -> None:
        self._keys, self._directory = keys, directory
        self._lock = threading.Lock()
        self._contexts: dict[tuple[bytes, tuple[str, ...], bytes | None, str], ssl.SSLContext] = {}
        self.authority = tls_authority(keys)

    def context(self, identity: TlsIdentity, fault: str = SOUND) -> ssl.SSLContext:
        """A server's context that shows the identity's certificate, or a certificate with one fault over its key."""
        index = (identity.spki, identity.names, identity.certificate, fault)
        with self._lock:
            if index not in self._contexts:
                self._contexts[index] = self._made(identity, fault)
            return self._contexts[index]

    def _made(self, identity: TlsIdentity, fault: str) -> ssl.SSLContext:
        foreign = fault == FOREIGN_CA
        authority = tls_authority(self._keys, "simulation/foreign-ca") if foreign else self.authority
        names = ("someone-else.invalid",) if fault == OTHER_NAME else identity.names
        until = _LONG_AGO if fault == EXPIRED else _UNTIL
        if identity.certificate is not None and fault == SOUND:
            chain = ssl.DER_cert_to_PEM_cert(identity.certificate)
        else:
            chain = self._leaf(identity.key, names, authority, until).pem + authority.pem
        private = identity.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        label = hashlib.sha256(repr((identity.spki, names, identity.certificate, fault)).encode()).hexdigest()[:16]
        file = self._directory / f"tls-{label}.pem"
        file.touch(mode=0o600)
        file.write_text(private + chain, encoding="ascii")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(file)
        return context

    def _leaf(
        self, key: ec.EllipticCurvePrivateKey, names: Sequence[str], authority: Issued, until: datetime
    ) -> Issued:
        return issue(
            subject=name(("CN", names[0])),
            issuer=authority,
            key=key,
            serial=self._keys.serial(f"simulation/tls/{'/'.join(names)}/{until:%Y}"),
            not_before=_SINCE,
            not_after=until,
            extensions=[
                (x509.SubjectAlternativeName([_general_name(entry) for entry in names]), False),
                basic_constraints(False),
                key_usage(sign=True),
                (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
                subject_key(key),
                authority_key(authority.key),
            ],
        )


def _general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
