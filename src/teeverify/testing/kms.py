"""A dstack key management service: its root, and the certificate chain that it gives to an application.

Object identifiers are those of the dstack project (arc 1.3.6.1.4.1.62397.1): 1 is a quote about the certificate's key,
3 the app id, 4 the certificate's usage.
"""

from __future__ import annotations

from typing import Final

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from .certificates import (
    TEST_MARK,
    Issued,
    basic_constraints,
    day,
    issue,
    key_usage,
    name,
    opaque_extension,
    subject_key,
)
from .der import octets
from .keys import KeyRing

__all__ = ["APP_ID_OID", "QUOTE_OID", "USAGE_OID", "app_certificates", "kms_root"]

QUOTE_OID: Final = "1.3.6.1.4.1.62397.1.1"
APP_ID_OID: Final = "1.3.6.1.4.1.62397.1.3"
USAGE_OID: Final = "1.3.6.1.4.1.62397.1.4"
_SINCE: Final = day("1975-01-01")
_UNTIL: Final = day("2036-06-18")


def kms_root(keys: KeyRing, label: str = "kms") -> Issued:
    """The self-signed root of a KMS; its SubjectPublicKeyInfo is the key-provider id."""
    key = keys.p256(label)
    return issue(
        subject=name(("OU", TEST_MARK), ("O", "Dstack"), ("CN", "Dstack KMS CA")),
        issuer=None,
        key=key,
        serial=keys.serial(label, 20),
        not_before=_SINCE,
        not_after=_UNTIL,
        extensions=[key_usage(certs=True, crls=True), subject_key(key), basic_constraints(True, 1)],
    )


def app_certificates(
    keys: KeyRing, kms: Issued, app_id: bytes, label: str, *, quote: bytes | None = None, usage: bytes = b"app:custom"
) -> tuple[Issued, Issued, Issued]:
    """Leaf, application CA and KMS root. ``label`` separates the keys of several applications.

    ``quote`` is put into the leaf; its key is ``keys.p256(f"{label}/app-leaf")``. ``usage`` is what the leaf is for.
    """
    quoted = [] if quote is None else [opaque_extension(QUOTE_OID, octets(quote))]
    ca_key, leaf_key = keys.p256(f"{label}/app-ca"), keys.p256(f"{label}/app-leaf")
    app_ca = issue(
        subject=name(("O", "Dstack"), ("CN", "Dstack App CA")),
        issuer=kms,
        key=ca_key,
        serial=keys.serial(f"{label}/app-ca", 20),
        not_before=_SINCE,
        not_after=_UNTIL,
        extensions=[
            key_usage(certs=True, crls=True),
            subject_key(ca_key),
            basic_constraints(True, 0),
            opaque_extension(APP_ID_OID, octets(app_id)),
            opaque_extension(USAGE_OID, octets(b"app:ca")),
        ],
    )
    leaf = issue(
        subject=name(("CN", "demo-cert")),
        issuer=app_ca,
        key=leaf_key,
        serial=keys.serial(f"{label}/app-leaf", 20),
        not_before=_SINCE,
        not_after=_UNTIL,
        extensions=[
            key_usage(sign=True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
            opaque_extension(APP_ID_OID, octets(app_id)),
            opaque_extension(USAGE_OID, octets(usage)),
            *quoted,
        ],
    )
    return leaf, app_ca, kms
