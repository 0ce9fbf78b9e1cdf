"""TDX quotes, version 4 and 5, with every field and every length at the caller's choice.

Layout: Intel "TDX DCAP Quoting Library API", appendix "Quote Format". By default a quote is well-formed and truthful;
each negative test changes one argument.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Final

from attrs import frozen
from cryptography.hazmat.primitives.asymmetric import ec

from .certificates import Issued
from .keys import raw_public, raw_signature

__all__ = ["QE_VENDOR_INTEL", "SEPT_VE_DISABLE", "QeFields", "QuoteFormat", "TdFields", "build_quote", "high_s_twin"]

QE_VENDOR_INTEL: Final = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
SEPT_VE_DISABLE: Final = 1 << 28
_BODY_SIZES: Final = {2: 584, 3: 648, 4: 885}
_P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@frozen(kw_only=True)
class TdFields:
    """Everything inside the TD report body; the defaults are those of a production TD.

    ``tee_tcb_svn2`` and ``mr_service_td`` exist in TD 1.5 bodies only, ``ex_tail`` in the extended form only.
    """

    tee_tcb_svn: bytes = bytes([11, 1, 4]) + bytes(13)
    mr_seam: bytes = b"\x5e" * 48
    mr_signer_seam: bytes = bytes(48)
    seam_attributes: bytes = bytes(8)
    td_attributes: int = SEPT_VE_DISABLE
    xfam: bytes = bytes.fromhex("e702060000000000")
    mr_td: bytes = b"\xaa" * 48
    mr_config_id: bytes = bytes(48)
    mr_owner: bytes = bytes(48)
    mr_owner_config: bytes = bytes(48)
    rtmr0: bytes = b"\xb0" * 48
    rtmr1: bytes = b"\xb1" * 48
    rtmr2: bytes = b"\xb2" * 48
    rtmr3: bytes = b"\xb3" * 48
    report_data: bytes = bytes(64)
    tee_tcb_svn2: bytes | None = None
    mr_service_td: bytes = bytes(48)
    ex_tail: bytes = bytes(237)

    def body(self, body_type: int) -> bytes:
        """The report body: type 2 is TD 1.0, 3 is TD 1.5, 4 its extended form."""
        parts = [
            self.tee_tcb_svn,
            self.mr_seam,
            self.mr_signer_seam,
            self.seam_attributes,
            struct.pack("<Q", self.td_attributes),
            self.xfam,
            self.mr_td,
            self.mr_config_id,
            self.mr_owner,
            self.mr_owner_config,
            self.rtmr0,
            self.rtmr1,
            self.rtmr2,
            self.rtmr3,
            self.report_data,
        ]
        if body_type >= 3:
            parts += [self.tee_tcb_svn2 or self.tee_tcb_svn, self.mr_service_td]
        if body_type >= 4:
            parts.append(self.ex_tail)
        body = b"".join(parts)
        if len(body) != _BODY_SIZES[body_type]:
            raise ValueError(f"the fields make {len(body)} bytes, a body of type {body_type} has another length")
        return body


@frozen(kw_only=True)
class QeFields:
    """The quoting enclave's SGX report (384 bytes). ``report_data`` binds the attestation key unless given."""

    cpu_svn: bytes = bytes(16)
    misc_select: int = 0
    attributes: bytes = bytes.fromhex("1500000000000000e700000000000000")
    mr_enclave: bytes = b"\x45" * 32
    mr_signer: bytes = b"\xdc" * 32
    isv_prod_id: int = 2
    isv_svn: int = 7
    auth_data: bytes = bytes(range(32))
    report_data: bytes | None = None

    def report(self, attestation_key: bytes) -> bytes:
        """The enclave report for a raw attestation public key."""
        data = self.report_data
        if data is None:
            data = hashlib.sha256(attestation_key + self.auth_data).digest() + bytes(32)
        parts = [
            self.cpu_svn,
            struct.pack("<I", self.misc_select),
            bytes(28),
            self.attributes,
            self.mr_enclave,
            bytes(32),
            self.mr_signer,
            bytes(96),
            struct.pack("<HH", self.isv_prod_id, self.isv_svn),
            bytes(60),
            data,
        ]
        report = b"".join(parts)
        if len(report) != 384:
            raise ValueError(f"the fields make {len(report)} bytes, an enclave report has 384")
        return report


@frozen(kw_only=True)
class QuoteFormat:
    """The frame around the body: header constants, certification data types, padding.

    ``qe_id`` is the platform's QE identifier, the first 16 of the 20 header bytes that are called user data.
    """

    version: int = 4
    body_type: int = 2
    body_size: int | None = None
    tee_type: int = 0x81
    attestation_key_type: int = 2
    vendor: bytes = QE_VENDOR_INTEL
    qe_id: bytes = bytes(16)
    header_reserved: bytes = bytes(4)
    header_tail: bytes = bytes(4)
    outer_type: int = 6
    inner_type: int = 5
    padding: bytes = bytes(70)

    def header(self) -> bytes:
        """The 48 bytes of the header."""
        head = struct.pack("<HHI", self.version, self.attestation_key_type, self.tee_type)
        return head + self.header_reserved + self.vendor + self.qe_id + self.header_tail


def build_quote(
    td: TdFields,
    *,
    pck: Issued,
    attestation_key: ec.EllipticCurvePrivateKey,
    chain: tuple[Issued, ...] = (),
    qe: QeFields | None = None,
    layout: QuoteFormat | None = None,
    chain_text: bytes | None = None,
    sign_with: ec.EllipticCurvePrivateKey | None = None,
    qe_sign_with: ec.EllipticCurvePrivateKey | None = None,
    qe_binds: ec.EllipticCurvePrivateKey | None = None,
    signature: bytes | None = None,
) -> bytes:
    """Build and sign a quote.

    Args:
        td: the report body.
        pck: the leaf whose key signs the quoting enclave's report.
        attestation_key: the key in the quote, which signs it unless ``sign_with`` says otherwise.
        chain: the certificates after the leaf (CA, root).
        qe: the quoting enclave's report.
        layout: header constants, types and padding.
        chain_text: the bytes of the PEM chain instead of leaf, ``chain`` and a NUL byte.
        sign_with: another key for the quote signature.
        qe_sign_with: another key for the signature of the enclave report.
        qe_binds: another attestation key than the one that the enclave report names.
        signature: the 64 bytes of the quote signature, verbatim.
    """
    qe, layout = qe or QeFields(), layout or QuoteFormat()
    body = td.body(layout.body_type)
    if layout.version == 5:
        size = len(body) if layout.body_size is None else layout.body_size
        body = struct.pack("<HI", layout.body_type, size) + body
    if chain_text is None:
        chain_text = "".join(certificate.pem for certificate in (pck, *chain)).encode() + b"\0"
    signed = layout.header() + body
    report = qe.report(raw_public(qe_binds or attestation_key))
    inner = b"".join(
        [
            report,
            raw_signature(qe_sign_with or pck.key, report),
            struct.pack("<H", len(qe.auth_data)),
            qe.auth_data,
            struct.pack("<HI", layout.inner_type, len(chain_text)),
            chain_text,
        ]
    )
    auth = b"".join(
        [
            signature or raw_signature(sign_with or attestation_key, signed),
            raw_public(attestation_key),
            struct.pack("<HI", layout.outer_type, len(inner)),
            inner,
        ]
    )
    return signed + struct.pack("<I", len(auth)) + auth + layout.padding


def high_s_twin(quote: bytes) -> bytes:
    """The same version 4 quote with the other valid form of its signature (``s`` becomes the order minus ``s``)."""
    start = 48 + _BODY_SIZES[2] + 4 + 32
    s = int.from_bytes(quote[start : start + 32], "big")
    return quote[:start] + (_P256_ORDER - s).to_bytes(32, "big") + quote[start + 32 :]
