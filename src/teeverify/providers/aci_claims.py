"""From an ACI session to subjects with claims: dstack evidence as everywhere, and the keyset bound by the quote."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import attrs
from attrs import frozen

from ..claims.aci import AciClaims
from ..claims.binding import BindingClaims
from ..claims.problem import Problem, ProblemKind
from ..claims.subject import Subject
from ..derivation.aci import derive_custody
from ..errors import FormatError
from ..flow import Flow, Response
from ..formats.aci_keyset import Keyset, parse_keyset, statement_digest
from ..formats.encodings import decode_hex
from ..formats.strict_json import JsonValue
from ..roots import TrustRoots
from .aci_wire import aci_records, host_of
from .report_claims import ReportSession, derive_subjects
from .report_flow import collected, uncollected
from .report_records import ReportAsked

__all__ = ["AciReport", "aci_collected", "aci_uncollected", "derive_aci_subjects", "serving_of"]

_LAYOUT: Final = "hash of the keyset's digest and our nonce"


@frozen(kw_only=True)
class AciReport:
    """One collected session: its dstack half, and the document (empty where there is none)."""

    session: ReportSession
    document: Mapping[str, JsonValue]


def aci_collected(
    document: Mapping[str, JsonValue] | Problem,
    report: Response | Problem,
    asked: ReportAsked,
    *,
    provider: str,
    nonce: bytes,
    model: str,
) -> Flow[AciReport]:
    """Take an ACI report apart and ask for what endorses its quote, in one batch.

    For every verifier that may be shown such a report: ``asked`` is what its own request asked for, and ``report`` the
    answer that carried the document.
    """
    records = aci_records(document)
    session = yield from collected(asked, report, records, provider=provider, nonce=nonce, model=model, with_nras=False)
    return AciReport(session=session, document={} if isinstance(document, Problem) else document)


def aci_uncollected(problem: Problem, asked: ReportAsked, *, provider: str, nonce: bytes, model: str) -> AciReport:
    """A session whose report could not even be asked for."""
    session = uncollected(problem, asked, aci_records(problem), provider=provider, nonce=nonce, model=model)
    return AciReport(session=session, document={})


def derive_aci_subjects(
    report: AciReport, *, roots: TrustRoots, at: datetime, recorded_at: datetime | None, wall_clock: datetime
) -> tuple[Subject, ...]:
    """The one subject of an ACI session; never raises."""
    plain = derive_subjects(report.session, roots=roots, at=at, recorded_at=recorded_at, wall_clock=wall_clock)
    return tuple(_with_aci(subject, report) for subject in plain)


def _with_aci(subject: Subject, report: AciReport) -> Subject:
    document, attestation = report.document, _object(report.document, "attestation")
    keyset = _keyset(attestation.get("workload_keyset"))
    statement = keyset if isinstance(keyset, Problem) else statement_digest(keyset.digest, report.session.nonce)
    stated = document.get("workload_keyset_digest")
    dstack = subject.dstack
    identity = None if dstack is None else dstack.identity
    app_id = (
        _absent("event_log") if identity is None else identity if isinstance(identity, Problem) else identity.app_id
    )
    return attrs.evolve(
        subject,
        shape="aci",
        binding=_binding(subject, report, statement),
        aci=AciClaims(
            keyset=keyset,
            stated_digest=stated if isinstance(stated, str) else _absent("workload_keyset_digest"),
            statement_digest=statement,
            stated_report_data=_hex(attestation, "report_data", 32),
            custody=derive_custody(_object(attestation, "evidence").get("key_custody"), app_id),
            host=host_of(report.session.asked.origin),
            serving=serving_of(document),
        ),
    )


def _binding(subject: Subject, report: AciReport, statement: bytes | Problem) -> BindingClaims:
    """The layout of ACI in place of the one that a vllm-proxy's record has."""
    shown = _object(_object(report.document, "attestation"), "evidence")
    return BindingClaims(
        nonce=report.session.nonce,
        asked_nonce=report.session.asked.nonce,
        report_data=subject.binding.report_data,
        stated_report_data=_hex(shown, "quote_report_data", 64) if shown.get("quote_report_data") is not None else None,
        first_half=statement,
        fresh_first_half=statement,
        second_half=bytes(32),
        second_layout="32 zero bytes that stand behind the statement",
        layout=_LAYOUT,
    )


def _keyset(value: JsonValue) -> Keyset | Problem:
    if value is None:
        return _absent("workload_keyset")
    try:
        return parse_keyset(value)
    except FormatError as error:
        return Problem(kind=ProblemKind.MALFORMED, code=error.code, detail=str(error), where="workload_keyset")


def serving_of(document: Mapping[str, JsonValue]) -> str:
    """``direct`` where the report says so; everything else is an aggregator (Appendix B)."""
    return "direct" if _object(document, "service_capabilities").get("serving") == "direct" else "aggregator"


def _object(members: Mapping[str, JsonValue], name: str) -> Mapping[str, JsonValue]:
    value = members.get(name)
    return value if isinstance(value, dict) else {}


def _hex(members: Mapping[str, JsonValue], name: str, size: int) -> bytes | Problem:
    if members.get(name) is None:
        return _absent(name)
    try:
        return decode_hex(members[name], what=name, size=size)
    except FormatError as error:
        return Problem(kind=ProblemKind.MALFORMED, code=error.code, detail=str(error), where=name)


def _absent(name: str) -> Problem:
    return Problem(kind=ProblemKind.ABSENT, code="member_missing", detail=f"{name} is missing", where=name)
