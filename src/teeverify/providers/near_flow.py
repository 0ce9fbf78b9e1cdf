"""The requests of a NEAR AI session: where the model is, its report, then all endorsements in one batch."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ..claims.problem import Problem, ProblemKind
from ..crypto.dcap import pck_platform
from ..derivation.tdx import read_hex_quote
from ..endorsements.answers import good_answer
from ..endorsements.intel_pcs import intel_requests
from ..endorsements.nvidia_nras import nras_requests
from ..flow import Answer, Flow, Request, Response
from ..formats.tdx_quote import TdxQuote
from ..limits import MAX_REPORT_BODY
from .near_claims import NearSession
from .near_wire import NearAsked, NearRecord, read_records, read_report

__all__ = ["attestation_flow", "session_without_report"]


def attestation_flow(
    asked: NearAsked, *, nonce: bytes, model: str, with_nras: bool, headers: Mapping[str, str] = MappingProxyType({})
) -> Flow[NearSession]:
    """The requests of one session: the report, then all endorsements in one batch.

    ``headers`` go to NEAR with the report request and to nobody else.
    """
    request = Request(
        method="GET",
        url=asked.url,
        headers={"Accept": "application/json", "Accept-Encoding": "identity", "X-No-Aliasing": "true", **headers},
        limit=MAX_REPORT_BODY,
    )
    (answer,) = yield (request,)
    report = good_answer(answer, what="the attestation report", where="report")
    document = report if isinstance(report, Problem) else read_report(report.body)
    records = read_records(document, asked, model)
    quotes: dict[str, TdxQuote | Problem] = {
        record.id: read_hex_quote(record.members.get(_quote_member(record)), what=f"the quote of {record.id}")
        for record in records
    }
    plan = _endorsement_plan(records, quotes, with_nras=with_nras)
    answers: tuple[Answer, ...] = (yield tuple(plan.values())) if plan else ()
    return NearSession(
        asked=asked,
        nonce=nonce,
        model=model,
        report=report,
        records=_with_served_by(records, report),
        quotes=quotes,
        endorsements=dict(zip(plan, answers, strict=True)),
    )


def _quote_member(record: NearRecord) -> str:
    return "quote" if record.role == "compose_manager" else "intel_quote"


def _endorsement_plan(
    records: tuple[NearRecord, ...], quotes: Mapping[str, TdxQuote | Problem], *, with_nras: bool
) -> dict[str, Request]:
    platforms = (pck_platform(quote.raw) for quote in quotes.values() if not isinstance(quote, Problem))
    plan = intel_requests(platform for platform in platforms if platform is not None)
    for record in records:
        payload = record.members.get("nvidia_payload")
        if with_nras and record.role == "model" and isinstance(payload, str) and payload:
            plan |= nras_requests(record.id, payload.encode("utf-8"))
    return plan


def _with_served_by(records: tuple[NearRecord, ...], report: Response | Problem) -> tuple[NearRecord, ...]:
    """Let model records carry what the gateway's response headers say about another provider or model."""
    if isinstance(report, Problem):
        return records
    served = report.headers.get("x-serving-provider", ())
    problems: list[Problem] = []
    if any(value.strip().lower() != "near" for value in served):
        problems.append(_other("other_provider", f"the gateway says that {served[0][:40]!r} serves the model"))
    if report.headers.get("x-model-alias-resolved"):
        problems.append(_other("other_model", "the gateway resolved the model's name to another model"))
    if not problems:
        return records
    return tuple(
        NearRecord(
            id=record.id,
            role=record.role,
            members=record.members,
            problems=(*record.problems, *problems),
            ohttp=record.ohttp,
            compose_manager=record.compose_manager,
        )
        if record.role == "model"
        else record
        for record in records
    )


def _other(code: str, detail: str) -> Problem:
    return Problem(kind=ProblemKind.INVALID, code=code, detail=detail, where="report")


def session_without_report(problem: Problem, asked: NearAsked, *, nonce: bytes, model: str) -> NearSession:
    """A session whose report could not even be asked for."""
    records = read_records(problem, asked, model)
    return NearSession(
        asked=asked,
        nonce=nonce,
        model=model,
        report=problem,
        records=records,
        quotes={record.id: problem for record in records},
        endorsements={},
    )
