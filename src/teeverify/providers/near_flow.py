"""The requests of a NEAR AI session: where the model is, its report, then all endorsements in one batch."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs

from ..claims.problem import Problem, ProblemKind
from ..endorsements.answers import good_answer
from ..flow import Flow, Request, Response
from ..limits import MAX_REPORT_BODY
from .near_wire import NearAsked, read_records
from .report_claims import ReportSession
from .report_flow import collected, uncollected
from .report_records import ReportRecord, read_report

__all__ = ["attestation_flow", "session_without_report"]


def attestation_flow(
    asked: NearAsked, *, nonce: bytes, model: str, with_nras: bool, headers: Mapping[str, str] = MappingProxyType({})
) -> Flow[ReportSession]:
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
    records = _with_served_by(read_records(document, asked, model), report)
    return (
        yield from collected(asked, report, records, provider="near", nonce=nonce, model=model, with_nras=with_nras)
    )


def _with_served_by(records: tuple[ReportRecord, ...], report: Response | Problem) -> tuple[ReportRecord, ...]:
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
        attrs.evolve(record, problems=(*record.problems, *problems)) if record.role == "model" else record
        for record in records
    )


def _other(code: str, detail: str) -> Problem:
    return Problem(kind=ProblemKind.INVALID, code=code, detail=detail, where="report")


def session_without_report(problem: Problem, asked: NearAsked, *, nonce: bytes, model: str) -> ReportSession:
    """A session whose report could not even be asked for."""
    records = read_records(problem, asked, model)
    return uncollected(problem, asked, records, provider="near", nonce=nonce, model=model)
