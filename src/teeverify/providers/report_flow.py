"""From the records of a dstack report to a session: their quotes, then all endorsements in one batch."""

from __future__ import annotations

from collections.abc import Mapping

from ..claims.problem import Problem
from ..crypto.dcap import pck_platform
from ..derivation.tdx import read_hex_quote
from ..endorsements.intel_pcs import intel_requests
from ..endorsements.nvidia_nras import nras_requests
from ..flow import Answer, Flow, Request, Response
from ..formats.tdx_quote import TdxQuote
from .report_claims import ReportSession
from .report_records import ReportAsked, ReportRecord

__all__ = ["collected", "uncollected"]


def collected(
    asked: ReportAsked,
    report: Response | Problem,
    records: tuple[ReportRecord, ...],
    *,
    provider: str,
    nonce: bytes,
    model: str,
    with_nras: bool,
) -> Flow[ReportSession]:
    """Read the quotes of a report's records and ask for what endorses them."""
    quotes: dict[str, TdxQuote | Problem] = {
        record.id: read_hex_quote(record.members.get(_quote_member(record)), what=f"the quote of {record.id}")
        for record in records
    }
    plan = _endorsement_plan(records, quotes, with_nras=with_nras)
    answers: tuple[Answer, ...] = (yield tuple(plan.values())) if plan else ()
    return ReportSession(
        provider=provider,
        asked=asked,
        nonce=nonce,
        model=model,
        report=report,
        records=records,
        quotes=quotes,
        endorsements=dict(zip(plan, answers, strict=True)),
    )


def uncollected(
    problem: Problem,
    asked: ReportAsked,
    records: tuple[ReportRecord, ...],
    *,
    provider: str,
    nonce: bytes,
    model: str,
) -> ReportSession:
    """A session whose report could not even be asked for; ``records`` carry the Problem."""
    return ReportSession(
        provider=provider,
        asked=asked,
        nonce=nonce,
        model=model,
        report=problem,
        records=records,
        quotes={record.id: problem for record in records},
        endorsements={},
    )


def _quote_member(record: ReportRecord) -> str:
    return "quote" if record.role == "compose_manager" else "intel_quote"


def _endorsement_plan(
    records: tuple[ReportRecord, ...], quotes: Mapping[str, TdxQuote | Problem], *, with_nras: bool
) -> dict[str, Request]:
    platforms = (pck_platform(quote.raw) for quote in quotes.values() if not isinstance(quote, Problem))
    plan = intel_requests(platform for platform in platforms if platform is not None)
    for record in records:
        payload = record.members.get("nvidia_payload")
        if with_nras and record.has_gpus and isinstance(payload, str) and payload:
            plan |= nras_requests(record.id, payload.encode("utf-8"))
    return plan
