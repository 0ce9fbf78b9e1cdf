"""Intel TDX quotes, version 4 and 5, with TD 1.0 and TD 1.5 report bodies.

Source: Intel TDX DCAP Quote Generation Library, appendix "Quote format" (v4 and v5). All integers are little-endian,
offsets in the comments count from the start of the quote. Nothing here checks a signature.
"""

from __future__ import annotations

import struct
from typing import Final

from attrs import field, frozen

from ..errors import FormatError
from ..limits import MAX_QUOTE, MAX_QUOTE_PADDING

__all__ = ["INTEL_QE_VENDOR", "TEE_TYPE_TDX", "QuoteSignature", "TdReport", "TdxQuote", "parse_quote"]

TEE_TYPE_TDX: Final = 0x81
INTEL_QE_VENDOR: Final = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
_HEADER: Final = 48
_TD10: Final = 584
_TD15: Final = 648
_BODY_SIZES: Final = {2: _TD10, 3: _TD15}
_QE_REPORT: Final = 384
_ECDSA: Final = 64


@frozen(kw_only=True)
class TdReport:
    """The TD report body: what the TDX module states about the virtual machine.

    Registers (mr_*, rtmr*) are 48 bytes, ``report_data`` 64, ``tee_tcb_svn`` 16, ``td_attributes`` and ``xfam`` 8 bytes
    (little-endian bit fields). ``tee_tcb_svn2`` (16) and ``mr_service_td`` (48) exist in TD 1.5 bodies only.
    """

    tee_tcb_svn: bytes
    mr_seam: bytes
    mr_signer_seam: bytes
    seam_attributes: bytes
    td_attributes: bytes
    xfam: bytes
    mr_td: bytes
    mr_config_id: bytes
    mr_owner: bytes
    mr_owner_config: bytes
    rtmr0: bytes
    rtmr1: bytes
    rtmr2: bytes
    rtmr3: bytes
    report_data: bytes
    tee_tcb_svn2: bytes | None = None
    mr_service_td: bytes | None = None

    @property
    def rtmrs(self) -> tuple[bytes, bytes, bytes, bytes]:
        """RTMR0 to RTMR3."""
        return (self.rtmr0, self.rtmr1, self.rtmr2, self.rtmr3)


@frozen(kw_only=True)
class QuoteSignature:
    """The signature data of a quote.

    ``attestation_key`` is X then Y (64 bytes), ``qe_report`` the quoting enclave's SGX report (384 bytes),
    ``pck_chain`` the PEM text of the PCK certificate chain, leaf first, without its closing NUL.
    """

    attestation_key: bytes
    outer_type: int
    outer_size_exact: bool
    qe_report: bytes
    qe_auth_data: bytes
    inner_type: int
    pck_chain: bytes

    @property
    def qe_report_data(self) -> bytes:
        """REPORTDATA of the quoting enclave (64 bytes): SHA-256(attestation key || auth data), then zeros."""
        return self.qe_report[320:384]


@frozen(kw_only=True)
class TdxQuote:
    """One parsed quote. ``raw`` holds the bytes as they came, padding included; ``user_data`` is 20 bytes."""

    version: int
    attestation_key_type: int
    reserved: bytes
    qe_vendor: bytes
    user_data: bytes
    report: TdReport
    signature: QuoteSignature
    padding: int
    raw: bytes = field(repr=False)


def parse_quote(raw: bytes) -> TdxQuote:
    """Take a quote apart with exact length accounting.

    Zero padding after the signature data is accepted, since all real quotes carry it; anything else there is refused.

    Raises:
        FormatError: ``not_tdx_quote`` (an SGX quote, another version or body), ``quote_truncated``, ``quote_length``,
            ``quote_trailing_bytes`` or ``quote_too_large``.
    """
    if len(raw) > MAX_QUOTE:
        raise FormatError("quote_too_large", f"the quote is {len(raw)} bytes long, at most {MAX_QUOTE} are accepted")
    if len(raw) < _HEADER + 6:
        raise FormatError("quote_truncated", f"the quote is {len(raw)} bytes long, a TDX quote needs at least 5 KB")
    version, key_type, tee_type = struct.unpack_from("<HHI", raw)
    body_at, body_size = _locate_body(raw, version, tee_type)
    auth_at = body_at + body_size + 4
    if len(raw) < auth_at:
        raise FormatError("quote_truncated", f"the quote is {len(raw)} bytes long and ends inside its report body")
    (auth_size,) = struct.unpack_from("<I", raw, auth_at - 4)
    end = auth_at + auth_size
    if end > len(raw):
        raise FormatError(
            "quote_truncated", f"the quote announces {auth_size} bytes of signature data and ends earlier"
        )
    padding = raw[end:]
    if len(padding) > MAX_QUOTE_PADDING or padding.strip(b"\0"):
        raise FormatError(
            "quote_trailing_bytes", f"{len(padding)} bytes follow the quote, only zero padding is accepted there"
        )
    return TdxQuote(
        version=version,
        attestation_key_type=key_type,
        reserved=raw[8:12],
        qe_vendor=raw[12:28],
        user_data=raw[28:48],
        report=_parse_report(raw[body_at : body_at + body_size]),
        signature=_parse_signature(raw[auth_at:end]),
        padding=len(padding),
        raw=raw,
    )


def _locate_body(raw: bytes, version: int, tee_type: int) -> tuple[int, int]:
    """Offset and size of the TD report body; a v5 quote announces both in a descriptor."""
    if version == 3 or tee_type == 0:
        raise FormatError("not_tdx_quote", "this is an SGX quote, a TDX quote (tee type 0x81) was expected")
    if version not in (4, 5) or tee_type != TEE_TYPE_TDX:
        raise FormatError(
            "not_tdx_quote",
            f"the quote has version {version} and tee type {tee_type:#x}, version 4 or 5 and 0x81 (TDX) were expected",
        )
    if version == 4:
        return _HEADER, _TD10
    body_type, body_size = struct.unpack_from("<HI", raw, _HEADER)
    if _BODY_SIZES.get(body_type) != body_size:
        raise FormatError(
            "not_tdx_quote",
            f"the quote has a body of type {body_type} and {body_size} bytes, TD 1.0 or TD 1.5 was expected",
        )
    return _HEADER + 6, body_size


def _parse_report(body: bytes) -> TdReport:
    return TdReport(
        tee_tcb_svn=body[0:16],
        mr_seam=body[16:64],
        mr_signer_seam=body[64:112],
        seam_attributes=body[112:120],
        td_attributes=body[120:128],
        xfam=body[128:136],
        mr_td=body[136:184],
        mr_config_id=body[184:232],
        mr_owner=body[232:280],
        mr_owner_config=body[280:328],
        rtmr0=body[328:376],
        rtmr1=body[376:424],
        rtmr2=body[424:472],
        rtmr3=body[472:520],
        report_data=body[520:584],
        tee_tcb_svn2=body[584:600] if len(body) == _TD15 else None,
        mr_service_td=body[600:648] if len(body) == _TD15 else None,
    )


def _parse_signature(auth: bytes) -> QuoteSignature:
    """Signature data: r||s, attestation key, then certification data that nests the QE report and the PCK chain."""
    fixed = 2 * _ECDSA + 6 + _QE_REPORT + _ECDSA + 2
    if len(auth) < fixed:
        raise FormatError(
            "quote_length", f"the signature data is {len(auth)} bytes long, at least {fixed} were expected"
        )
    outer_type, outer_size = struct.unpack_from("<HI", auth, 2 * _ECDSA)
    qe_at = 2 * _ECDSA + 6
    (qe_auth_size,) = struct.unpack_from("<H", auth, fixed - 2)
    inner_at = fixed + qe_auth_size
    if len(auth) < inner_at + 6:
        raise FormatError("quote_length", "the signature data ends before the PCK certificate chain")
    inner_type, inner_size = struct.unpack_from("<HI", auth, inner_at)
    chain = auth[inner_at + 6 :]
    if len(chain) != inner_size:
        raise FormatError(
            "quote_length", f"the PCK chain announces {inner_size} bytes, the signature data holds {len(chain)}"
        )
    return QuoteSignature(
        attestation_key=auth[_ECDSA : 2 * _ECDSA],
        outer_type=outer_type,
        outer_size_exact=outer_size == len(auth) - qe_at,
        qe_report=auth[qe_at : qe_at + _QE_REPORT],
        qe_auth_data=auth[fixed:inner_at],
        inner_type=inner_type,
        pck_chain=chain.rstrip(b"\0"),
    )
