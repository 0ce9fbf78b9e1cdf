"""Is it a genuine, production TDX virtual machine?"""

from __future__ import annotations

from typing import Final

from ..claims.problem import Problem, ProblemKind, need
from ..claims.subject import Subject
from ..claims.tdx import TdxClaims
from ..formats.tdx_quote import INTEL_QE_VENDOR, TdxQuote
from ..policy import Policy
from .catalogue import Finding, check, failed, passed, unevaluated

__all__ = ["tdx_claims"]

_TD_ATTRIBUTES: Final = bytes.fromhex("0000001000000000")
"""Only SEPT_VE_DISABLE (bit 28), as in every production TD seen; any other bit weakens or is unknown."""
_XFAM: Final = bytes.fromhex("e702060000000000")
"""x87, SSE, AVX, AVX-512, PKRU, AMX: the value of every production TD seen."""

_SIGNATURE_REASONS: Final = {
    "quote_signature_invalid": "The signature over the quote does not verify: header or report were changed.",
    "attestation_key_not_bound": "The key that signed the quote is not the one that the quoting enclave vouches for.",
    "qe_report_signature_invalid": "The quoting enclave's report is not signed by the platform's PCK key.",
    "qe_identity_mismatch": "The quote was signed by an enclave that is not Intel's quoting enclave.",
    "certificate_chain_refused": "A certificate chain of the quote or its collateral does not hold.",
    "pck_chain_shape": "The PCK chain does not consist of exactly three certificates.",
    "pck_chain_root": "The PCK chain does not end in the pinned Intel root.",
    "pck_chain_names": "The PCK chain's certificates do not bear the names of Intel's roles.",
    "pck_chain_untrusted": "The PCK chain is not signed link by link up to the pinned root.",
    "pck_component_svns": "The PCK certificate contradicts itself about the platform's component numbers.",
    "parser_differential": "Two parsers read different values out of the quote.",
    "dcap_refused": "DCAP verification refused the quote for a reason that has no code of its own.",
}
_ELSEWHERE: Final = {
    "collateral_signer",
    "quote_kind_refused",
    "collateral_signature_invalid",
    "collateral_expired",
    "collateral_from_future",
    "collateral_refused",
    "fmspc_mismatch",
    "tcb_revoked",
    "tcb_level_missing",
    "module_not_identified",
    "td_attributes_refused",
}
"""Refusals of DCAP verification that another check owns; they leave the signature itself unevaluated."""


def tdx_claims(subject: Subject) -> TdxClaims:
    """The subject's TDX section; a provider only lists these checks for roles that have one."""
    if subject.tdx is None:
        raise TypeError(f"subject {subject.id} has no TDX section")
    return subject.tdx


@check(
    "tdx.quote_signature",
    title="The quote is signed by genuine Intel hardware",
    explanation=(
        "A quote is signed by a key that Intel's quoting enclave made on the machine, which the machine's PCK key "
        "vouches for, which Intel certified. The whole chain is verified up to the pinned Intel root, with Intel's "
        "revocation lists and identity of the quoting enclave. Whoever can forge this owns an extracted hardware key."
    ),
    source="Intel, 'TDX DCAP: Quote Generation and Verification Library'; Intel PCS API v4",
    anchor="Intel root",
    reasons=_SIGNATURE_REASONS,
)
def quote_signature(subject: Subject, policy: Policy) -> Finding:
    del policy
    tdx = tdx_claims(subject)
    need(tdx.quote)
    if isinstance(tdx.dcap, Problem) and tdx.dcap.kind is ProblemKind.INVALID:
        if tdx.dcap.code in _SIGNATURE_REASONS:
            return failed(tdx.dcap.code, tdx.dcap.detail)
        if tdx.dcap.code not in _ELSEWHERE:
            return failed("dcap_refused", tdx.dcap.detail)
        return unevaluated(tdx.dcap.code, f"{tdx.dcap.detail} (see the other tdx and tcb checks)")
    need(tdx.dcap)
    return passed("the quote's signature chains to the pinned Intel root")


@check(
    "tdx.quote_kind",
    title="It is a TDX quote of the expected kind",
    explanation=(
        "Version, TEE type, key type, vendor and certification data types are constants of a TDX quote. An SGX quote "
        "or one with unusual constants is refused before anything in it is read, since other kinds mean other things "
        "by the same bytes."
    ),
    source="Intel, TDX DCAP quote format, version 4 and 5",
    anchor="arithmetic",
    reasons={
        "not_tdx_quote": "The quote is not a TDX quote of version 4 or 5.",
        "wrong_constant": "A constant of the quote's header or certification data has another value.",
        "qe_report_data": "The quoting enclave's REPORTDATA has bytes set that must be zero.",
    },
)
def quote_kind(subject: Subject, policy: Policy) -> Finding:
    del policy
    tdx = tdx_claims(subject)
    if isinstance(tdx.quote, Problem) and tdx.quote.code == "not_tdx_quote":
        return failed("not_tdx_quote", tdx.quote.detail)
    quote = need(tdx.quote)
    for name, expected, observed in _constants(quote):
        if expected != observed:
            return failed("wrong_constant", f"{name} of the quote is {observed}, {expected} was expected")
    if any(quote.signature.qe_report_data[32:]):
        return failed("qe_report_data", "the second half of the quoting enclave's REPORTDATA is not zero")
    if isinstance(tdx.dcap, Problem) and tdx.dcap.code == "quote_kind_refused":
        return failed("wrong_constant", tdx.dcap.detail)
    return passed(f"a TDX quote, version {quote.version}")


def _constants(quote: TdxQuote) -> tuple[tuple[str, object, object], ...]:
    signature = quote.signature
    return (
        ("attestation key type", 2, quote.attestation_key_type),
        ("QE vendor", INTEL_QE_VENDOR.hex(), quote.qe_vendor.hex()),
        ("reserved header field", "00000000", quote.reserved.hex()),
        ("tail of the header's user data", "00000000", quote.user_data[16:].hex()),
        ("outer certification data type", 6, signature.outer_type),
        ("outer certification data length", "exact", "exact" if signature.outer_size_exact else "wrong"),
        ("inner certification data type", 5, signature.inner_type),
        ("length of the QE authentication data", 32, len(signature.qe_auth_data)),
    )


@check(
    "tdx.debug_off",
    title="Debugging is off",
    explanation=(
        "The operator of a TD in debug mode can read and write its memory through the TDX module. Such a TD is genuine "
        "hardware and keeps nothing secret. Bit 0 of the TD attributes must be 0."
    ),
    requires=("tdx.quote_signature",),
    source="Intel TDX Module specification, TD attributes (ATTRIBUTES.DEBUG)",
    anchor="Intel root",
    reasons={"debug_on": "The TD runs in debug mode: its operator can read everything in it."},
)
def debug_off(subject: Subject, policy: Policy) -> Finding:
    del policy
    attributes = need(tdx_claims(subject).quote).report.td_attributes
    if attributes[0] & 1:
        return failed(
            "debug_on", "the TD runs in debug mode, so its operator can read its memory", observed=attributes.hex()
        )
    return passed("the TD's debug attribute is off", observed=attributes.hex())


@check(
    "tdx.attributes",
    title="The TD has exactly the expected attributes",
    explanation=(
        "Attribute and XFAM bits switch on features, some of which weaken a TD (migration, performance counters, "
        "profiling). Only the one combination of production TDs is accepted. No owner, migration service TD or owner "
        "configuration may be bound."
    ),
    requires=("tdx.quote_signature",),
    source="Intel TDX Module specification, ATTRIBUTES and XFAM",
    anchor="Intel root",
    reasons={
        "td_attributes": "An attribute bit is set or clear that production TDs have otherwise.",
        "xfam": "The extended features (XFAM) are not those of production TDs.",
        "owner": "MROWNER or MROWNERCONFIG is set, which nothing here explains.",
        "config_id": "MRCONFIGID is not zero, and the evidence holds no document that it could stand for.",
        "service_td": "A service TD (migration) is bound to the TD.",
    },
)
def attributes(subject: Subject, policy: Policy) -> Finding:
    del policy
    report = need(tdx_claims(subject).quote).report
    if report.td_attributes != _TD_ATTRIBUTES:
        return failed(
            "td_attributes",
            "the TD attributes are not those of a production TD",
            expected=_TD_ATTRIBUTES.hex(),
            observed=report.td_attributes.hex(),
        )
    if report.xfam != _XFAM:
        return failed("xfam", "XFAM is not that of a production TD", expected=_XFAM.hex(), observed=report.xfam.hex())
    if any(report.mr_owner) or any(report.mr_owner_config):
        return failed("owner", "MROWNER or MROWNERCONFIG is not zero")
    if subject.dstack is None and any(report.mr_config_id):  # elsewhere dstack.mr_config_id judges it
        return failed("config_id", "MRCONFIGID is not zero, and nothing in this evidence explains it")
    if report.mr_service_td is not None and any(report.mr_service_td):
        return failed("service_td", "MRSERVICETD is not zero, so a service TD may move or change this TD")
    return passed("TD attributes and XFAM are those of a production TD", observed=report.td_attributes.hex())


@check(
    "tdx.module",
    title="The TDX module is Intel's",
    explanation=(
        "The TDX module is the firmware that isolates the TD. Intel signs it, which shows as a zero MRSIGNERSEAM, and "
        "Intel's TCB info names the module versions it knows. Where the policy lists module measurements (mr_seam), "
        "the running one must be among them."
    ),
    requires=("tdx.quote_signature",),
    source="Intel TDX Module specification, MRSEAM and MRSIGNERSEAM; Intel PCS API v4, tdxModuleIdentities",
    anchor="Intel root, policy pin",
    reasons={
        "module_signer": "The TDX module was not signed by Intel.",
        "module_attributes": "The TDX module has attributes set.",
        "module_not_identified": "Intel's TCB info does not know this TDX module.",
        "module_not_pinned": "The policy lists TDX modules for this role, and this one is not among them.",
    },
)
def module(subject: Subject, policy: Policy) -> Finding:
    tdx = tdx_claims(subject)
    report = need(tdx.quote).report
    if isinstance(tdx.dcap, Problem) and tdx.dcap.code == "module_not_identified":
        return failed("module_not_identified", tdx.dcap.detail)
    if any(report.mr_signer_seam):
        return failed("module_signer", "MRSIGNERSEAM is not zero, so the TDX module is not signed by Intel")
    if any(report.seam_attributes):
        return failed("module_attributes", "SEAMATTRIBUTES is not zero", observed=report.seam_attributes.hex())
    pins = policy.pins.get(subject.role)
    if pins is not None and pins.mr_seam is not None and report.mr_seam not in pins.mr_seam:
        return failed(
            "module_not_pinned",
            f"the TDX module is none of the {len(pins.mr_seam)} that the policy lists for role {subject.role}",
            expected=" or ".join(value.hex() for value in pins.mr_seam),
            observed=report.mr_seam.hex(),
        )
    return passed("the TDX module is Intel's", observed=report.mr_seam.hex())
