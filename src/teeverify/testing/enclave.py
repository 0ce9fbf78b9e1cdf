"""One simulated trusted domain: platform, boot, signing key and TLS key, and the quotes that it gives."""

from __future__ import annotations

import hashlib
from typing import Any

from attrs import define, evolve, field
from cryptography.hazmat.primitives.asymmetric import ec

from .certificates import Issued
from .dstack import DstackBoot
from .intel import IntelPki, Platform
from .keys import spki
from .signing import OhttpKey, SigningKey
from .tdx import QeFields, QuoteFormat, TdFields, build_quote

__all__ = ["Enclave", "report_data"]


def report_data(address: bytes, fingerprint: bytes | None, nonce: bytes) -> bytes:
    """NEAR's 64 bytes: SHA-256 of address and TLS fingerprint, or the padded address; then the nonce."""
    if fingerprint is None:
        return address.ljust(32, b"\0") + nonce
    return hashlib.sha256(address + fingerprint).digest() + nonce


@define(kw_only=True)
class Enclave:
    """A TD on a platform; attributes are knobs that tests turn before they ask for a quote.

    ``td_changes`` replaces fields of the TD report, ``quote_changes`` passes further arguments to `build_quote`.
    """

    pki: IntelPki
    platform: Platform
    boot: DstackBoot
    signing: SigningKey
    tls_key: ec.EllipticCurvePrivateKey = field(repr=False)
    ohttp: OhttpKey
    layout: QuoteFormat
    qe: QeFields = field(factory=QeFields)
    pck: Issued | None = None
    td_changes: dict[str, Any] = field(factory=dict)
    quote_changes: dict[str, Any] = field(factory=dict)

    @property
    def tls_spki(self) -> bytes:
        """DER SubjectPublicKeyInfo of the TLS key."""
        return spki(self.tls_key)

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the TLS key's SubjectPublicKeyInfo."""
        return hashlib.sha256(self.tls_spki).digest()

    @property
    def pck_leaf(self) -> Issued:
        """The platform's PCK certificate."""
        return self.pck or self.pki.pck(self.platform)

    def copy(self) -> Enclave:
        """Another TD of the same platform and boot, with knobs of its own."""
        return evolve(self, td_changes=dict(self.td_changes), quote_changes=dict(self.quote_changes))

    def reboot(self, **changes: Any) -> None:
        """Boot again with some attributes of the boot changed; registers and MRCONFIGID follow."""
        self.boot = evolve(self.boot, **changes)

    def td(self, data: bytes) -> TdFields:
        """The TD report over 64 bytes of REPORTDATA."""
        return TdFields(**{**self.boot.td_fields(), "report_data": data, **self.td_changes})

    def quote(self, data: bytes) -> bytes:
        """A quote over 64 bytes of REPORTDATA."""
        arguments: dict[str, Any] = {
            "pck": self.pck_leaf,
            "attestation_key": self.pki.attestation_key(self.platform),
            "chain": (self.pki.pck_ca, self.pki.root),
            "qe": self.qe,
            "layout": self.layout,
            **self.quote_changes,
        }
        return build_quote(self.td(data), **arguments)

    def info(self, *, sorted_keys: bool) -> dict[str, Any]:
        """The guest's ``info`` object, consistent with the quotes unless ``td_changes`` touched the registers."""
        owners = {key: value for key, value in self.td_changes.items() if key in ("mr_owner", "mr_owner_config")}
        user_data = self.layout.qe_id + self.layout.header_tail
        return self.boot.info(quote_user_data=user_data, td=owners, sorted_keys=sorted_keys)
