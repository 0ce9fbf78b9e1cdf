"""Where the fields of signed binary documents stand: TDX quotes, SPDM evidence of GPUs, certificate revocation lists.

Offsets follow from the parsers of `teeverify.formats`: the fields that they read, laid end to end, must be the very
bytes, or the table is refused. No byte of a document is outside of every region.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs
from attrs import frozen

from ..errors import FormatError
from ..formats.der import CONTEXT_0, SEQUENCE, elements
from ..formats.spdm import parse_spdm_evidence
from ..formats.tdx_quote import TdxQuote

__all__ = ["Region", "certificate_regions", "crl_regions", "public_key_place", "quote_regions", "spdm_regions"]

_HEADER: Final = (
    ("version", 2),
    ("attestation key type", 2),
    ("TEE type", 4),
    ("reserved", 4),
    ("QE vendor", 16),
    ("user data", 20),
)
_REPORT_NAMES: Final = {
    "tee_tcb_svn": "TEE_TCB_SVN",
    "mr_seam": "MRSEAM",
    "mr_signer_seam": "MRSIGNERSEAM",
    "seam_attributes": "SEAMATTRIBUTES",
    "td_attributes": "TDATTRIBUTES",
    "xfam": "XFAM",
    "mr_td": "MRTD",
    "mr_config_id": "MRCONFIGID",
    "mr_owner": "MROWNER",
    "mr_owner_config": "MROWNERCONFIG",
    "report_data": "REPORTDATA",
    "tee_tcb_svn2": "TEE_TCB_SVN2",
    "mr_service_td": "MRSERVICETD",
}
_QE_REPORT: Final = (
    ("CPUSVN", 16),
    ("MISCSELECT", 4),
    ("reserved", 28),
    ("ATTRIBUTES", 16),
    ("MRENCLAVE", 32),
    ("reserved 2", 32),
    ("MRSIGNER", 32),
    ("reserved 3", 96),
    ("ISVPRODID", 2),
    ("ISVSVN", 2),
    ("reserved 4", 60),
    ("REPORTDATA", 64),
)
"""Intel SGX report body, 384 bytes."""
_ECDSA: Final = 64
_TIMES: Final = (0x17, 0x18)
_INTEGER: Final = 0x02
_CRL_SEQUENCES: Final = ("signature algorithm", "issuer", "revoked certificates")
_CONTEXT_3: Final = 0xA3
_CERTIFICATE_FIELDS: Final = ("serial number", "signature algorithm", "issuer", "validity", "subject", "public key")


@frozen
class Region:
    """One named field of a document: ``start`` and ``size`` in bytes."""

    name: str
    start: int
    size: int

    @property
    def middle(self) -> int:
        """The byte in the middle."""
        return self.start + self.size // 2

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.start + self.size


def quote_regions(quote: TdxQuote) -> tuple[Region, ...]:
    """The fields of a quote in order, from its header to the padding; empty ones are left out.

    Raises:
        FormatError: ``quote_length`` where the fields laid end to end are not the quote.
    """
    signature = quote.signature
    chain = len(signature.pck_chain)
    fields: list[tuple[str, int]] = [(f"header / {name}", size) for name, size in _HEADER]
    if quote.version == 5:
        fields.append(("body descriptor", 6))
    fields += _report_fields(quote)
    fields += [("signature data length", 4), ("signature", _ECDSA), ("attestation key", _ECDSA)]
    fields += [("certification data / type", 2), ("certification data / length", 4)]
    fields += [(f"QE report / {name}", size) for name, size in _QE_REPORT]
    fields += [("QE report signature", _ECDSA), ("QE auth data / length", 2)]
    fields += [("QE auth data", len(signature.qe_auth_data))]
    fields += [("certificate chain / type", 2), ("certificate chain / length", 4), ("certificate chain", chain)]
    rest = len(quote.raw) - quote.padding - sum(size for _, size in fields)
    regions = _end_to_end([*fields, ("end of the certificate chain", rest), ("padding", quote.padding)])
    found = {region.name: quote.raw[region.start : region.end] for region in regions}
    expected = {
        "TD report / MRTD": quote.report.mr_td,
        "TD report / REPORTDATA": quote.report.report_data,
        "attestation key": signature.attestation_key,
        "QE report / REPORTDATA": signature.qe_report_data,
        "certificate chain": signature.pck_chain,
    }
    if rest < 0 or any(found.get(name) != value for name, value in expected.items()):
        raise FormatError("quote_length", "the fields of the quote do not stand where they were expected")
    return tuple(region for region in regions if region.size)


def _report_fields(quote: TdxQuote) -> list[tuple[str, int]]:
    """`TdReport` has its fields in the order of the layout."""
    return [
        (f"TD report / {_REPORT_NAMES.get(name, name.upper())}", len(value))
        for name, value in attrs.asdict(quote.report).items()
        if value is not None
    ]


def spdm_regions(evidence: bytes) -> tuple[Region, ...]:
    """The fields of a GPU's evidence: the request, the response, its signature.

    Raises:
        FormatError: the evidence is none.
    """
    parsed = parse_spdm_evidence(evidence, what="the evidence")
    record = len(parsed.measurement_record)
    before_opaque = 45 + record + 34
    return _end_to_end(
        [
            ("request / head", 4),
            ("request / nonce", 32),
            ("request / slot", 1),
            ("response / head", 4),
            ("response / number of measurements", 1),
            ("response / length of measurements", 3),
            ("response / measurements", record),
            ("response / nonce", 32),
            ("response / length of opaque data", 2),
            ("response / opaque data", len(parsed.signed) - before_opaque),
            ("signature", len(parsed.signature)),
        ]
    )


def crl_regions(der: bytes) -> tuple[Region, ...]:
    """The fields of a certificate revocation list (RFC 5280 section 5.1), each without its DER head.

    Raises:
        FormatError: ``der_syntax``.
    """
    whole = _members(der, Region("list", 0, len(der)))[0][1]
    (_, tbs), (_, algorithm), (_, signature) = _members(der, whole)
    times, names = iter(("this update", "next update")), iter(_CRL_SEQUENCES)
    found: list[Region] = []
    for tag, region in _members(der, tbs):
        if tag in _TIMES:
            name = next(times)
        elif tag == SEQUENCE:
            name = next(names)
        else:
            name = "version" if tag == _INTEGER else "extensions"
        found.append(Region(name, region.start, region.size))
    found.append(Region("outer signature algorithm", algorithm.start, algorithm.size))
    return (*found, Region("signature", signature.start, signature.size))


def certificate_regions(der: bytes) -> tuple[Region, ...]:
    """The fields of a certificate (RFC 5280 section 4.1), each without its DER head.

    Raises:
        FormatError: ``der_syntax``.
    """
    whole = _members(der, Region("certificate", 0, len(der)))[0][1]
    (_, tbs), (_, algorithm), (_, signature) = _members(der, whole)
    found: list[Region] = []
    names = iter(_CERTIFICATE_FIELDS)
    for tag, region in _members(der, tbs):
        name = "version" if tag == CONTEXT_0 else "extensions" if tag == _CONTEXT_3 else next(names, "unique id")
        found.append(Region(name, region.start, region.size))
    found.append(Region("outer signature algorithm", algorithm.start, algorithm.size))
    return (*found, Region("signature", signature.start, signature.size))


def public_key_place(der: bytes) -> int:
    """A byte in the middle of the public key of a certificate (RFC 5280 section 4.1).

    Raises:
        FormatError: ``der_syntax``.
    """
    whole = _members(der, Region("certificate", 0, len(der)))[0][1]
    fields = _members(der, _members(der, whole)[0][1])
    key = fields[6 if fields[0][0] == CONTEXT_0 else 5][1]
    return key.middle


def _members(der: bytes, inside: Region) -> list[tuple[int, Region]]:
    """Tag and content of each element that stands in a region."""
    found: list[tuple[int, Region]] = []
    position = inside.start
    for element in elements(der[inside.start : inside.end], what="the document"):
        position += len(element.encoding)
        found.append((element.tag, Region("", position - len(element.content), len(element.content))))
    if not found:
        raise FormatError("der_syntax", "an element of the document is empty, members were expected")
    return found


def _end_to_end(fields: Iterable[tuple[str, int]]) -> tuple[Region, ...]:
    regions: list[Region] = []
    for name, size in fields:
        regions.append(Region(name, regions[-1].end if regions else 0, size))
    return tuple(regions)
