"""From quote bytes and Intel's answers to claims about the TDX platform."""

from __future__ import annotations

from datetime import datetime

from attrs import define, field

from ..claims.problem import Problem, ProblemKind
from ..claims.tdx import CrlFacts, DcapClaims, IntelCollateral, PckChain, TdxClaims
from ..crypto.certificates import Certificate, CertificateMemo, sha256_of_certificate
from ..crypto.dcap import verify_quote
from ..crypto.intel_pki import read_crl, read_pck_chain, read_signer_chain
from ..endorsements.answers import Endorsements, read_answer
from ..endorsements.intel_pcs import QE_IDENTITY, ROOT_CRL, pck_crl_name, tcb_info_name
from ..errors import FormatError
from ..formats.encodings import decode_hex
from ..formats.intel_collateral import QeIdentity, TcbInfo, parse_qe_identity, parse_tcb_info
from ..formats.strict_json import JsonValue
from ..formats.tdx_quote import TdxQuote, parse_quote
from ..limits import MAX_QUOTE
from ..roots import TrustRoots

__all__ = ["TdxDerivation", "read_hex_quote"]


def read_hex_quote(value: JsonValue, *, what: str) -> TdxQuote | Problem:
    """Read a quote that stands as hex in a record; None means that the record has none."""
    if value is None or value == "":
        return Problem(kind=ProblemKind.ABSENT, code="quote_missing", detail=f"{what} is missing", where=what)
    try:
        return parse_quote(decode_hex(value, what=what, limit=MAX_QUOTE))
    except FormatError as error:
        return Problem(kind=ProblemKind.MALFORMED, code=error.code, detail=str(error), where=what)


@define
class TdxDerivation:
    """Derives the TDX claims of all subjects of one session, reading each of Intel's answers once."""

    endorsements: Endorsements
    roots: TrustRoots
    at: datetime
    memo: CertificateMemo = field(factory=dict)
    _answers: dict[str, object] = field(factory=dict)
    _signers: dict[bytes, Certificate | Problem] = field(factory=dict)
    _platforms: dict[tuple[bytes, int], tuple[PckChain, IntelCollateral]] = field(factory=dict)

    def derive(self, quote: TdxQuote | Problem) -> TdxClaims:
        """Claims for one quote; never raises."""
        if isinstance(quote, Problem):
            return TdxClaims(quote=quote, pck=quote, collateral=quote, dcap=quote)
        platform = self._platform(quote)
        if isinstance(platform, Problem):
            return TdxClaims(quote=quote, pck=platform, collateral=platform, dcap=platform)
        pck, collateral = platform
        return TdxClaims(quote=quote, pck=pck, collateral=collateral, dcap=self._dcap(quote, pck, collateral))

    def _dcap(self, quote: TdxQuote, pck: PckChain, collateral: IntelCollateral) -> DcapClaims | Problem:
        if pck.profile is not None:
            return pck.profile
        if collateral.signers is not None:  # what a stranger signed about the quoting enclave proves nothing
            return collateral.signers
        dcap = verify_quote(quote, collateral, root=self.roots.intel_root, at=self.at)
        if isinstance(dcap, DcapClaims) and (dcap.fmspc, dcap.ppid) != (pck.fmspc, pck.ppid):
            detail = "dcap-qvl verified another platform than the one that teeverify reads out of the quote"
            return Problem(kind=ProblemKind.INVALID, code="parser_differential", detail=detail, where="quote")
        return dcap

    def _platform(self, quote: TdxQuote) -> tuple[PckChain, IntelCollateral] | Problem:
        """Platform and collateral of a quote; quotes of one machine carry the same chain, which is read once."""
        key = (quote.signature.pck_chain, quote.signature.inner_type)
        if key not in self._platforms:
            chain = read_pck_chain(quote, root_sha256=self.roots.intel_root_sha256, memo=self.memo)
            if isinstance(chain, Problem):  # it may come from another part of the quote than the chain
                return chain
            self._platforms[key] = (chain[0], self._collateral(*chain))
        return self._platforms[key]

    def _collateral(self, pck: PckChain, certificates: tuple[Certificate, ...]) -> IntelCollateral:
        tcb_info = self._tcb_info(pck.fmspc)
        qe_identity = self._qe_identity()
        signers = [
            self._signer(document, what)
            for document, what in ((tcb_info, "TCB info"), (qe_identity, "QE identity"))
            if not isinstance(document, Problem)
        ]
        return IntelCollateral(
            tcb_info=tcb_info,
            qe_identity=qe_identity,
            pck_crl=self._crl(pck_crl_name(pck.ca), "Intel's PCK revocation list", certificates, 1),
            root_crl=self._crl(ROOT_CRL, "Intel's root revocation list", certificates, 2),
            signers=next((signer for signer in signers if isinstance(signer, Problem)), None),
            signer_serials=tuple(s.serial_number for s in signers if isinstance(s, Certificate)),
        )

    def _tcb_info(self, fmspc: bytes) -> TcbInfo | Problem:
        name, what = tcb_info_name(fmspc), f"Intel's TCB info for FMSPC {fmspc.hex()}"
        if name not in self._answers:
            self._answers[name] = read_answer(
                self.endorsements, name, what=what, reader=lambda answer: parse_tcb_info(answer.body, answer.headers)
            )
        value = self._answers[name]
        assert isinstance(value, TcbInfo | Problem)
        return value

    def _qe_identity(self) -> QeIdentity | Problem:
        if QE_IDENTITY not in self._answers:
            self._answers[QE_IDENTITY] = read_answer(
                self.endorsements,
                QE_IDENTITY,
                what="Intel's QE identity",
                reader=lambda answer: parse_qe_identity(answer.body, answer.headers),
            )
        value = self._answers[QE_IDENTITY]
        assert isinstance(value, QeIdentity | Problem)
        return value

    def _signer(self, document: TcbInfo | QeIdentity, what: str) -> Certificate | Problem:
        pem = document.signed.issuer_chain  # the same one for both documents, as a rule
        if pem not in self._signers:
            root_sha256 = self.roots.intel_root_sha256
            self._signers[pem] = read_signer_chain(pem, what=what, root_sha256=root_sha256, memo=self.memo)
        return self._signers[pem]

    def _crl(self, name: str, what: str, certificates: tuple[Certificate, ...], issuer: int) -> CrlFacts | Problem:
        """One revocation list, signed by the certificate at place ``issuer`` of the PCK chain."""
        if len(certificates) <= issuer:
            detail = f"{what} cannot be checked, since the PCK chain has {len(certificates)} certificates"
            return Problem(kind=ProblemKind.UNAVAILABLE, code="no_issuer", detail=detail, where=name)
        key = f"{name}#{sha256_of_certificate(certificates[issuer]).hex()}"
        if key not in self._answers:
            self._answers[key] = read_answer(
                self.endorsements,
                name,
                what=what,
                reader=lambda answer: read_crl(answer.body, what=what, issuer=certificates[issuer]),
            )
        value = self._answers[key]
        assert isinstance(value, CrlFacts | Problem)
        return value
