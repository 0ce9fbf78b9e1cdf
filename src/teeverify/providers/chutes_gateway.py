"""Chutes' evidence as gateways wrap it (RedPill, NanoGPT): one report with all instances, under a nonce of their own.

The judgement is the one for Chutes itself. These gateways have been seen to choose the nonce themselves; as far as a
client can tell, such a report is a replay, and freshness.nonce_bound fails, whatever the envelope says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..claims.problem import Problem, ProblemKind
from ..errors import FormatError
from ..formats.encodings import decode_hex
from ..formats.strict_json import JsonValue
from ..limits import MAX_INSTANCES
from .chutes_wire import ChutesRecord, is_chute_id

__all__ = ["is_wrapped", "read_wrapped"]


def is_wrapped(document: Mapping[str, JsonValue]) -> bool:
    """True for a report that says of itself that it wraps evidence of Chutes."""
    return document.get("attestation_type") == "chutes"


def read_wrapped(document: Mapping[str, JsonValue]) -> tuple[ChutesRecord, ...]:
    """Every instance of a wrapped report; never empty."""
    entries = document.get("all_attestations")
    if entries in (None, []):
        return (_nothing(ProblemKind.ABSENT, "instances_missing", "the report holds no instance"),)
    if not isinstance(entries, list) or len(entries) > MAX_INSTANCES or not all(isinstance(e, dict) for e in entries):
        detail = f"all_attestations is not a list of at most {MAX_INSTANCES} objects"
        return (_nothing(ProblemKind.MALFORMED, "instances_shape", detail),)
    outer = _nonce(document, "the nonce of the report")
    return tuple(_record(entry, entries, outer, index) for index, entry in enumerate(entries))


def _record(
    entry: Mapping[str, JsonValue], entries: Sequence[Mapping[str, JsonValue]], outer: bytes | Problem, index: int
) -> ChutesRecord:
    name = entry.get("instance_id")
    problems: list[Problem] = []
    known = isinstance(name, str) and is_chute_id(name)
    if not known:
        problems.append(_problem(ProblemKind.MALFORMED, "instance_id", "instance_id is not a UUID in lower case"))
    elif sum(other.get("instance_id") == name for other in entries) > 1:
        problems.append(_problem(ProblemKind.MALFORMED, "instance_twice", "the same instance id occurs twice"))
    first = next((place for place, other in enumerate(entries) if other.get("instance_id") == name), index)
    shown = f"instance:{name}" if known else "instance:unnamed"
    return ChutesRecord(
        id=shown if known and first == index else f"{shown}:{index + 1}",
        members={**entry, "quote": entry.get("intel_quote")},
        key=entry.get("e2e_pubkey"),
        problems=tuple(problems),
        wrapped=(_nonce(entry, "the nonce of the instance"), outer),
    )


def _nonce(members: Mapping[str, JsonValue], what: str) -> bytes | Problem:
    try:
        return decode_hex(members.get("nonce"), what=what, size=32)
    except FormatError as error:
        return _problem(ProblemKind.MALFORMED, error.code, str(error))


def _nothing(kind: ProblemKind, code: str, detail: str) -> ChutesRecord:
    return ChutesRecord(id="instance", members={}, key=None, problems=(_problem(kind, code, detail),))


def _problem(kind: ProblemKind, code: str, detail: str) -> Problem:
    return Problem(kind=kind, code=code, detail=detail, where="report")
