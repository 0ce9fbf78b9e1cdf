"""Records of dstack reports: what was asked, and the attesting environments that an answer shows.

The form is vllm-proxy's (``GET /v1/attestation/report``). NEAR AI serves a kin of it, NanoGPT and Venice pass one on.
Algorithm and REPORTDATA form follow from the request, never from the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from attrs import field, frozen

from ..claims.problem import Problem, ProblemKind
from ..errors import FormatError
from ..formats.strict_json import JsonValue, json_digest, loads
from ..limits import MAX_MODELS, MAX_REPORT_BODY

__all__ = [
    "ReportAsked",
    "ReportRecord",
    "distinct_records",
    "model_record",
    "read_report",
    "record_members",
    "with_copies",
]

_COMPANIONS: Final = frozenset(
    {"all_attestations", "compose_manager_attestation", "ohttp_key_config", "ohttp_attestation"}
)
"""Members of a report that its copies in all_attestations do not have."""


@frozen(kw_only=True)
class ReportAsked:
    """What one report request asked for.

    ``origin`` is scheme and host; ``nonce`` is 32 bytes, a Problem where the request carried none; ``algorithm`` is
    ``ed25519`` or ``ecdsa``. ``channel_role`` is the role of the machine at which the connection ends, None where that
    is a front outside of any TEE. ``prefixed_keys`` says that ecdsa keys may carry the prefix 04.
    """

    url: str
    origin: str
    nonce: bytes | Problem
    algorithm: str | Problem
    tls_bound: bool
    channel_role: str | None
    prefixed_keys: bool = False


@frozen(kw_only=True)
class ReportRecord:
    """One attesting environment of a report, its members as they came.

    ``ohttp`` holds the members ``ohttp_attestation`` and ``ohttp_key_config`` that belong to this record; ``has_gpus``
    says that GPU evidence is expected in it.
    """

    id: str
    role: str
    members: Mapping[str, JsonValue] = field(repr=False)
    problems: tuple[Problem, ...] = ()
    ohttp: Mapping[str, JsonValue] = field(factory=dict, repr=False)
    compose_manager: ReportRecord | None = None
    has_gpus: bool = False


def read_report(body: bytes) -> Mapping[str, JsonValue] | Problem:
    """The report as a JSON object."""
    try:
        document = loads(body, what="the attestation report", limit=MAX_REPORT_BODY)
        if not isinstance(document, dict):
            raise FormatError("report_shape", "the attestation report is not a JSON object")
    except FormatError as error:
        return Problem(kind=ProblemKind.MALFORMED, code=error.code, detail=str(error), where="report")
    return document


def with_copies(record: JsonValue) -> list[JsonValue]:
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
    known = {json_digest(bare), json_digest(own)}
    return [record, *(copy for copy in copies if json_digest(copy) not in known)]


def distinct_records(entries: Sequence[JsonValue]) -> list[JsonValue]:
    """Every entry, with every copy of it that is not just a copy, each once."""
    found: dict[bytes, JsonValue] = {}
    for entry in entries:
        for record in with_copies(entry):
            found.setdefault(json_digest(record), record)
    return list(found.values())


def model_record(
    entry: JsonValue,
    index: int,
    problems: Sequence[Problem] = (),
    *,
    with_ohttp: bool = True,
    role: str = "model",
) -> ReportRecord:
    """A record of the given role, with its compose-manager where it shows one; ``index`` counts from 0."""
    members, own = record_members(entry, f"the {role} record")
    suffix = f":{index + 1}" if index else ""
    compose_manager = None
    if members.get("compose_manager_attestation") is not None:
        inner, inner_problems = record_members(members["compose_manager_attestation"], "compose_manager_attestation")
        compose_manager = ReportRecord(
            id=f"compose_manager{suffix}", role="compose_manager", members=inner, problems=inner_problems
        )
    return ReportRecord(
        id=f"{role}{suffix}",
        role=role,
        members=members,
        problems=(*own, *problems),
        ohttp=ohttp_members(members) if with_ohttp else {},
        compose_manager=compose_manager,
        has_gpus=role == "model" or members.get("nvidia_payload") not in (None, ""),
    )


def ohttp_members(members: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    """What a record says about Oblivious HTTP."""
    return {name: members[name] for name in ("ohttp_attestation", "ohttp_key_config") if members.get(name) is not None}


def record_members(value: JsonValue, what: str) -> tuple[Mapping[str, JsonValue], tuple[Problem, ...]]:
    """The members of a record, and the Problem where it is missing or no object."""
    if isinstance(value, dict) and value:
        return value, ()
    kind = ProblemKind.ABSENT if value in (None, {}) else ProblemKind.MALFORMED
    detail = f"{what} is missing or is not an object"
    return {}, (Problem(kind=kind, code="record_missing", detail=detail, where="report"),)
