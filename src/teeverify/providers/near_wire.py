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

from attrs import field, frozen

from ..claims.problem import Problem, ProblemKind
from ..errors import FormatError
from ..formats.encodings import decode_hex
from ..formats.strict_json import JsonValue, loads, same_json
from ..limits import MAX_MODELS, MAX_REPORT_BODY

__all__ = [
    "CLOUD_HOST",
    "NearAsked",
    "NearRecord",
    "asked_from_url",
    "default_url",
    "near_url",
    "read_records",
    "read_report",
]

CLOUD_HOST: Final = "cloud-api.near.ai"
_PATH: Final = "/v1/attestation/report"
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST: Final = re.compile(rf"(?:{_LABEL}\.)+near\.ai\Z")
_COMPANIONS: Final = frozenset(
    {"all_attestations", "compose_manager_attestation", "ohttp_key_config", "ohttp_attestation"}
)
"""Members of a direct report that its copies in all_attestations do not have."""


@frozen(kw_only=True)
class NearAsked:
    """What one report request asked for.

    ``nonce`` is 32 bytes, a Problem where the request carried none; ``model`` is the model that the URL names (cloud
    shape only); ``algorithm`` is ``ed25519`` or ``ecdsa``.
    """

    url: str
    host: str
    cloud: bool
    model: str | None
    nonce: bytes | Problem
    algorithm: str | Problem
    tls_bound: bool

    @property
    def origin(self) -> str:
        """Scheme and host."""
        return f"https://{self.host}"


@frozen(kw_only=True)
class NearRecord:
    """One attesting environment of a report, its members as they came.

    ``ohttp`` holds the members ``ohttp_attestation`` and ``ohttp_key_config`` that belong to this record.
    """

    id: str
    role: str
    members: Mapping[str, JsonValue] = field(repr=False)
    problems: tuple[Problem, ...] = ()
    ohttp: Mapping[str, JsonValue] = field(factory=dict, repr=False)
    compose_manager: NearRecord | None = None


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


def read_report(body: bytes) -> Mapping[str, JsonValue] | Problem:
    """The report as a JSON object."""
    try:
        document = loads(body, what="the attestation report", limit=MAX_REPORT_BODY)
        if not isinstance(document, dict):
            raise FormatError("report_shape", "the attestation report is not a JSON object")
    except FormatError as error:
        return Problem(kind=ProblemKind.MALFORMED, code=error.code, detail=str(error), where="report")
    return document


def read_records(document: Mapping[str, JsonValue] | Problem, asked: NearAsked, model: str) -> tuple[NearRecord, ...]:
    """All attesting environments of a report, in the order gateway, model, compose-manager.

    What should be there and is not comes back as a record with a Problem, so it can fail.
    """
    if isinstance(document, Problem):
        roles = ("gateway", "model") if asked.cloud else ("model",)
        return tuple(NearRecord(id=role, role=role, members={}, problems=(document,)) for role in roles)
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
    return (gateway, NearRecord(id="model", role="model", members={}, problems=problems))


def _model_records(entries: Sequence[JsonValue], model: str, named: tuple[Problem, ...]) -> tuple[NearRecord, ...]:
    """Every record of a model machine, each with its compose-manager, and every copy that is not just a copy."""
    distinct: list[JsonValue] = []
    for entry in entries:
        for found in _with_copies(entry):
            if not any(same_json(found, known) for known in distinct):
                distinct.append(found)
    records = [_model_record(entry, model, index, named) for index, entry in enumerate(distinct)]
    return tuple(part for record in records for part in (record, record.compose_manager) if part is not None)


def _named_model(asked: NearAsked, model: str) -> tuple[Problem, ...]:
    if asked.model is None or asked.model == model:
        return ()
    detail = f"the report was asked for model {asked.model[:100]!r}, the verdict is for {model[:100]!r}"
    return (_problem(ProblemKind.INVALID, "other_model", detail),)


def _with_copies(record: JsonValue) -> list[JsonValue]:
    """A record, and every entry of its ``all_attestations`` that says anything else than the record itself.

    A copy may leave the companions out, and then repeats all the rest.
    """
    if not isinstance(record, dict) or "all_attestations" not in record:
        return [record]
    copies = record["all_attestations"]
    if not isinstance(copies, list) or len(copies) > MAX_MODELS:
        return [record, None]
    own = {name: value for name, value in record.items() if name != "all_attestations"}
    bare = {name: value for name, value in own.items() if name not in _COMPANIONS}
    return [record, *(copy for copy in copies if not (same_json(copy, bare) or same_json(copy, own)))]


def _gateway_record(document: Mapping[str, JsonValue]) -> NearRecord:
    members, problems = _members(document.get("gateway_attestation"), "gateway_attestation")
    return NearRecord(id="gateway", role="gateway", members=members, problems=problems, ohttp=_ohttp(document))


def _model_record(entry: JsonValue, model: str, index: int, named: tuple[Problem, ...]) -> NearRecord:
    members, problems = _members(entry, "the model record")
    stated = members.get("model_name")
    if members and stated != model:
        detail = f"the record is for model {str(stated)[:100]!r}, {model[:100]!r} was asked for"
        problems = (*problems, _problem(ProblemKind.INVALID, "other_model", detail))
    suffix = f":{index + 1}" if index else ""
    compose_manager = None
    if members.get("compose_manager_attestation") is not None:
        inner, inner_problems = _members(members["compose_manager_attestation"], "compose_manager_attestation")
        compose_manager = NearRecord(
            id=f"compose_manager{suffix}", role="compose_manager", members=inner, problems=inner_problems
        )
    return NearRecord(
        id=f"model{suffix}",
        role="model",
        members=members,
        problems=(*problems, *named),
        ohttp=_ohttp(members),
        compose_manager=compose_manager,
    )


def _ohttp(members: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    return {name: members[name] for name in ("ohttp_attestation", "ohttp_key_config") if members.get(name) is not None}


def _members(value: JsonValue, what: str) -> tuple[Mapping[str, JsonValue], tuple[Problem, ...]]:
    if isinstance(value, dict) and value:
        return value, ()
    kind = ProblemKind.ABSENT if value in (None, {}) else ProblemKind.MALFORMED
    return {}, (_problem(kind, "record_missing", f"{what} is missing or is not an object"),)


def _problem(kind: ProblemKind, code: str, detail: str) -> Problem:
    return Problem(kind=kind, code=code, detail=detail, where="report")
