"""Is the platform's firmware up to date, and do Intel's statements about it still hold?"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from ..claims.problem import Problem, ProblemKind, need
from ..claims.subject import Subject
from ..claims.tdx import IntelCollateral, PckChain
from ..limits import CLOCK_SKEW, MAX_COLLATERAL_WINDOW, MAX_ROOT_CRL_WINDOW
from ..policy import Policy
from .catalogue import Finding, check, failed, passed, unevaluated
from .tcb_levels import explain, in_grace, statuses
from .tdx import tdx_claims

__all__: list[str] = []

_AFTER_SIGNATURES: Final = frozenset(
    {
        "quote_signature_invalid",
        "attestation_key_not_bound",
        "qe_report_signature_invalid",
        "qe_identity_mismatch",
        "tcb_revoked",
        "tcb_level_missing",
        "module_not_identified",
        "td_attributes_refused",
    }
)
"""Refusals that DCAP verification comes to only after it has verified the signatures over the collateral."""
_PCS: Final = "Intel PCS API v4 (TCB info, TD QE identity, revocation lists)"


@check(
    "tcb.collateral_current",
    title="Intel's statements about the platform are genuine and current",
    explanation=(
        "Intel signs which firmware versions are up to date, which quoting enclave is genuine and which certificates "
        "are revoked, each for about 30 days. All four statements must be there, be signed by Intel's own TCB signing "
        "role (any other certificate under Intel's root will not do), be about this platform, and hold at the time of "
        "the verdict."
    ),
    source=_PCS,
    anchor="Intel root",
    reasons={
        "malformed": "An answer of Intel does not have its form.",
        "signer": "TCB info or QE identity was signed by another role than Intel's TCB signing.",
        "refused": "A signature over the collateral does not verify.",
        "wrong_kind": "The collateral is of another kind (SGX, another version) than TDX needs.",
        "wrong_platform": "The TCB info is about another platform (FMSPC or PCE id).",
        "window": "A statement claims to hold for longer than Intel ever signs.",
        "expired": "A statement's nextUpdate is past.",
        "from_future": "A statement was issued after the time of the verdict.",
    },
)
def collateral_current(subject: Subject, policy: Policy) -> Finding:
    del policy
    tdx = tdx_claims(subject)
    pck, collateral = need(tdx.pck), need(tdx.collateral)
    found = (
        _missing_or_bad(collateral) or _wrong_kind(collateral, pck) or _out_of_time(collateral, subject.evaluated_at)
    )
    if found is not None:
        return found
    dcap_refusals = {
        "collateral_signature_invalid": "refused",
        "collateral_refused": "refused",
        "collateral_expired": "expired",
        "collateral_from_future": "from_future",
        "fmspc_mismatch": "wrong_platform",
    }
    if isinstance(tdx.dcap, Problem) and tdx.dcap.code in dcap_refusals:
        return failed(dcap_refusals[tdx.dcap.code], tdx.dcap.detail)
    if (
        isinstance(tdx.dcap, Problem)
        and tdx.dcap.kind is ProblemKind.INVALID
        and tdx.dcap.code not in _AFTER_SIGNATURES
    ):
        return unevaluated(tdx.dcap.code, "verification ended before the signatures over the collateral were checked")
    tcb = need(collateral.tcb_info)
    return passed(
        f"Intel's collateral holds from {tcb.issue_date:%Y-%m-%d %H:%M} to {tcb.next_update:%Y-%m-%d %H:%M} UTC",
        observed=f"{tcb.issue_date:%Y-%m-%dT%H:%M:%SZ}",
    )


def _missing_or_bad(collateral: IntelCollateral) -> Finding | None:
    parts = (collateral.tcb_info, collateral.qe_identity, collateral.pck_crl, collateral.root_crl)
    problems = [part for part in parts if isinstance(part, Problem)]
    for problem in problems:
        if problem.kind is ProblemKind.INVALID:
            return failed("malformed", problem.detail, observed=problem.code)
    if collateral.signers is not None:
        return failed("signer", collateral.signers.detail)
    if problems:
        return unevaluated(problems[0].code, f"{problems[0].detail}; fetch it, or give it with --collateral")
    return None


def _wrong_kind(collateral: IntelCollateral, pck: PckChain) -> Finding | None:
    tcb, qe = need(collateral.tcb_info), need(collateral.qe_identity)
    kind = (tcb.id, tcb.version, tcb.tcb_type, qe.id, qe.version)
    if kind != ("TDX", 3, 0, "TD_QE", 2):
        return failed("wrong_kind", f"Intel's collateral is of kind {kind}, TDX 3 0 and TD_QE 2 were expected")
    if (tcb.fmspc, tcb.pce_id) != (pck.fmspc, pck.pce_id):
        return failed(
            "wrong_platform",
            "Intel's TCB info is about another platform than the one that made the quote",
            expected=f"{pck.fmspc.hex()}/{pck.pce_id.hex()}",
            observed=f"{tcb.fmspc.hex()}/{tcb.pce_id.hex()}",
        )
    return None


def _out_of_time(collateral: IntelCollateral, at: datetime) -> Finding | None:
    tcb, qe = need(collateral.tcb_info), need(collateral.qe_identity)
    pck_crl, root_crl = need(collateral.pck_crl), need(collateral.root_crl)
    windows = (
        ("TCB info", tcb.issue_date, tcb.next_update, MAX_COLLATERAL_WINDOW),
        ("QE identity", qe.issue_date, qe.next_update, MAX_COLLATERAL_WINDOW),
        ("PCK revocation list", pck_crl.this_update, pck_crl.next_update, MAX_COLLATERAL_WINDOW),
        ("root revocation list", root_crl.this_update, root_crl.next_update, MAX_ROOT_CRL_WINDOW),
    )
    for what, start, end, longest in windows:
        if end - start > timedelta(seconds=longest):
            return failed(
                "window", f"Intel's {what} claims to hold for {(end - start).days} days, which Intel never signs"
            )
        if at > end:
            return failed("expired", f"Intel's {what} held until {end:%Y-%m-%d %H:%M} UTC; fetch a current one")
        if start - at > timedelta(seconds=CLOCK_SKEW):
            return failed("from_future", f"Intel's {what} was issued {start:%Y-%m-%d %H:%M} UTC, after the time judged")
    return None


@check(
    "tcb.not_revoked",
    title="Nothing in the chain is revoked",
    explanation=(
        "Intel revokes platform certificates whose keys leaked, and marks firmware that can no longer be trusted as "
        "Revoked. The PCK certificate, its CA and Intel's signers are looked up in the revocation lists, and no part "
        "of the platform may have the status Revoked. No policy can allow it."
    ),
    requires=("tcb.collateral_current",),
    source=_PCS,
    anchor="Intel root",
    reasons={
        "certificate_revoked": "A certificate of the chain is on Intel's revocation list.",
        "tcb_revoked": "Intel gives the platform, the TDX module or the quoting enclave the status Revoked.",
    },
)
def not_revoked(subject: Subject, policy: Policy) -> Finding:
    del policy
    tdx = tdx_claims(subject)
    pck, collateral = need(tdx.pck), need(tdx.collateral)
    if pck.leaf_serial in need(collateral.pck_crl).revoked_serials:
        return failed("certificate_revoked", "the platform's PCK certificate is on Intel's revocation list")
    if {pck.ca_serial, pck.root_serial, *collateral.signer_serials} & need(collateral.root_crl).revoked_serials:
        return failed("certificate_revoked", "a CA or a signer of Intel is on the root revocation list")
    if isinstance(tdx.dcap, Problem) and tdx.dcap.code == "tcb_revoked":
        return failed("tcb_revoked", tdx.dcap.detail)
    if "Revoked" in statuses(need(tdx.dcap)):
        return failed("tcb_revoked", "Intel gives a part of this platform the status Revoked")
    return passed("no certificate of the chain and no part of the platform is revoked")


@check(
    "tcb.status",
    title="The platform's firmware level is accepted",
    explanation=(
        "Intel rates the firmware of the processor, of the TDX module and of the quoting enclave. The worst of the "
        "three counts, and the policy says which statuses it accepts; UpToDate alone by default. OutOfDate means that "
        "known weaknesses are not fixed on that machine."
    ),
    requires=("tcb.collateral_current",),
    source=_PCS,
    anchor="Intel root",
    reasons={
        "not_accepted": "The merged status is not among those that the policy accepts.",
        "qe_not_accepted": "The quoting enclave's own status is not accepted.",
        "current_not_accepted": "The TDX module that runs now (TD 1.5) has a status that is not accepted.",
        "no_level": "The platform is below every level that Intel knows.",
    },
)
def status(subject: Subject, policy: Policy) -> Finding:
    tdx = tdx_claims(subject)
    if isinstance(tdx.dcap, Problem) and tdx.dcap.code == "tcb_level_missing":
        return failed("no_level", tdx.dcap.detail)
    dcap, tcb = need(tdx.dcap), need(need(tdx.collateral).tcb_info)
    svn = need(tdx.quote).report.tee_tcb_svn
    accept = policy.tcb.accept
    expected = " or ".join(accept)
    if dcap.status not in accept and not in_grace(dcap, tcb, svn, policy, subject.evaluated_at):
        return failed("not_accepted", explain(dcap, tcb, svn), expected=expected, observed=dcap.status)
    if dcap.qe_status not in accept:
        return failed(
            "qe_not_accepted", "the quoting enclave is not up to date", expected=expected, observed=dcap.qe_status
        )
    if dcap.current_status is not None and dcap.current_status not in accept:
        return failed(
            "current_not_accepted",
            "the TDX module that runs now is not up to date",
            expected=expected,
            observed=dcap.current_status,
        )
    if dcap.status not in accept:
        return passed(
            f"{explain(dcap, tcb, svn)}; accepted for the {policy.tcb.grace_days} days of grace that the policy gives",
            observed=dcap.status,
        )
    return passed(
        f"TCB status {dcap.status}, level of {dcap.level_date:%Y-%m-%d}", expected=expected, observed=dcap.status
    )


@check(
    "tcb.advisories",
    title="No security advisory is open that the policy does not allow",
    explanation=(
        "Intel names the security advisories (INTEL-SA-...) that apply to a firmware level. Each must be allowed by "
        "name in the policy, so that accepting an older level is a decision about known weaknesses and not about all "
        "future ones."
    ),
    requires=("tcb.collateral_current",),
    source=_PCS,
    anchor="Intel root",
    reasons={
        "open": "An advisory applies that the policy does not allow.",
        "unnamed": "The level is not up to date and Intel names no advisory, so nothing can be allowed by name.",
    },
)
def advisories(subject: Subject, policy: Policy) -> Finding:
    tdx = tdx_claims(subject)
    dcap, tcb = need(tdx.dcap), need(need(tdx.collateral).tcb_info)
    svn = need(tdx.quote).report.tee_tcb_svn
    still_open = [name for name in dcap.advisories if name not in policy.tcb.allow_advisories]
    observed = ", ".join(dcap.advisories) or "none"
    if still_open and in_grace(dcap, tcb, svn, policy, subject.evaluated_at):
        return passed(f"open advisories are within the policy's days of grace: {observed}", observed=observed)
    if still_open:
        return failed(
            "open",
            f"advisories apply that the policy does not allow: {', '.join(still_open)}",
            expected=", ".join(policy.tcb.allow_advisories) or "none",
            observed=observed,
        )
    behind = next((status for status in statuses(dcap) if status != "UpToDate"), None)
    if behind is not None and not dcap.advisories:
        return failed("unnamed", f"status {behind} without any advisory that could be allowed by name")
    return passed("no advisory is open that the policy does not allow", observed=observed)


@check(
    "tcb.eval_number",
    title="Intel's evaluation is recent enough",
    explanation=(
        "Intel numbers its evaluations and still signs old ones on request, so a provider could show an older, milder "
        "one. The policy sets the least number."
    ),
    requires=("tcb.collateral_current",),
    source="Intel PCS API v4, tcbEvaluationDataNumber",
    anchor="Intel root",
    reasons={"too_low": "Intel's evaluation number is below the policy's least."},
)
def eval_number(subject: Subject, policy: Policy) -> Finding:
    collateral = need(tdx_claims(subject).collateral)
    number = min(need(collateral.tcb_info).eval_number, need(collateral.qe_identity).eval_number)
    least = policy.tcb.min_eval_number
    if number < least:
        return failed(
            "too_low",
            f"Intel's evaluation number is {number}, the policy demands at least {least}",
            expected=f">= {least}",
            observed=str(number),
        )
    return passed(f"Intel's evaluation number is {number}", expected=f">= {least}", observed=str(number))
