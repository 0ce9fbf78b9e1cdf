"""One session with a report endpoint: the report, the shape that it turned out to have, and its endorsements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, TypeAlias

import attrs
from attrs import frozen

from ..claims.problem import Problem, ProblemKind
from ..claims.subject import Subject
from ..endorsements.answers import good_answer
from ..flow import Flow, Request
from ..formats.strict_json import JsonValue
from ..limits import MAX_MODELS, MAX_REPORT_BODY
from ..roots import TrustRoots
from .aci_claims import AciReport, aci_collected, derive_aci_subjects
from .chutes_claims import ChutesSession
from .chutes_claims import derive_subjects as derive_instances
from .chutes_flow import endorsed
from .chutes_gateway import read_wrapped
from .chutes_wire import ChutesAsked
from .front_wire import Front, FrontAsked, shape_of
from .report_claims import ReportSession
from .report_claims import derive_subjects as derive_machines
from .report_flow import collected, uncollected
from .report_records import ReportRecord, distinct_records, model_record, read_report, record_members

__all__ = ["FrontSession", "derive_subjects", "session_flow", "unusable_session"]

_TWICE: Final = (("quote", "intel_quote"), ("signing_key", "signing_public_key"), ("nonce", "request_nonce"))
"""Members that some builds show a second time; a reader may take either, so they have to agree."""

Inner: TypeAlias = ReportSession | ChutesSession | AciReport


@frozen(kw_only=True)
class FrontSession:
    """What a session collected.

    ``shape`` is ``dstack``, ``near``, ``chutes`` or ``aci``, None where no report could be read. ``problems`` are those
    of the request that no record could carry.
    """

    shape: str | None
    inner: Inner
    problems: tuple[Problem, ...] = ()


def session_flow(
    asked: FrontAsked, *, front: Front, nonce: bytes, model: str, with_nras: bool, headers: Mapping[str, str]
) -> Flow[FrontSession]:
    """The report, then all endorsements in one batch. ``headers`` go with the report request and to nobody else."""
    provider = front.provider
    request = Request(
        method="GET",
        url=asked.url,
        headers={"Accept": "application/json", "Accept-Encoding": "identity", **headers},
        limit=MAX_REPORT_BODY,
    )
    (answer,) = yield (request,)
    report = good_answer(answer, what="the attestation report", where="report")
    document = report if isinstance(report, Problem) else read_report(report.body)
    if isinstance(document, Problem) or isinstance(report, Problem):
        problem = document if isinstance(document, Problem) else report
        assert isinstance(problem, Problem)  # for the type checker
        return unusable_session(problem, asked, provider=provider, nonce=nonce, model=model)
    shape = shape_of(document)
    if shape not in front.shapes:
        return unusable_session(_unsupported(shape), asked, provider=provider, nonce=nonce, model=model)
    if shape == "chutes":
        behind = ChutesAsked(chute="", nonce=asked.nonce)
        named = _named(asked, model)
        records = tuple(attrs.evolve(one, problems=(*one.problems, *named)) for one in read_wrapped(document))
        session = yield from endorsed(behind, records, nonce=nonce, model=model, with_nras=with_nras)
        return FrontSession(shape=shape, inner=session)
    if shape == "aci":  # the connection ends in the gateway that such a report is about
        own = attrs.evolve(asked, channel_role="gateway")
        flow = aci_collected(document, report, own, provider=provider, nonce=nonce, model=model)
        return FrontSession(shape=shape, inner=(yield from flow), problems=_named(asked, model))
    machines = _machines(document, shape, asked, model)
    collecting = collected(asked, report, machines, provider=provider, nonce=nonce, model=model, with_nras=with_nras)
    return FrontSession(shape=shape, inner=(yield from collecting))


def unusable_session(problem: Problem, asked: FrontAsked, *, provider: str, nonce: bytes, model: str) -> FrontSession:
    """A session whose report could not be had or read."""
    records = (ReportRecord(id="model", role="model", members={}, problems=(problem,), has_gpus=True),)
    session = uncollected(problem, asked, records, provider=provider, nonce=nonce, model=model)
    return FrontSession(shape=None, inner=session)


def derive_subjects(
    session: FrontSession, *, roots: TrustRoots, at: datetime, recorded_at: datetime | None, wall_clock: datetime
) -> tuple[Subject, ...]:
    """The subjects of a session; never raises."""
    times = {"at": at, "recorded_at": recorded_at, "wall_clock": wall_clock}
    if isinstance(session.inner, ChutesSession):
        subjects = derive_instances(session.inner, roots=roots, **times)  # type: ignore[arg-type]
    elif isinstance(session.inner, AciReport):
        subjects = derive_aci_subjects(session.inner, roots=roots, **times)  # type: ignore[arg-type]
    else:
        subjects = derive_machines(session.inner, roots=roots, **times)  # type: ignore[arg-type]
    return tuple(
        attrs.evolve(subject, shape=session.shape, record=(*subject.record, *session.problems)) for subject in subjects
    )


def _machines(document: Mapping[str, JsonValue], shape: str, asked: FrontAsked, model: str) -> tuple[ReportRecord, ...]:
    named = _named(asked, model)
    if shape == "dstack":
        return _with_companions([document], [*named, *_named_inside(document, model)])
    members, problems = record_members(document.get("gateway_attestation"), "gateway_attestation")
    gateway = ReportRecord(id="gateway", role="gateway", members=members, problems=(*problems, *_twice(members)))
    entries = document.get("model_attestations")
    if isinstance(entries, list) and 0 < len(entries) <= MAX_MODELS:
        return (gateway, *_with_companions(entries, named))
    kind = ProblemKind.ABSENT if entries in (None, []) else ProblemKind.MALFORMED
    detail = f"the report does not hold 1 to {MAX_MODELS} records of model machines"
    missing = Problem(kind=kind, code="model_missing", detail=detail, where="report")
    return (gateway, ReportRecord(id="model", role="model", members={}, problems=(missing, *named), has_gpus=True))


def _with_companions(entries: Sequence[JsonValue], named: Sequence[Problem]) -> tuple[ReportRecord, ...]:
    """Every record, with its compose-manager and with every copy of it that is not just a copy."""
    result: list[ReportRecord] = []
    for index, entry in enumerate(distinct_records(entries)):
        problems = (*named, *(_twice(entry) if isinstance(entry, dict) else ()))
        record = model_record(entry, index, problems, with_ohttp=False)
        result += [record] if record.compose_manager is None else [record, record.compose_manager]
    return tuple(result)


def _twice(members: Mapping[str, JsonValue]) -> tuple[Problem, ...]:
    found = [
        (one, other)
        for one, other in _TWICE
        if members.get(one) is not None and members.get(other) is not None and not _alike(members[one], members[other])
    ]
    return tuple(
        Problem(
            kind=ProblemKind.MALFORMED,  # two programs would read two values; evidence.wellformed cannot be waived
            code="copies_differ",
            detail=f"{one} and {other} of the report differ, and both should be the same value",
            where="report",
        )
        for one, other in found
    )


def _alike(one: JsonValue, other: JsonValue) -> bool:
    return isinstance(one, str) and isinstance(other, str) and one.lower() == other.lower()


def _named(asked: FrontAsked, model: str) -> tuple[Problem, ...]:
    if asked.model == model:
        return ()
    return (_other_model(f"the report was asked for model {asked.model[:100]!r}, the verdict is for {model[:100]!r}"),)


def _named_inside(document: Mapping[str, JsonValue], model: str) -> tuple[Problem, ...]:
    """A front may say for which model it answers, under the name that it was asked by."""
    stated = document.get("model")
    if stated is None or stated == model:
        return ()
    return (_other_model(f"the report is for model {str(stated)[:100]!r}, {model[:100]!r} was asked for"),)


def _other_model(detail: str) -> Problem:
    return Problem(kind=ProblemKind.INVALID, code="other_model", detail=detail, where="report")


def _unsupported(shape: str) -> Problem:
    """A known shape that is not judged here leaves everything open; a report without any evidence is incomplete."""
    if shape == "unknown":
        detail = "the report shows no evidence of any kind that is known"
        return Problem(kind=ProblemKind.ABSENT, code="no_evidence", detail=detail, where="report")
    advice = "; AciVerifier judges such gateways" if shape == "aci" else ""
    detail = f"the report has the shape {shape!r}, which is not judged behind this front{advice}"
    return Problem(kind=ProblemKind.UNAVAILABLE, code="shape_not_supported", detail=detail, where="report")
