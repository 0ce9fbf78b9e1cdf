"""NEAR AI on the wire: what was asked, and the records inside an attestation report.

Two shapes exist. A model host (``*.near.ai``) answers for its own virtual machine; the gateway ``cloud-api.near.ai``
answers with its own record and those of the model machines behind it. The shape, the signing algorithm and the
REPORTDATA form follow from the request, never from the answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit

from attrs import frozen

from ..claims.problem import Problem, ProblemKind
from ..errors import FormatError
from ..formats.encodings import decode_hex
from ..formats.strict_json import JsonValue
from ..limits import MAX_MODELS
from .report_records import (
    ReportAsked,
    ReportRecord,
    distinct_records,
    model_record,
    ohttp_members,
    read_report,
    record_members,
)

__all__ = [
    "CLOUD_HOST",
    "NearAsked",
    "asked_from_url",
    "default_url",
    "near_url",
    "read_records",
]

CLOUD_HOST: Final = "cloud-api.near.ai"
_PATH: Final = "/v1/attestation/report"
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST: Final = re.compile(rf"(?:{_LABEL}\.)+near\.ai\Z")


@frozen(kw_only=True)
class NearAsked(ReportAsked):
    """What one report request to NEAR asked for.

    ``model`` is the model that the URL names (cloud shape only).
    """

    host: str
    cloud: bool
    model: str | None


def near_url(host: str, *, model: str, nonce: bytes, algorithm: str = "ed25519", tls_bound: bool = True) -> str:
    """URL of a report request; ``nonce`` is 32 bytes. The cloud host is told the model, a model host is not."""
    parameters = {"nonce": nonce.hex(), "signing_algo": algorithm}
    if tls_bound:
        parameters["include_tls_fingerprint"] = "true"
    if host == CLOUD_HOST:
        parameters["model"] = model
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in sorted(parameters.items()))
    return f"https://{host}{_PATH}?{query}"


def default_url(body: bytes, *, model: str, nonce: bytes) -> str:
    """URL that this library would have asked for a bare answer: ed25519, TLS-bound.

    The shape is taken from the answer here, for want of a URL. That decides nothing: in either shape the connection's
    key has to be known, and a record of the other shape lacks what the role demands.
    """
    document = read_report(body)
    cloud = isinstance(document, Mapping) and "gateway_attestation" in document
    return near_url(CLOUD_HOST if cloud else "completions.near.ai", model=model, nonce=nonce)


def asked_from_url(url: str) -> NearAsked:
    """Read what a report request asked for out of its URL.

    Raises:
        FormatError: ``not_near_request`` when the URL is not a report request to a host of near.ai.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True, max_num_fields=32)
    except ValueError:
        raise FormatError("not_near_request", "the report's URL cannot be read") from None
    host = parts.netloc.lower()
    if parts.scheme != "https" or port is not None or parts.path != _PATH or parts.fragment or not _HOST.match(host):
        raise FormatError("not_near_request", f"a request to {host[:100]!r} is no report request to a host of near.ai")
    query = dict(pairs)
    if len(query) != len(pairs):
        raise FormatError(
            "not_near_request", "the report's URL repeats a query parameter, so what was asked is unclear"
        )
    cloud = host == CLOUD_HOST
    return NearAsked(
        url=url,
        origin=f"https://{host}",
        channel_role="gateway" if cloud else "model",
        host=host,
        cloud=cloud,
        model=query.get("model") if cloud else None,
        nonce=_asked_nonce(query.get("nonce")),
        algorithm=_asked_algorithm(query.get("signing_algo"), cloud=cloud),
        tls_bound=query.get("include_tls_fingerprint") == "true",
    )


def _asked_nonce(text: str | None) -> bytes | Problem:
    try:
        return decode_hex(text, what="the nonce of the report request", size=32)
    except FormatError as error:
        return Problem(kind=ProblemKind.INVALID, code="no_client_nonce", detail=str(error), where="request")


def _asked_algorithm(text: str | None, *, cloud: bool) -> str | Problem:
    if text in ("ed25519", "ecdsa"):
        return text
    if text is None and not cloud:
        return "ecdsa"  # the default of model hosts; the gateway's default has changed over time
    detail = "the report request did not name a signing algorithm that is known"
    return Problem(kind=ProblemKind.UNAVAILABLE, code="algorithm_not_asked", detail=detail, where="request")


def read_records(document: Mapping[str, JsonValue] | Problem, asked: NearAsked, model: str) -> tuple[ReportRecord, ...]:
    """All attesting environments of a report, in the order gateway, model, compose-manager.

    What should be there and is not comes back as a record with a Problem, so it can fail.
    """
    if isinstance(document, Problem):
        roles = ("gateway", "model") if asked.cloud else ("model",)
        return tuple(
            ReportRecord(id=role, role=role, members={}, problems=(document,), has_gpus=role == "model")
            for role in roles
        )
    named = _named_model(asked, model)
    if not asked.cloud:
        return _model_records([document], model, named)
    gateway = _gateway_record(document)
    entries = document.get("model_attestations")
    if isinstance(entries, list) and 0 < len(entries) <= MAX_MODELS:
        return (gateway, *_model_records(entries, model, named))
    kind = ProblemKind.ABSENT if entries in (None, []) else ProblemKind.MALFORMED
    detail = f"the gateway's report does not hold 1 to {MAX_MODELS} records of model machines"
    problems = (_problem(kind, "model_missing", detail), *named)
    return (gateway, ReportRecord(id="model", role="model", members={}, problems=problems, has_gpus=True))


def _model_records(entries: Sequence[JsonValue], model: str, named: tuple[Problem, ...]) -> tuple[ReportRecord, ...]:
    """Every record of a model machine, each with its compose-manager, and every copy that is not just a copy."""
    records = [_model_record(entry, model, index, named) for index, entry in enumerate(distinct_records(entries))]
    return tuple(part for record in records for part in (record, record.compose_manager) if part is not None)


def _named_model(asked: NearAsked, model: str) -> tuple[Problem, ...]:
    if asked.model is None or asked.model == model:
        return ()
    detail = f"the report was asked for model {asked.model[:100]!r}, the verdict is for {model[:100]!r}"
    return (_problem(ProblemKind.INVALID, "other_model", detail),)


def _gateway_record(document: Mapping[str, JsonValue]) -> ReportRecord:
    members, problems = record_members(document.get("gateway_attestation"), "gateway_attestation")
    return ReportRecord(id="gateway", role="gateway", members=members, problems=problems, ohttp=ohttp_members(document))


def _model_record(entry: JsonValue, model: str, index: int, named: tuple[Problem, ...]) -> ReportRecord:
    stated = entry.get("model_name") if isinstance(entry, dict) else model
    problems = named
    if entry and stated != model:
        detail = f"the record is for model {str(stated)[:100]!r}, {model[:100]!r} was asked for"
        problems = (_problem(ProblemKind.INVALID, "other_model", detail), *named)
    return model_record(entry, index, problems)


def _problem(kind: ProblemKind, code: str, detail: str) -> Problem:
    return Problem(kind=kind, code=code, detail=detail, where="report")
