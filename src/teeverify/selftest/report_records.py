"""Alterations of the attestation report's records: every member, every field of the quotes, every certificate."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

import attrs

from ..formats.strict_json import JsonValue
from .alteration import Alteration
from .byte_changes import HEX, change_pem, pem_blocks
from .json_places import REMOVED, Path, get, holds_json, other_value, shape
from .quotes import other_signature, quote_alterations
from .report_event_logs import is_in_log, log_alterations
from .report_gpus import gpu_alterations
from .report_maker import ReportMaker
from .report_traffic import TEXT_MEMBERS
from .traffic import Record

__all__ = ["record_alterations"]

_OWN_MODULES: Final = frozenset({"nvidia_payload", "compose_manager_attestation", "all_attestations"})
"""Members with alterations of their own, or records of their own."""
_RECORDS: Final = frozenset({"gateway_attestation", "model_attestations"})
"""Members of the gateway's answer that are records; all others belong to the gateway's."""


def record_alterations(maker: ReportMaker) -> Iterator[Alteration]:
    """Everything inside the attestation report, record by record."""
    for record in maker.traffic.records:
        yield from _whole(maker, record)
        yield from _members(maker, record)
        yield from _quote(maker, record)
        yield from _app_certificate(maker, record)
        yield from log_alterations(maker, record)
        if record.role == "model":
            yield from gpu_alterations(maker, record)
            yield from _copies(maker, record)


def _whole(maker: ReportMaker, record: Record) -> Iterator[Alteration]:
    """The record itself, where it stands inside of something."""
    if not record.path:
        return
    for kind, new in (("removed", REMOVED), ("retyped", []), ("emptied", {})):
        yield maker.alteration(
            record.subject,
            "the whole record",
            kind,
            f"record.{record.role}",
            partial(maker.traffic.with_place, record.path, new),
        )


def _members(maker: ReportMaker, record: Record) -> Iterator[Alteration]:
    """Every member that has no alterations of its own, one of each shape."""
    seen: set[str] = set()
    for place, path, value in _own_nodes(maker, record):
        left_out = shape(path) in seen or (_as_whole(record, path) and len(path) > 1)
        if maker.every_leaf or not left_out:
            seen.add(shape(path))
            yield from _member(maker, place, path, value)


def _as_whole(record: Record, path: Path) -> bool:
    """The compose-manager's copy of the host's settings, which nothing reads."""
    return record.role == "compose_manager" and path[0] == "vm_config"


def _own_nodes(maker: ReportMaker, record: Record) -> Iterator[tuple[Record, Path, JsonValue]]:
    """Members of the record, then those that stand beside the gateway's record and belong to it."""
    for path, value in maker.traffic.nodes_of(record.path):
        if path[0] not in _OWN_MODULES and not is_in_log(path):
            yield record, path, value
    if record.role == "gateway":
        beside = attrs.evolve(record, path=())
        for path, value in maker.traffic.nodes_of(()):
            if path[0] not in _RECORDS:
                yield beside, path, value


def _member(maker: ReportMaker, record: Record, path: Path, value: JsonValue) -> Iterator[Alteration]:
    container = isinstance(value, dict | list)
    unsigned = path[-1] == "ohttp_key_config" and "ohttp_attestation" not in get(maker.traffic.body, record.path)
    of = ":unsigned" if unsigned else ""
    own = path[-1] == "app_cert" or path == (_quote_name(record),)  # changed field by field of what they encode
    by_part = own or (path[-1] in TEXT_MEMBERS and holds_json(value) and not _as_whole(record, path))
    if not container and not by_part:
        yield maker.in_record(record, path, "changed", other_value, of=of)
    if len(path) > 1 and not (container or by_part or maker.every_leaf):
        return
    yield maker.in_record(record, path, "removed", REMOVED, of=of)
    if maker.every_leaf or container or by_part:
        yield maker.in_record(record, path, "retyped", lambda old: [old], of=of)
    if maker.every_leaf and value is not None:
        yield maker.in_record(record, path, "null", None, of=of)


def _quote(maker: ReportMaker, record: Record) -> Iterator[Alteration]:
    name, text = _quote_of(maker, record)
    yield from quote_alterations(maker, record, name, text, HEX)
    others = [each for each in maker.traffic.records if each != record]
    for other in others[:1]:
        foreign = _quote_of(maker, other)[1].lower()
        yield maker.in_record(
            record, (name,), "replaced", foreign, of=":foreign", detail=f"the quote of {other.subject} in its place"
        )


def _quote_of(maker: ReportMaker, record: Record) -> tuple[str, str]:
    name = _quote_name(record)
    return name, get(maker.traffic.body, record.path)[name]


def _quote_name(record: Record) -> str:
    """The member that holds the quote; another one of the name ``quote`` repeats it."""
    return "quote" if record.role == "compose_manager" else "intel_quote"


def _app_certificate(maker: ReportMaker, record: Record) -> Iterator[Alteration]:
    path = ("info", "app_cert")
    text = get(maker.traffic.body, record.path).get("info", {}).get("app_cert")
    for index in range(len(pem_blocks(text.encode())) if isinstance(text, str) else 0):
        yield maker.in_record(
            record,
            path,
            "changed",
            change_pem(text.encode(), index, other_signature).decode(),
            of=f"@certificate {index + 1}",
            detail=f"certificate {index + 1}",
        )


def _copies(maker: ReportMaker, record: Record) -> Iterator[Alteration]:
    """Copies follow the record in every other alteration; here they differ from it."""
    path: Path = ("all_attestations",)
    copies = get(maker.traffic.body, record.path).get(path[0])
    if not isinstance(copies, list) or not copies:
        return
    yield maker.in_record(record, path, "removed", REMOVED)
    yield maker.in_record(record, path, "retyped", {})
    for name in ("signing_address", "signing_public_key", "intel_quote"):
        if isinstance(copies[0].get(name), str):
            yield maker.in_record(record, (*path, 0, name), "changed", other_value)
