"""AWS Nitro enclaves: attestation documents under a test root, as the hypervisor and nitriding make them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from attrs import define, field
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from .cbor import Indefinite, encode
from .certificates import (
    TEST_MARK,
    Extension,
    Issued,
    authority_key,
    basic_constraints,
    day,
    issue,
    key_usage,
    name,
    subject_key,
)
from .keys import KeyRing, raw_signature

__all__ = ["ES384", "NitroEnclave", "NitroPki", "client_user_data", "sig_structure"]

ES384: Final = -35
"""COSE's number for ECDSA with SHA-384 (RFC 9053)."""
_PCRS: Final = 16
_CHAIN: Final = (
    ("regional", timedelta(days=20), 2),
    ("zonal", timedelta(days=6), 1),
    ("instance", timedelta(hours=24), 0),
)
"""The authorities below the root: name, lifetime and path length of those of a real document."""


def client_user_data(tls_certificate: bytes, signing_key: bytes) -> bytes:
    """The 68 bytes that nitriding puts into a client's document, of two DER encodings."""
    return b"".join(b"\x12\x20" + hashlib.sha256(der).digest() for der in (tls_certificate, signing_key))


def sig_structure(protected: bytes, payload: bytes) -> bytes:
    """What a COSE_Sign1 signature is over (RFC 9052 section 4.4)."""
    return encode(["Signature1", protected, b"", payload])


class NitroPki:
    """AWS's authorities: the root, and for a time the three below it and an enclave's own certificate."""

    def __init__(self, keys: KeyRing) -> None:
        self.keys = keys
        self.root = issue(
            subject=name(("CN", "aws.nitro-enclaves"), ("OU", TEST_MARK), ("O", "Amazon"), ("C", "US")),
            issuer=None,
            key=keys.p384("nitro/root"),
            serial=keys.serial("nitro/root"),
            not_before=day("2019-10-28 13:28:05"),
            not_after=day("2049-10-28 14:28:05"),
            extensions=self.ca_extensions("nitro/root", None),
        )

    def ca_extensions(self, label: str, path_length: int | None) -> list[Extension]:
        """What a certificate of an authority says of itself."""
        return [
            basic_constraints(True, path_length),
            key_usage(sign=True, certs=True, crls=True),
            subject_key(self.keys.p384(label)),
        ]

    def authority(
        self, label: str, issuer: Issued, at: datetime, lifetime: timedelta = timedelta(days=1), **other: Any
    ) -> Issued:
        """An authority below ``issuer``, valid for ``lifetime`` round ``at``; ``other`` goes to `issue`."""
        path = f"nitro/{label}"
        settings: dict[str, Any] = {
            "subject": name(("CN", f"{label}.test.aws.nitro-enclaves"), ("OU", "AWS"), ("O", "Amazon"), ("C", "US")),
            "issuer": issuer,
            "key": self.keys.p384(path),
            "serial": self.keys.serial(path),
            "not_before": (at - lifetime / 4).replace(microsecond=0),
            "not_after": (at + lifetime * 3 / 4).replace(microsecond=0),
            "extensions": [*self.ca_extensions(path, other.pop("path_length", None)), authority_key(issuer.key)],
        }
        return issue(**{**settings, **other})

    def chain(self, at: datetime) -> list[Issued]:
        """Root, regional, zonal and instance authority."""
        chain = [self.root]
        for label, lifetime, path_length in _CHAIN:
            chain.append(self.authority(label, chain[-1], at, lifetime, path_length=path_length))
        return chain

    def leaf(
        self, issuer: Issued, at: datetime, *, key: ec.EllipticCurvePrivateKey | None = None, **other: Any
    ) -> Issued:
        """An enclave's certificate, good for three hours."""
        settings: dict[str, Any] = {
            "subject": name(("CN", "i-test-enc.test.aws"), ("OU", "AWS"), ("O", "Amazon"), ("C", "US")),
            "issuer": issuer,
            "key": key or self.keys.p384("nitro/enclave"),
            "serial": self.keys.serial("nitro/enclave"),
            "not_before": (at - timedelta(seconds=3)).replace(microsecond=0),
            "not_after": (at + timedelta(hours=3)).replace(microsecond=0),
            "extensions": [basic_constraints(False), (key_usage(sign=True, commit=True)[0], False)],
        }
        return issue(**{**settings, **other})


@define(kw_only=True)
class NitroEnclave:
    """One enclave, truthful as built; attributes are knobs that tests turn before they ask for a document.

    Attributes:
        keys: of the test world.
        at: the time that the document is made, aware.
        nonce: the client's 20 bytes.
        tls_certificate: DER of the certificate at which connections end inside the enclave.
        signing_key: DER SubjectPublicKeyInfo of the key that signs responses.
        pcrs: register number to value.
        public_key: what nitriding puts there.
        user_data: another user data than the hashes of the two keys.
        chain: root to issuer, in place of the genuine one.
        leaf: the enclave's certificate with its key.
        cabundle: DER encodings in place of those of ``chain``.
        members: members of the payload that are added or replaced, by name; None stands for CBOR null.
        without: names of members that are left out.
        payload: the whole payload, verbatim.
        protected: the protected header, verbatim; it is signed.
        unprotected: the unprotected header.
        signer: another key that signs.
        signature: the signature, verbatim.
        tagged: whether COSE's tag 18 stands in front.
    """

    keys: KeyRing = field(factory=KeyRing)
    at: datetime
    nonce: bytes | None
    tls_certificate: bytes = b"TEST certificate"
    signing_key: bytes = b"TEST key"
    pcrs: dict[Any, Any] = field()
    public_key: bytes | None = b"dummy"
    user_data: bytes | None = None
    chain: list[Issued] = field()
    leaf: Issued = field()
    cabundle: list[Any] | None = None
    members: dict[Any, Any] = field(factory=dict)
    without: set[str] = field(factory=set)
    payload: bytes | None = None
    protected: bytes = field(factory=lambda: encode({1: ES384}))
    unprotected: Any = field(factory=dict)
    signer: ec.EllipticCurvePrivateKey | None = None
    signature: bytes | None = None
    tagged: bool = False

    @pcrs.default
    def _truthful_pcrs(self) -> dict[int, bytes]:
        measured = {index: self.keys.material(f"nitro/pcr{index}", 48) for index in (0, 1, 2, 4)}
        return {index: measured.get(index, bytes(48)) for index in range(_PCRS)}

    @chain.default
    def _genuine_chain(self) -> list[Issued]:
        return NitroPki(self.keys).chain(self.at)

    @leaf.default
    def _own_leaf(self) -> Issued:
        return NitroPki(self.keys).leaf(self.chain[-1], self.at)

    @property
    def pinned_pcrs(self) -> Mapping[str, bytes]:
        """A table of a policy's ``pcrs`` that pins this enclave's image."""
        return {f"pcr{index}": self.pcrs[index] for index in (0, 1, 2)}

    def document(self) -> bytes:
        """The document as COSE_Sign1."""
        payload = self.payload if self.payload is not None else encode(Indefinite(self._members()))
        signature = self.signature
        if signature is None:
            signed = sig_structure(self.protected, payload)
            signature = raw_signature(self.signer or self.leaf.key, signed, hashes.SHA384())
        tag = b"\xd2" if self.tagged else b""
        return tag + encode([self.protected, self.unprotected, payload, signature])

    def served(self) -> bytes:
        """The body of nitriding's answer: base64 and a line feed."""
        return base64.b64encode(self.document()) + b"\n"

    def _members(self) -> dict[Any, Any]:
        user_data = self.user_data
        if user_data is None:
            user_data = client_user_data(self.tls_certificate, self.signing_key)
        bundle = self.cabundle if self.cabundle is not None else [issued.der for issued in self.chain]
        epoch = day("1970-01-01")
        truthful = {
            "module_id": "i-0123456789abcdef0-enc0123456789abcdef",
            "digest": "SHA384",
            "timestamp": (self.at - epoch) // timedelta(milliseconds=1),
            "pcrs": self.pcrs,
            "certificate": self.leaf.der,
            "cabundle": bundle,
            "public_key": self.public_key,
            "user_data": user_data,
            "nonce": self.nonce,
        }
        return {key: value for key, value in {**truthful, **self.members}.items() if key not in self.without}
