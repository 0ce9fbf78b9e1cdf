"""DCAP verification of TDX quotes through dcap-qvl: signatures, certificate chains, TCB evaluation.

Only this module names dcap-qvl. Its detailed claims are used rather than its strict policy, which refuses every real
cloud platform ("dynamic platform"); the statuses are judged by our own checks. Its errors are free text, mapped here to
reason codes; an unknown text becomes ``dcap_refused``, which is a refusal like the others.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any, Final

from ..claims.problem import Problem, ProblemKind
from ..claims.tdx import DcapClaims, IntelCollateral
from ..formats.tdx_quote import TdReport, TdxQuote

__all__ = ["REFUSALS", "collateral_arguments", "pck_platform", "pck_values", "verify_quote"]

REFUSALS: Final[tuple[tuple[str, str], ...]] = (
    ("ISV enclave report signature", "quote_signature_invalid"),
    ("QE report hash mismatch", "attestation_key_not_bound"),
    ("Signature is invalid for qe_report", "qe_report_signature_invalid"),
    ("Signature is invalid for tcb_info", "collateral_signature_invalid"),
    ("Signature is invalid for qe_identity", "collateral_signature_invalid"),
    ("Failed to verify certificate chain", "certificate_chain_refused"),
    ("CrlExpired", "collateral_expired"),
    ("TCBInfo expired", "collateral_expired"),
    ("QE Identity expired", "collateral_expired"),
    ("issue date is in the future", "collateral_from_future"),
    ("Failed to parse root CA CRL", "collateral_refused"),
    ("Failed to parse PCK CRL", "collateral_refused"),
    ("Fmspc mismatch", "fmspc_mismatch"),
    ("non-TDX TCB info", "collateral_refused"),
    ("Failed to decode TcbInfo", "collateral_refused"),
    ("Failed to decode QeIdentity", "collateral_refused"),
    ("TCB status is invalid: Revoked", "tcb_revoked"),
    ("No matching TCB level", "tcb_level_missing"),
    ("TDX module TCB level", "tcb_level_missing"),
    ("is below minimum required", "tcb_level_missing"),
    ("TDX module identity", "module_not_identified"),
    ("Failed to evaluate the current TDX TCB", "tcb_level_missing"),
    ("Unknown QE vendor", "quote_kind_refused"),
    ("Unsupported DCAP", "quote_kind_refused"),
    ("Debug mode is enabled", "td_attributes_refused"),
    ("SEPT_VE_DISABLE", "td_attributes_refused"),
    ("Reserved bits in TD attributes", "td_attributes_refused"),
    ("TD profiling is enabled", "td_attributes_refused"),
    ("TD migration is enabled", "td_attributes_refused"),
    ("SERVTD_EXT is enabled", "td_attributes_refused"),
    ("Invalid MR service TD", "td_attributes_refused"),
    ("QE ", "qe_identity_mismatch"),
)
"""Parts of dcap-qvl 0.7's error texts and the reason code that each stands for; the first match counts."""


def pck_platform(raw: bytes) -> tuple[bytes, str] | None:
    """FMSPC (6 bytes) and PCK CA (``platform`` or ``processor``) that a quote names, to ask Intel about; unverified."""
    import dcap_qvl

    try:
        quote = dcap_qvl.parse_quote(raw)
        fmspc, ca = bytes.fromhex(quote.fmspc()), str(quote.ca())
    except (ValueError, TypeError):
        return None
    return (fmspc, ca) if len(fmspc) == 6 and ca in ("platform", "processor") else None


def pck_values(raw: bytes) -> dict[str, Any] | None:
    """The SGX extension of the quote's PCK leaf as dcap-qvl reads it, or None where it cannot.

    Keys: fmspc (6 bytes), pce_id (2), ppid (16), cpu_svn (16), pce_svn (int), component_svns (16 bytes made of the
    sixteen single numbers). Intel, "SGX PCK Certificate and Certificate Revocation List Profile".
    """
    import dcap_qvl

    try:
        extension = dcap_qvl.parse_quote(raw).pck_extension()
        components = [extension.get_value(f"1.2.840.113741.1.13.1.2.{i}") for i in range(1, 17)]
        values: dict[str, Any] = {
            "fmspc": bytes(extension.fmspc),
            "pce_id": bytes(extension.pce_id),
            "ppid": bytes(extension.ppid),
            "cpu_svn": bytes(extension.cpu_svn),
            "pce_svn": int(extension.pce_svn),
            "component_svns": bytes(int.from_bytes(part, "big") for part in components),
        }
    except (ValueError, TypeError, AttributeError, OverflowError):
        return None
    sizes = {"fmspc": 6, "pce_id": 2, "ppid": 16, "cpu_svn": 16}
    return values if all(len(values[name]) == size for name, size in sizes.items()) else None


def verify_quote(
    quote: TdxQuote, collateral: IntelCollateral, *, root: bytes | None, at: datetime
) -> DcapClaims | Problem:
    """Verify a quote against the collateral at a time, under Intel's root or an explicit test root (DER).

    Returns:
        What was established, or a `Problem` of kind INVALID with a code of `REFUSALS`, ``dcap_refused`` or
        ``parser_differential``; of kind UNAVAILABLE (``collateral_incomplete``) where an answer of Intel is missing.
    """
    import dcap_qvl

    arguments = collateral_arguments(collateral)
    if isinstance(arguments, Problem):
        return arguments
    now = int(at.timestamp())
    try:
        verifier = dcap_qvl.QuoteVerifier(root)
        collateral_v3 = dcap_qvl.QuoteCollateralV3(**arguments)
        policy = dcap_qvl.QuotePolicy.claims_only(now)
        claims = json.loads(verifier.verify_with_policy(quote.raw, collateral_v3, now, policy).to_json())
        if not _same_report(claims, quote.report):
            return _refusal("parser_differential", "dcap-qvl and teeverify read different values out of the quote")
        return _claims(claims)
    except (ValueError, TypeError, OverflowError, KeyError, StopIteration) as error:
        return _map_refusal(str(error))


def collateral_arguments(collateral: IntelCollateral) -> dict[str, Any] | Problem:
    """dcap-qvl's collateral, built from Intel's own bytes.

    No PCK chain is passed in: the one inside the quote is what gets verified.
    """
    tcb, qe, pck_crl, root_crl = collateral.tcb_info, collateral.qe_identity, collateral.pck_crl, collateral.root_crl
    for part in (tcb, qe, pck_crl, root_crl):
        if isinstance(part, Problem):
            return Problem(kind=ProblemKind.UNAVAILABLE, code="collateral_incomplete", detail=part.detail)
    assert not isinstance(tcb, Problem) and not isinstance(qe, Problem)  # noqa: PT018 - narrowing for the type checker
    assert not isinstance(pck_crl, Problem) and not isinstance(root_crl, Problem)  # noqa: PT018
    return {
        "pck_crl_issuer_chain": "",
        "root_ca_crl": root_crl.der,
        "pck_crl": pck_crl.der,
        "tcb_info_issuer_chain": tcb.signed.issuer_chain.decode("utf-8", "replace"),
        "tcb_info": tcb.signed.text,
        "tcb_info_signature": tcb.signed.signature,
        "qe_identity_issuer_chain": qe.signed.issuer_chain.decode("utf-8", "replace"),
        "qe_identity": qe.signed.text,
        "qe_identity_signature": qe.signed.signature,
    }


def _same_report(claims: dict[str, Any], report: TdReport) -> bool:
    (stated,) = claims["report"].values()
    if "base" in stated:
        stated = {**stated["base"], **{key: value for key, value in stated.items() if key != "base"}}
    ours = {
        "tee_tcb_svn": report.tee_tcb_svn,
        "mr_seam": report.mr_seam,
        "mr_signer_seam": report.mr_signer_seam,
        "seam_attributes": report.seam_attributes,
        "td_attributes": report.td_attributes,
        "xfam": report.xfam,
        "mr_td": report.mr_td,
        "mr_config_id": report.mr_config_id,
        "mr_owner": report.mr_owner,
        "mr_owner_config": report.mr_owner_config,
        "rt_mr0": report.rtmr0,
        "rt_mr1": report.rtmr1,
        "rt_mr2": report.rtmr2,
        "rt_mr3": report.rtmr3,
        "report_data": report.report_data,
    }
    if report.tee_tcb_svn2 is not None and report.mr_service_td is not None:
        ours |= {"tee_tcb_svn2": report.tee_tcb_svn2, "mr_service_td": report.mr_service_td}
    return all(bytes.fromhex(stated[name]) == value for name, value in ours.items())


def _claims(claims: dict[str, Any]) -> DcapClaims:
    platform, pck = claims["platform"], claims["platform"]["pck"]
    current = platform["current_tcb_level"]
    level_date = datetime.strptime(platform["tcb_level"]["tcbDate"], "%Y-%m-%dT%H:%M:%SZ")
    expiry = min(claims["earliest_expiration_date"], claims["qe_iden_earliest_expiration_date"])
    return DcapClaims(
        status=claims["tcb"]["status"],
        advisories=_advisories(claims),
        level_date=level_date.replace(tzinfo=timezone.utc),
        qe_status=claims["qe"]["tcb_level"]["tcbStatus"],
        current_status=None if current is None else current["tcbStatus"],
        eval_number=claims["tcb"]["eval_data_number"],
        fmspc=bytes(pck["fmspc"]),
        ppid=bytes(pck["ppid"]),
        cpu_svn=bytes(pck["cpu_svn"]),
        pce_svn=pck["pce_svn"],
        earliest_expiry=datetime.fromtimestamp(expiry, timezone.utc),
    )


def _advisories(claims: dict[str, Any]) -> tuple[str, ...]:
    """All advisories of all parts; the merged list leaves out those of the TDX module that runs now (TD 1.5)."""
    current = claims["platform"]["current_tcb_level"] or {}
    parts = (current, claims["platform"]["tcb_level"], claims["qe"]["tcb_level"])
    named = {name for part in parts for name in part.get("advisoryIDs") or ()}
    return tuple(sorted(named | set(claims["tcb"]["advisory_ids"])))


def _map_refusal(text: str) -> Problem:
    code = next((code for part, code in REFUSALS if part in text), "dcap_refused")
    return _refusal(code, f"DCAP verification refused the quote: {text.removeprefix('Verification failed: ')[:200]}")


def _refusal(code: str, detail: str) -> Problem:
    return Problem(kind=ProblemKind.INVALID, code=code, detail=detail, where="quote")
