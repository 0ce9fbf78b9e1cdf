"""X.509 certificates and revocation lists with fixed serial numbers and deterministic signatures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Final

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .keys import spki

__all__ = [
    "TEST_MARK",
    "Issued",
    "authority_key",
    "basic_constraints",
    "crl",
    "day",
    "issue",
    "key_usage",
    "name",
    "opaque_extension",
    "pem_chain",
    "subject_key",
]

TEST_MARK: Final = "teeverify TEST - no real hardware"
"""organizationalUnitName of every root, so that none can be mistaken for a vendor's."""

_OIDS: Final = {
    "CN": NameOID.COMMON_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "L": NameOID.LOCALITY_NAME,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
    "C": NameOID.COUNTRY_NAME,
    "SERIALNUMBER": NameOID.SERIAL_NUMBER,
}

Extension = tuple[x509.ExtensionType, bool]


@frozen
class Issued:
    """A certificate and its private key."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        """The certificate as DER."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> str:
        """The certificate as PEM text."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def spki(self) -> bytes:
        """DER SubjectPublicKeyInfo."""
        return spki(self.key)


def day(text: str) -> datetime:
    """Midnight (UTC) of an ISO date, or the time that the text gives."""
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def name(*attributes: tuple[str, str]) -> x509.Name:
    """A distinguished name in the given order, e.g. ``name(("CN", "Root"), ("O", "Somebody"))``."""
    return x509.Name([x509.NameAttribute(_OIDS[kind], value) for kind, value in attributes])


def key_usage(*, sign: bool = False, commit: bool = False, certs: bool = False, crls: bool = False) -> Extension:
    """A critical KeyUsage extension."""
    usage = x509.KeyUsage(
        digital_signature=sign,
        content_commitment=commit,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certs,
        crl_sign=crls,
        encipher_only=False,
        decipher_only=False,
    )
    return usage, True


def basic_constraints(ca: bool, path_length: int | None = None) -> Extension:
    """A critical BasicConstraints extension."""
    return x509.BasicConstraints(ca=ca, path_length=path_length), True


def subject_key(key: ec.EllipticCurvePrivateKey) -> Extension:
    """SubjectKeyIdentifier of a key."""
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False


def authority_key(key: ec.EllipticCurvePrivateKey) -> Extension:
    """AuthorityKeyIdentifier for certificates and lists that the key signs."""
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), False


def opaque_extension(oid: str, value: bytes) -> Extension:
    """A non-critical extension whose value the caller encodes."""
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value), False


def issue(
    *,
    subject: x509.Name,
    issuer: Issued | None,
    key: ec.EllipticCurvePrivateKey,
    serial: int,
    not_before: datetime,
    not_after: datetime,
    extensions: Iterable[Extension] = (),
    issuer_name: x509.Name | None = None,
) -> Issued:
    """Sign a certificate; self-signed where ``issuer`` is None. The hash is the one that fits the issuer's curve."""
    issuer_key = issuer.key if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name or (issuer.certificate.subject if issuer else subject))
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return Issued(key, builder.sign(issuer_key, _hash_for(issuer_key), ecdsa_deterministic=True))


def crl(
    issuer: Issued,
    revoked: Sequence[Issued] = (),
    *,
    this_update: datetime,
    next_update: datetime,
    signer: Issued | None = None,
    number: int | None = 1,
) -> bytes:
    """A DER revocation list in the issuer's name; ``signer`` lets another key sign it."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(this_update)
        .next_update(next_update)
    )
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
        builder = builder.add_extension(authority_key(issuer.key)[0], critical=False)
    for entry in revoked:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(entry.certificate.serial_number)
            .revocation_date(this_update - timedelta(days=2))
            .build()
        )
    key = (signer or issuer).key
    return builder.sign(key, _hash_for(key), ecdsa_deterministic=True).public_bytes(serialization.Encoding.DER)


def pem_chain(*chain: Issued) -> str:
    """PEM texts one after the other."""
    return "".join(certificate.pem for certificate in chain)


def _hash_for(key: ec.EllipticCurvePrivateKey) -> hashes.SHA256 | hashes.SHA384:
    return hashes.SHA384() if key.curve.key_size > 256 else hashes.SHA256()
