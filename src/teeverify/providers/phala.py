"""Phala's RedPill gateway. Of its report shapes, evidence of Chutes behind it is judged; others are not yet."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit

from ..claims.problem import Problem, ProblemKind
from ..claims.subject import Subject
from ..errors import FormatError
from ..flow import Flow, Request, run
from ..formats.strict_json import JsonValue, loads
from ..limits import MAX_REPORT_BODY
from ..roots import TrustRoots
from ..saved import SavedReport
from ..transport import ReplayTransport
from ..verdict import SubjectVerdict
from ..verifier import Derive, Verifier
from .chutes import INSTANCE_CHECKS, INSTANCE_GAPS, instances_in_words
from .chutes_claims import ChutesSession, derive_subjects
from .chutes_flow import endorsed, report_body, unusable_session
from .chutes_gateway import is_wrapped, read_wrapped
from .chutes_wire import ChutesAsked, asked_nonce

__all__ = ["PhalaVerifier"]

_HOST: Final = "https://api.redpill.ai"
_PATH: Final = "/v1/attestation/report"
_GAPS: Final = (
    "The gateway chooses which instances are shown, and drops their certificates, so half of REPORTDATA is unchecked.",
    *INSTANCE_GAPS,
)


class PhalaVerifier(Verifier):
    """Judges what RedPill shows of Chutes' instances; a report of another shape is INCONCLUSIVE.

    Args:
        policy: what the caller demands.
        **options: see `Verifier`.
    """

    provider = "phala"
    applicable = INSTANCE_CHECKS
    origin = _HOST

    def session_flow(self, model: str, nonce: bytes) -> Flow[Derive]:
        """See `Verifier.session_flow`."""
        headers = {} if self._api_key is None else {"Authorization": f"Bearer {self._api_key}"}
        url = f"{_HOST}{_PATH}?model={quote(model, safe='')}&nonce={nonce.hex()}"
        request = Request(method="GET", url=url, headers=headers, limit=MAX_REPORT_BODY)
        session = yield from _session_flow(
            request, nonce, nonce=nonce, model=model, with_nras=self.policy.gpu.nras != "ignore"
        )
        return lambda at: derive_subjects(session, roots=self.roots, at=at, recorded_at=None, wall_clock=at)

    @classmethod
    def subjects_of_saved(
        cls, report: SavedReport, *, roots: TrustRoots, at: datetime, wall_clock: datetime, with_nras: bool = True
    ) -> tuple[Subject, ...]:
        """The instances of a saved session."""
        nonce, model = report.nonce, report.model
        urls = {e.request.url for e in report.exchanges if e.request.method == "GET" and _is_report(e.request.url)}
        one = len(urls) == 1 and len(report.good_answers(_is_report)) <= 1
        if one and _query(next(iter(urls))).get("model") != model:
            detail = "the report was asked for another model than the one that the saved report names"
            problem = Problem(kind=ProblemKind.INVALID, code="other_model", detail=detail, where="request")
            session = unusable_session(problem, nonce=nonce, model=model)
        elif one:
            url = urls.pop()
            request = Request(method="GET", url=url, limit=MAX_REPORT_BODY)
            flow = _session_flow(request, asked_nonce(url), nonce=nonce, model=model, with_nras=with_nras)
            session = run(flow, ReplayTransport(report))
        else:
            detail = (
                f"the saved report holds {len(urls)} requests for a report, exactly one with one answer was expected"
            )
            kind = ProblemKind.MALFORMED if urls else ProblemKind.UNAVAILABLE
            problem = Problem(kind=kind, code="report_ambiguous", detail=detail, where="request")
            session = unusable_session(problem, nonce=nonce, model=model)
        return derive_subjects(session, roots=roots, at=at, recorded_at=report.recorded_at, wall_clock=wall_clock)

    def _boundary(self, judged: Sequence[SubjectVerdict]) -> tuple[str, tuple[str, ...]]:
        return f"{instances_in_words(judged)}, by the report of a gateway that nothing attests.", _GAPS


def _session_flow(
    request: Request, asked_nonce: bytes | Problem, *, nonce: bytes, model: str, with_nras: bool
) -> Flow[ChutesSession]:
    (answer,) = yield (request,)
    body = report_body(answer, "the attestation report")
    document = body if isinstance(body, Problem) else _document(body)
    if isinstance(document, Problem):
        return unusable_session(document, nonce=nonce, model=model)
    asked = ChutesAsked(chute="", nonce=asked_nonce)
    return (yield from endorsed(asked, read_wrapped(document), nonce=nonce, model=model, with_nras=with_nras))


def _document(body: bytes) -> dict[str, JsonValue] | Problem:
    try:
        document = loads(body, what="the attestation report", limit=MAX_REPORT_BODY)
    except FormatError as error:
        return Problem(kind=ProblemKind.MALFORMED, code=error.code, detail=str(error), where="report")
    if isinstance(document, dict) and is_wrapped(document):
        return document
    detail = "the report is not one of Chutes' instances, the only shape of this gateway that is judged so far"
    return Problem(kind=ProblemKind.UNAVAILABLE, code="shape_not_supported", detail=detail, where="report")


def _is_report(url: str) -> bool:
    return url.startswith(f"{_HOST}{_PATH}?")


def _query(url: str) -> dict[str, str]:
    """The query of a report request; empty where it cannot be read or repeats itself."""
    try:
        pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True, max_num_fields=16)
    except ValueError:
        return {}
    return dict(pairs) if len(dict(pairs)) == len(pairs) else {}
