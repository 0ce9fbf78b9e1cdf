"""The requests of a Chutes session: model to chute, keys and evidence, then all endorsements in one batch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType

from ..claims.problem import Problem, ProblemKind
from ..crypto.dcap import pck_platform
from ..endorsements.answers import good_answer
from ..endorsements.intel_pcs import intel_requests
from ..endorsements.nvidia_nras import nras_requests
from ..errors import FormatError
from ..flow import Answer, Flow, Request
from ..formats.encodings import decode_base64
from ..formats.strict_json import JsonValue
from ..formats.tdx_quote import TdxQuote, parse_quote
from ..limits import MAX_QUOTE, MAX_REPORT_BODY
from .chutes_claims import ChutesSession, signed_nonce
from .chutes_wire import LLM, ChutesAsked, ChutesRecord, chute_of_model, evidence_url, instances_url, read_instances

__all__ = ["attestation_flow", "chute_flow", "endorsed", "report_body", "unusable_session"]


def chute_flow(model: str, headers: Mapping[str, str]) -> Flow[str | Problem]:
    """Ask which chute serves a model."""
    request = Request(method="GET", url=f"{LLM}/v1/models", headers=_headers(headers), limit=MAX_REPORT_BODY)
    (answer,) = yield (request,)
    body = report_body(answer, "the list of models")
    return body if isinstance(body, Problem) else chute_of_model(body, model)


def attestation_flow(
    asked: ChutesAsked,
    *,
    nonce: bytes,
    model: str,
    with_nras: bool,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Flow[ChutesSession]:
    """The keys and the evidence of all instances, then all endorsements.

    ``headers`` go to Chutes and to nobody else. Keys are asked for first, as the instances are a sample.
    """
    shown, evidence = yield (
        Request(method="GET", url=instances_url(asked.chute), headers=_headers(headers), limit=MAX_REPORT_BODY),
        Request(method="GET", url=evidence_url(asked.chute, nonce), headers=_headers(headers), limit=MAX_REPORT_BODY),
    )
    keys, proven = report_body(shown, "the list of keys"), report_body(evidence, "the evidence")
    return (yield from endorsed(asked, read_instances(keys, proven), nonce=nonce, model=model, with_nras=with_nras))


def endorsed(
    asked: ChutesAsked, records: tuple[ChutesRecord, ...], *, nonce: bytes, model: str, with_nras: bool
) -> Flow[ChutesSession]:
    """Ask for the endorsements of all instances in one batch."""
    quotes = {record.id: _quote(record) for record in records}
    plan = _endorsement_plan(records, quotes, nonce, with_nras=with_nras)
    answers: tuple[Answer, ...] = (yield tuple(plan.values())) if plan else ()
    return ChutesSession(
        asked=asked,
        nonce=nonce,
        model=model,
        problem=None,
        records=records,
        quotes=quotes,
        endorsements=dict(zip(plan, answers, strict=True)),
    )


def unusable_session(problem: Problem, *, nonce: bytes, model: str) -> ChutesSession:
    """A session that could not even be asked for."""
    record = ChutesRecord(id="instance", members={}, key=None)
    return ChutesSession(
        asked=ChutesAsked(chute="", nonce=nonce),
        nonce=nonce,
        model=model,
        problem=problem,
        records=(record,),
        quotes={record.id: problem},
        endorsements={},
    )


def _headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {"Accept": "application/json", **headers}


def report_body(answer: Answer, what: str) -> bytes | Problem:
    """The body of a good answer, or an UNAVAILABLE Problem."""
    good = good_answer(answer, what=what, where="report")
    return good if isinstance(good, Problem) else good.body


def _quote(record: ChutesRecord) -> TdxQuote | Problem:
    value, what = record.members.get("quote"), f"the quote of {record.id}"
    if value is None or value == "":
        return Problem(kind=ProblemKind.ABSENT, code="quote_missing", detail=f"{what} is missing", where="quote")
    try:
        return parse_quote(decode_base64(value, what=what, limit=MAX_QUOTE))
    except FormatError as error:
        return Problem(kind=ProblemKind.MALFORMED, code=error.code, detail=str(error), where="quote")


def _endorsement_plan(
    records: tuple[ChutesRecord, ...], quotes: Mapping[str, TdxQuote | Problem], nonce: bytes, *, with_nras: bool
) -> dict[str, Request]:
    platforms = (pck_platform(quote.raw) for quote in quotes.values() if not isinstance(quote, Problem))
    plan = intel_requests(platform for platform in platforms if platform is not None)
    for record in records:
        half, entries = signed_nonce(record, nonce), record.members.get("gpu_evidence")
        if with_nras and not isinstance(half, Problem) and isinstance(entries, list) and entries:
            plan |= nras_requests(record.id, _nras_payload(half, entries))
    return plan


def _nras_payload(half: bytes, entries: list[JsonValue]) -> bytes:
    """The evidence with the nonce that these devices really signed, and nothing else that the sender put beside it."""
    labels = [entry.get("arch") for entry in entries if isinstance(entry, dict)]
    arch = next((label for label in labels if isinstance(label, str)), "HOPPER")
    named = ("certificate", "evidence", "arch")
    sent = [{name: entry[name] for name in named if name in entry} for entry in entries if isinstance(entry, dict)]
    document = {"nonce": half.hex(), "evidence_list": sent, "arch": arch}
    return json.dumps(document, separators=(",", ":"), ensure_ascii=True).encode("ascii")
