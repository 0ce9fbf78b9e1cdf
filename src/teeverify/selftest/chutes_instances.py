"""Alterations of whole instances: what one shows is shown by another, twice, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from attrs import frozen

from ..formats.strict_json import JsonValue
from .alteration import Alteration
from .chutes_maker import ChutesMaker
from .chutes_traffic import EVIDENCE, KEYS, ChutesTraffic
from .json_places import REMOVED, Path, get, put
from .traffic import Record

__all__ = ["instance_alterations"]

_NEW_ID: Final = "00000000-0000-4000-8000-000000000002"
_LENT: Final = ("quote", "certificate", "gpu_evidence")


@frozen(kw_only=True)
class _Instance:
    """Where one instance stands: its evidence and its key."""

    evidence: Record
    key: Record

    @property
    def subject(self) -> str:
        return self.evidence.subject


def instance_alterations(maker: ChutesMaker) -> Iterator[Alteration]:
    """Alterations of one instance after the other, with the next one as the other party."""
    traffic = maker.traffic
    known = [
        _Instance(evidence=record, key=key)
        for record in traffic.records
        if (key := traffic.key_of(record.subject)) is not None
    ]
    for index, own in enumerate(known):
        yield from _alone(maker, own)
        if len(known) > 1:
            yield from _with_another(maker, own, known[(index + 1) % len(known)])


def _alone(maker: ChutesMaker, own: _Instance) -> Iterator[Alteration]:
    name = _member(maker.traffic, own.evidence, "instance_id")
    both = ((*own.evidence.path, "instance_id"), (*own.key.path, "instance_id"))

    def change(field: str, kind: str, place: str, *edits: tuple[Path, Any]) -> Alteration:
        return _change(maker, own.subject, field, kind, place, *edits)

    yield change("instance id, in both answers", "changed", "renamed", *((path, _NEW_ID) for path in both))
    yield change("instance id, in both answers", "in capitals", "unreadable", *((path, name.upper()) for path in both))
    yield change("evidence and key", "removed", "left_out", (own.evidence.path, REMOVED), (own.key.path, REMOVED))
    for where, record in ((EVIDENCE, own.evidence), (KEYS, own.key)):
        entry = get(maker.traffic.body, record.path)
        shown = "evidence" if where is EVIDENCE else "entry of its key"
        yield change(shown, "repeated", "repeated", (where, partial(_appended, entry)))
        renamed = {**entry, "instance_id": _NEW_ID}
        place = "shared" if where is EVIDENCE else "key_twice"
        yield change(shown, "repeated under another id", place, (where, partial(_appended, renamed)))
    lost: Path = ("evidence", "failed_instance_ids")
    yield change("instance id", "listed as failed too", "failed", (lost, lambda old: [*(old or ()), name]))


def _with_another(maker: ChutesMaker, own: _Instance, other: _Instance) -> Iterator[Alteration]:
    traffic = maker.traffic

    def swap(member: str, *pairs: tuple[Record, Record]) -> list[tuple[Path, Any]]:
        edits: list[tuple[Path, Any]] = []
        for one, two in pairs:
            edits.append(((*one.path, member), _member(traffic, two, member)))
            edits.append(((*two.path, member), _member(traffic, one, member)))
        return edits

    def change(field: str, kind: str, place: str, *edits: tuple[Path, Any]) -> Alteration:
        return _change(maker, own.subject, field, kind, place, *edits)

    evidence, keys = (own.evidence, other.evidence), (own.key, other.key)
    yield change("instance id of the evidence", "swapped with another", "swapped", *swap("instance_id", evidence))
    yield change("key", "swapped with another", "swapped", *swap("e2e_pubkey", keys))
    yield change("id of evidence and key", "swapped with another", "relabelled", *swap("instance_id", evidence, keys))
    key = (*own.key.path, "e2e_pubkey")
    yield change("key", "that of another", "lent.key", (key, _member(traffic, other.key, "e2e_pubkey")))
    for member in _LENT:
        foreign = _member(traffic, other.evidence, member)
        path = (*own.evidence.path, member)
        yield change(member, "that of another", f"lent.{member}", (path, foreign))
        yield change(member, "swapped with another", f"lent.{member}", *swap(member, evidence))
    yield from _one_gpu(maker, own, other)


def _one_gpu(maker: ChutesMaker, own: _Instance, other: _Instance) -> Iterator[Alteration]:
    foreign: JsonValue = _member(maker.traffic, other.evidence, "gpu_evidence")
    if isinstance(foreign, list) and foreign and isinstance(_member(maker.traffic, own.evidence, "gpu_evidence"), list):
        path: Path = (*own.evidence.path, "gpu_evidence")
        last: Path = (*path, -1)
        yield _change(maker, own.subject, "last GPU", "that of another", "lent.gpu", (last, foreign[0]))
        more = (path, partial(_appended, foreign[0]))
        yield _change(maker, own.subject, "GPUs", "one of another added", "lent.gpu", more)


def _change(
    maker: ChutesMaker, subject: str, field: str, kind: str, place: str, *edits: tuple[Path, Any]
) -> Alteration:
    return maker.alteration(subject, field, kind, f"instances.{place}", partial(_edited, maker.traffic, edits))


def _edited(traffic: ChutesTraffic, edits: tuple[tuple[Path, Any], ...]) -> Any:
    body = dict(traffic.body)
    for path, new in edits:
        body = put(body, path, new)
    return traffic.with_body(body)


def _member(traffic: ChutesTraffic, record: Record, name: str) -> Any:
    return get(traffic.body, record.path).get(name)


def _appended(entry: JsonValue, old: JsonValue) -> JsonValue:
    return [*old, entry]
