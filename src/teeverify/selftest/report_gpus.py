"""Alterations of the GPU evidence of a dstack record: the payload, its labels, the GPUs inside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ..formats.strict_json import JsonValue
from .alteration import Alteration
from .gpus import gpu_list_alterations, label_alterations
from .json_places import REMOVED, TEXT, Path, get
from .report_maker import ReportMaker
from .traffic import Record

__all__ = ["gpu_alterations", "gpu_count"]

_PAYLOAD: Final[Path] = ("nvidia_payload",)
_LIST: Final[Path] = (*_PAYLOAD, TEXT, "evidence_list")


def gpu_count(maker: ReportMaker, record: Record) -> int:
    """How many GPUs the record shows; 0 where it shows no evidence."""
    return len(_entries(maker, record))


def gpu_alterations(maker: ReportMaker, record: Record) -> Iterator[Alteration]:
    """The whole payload, its labels, its list, and each GPU's certificates and evidence."""
    entries = _entries(maker, record)
    if not entries:
        return
    yield maker.in_record(record, _PAYLOAD, "removed", REMOVED)
    yield maker.in_record(record, _PAYLOAD, "retyped", lambda text: [text])
    yield from label_alterations(maker, record, _LIST[:-1], get(maker.traffic.body, (*record.path, *_LIST[:-1])))
    yield from gpu_list_alterations(maker, record, _LIST, entries)


def _entries(maker: ReportMaker, record: Record) -> list[JsonValue]:
    payload = get(maker.traffic.body, record.path).get(_PAYLOAD[0])
    found = get({_PAYLOAD[0]: payload}, _LIST) if isinstance(payload, str) and payload else []
    return list(found)
