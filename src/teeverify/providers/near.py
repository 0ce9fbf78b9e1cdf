"""NEAR AI: model machines reached directly, and through the gateway ``cloud-api.near.ai``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from ..claims.problem import Problem, ProblemKind
from ..claims.subject import Subject
from ..crypto.dcap import pck_platform
from ..derivation.tdx import read_hex_quote
from ..endorsements.intel_pcs import intel_requests
from ..endorsements.nvidia_nras import nras_requests
from ..errors import FormatError, NotRecordedError
from ..flow import Answer, Flow, Request, Response, run
from ..formats.tdx_quote import TdxQuote
from ..limits import MAX_REPORT_BODY
from ..roots import TrustRoots
from ..saved import SavedReport
from ..transport import ReplayTransport
from ..verdict import SubjectVerdict
from ..verifier import Verifier
from .near_boundary import boundary_in_words
from .near_claims import NearSession, derive_subjects
from .near_wire import NearAsked, NearRecord, asked_from_url, near_url, read_records, read_report

__all__ = ["NearVerifier", "attestation_flow"]

_ALL: Final = ("gateway", "model", "compose_manager")
_KEYS: Final = ("gateway", "model")
_GPU: Final = ("model",)

_APPLICABLE: Final[Mapping[str, tuple[str, ...]]] = {
    "evidence.wellformed": _ALL,
    "evidence.complete": _ALL,
    "freshness.nonce_bound": _ALL,
    "tdx.quote_signature": _ALL,
    "tdx.quote_kind": _ALL,
    "tdx.debug_off": _ALL,
    "tdx.attributes": _ALL,
    "tdx.module": _ALL,
    "tcb.collateral_current": _ALL,
    "tcb.not_revoked": _ALL,
    "tcb.status": _ALL,
    "tcb.advisories": _ALL,
    "tcb.eval_number": _ALL,
    "binding.report_data": _ALL,
    "binding.signing_key": _KEYS,
    "binding.tls_spki": _KEYS,
    "binding.e2ee_key": _KEYS,
    "binding.same_td": ("compose_manager",),
    "dstack.event_digests": _ALL,
    "dstack.rtmr_replay": _ALL,
    "dstack.event_order": _ALL,
    "dstack.compose_event": _ALL,
    "dstack.mr_config_id": _ALL,
    "dstack.key_provider": _ALL,
    "dstack.reported_info": _ALL,
    "pin.base_image": _ALL,
    "pin.app_id": _ALL,
    "pin.compose": _ALL,
    "pin.kms_root": _ALL,
    "pin.os_image": _ALL,
    "pin.signing_key": _KEYS,
    "pin.tls_spki": _KEYS,
    "pin.reference_current": _ALL,
    "gpu.present": _GPU,
    "gpu.evidence_signature": _GPU,
    "gpu.cert_chain": _GPU,
    "gpu.nonce_bound": _GPU,
    "gpu.distinct_devices": _GPU,
    "gpu.same_fabric": _GPU,
    "gpu.nras_token": _GPU,
    "gpu.nras_result": _GPU,
    "gpu.cpu_binding": _GPU,
    "channel.tls_spki": _KEYS,
    "policy.pinned": _ALL,
    "saved.recorded_at": _ALL,
}

_GAPS: Final = (
    "GPU and CPU evidence share a nonce, not a machine: a relay to another host's genuine GPUs would pass.",
    "NVSwitches present no evidence, so only what GPUs say of their switches shows that they are in one machine.",
    "Model weights are not measured.",
    "The containers that see prompts are deployed by the compose-manager after boot: its log is its own word, not a "
    "measurement.",
    "Nothing in a quote names the model: the signing key stands for it only as far as you pin it.",
    "Values of environment variables (allowed_envs) are not measured.",
    "A hardware key extracted from some machine of Intel or NVIDIA forges everything here.",
)
_CLOUD_GAP: Final = "The gateway commits to no particular model machine: prompts may go to another one of the same app."


def attestation_flow(asked: NearAsked, *, nonce: bytes, model: str, with_nras: bool) -> Flow[NearSession]:
    """The requests of one NEAR attestation session: the report, then all endorsements in one batch."""
    request = Request(
        method="GET",
        url=asked.url,
        headers={"Accept": "application/json", "Accept-Encoding": "identity", "X-No-Aliasing": "true"},
        limit=MAX_REPORT_BODY,
    )
    (answer,) = yield (request,)
    report = _report(answer)
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


def _report(answer: Answer) -> Response | Problem:
    if isinstance(answer, Response) and answer.status == 200:
        return answer
    if isinstance(answer, Response):
        code, detail = "http_status", f"the report request was answered with HTTP status {answer.status}"
    else:
        code = "not_recorded" if isinstance(answer, NotRecordedError) else "not_fetched"
        detail = f"the attestation report could not be had: {answer}"
    return Problem(kind=ProblemKind.UNAVAILABLE, code=code, detail=detail, where="report")


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


class NearVerifier(Verifier):
    """Judges NEAR AI endpoints: the subjects gateway, model and compose_manager."""

    provider = "near"
    applicable = _APPLICABLE

    @classmethod
    def subjects_of_saved(
        cls, report: SavedReport, *, roots: TrustRoots, at: datetime, wall_clock: datetime, with_nras: bool = True
    ) -> tuple[Subject, ...]:
        """The gateway (cloud shape), the model machines and their compose-managers of a saved session."""
        asked = _recorded_request(report)
        if isinstance(asked, Problem):
            session = _session_without_report(asked, report)
        else:
            flow = attestation_flow(asked, nonce=report.nonce, model=report.model, with_nras=with_nras)
            session = run(flow, ReplayTransport(report))
        return derive_subjects(session, roots=roots, at=at, recorded_at=report.recorded_at, wall_clock=wall_clock)

    def _boundary(self, judged: Sequence[SubjectVerdict]) -> tuple[str, tuple[str, ...]]:
        cloud = any(verdict.role == "gateway" for verdict in judged)
        return boundary_in_words(judged), (_CLOUD_GAP, *_GAPS) if cloud else _GAPS


def _recorded_request(report: SavedReport) -> NearAsked | Problem:
    """The report request of a saved session; what it asked for is read from its URL.

    Where the file holds none, the flow asks as it would live, and the replay answers that nothing was recorded. A
    request to a host that is not NEAR's, or several that could be meant, are a MALFORMED `Problem`.
    """
    asked: dict[str, NearAsked] = {}
    answers: dict[str, list[Response]] = {}
    for exchange in report.exchanges:
        url, response = exchange.request.url, exchange.response
        if exchange.request.method != "GET" or not _path_of(url).endswith("/attestation/report"):
            continue
        try:
            asked[url] = asked_from_url(url)
        except FormatError as error:
            return Problem(kind=ProblemKind.MALFORMED, code=error.code, detail=str(error), where="request")
        found = answers.setdefault(url, [])
        if response.status == 200 and response not in found:  # other statuses are outages, after which one asks again
            found.append(response)
    if not asked:
        return _asked_by_default(report)
    ours = [one for one in asked.values() if one.nonce == report.nonce] or list(asked.values())
    if len(ours) == 1 and len(answers[ours[0].url]) <= 1:
        return ours[0]
    detail = "the saved report holds several NEAR reports that could be meant, exactly one was expected"
    return Problem(kind=ProblemKind.MALFORMED, code="report_ambiguous", detail=detail, where="request")


def _asked_by_default(report: SavedReport) -> NearAsked:
    return asked_from_url(near_url("completions.near.ai", model=report.model, nonce=report.nonce))


def _session_without_report(problem: Problem, report: SavedReport) -> NearSession:
    asked = _asked_by_default(report)
    records = read_records(problem, asked, report.model)
    return NearSession(
        asked=asked,
        nonce=report.nonce,
        model=report.model,
        report=problem,
        records=records,
        quotes={record.id: problem for record in records},
        endorsements={},
    )


def _path_of(url: str) -> str:
    """Path of a URL; empty when it cannot be read."""
    try:
        return urlsplit(url).path
    except ValueError:
        return ""
