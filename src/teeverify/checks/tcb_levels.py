"""TCB levels: which one a platform reaches, what it is short of, and when a grace applies (Intel PCS API v4)."""

from __future__ import annotations

from datetime import datetime, timedelta

from ..claims.problem import need
from ..claims.tdx import DcapClaims, IntelCollateral
from ..formats.intel_collateral import TcbInfo, TcbLevel
from ..policy import Policy

__all__ = ["explain", "grace_end", "in_grace", "statuses"]


def statuses(dcap: DcapClaims) -> tuple[str, ...]:
    """The merged status, that of the quoting enclave, and (TD 1.5) that of the module that runs now."""
    return tuple(status for status in (dcap.status, dcap.qe_status, dcap.current_status) if status is not None)


def in_grace(dcap: DcapClaims, tcb: TcbInfo, svn: bytes, policy: Policy, at: datetime) -> bool:
    """True while the platform alone is OutOfDate, exactly one level behind, and Intel's newest level is young enough.

    The days count from the date of the newest level, since that is when the update became due. A platform that is
    further behind has no grace, or every new level would re-admit the oldest machines; nor has one whose TDX module or
    quoting enclave is behind, since their levels have other dates.
    """
    dates = sorted({level.date for level in tcb.levels}, reverse=True)
    if policy.tcb.grace_days == 0 or len(dates) < 2 or dcap.status != "OutOfDate":
        return False
    others = (dcap.qe_status, dcap.current_status or "UpToDate", _module_status(tcb, svn))
    matched = next((level for level in tcb.levels if _reaches(level, dcap, svn)), None)
    one_behind = matched is not None and (matched.date, matched.status) == (dates[1], dcap.status)
    return set(others) == {"UpToDate"} and one_behind and at - dates[0] <= timedelta(days=policy.tcb.grace_days)


def grace_end(collateral: IntelCollateral, policy: Policy) -> datetime:
    """When the policy's grace for an OutOfDate platform ends."""
    newest = max(level.date for level in need(collateral.tcb_info).levels)
    try:
        return newest + timedelta(days=policy.tcb.grace_days)
    except OverflowError:
        return newest


def _reaches(level: TcbLevel, dcap: DcapClaims, svn: bytes) -> bool:
    """Whether the platform has at least the numbers of a level (Intel PCS API v4, tcbLevels)."""
    return not _short(level, dcap, svn)


def _module_status(tcb: TcbInfo, svn: bytes) -> str:
    """Status of the TDX module by its own identity; UpToDate where its version 0 is judged with the platform."""
    if svn[1] == 0:
        return "UpToDate"
    levels = tcb.module_levels.get(f"TDX_{svn[1]:02X}", ())
    return next((status for least, status in levels if least <= svn[0]), "unknown")


def _short(level: TcbLevel, dcap: DcapClaims, svn: bytes) -> list[str]:
    """The numbers that the platform is short of a level, in words."""
    short = [
        f"SGX component {i} is {have}, the newest level needs {least}"
        for i, (have, least) in enumerate(zip(dcap.cpu_svn, level.sgx_components, strict=True))
        if have < least
    ]
    if dcap.pce_svn < level.pce_svn:
        short.append(f"PCESVN is {dcap.pce_svn}, the newest level needs {level.pce_svn}")
    for i, (have, least) in enumerate(zip(svn, level.tdx_components, strict=True)):
        # From module version 1 on, the first two numbers are judged through the module's own identity.
        if have < least and not (svn[1] > 0 and i < 2):
            label = f" ({level.tdx_labels[i]})" if level.tdx_labels[i] else ""
            short.append(f"TDX component {i}{label} is {have}, the newest level needs {least}")
    return short


def explain(dcap: DcapClaims, tcb: TcbInfo, svn: bytes) -> str:
    """Status in words: which component is short of Intel's newest level, the level's date, the advisories."""
    named = f"; advisories {', '.join(dcap.advisories)}" if dcap.advisories else ""
    reason = "; ".join(_short(tcb.levels[0], dcap, svn)) or "the TDX module or the quoting enclave is behind"
    return f"TCB status {dcap.status}: {reason}; matched level of {dcap.level_date:%Y-%m-%d}{named}"
