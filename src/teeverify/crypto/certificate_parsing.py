"""X.509 certificates (RFC 5280): reading them, and the digests by which they and their keys are pinned.

Reading is strict and eager, so that no property of a `Certificate` can fail later. Use `certificates`, which has these
names and the judging of chains.
"""

from __future__ import annotations

import binascii
import hashlib
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from attrs import field, frozen

from ..errors import FormatError
from ..formats.der import CONTEXT_0, SEQUENCE, Element, elements, only_element
from ..limits import MAX_CERTIFICATE_PEM, MAX_CERTIFICATES

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

__all__ = [
    "Certificate",
    "CertificateMemo",
    "load_der",
    "load_pem_chain",
    "sha256_of_certificate",
    "sha256_of_spki",
]

CertificateMemo: TypeAlias = dict[tuple[str, bytes], "Certificate"]
"""Certificates already read, by form and bytes: PEM body and DER apart, or one could pass for the other.

One memo lives as long as one derivation.
"""

_PEM: Final = "pem"
_DER: Final = "der"

_COMMON_NAME: Final = bytes.fromhex("550403")
_ORGANIZATION: Final = bytes.fromhex("55040a")
"""Attribute types 2.5.4.3 and 2.5.4.10 (RFC 5280 appendix A), as DER content."""
_TEXT_TAGS: Final = {0x0C: "utf-8", 0x13: "ascii", 0x16: "ascii"}
"""UTF8String, PrintableString and IA5String; names in other alphabets are no name that is known here."""
_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"
_END: Final = b"-----END CERTIFICATE-----"
_BETWEEN: Final = b" \t\r\n\0"
"""What may stand round the PEM blocks; GPU drivers pad the chain with NUL bytes."""


@frozen(slots=False, kw_only=True)
class Certificate:
    """One certificate.

    ``der`` is the encoding that was read; two certificates are equal when it is. ``not_before`` and ``not_after`` are
    aware UTC times, both inclusive. ``path_length`` is None where the certificate sets no limit; ``key_cert_sign`` and
    ``digital_signature`` are None where it has no KeyUsage. ``critical`` holds the dotted OIDs of the extensions marked
    critical. Names, SPKI and TBSCertificate are the DER slices as they stand in the certificate.
    """

    der: bytes = field(repr=lambda der: f"<{len(der)} bytes>")
    serial_number: int = field(eq=False, repr=False)
    not_before: datetime = field(eq=False)
    not_after: datetime = field(eq=False)
    is_ca: bool = field(eq=False)
    path_length: int | None = field(eq=False)
    key_cert_sign: bool | None = field(eq=False)
    digital_signature: bool | None = field(eq=False)
    critical: frozenset[str] = field(eq=False, repr=False)
    issuer_der: bytes = field(eq=False, repr=False)
    subject_der: bytes = field(eq=False, repr=False)
    spki_der: bytes = field(eq=False, repr=False)
    tbs_der: bytes = field(eq=False, repr=False)
    signature: bytes = field(eq=False, repr=False)
    signature_oid: str = field(eq=False)
    _parsed: x509.Certificate = field(eq=False, repr=False)

    @cached_property
    def subject_cn(self) -> str | None:
        """The common name of the subject; None where it has none or several."""
        return self._subject_attribute(_COMMON_NAME)

    @cached_property
    def organization(self) -> str | None:
        """The organization of the subject; None where it has none or several."""
        return self._subject_attribute(_ORGANIZATION)

    @cached_property
    def public_key_kind(self) -> str:
        """``EC secp256r1``, ``EC secp384r1``, ``RSA 2048``, ..., or ``unsupported``."""
        from cryptography.hazmat.primitives.asymmetric import ec, rsa

        key = self.public_key
        if isinstance(key, ec.EllipticCurvePublicKey):
            return f"EC {key.curve.name}"
        return f"RSA {key.key_size}" if isinstance(key, rsa.RSAPublicKey) else "unsupported"

    def extension_value(self, oid: str) -> bytes | None:
        """The content of extnValue (DER for most extensions), or None where the extension is absent."""
        from cryptography import x509

        for extension in self._parsed.extensions:
            if extension.oid.dotted_string == oid:
                value = extension.value
                return value.value if isinstance(value, x509.UnrecognizedExtension) else value.public_bytes()
        return None

    @cached_property
    def public_key(self) -> CertificatePublicKeyTypes | None:
        """The key as an object of `cryptography` (for this folder only); None where its kind is not supported."""
        from cryptography.exceptions import UnsupportedAlgorithm

        try:
            return self._parsed.public_key()
        except (ValueError, TypeError, UnsupportedAlgorithm):
            return None

    def _subject_attribute(self, oid: bytes) -> str | None:
        """Read from the DER: the library's own reader warns about odd names, which some programs turn into errors."""
        found: list[Element] = []
        try:
            for names in elements(only_element(self.subject_der, SEQUENCE, what="subject"), what="subject"):
                for attribute in elements(names.content, what="subject"):
                    kind, value = elements(attribute.content, what="subject")
                    if kind.content == oid:
                        found.append(value)
            return found[0].content.decode(_TEXT_TAGS[found[0].tag]) if len(found) == 1 else None
        except (FormatError, ValueError, KeyError):
            return None


def load_pem_chain(
    pem: bytes, *, what: str, limit: int = MAX_CERTIFICATE_PEM, memo: CertificateMemo | None = None
) -> tuple[Certificate, ...]:
    """Read one or more PEM certificates (RFC 7468), with nothing but white space and NUL bytes round them.

    Args:
        pem: the text as bytes.
        what: what the chain is, for the error's sentence.
        limit: most bytes accepted.
        memo: certificates already read; new ones are added.

    Raises:
        FormatError: ``certificate_syntax``, ``certificate_count`` (none, or more than `MAX_CERTIFICATES`) or
            ``certificate_too_large``.
    """
    if len(pem) > limit:
        raise FormatError("certificate_too_large", f"{what} is {len(pem)} bytes long, at most {limit} are accepted")
    chain: list[Certificate] = []
    rest = pem.strip(_BETWEEN)
    while rest:
        if len(chain) == MAX_CERTIFICATES:
            raise FormatError("certificate_count", f"{what} holds more than {MAX_CERTIFICATES} certificates")
        body, end, after = rest.partition(_END)
        if not end or not body.startswith(_BEGIN):
            raise FormatError("certificate_syntax", f"{what} holds something else than PEM certificates")
        chain.append(_load_pem_body(body[len(_BEGIN) :], f"certificate {len(chain)} of {what}", memo))
        rest = after.lstrip(_BETWEEN)
    if not chain:
        raise FormatError("certificate_count", f"{what} holds no certificate")
    return tuple(chain)


def load_der(der: bytes, *, what: str, memo: CertificateMemo | None = None) -> Certificate:
    """Read one DER certificate, which must fill ``der``.

    Raises:
        FormatError: ``certificate_syntax`` or ``certificate_too_large``.
    """
    if memo is not None and (_DER, der) in memo:
        return memo[_DER, der]
    if len(der) > MAX_CERTIFICATE_PEM:
        raise FormatError("certificate_too_large", f"{what} is {len(der)} bytes long")
    certificate = _read(der, what)
    if memo is not None:
        memo[_DER, der] = certificate
    return certificate


def sha256_of_certificate(certificate: Certificate) -> bytes:
    """SHA-256 of the certificate's DER: what a certificate pin holds."""
    return hashlib.sha256(certificate.der).digest()


def sha256_of_spki(certificate: Certificate) -> bytes:
    """SHA-256 of the DER SubjectPublicKeyInfo as it stands in the certificate: what a key pin holds."""
    return hashlib.sha256(certificate.spki_der).digest()


def _load_pem_body(body: bytes, what: str, memo: CertificateMemo | None) -> Certificate:
    if memo is not None and (_PEM, body) in memo:
        return memo[_PEM, body]
    text = body.translate(None, b"\r\n")
    try:
        der = binascii.a2b_base64(text)
    except binascii.Error:
        der = b""
    if not der or binascii.b2a_base64(der, newline=False) != text:  # anything skipped or non-canonical shows here
        raise FormatError("certificate_syntax", f"{what} is not canonical base64")
    certificate = load_der(der, what=what, memo=memo)
    if memo is not None:
        memo[_PEM, body] = certificate
    return certificate


def _read(der: bytes, what: str) -> Certificate:
    """Parse eagerly whatever a later question could need."""
    from cryptography import x509

    try:
        parsed = x509.load_der_x509_certificate(der)
        outer = elements(only_element(der, SEQUENCE, what=what), what=what)
        fields = _tbs_fields(outer, what)
        if outer[1].encoding != fields[1].encoding:  # RFC 5280 section 4.1.1.2: both copies must be the same
            raise FormatError("certificate_syntax", f"{what} names two different signature algorithms")
        constraints = _constraints(parsed)
        return Certificate(
            der=der,
            serial_number=parsed.serial_number,
            not_before=parsed.not_valid_before_utc,
            not_after=parsed.not_valid_after_utc,
            issuer_der=fields[2].encoding,
            subject_der=fields[4].encoding,
            spki_der=fields[5].encoding,
            tbs_der=outer[0].encoding,
            signature=parsed.signature,
            signature_oid=parsed.signature_algorithm_oid.dotted_string,
            is_ca=constraints.is_ca,
            path_length=constraints.path_length,
            key_cert_sign=constraints.key_cert_sign,
            digital_signature=constraints.digital_signature,
            critical=constraints.critical,
            parsed=parsed,
        )
    except FormatError as refused:
        raise FormatError("certificate_syntax", str(refused)) from None
    except Exception as error:  # the parser raises ValueError, its own types, and warnings turned into errors
        raise FormatError("certificate_syntax", f"{what} is not a certificate: {type(error).__name__}") from None


def _tbs_fields(outer: tuple[Element, ...], what: str) -> tuple[Element, ...]:
    """TBSCertificate from the serial number on: serial, signature, issuer, validity, subject, SPKI ... (4.1)."""
    fields = elements(outer[0].content, what=what)
    return fields[1:] if fields[0].tag == CONTEXT_0 else fields


class _Constraints(NamedTuple):
    """What the extensions say about the certificate's own powers."""

    is_ca: bool
    path_length: int | None
    key_cert_sign: bool | None
    digital_signature: bool | None
    critical: frozenset[str]


def _constraints(parsed: x509.Certificate) -> _Constraints:
    from cryptography.x509 import BasicConstraints, KeyUsage

    is_ca, path_length, key_cert_sign, digital_signature = False, None, None, None
    critical: list[str] = []
    for extension in parsed.extensions:
        value = extension.value
        if isinstance(value, BasicConstraints):
            is_ca, path_length = value.ca, value.path_length
        elif isinstance(value, KeyUsage):
            key_cert_sign, digital_signature = value.key_cert_sign, value.digital_signature
        if extension.critical:
            critical.append(extension.oid.dotted_string)
    return _Constraints(is_ca, path_length, key_cert_sign, digital_signature, frozenset(critical))
