"""Intel's SGX public-key infrastructure: who may sign what, and what is revoked.

dcap-qvl verifies signatures and validity along every chain, but accepts any end-entity certificate under Intel's root
as signer of TCB info, ignores the root embedded in the quote, and reads no names. These functions add the roles of
Intel's "SGX PCK Certificate and Certificate Revocation List Profile" and read the revocation lists.
"""

from __future__ import annotations

from typing import Any, Final

from ..claims.problem import Problem, ProblemKind
from ..claims.tdx import CrlFacts, PckChain
from ..errors import FormatError
from ..formats.tdx_quote import TdxQuote
from ..limits import MAX_ENDORSEMENT_BODY
from .certificates import Certificate, CertificateMemo, is_issued_by, load_pem_chain, sha256_of_certificate
from .dcap import pck_values

__all__ = ["read_crl", "read_pck_chain", "read_signer_chain"]

SGX_EXTENSION: Final = "1.2.840.113741.1.13.1"
_LEAF_CN: Final = "Intel SGX PCK Certificate"
_CA_CNS: Final = {"Intel SGX PCK Platform CA": "platform", "Intel SGX PCK Processor CA": "processor"}
_ROOT_CN: Final = "Intel SGX Root CA"
_SIGNER_CN: Final = "Intel SGX TCB Signing"


def read_pck_chain(
    quote: TdxQuote, *, root_sha256: bytes, memo: CertificateMemo
) -> tuple[PckChain, tuple[Certificate, ...]] | Problem:
    """The PCK chain inside a quote and its three certificates (leaf, CA, root).

    Signatures are left to DCAP verification; here the chain must have Intel's shape and end in the pinned root.
    """
    try:
        certificates = load_pem_chain(quote.signature.pck_chain, what="the PCK chain of the quote", memo=memo)
    except FormatError as error:
        return Problem(kind=ProblemKind.MALFORMED, code=error.code, detail=str(error), where="quote")
    values = pck_values(quote.raw)
    if values is None:
        return Problem(
            kind=ProblemKind.MALFORMED,
            code="pck_extension",
            detail="the PCK certificate of the quote has no readable SGX extension",
            where="quote",
        )
    components = values.pop("component_svns")
    issuer = certificates[1] if len(certificates) > 1 else certificates[0]
    chain = PckChain(
        **values,
        ca=_CA_CNS.get(issuer.subject_cn or "", "unknown"),
        leaf_serial=certificates[0].serial_number,
        ca_serial=issuer.serial_number,
        root_serial=certificates[-1].serial_number,
        not_after=min(certificate.not_after for certificate in certificates),
        profile=_judge_profile(certificates, values, components, root_sha256),
    )
    return chain, certificates


def _judge_profile(
    certificates: tuple[Certificate, ...], values: dict[str, Any], components: bytes, root_sha256: bytes
) -> Problem | None:
    if len(certificates) != 3:
        return _invalid(
            "pck_chain_shape", f"the PCK chain has {len(certificates)} certificates, exactly 3 were expected"
        )
    leaf, issuer, root = certificates
    if sha256_of_certificate(root) != root_sha256:
        return _invalid("pck_chain_root", "the PCK chain does not end in the pinned Intel root")
    if leaf.subject_cn != _LEAF_CN or issuer.subject_cn not in _CA_CNS or root.subject_cn != _ROOT_CN:
        return _invalid("pck_chain_names", "the certificates of the PCK chain do not bear the names of Intel's roles")
    if not (is_issued_by(leaf, issuer) and is_issued_by(issuer, root) and issuer.is_ca and not leaf.is_ca):
        return _invalid("pck_chain_untrusted", "the PCK chain is not signed link by link up to the pinned Intel root")
    if values["cpu_svn"] != components:
        return _invalid("pck_component_svns", "CPUSVN and the sixteen component numbers of the PCK certificate differ")
    return None


def read_signer_chain(pem: bytes, *, what: str, root_sha256: bytes, memo: CertificateMemo) -> Certificate | Problem:
    """The certificate that signed TCB info or QE identity, which must bear Intel's signing role and no other."""
    try:
        certificates = load_pem_chain(pem, what=f"the issuer chain of {what}", memo=memo)
    except FormatError as error:
        return _invalid("collateral_signer", str(error))
    signer = certificates[0]
    if len(certificates) != 2 or sha256_of_certificate(certificates[1]) != root_sha256:
        return _invalid("collateral_signer", f"{what} was not signed directly under the pinned Intel root")
    if signer.subject_cn != _SIGNER_CN or signer.extension_value(SGX_EXTENSION) is not None or signer.is_ca:
        return _invalid("collateral_signer", f"{what} was signed by another role than {_SIGNER_CN!r}")
    if not is_issued_by(signer, certificates[1]):
        return _invalid("collateral_signer", f"the signer of {what} was not issued by the pinned Intel root")
    return signer


def read_crl(der: bytes, *, what: str, issuer: Certificate) -> CrlFacts | Problem:
    """Read a revocation list and verify that ``issuer`` signed it."""
    from cryptography import x509

    if der[:1] != b"\x30":  # not even the start of DER: a captive portal's page, say
        return Problem(
            kind=ProblemKind.UNAVAILABLE,
            code="not_an_answer",
            detail=f"{what} is not a document of Intel",
            where="intel",
        )
    if len(der) > MAX_ENDORSEMENT_BODY:
        return _invalid(
            "crl_malformed", f"{what} is {len(der)} bytes long, at most {MAX_ENDORSEMENT_BODY} are accepted"
        )
    try:
        crl = x509.load_der_x509_crl(der)
        named = crl.issuer.public_bytes() == issuer.subject_der
        key: Any = issuer.public_key
        if not named or key is None or not crl.is_signature_valid(key):
            return _invalid("crl_not_by_issuer", f"{what} is not signed by the CA whose certificates it covers")
        next_update = crl.next_update_utc
        if next_update is None:
            return _invalid("crl_malformed", f"{what} does not say until when it holds")
        serials = frozenset(entry.serial_number for entry in crl)
        return CrlFacts(this_update=crl.last_update_utc, next_update=next_update, revoked_serials=serials, der=der)
    except Exception as error:  # the parser raises ValueError and types of its own
        return _invalid("crl_malformed", f"{what} is not a certificate revocation list: {type(error).__name__}")


def _invalid(code: str, detail: str) -> Problem:
    return Problem(kind=ProblemKind.INVALID, code=code, detail=detail, where="intel")
