"""Alterations of GPU evidence: every field of the first GPU's, and what identifies each of the others."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from ..formats.strict_json import JsonValue
from .alteration import Alteration
from .byte_changes import change_pem, flip, pem_blocks
from .json_places import REMOVED, TEXT, Path, get, other_value
from .near_maker import Maker
from .near_traffic import Record
from .regions import spdm_regions

__all__ = ["gpu_alterations", "gpu_count"]

_PAYLOAD: Final[Path] = ("nvidia_payload",)
_LIST: Final[Path] = (*_PAYLOAD, TEXT, "evidence_list")
_MEASUREMENTS: Final = "response / measurements"
_OF_OTHERS: Final = frozenset({"request / nonce", _MEASUREMENTS})
"""Fields of the evidence that are changed for every GPU; the first GPU's are changed all."""


def gpu_count(maker: Maker, record: Record) -> int:
    """How many GPUs the record shows; 0 where it shows no evidence."""
    return len(_entries(maker, record))


def gpu_alterations(maker: Maker, record: Record) -> Iterator[Alteration]:
    """The whole payload, its labels, its list, and each GPU's certificates and evidence."""
    entries = _entries(maker, record)
    if not entries:
        return
    yield maker.in_record(record, _PAYLOAD, "removed", REMOVED)
    yield maker.in_record(record, _PAYLOAD, "retyped", lambda text: [text])
    for name in ("nonce", "arch"):
        yield from _label(maker, record, (*_PAYLOAD, TEXT, name))
    yield from _list(maker, record, entries)
    for index, entry in enumerate(entries):
        whole = maker.every_leaf or index == 0
        yield from _evidence(maker, record, index, entry, whole=whole)
        yield from _certificates(maker, record, index, entry, whole=whole)
        for name in ("nonce", "arch") if whole else ():
            yield from _label(maker, record, (*_LIST, index, name))


def _entries(maker: Maker, record: Record) -> list[JsonValue]:
    payload = get(maker.traffic.body, record.path).get(_PAYLOAD[0])
    found = get({_PAYLOAD[0]: payload}, _LIST) if isinstance(payload, str) and payload else []
    return list(found)


def _label(maker: Maker, record: Record, path: Path) -> Iterator[Alteration]:
    if path[-1] in get(maker.traffic.body, (*record.path, *path[:-1])):
        yield maker.in_record(record, path, "changed", other_value)
        yield maker.in_record(record, path, "removed", REMOVED)


def _list(maker: Maker, record: Record, entries: list[JsonValue]) -> Iterator[Alteration]:
    yield maker.in_record(record, _LIST, "removed", REMOVED)
    yield maker.in_record(record, _LIST, "retyped", lambda old: {"0": old})
    yield maker.in_record(record, _LIST, "first GPU repeated", lambda old: [*old, old[0]])
    for index in range(len(entries)):
        yield maker.in_record(record, (*_LIST, index), "removed", REMOVED)
    if len(entries) > 1:
        yield maker.in_record(record, _LIST, "reordered", lambda old: [old[1], old[0], *old[2:]])
        foreign = entries[1]["evidence"]
        yield maker.in_record(record, (*_LIST, 0, "evidence"), "replaced", foreign, detail="that of the next GPU")


def _evidence(maker: Maker, record: Record, index: int, entry: JsonValue, *, whole: bool) -> Iterator[Alteration]:
    path = (*_LIST, index, "evidence")
    for region in spdm_regions(base64.b64decode(entry["evidence"])):
        if region.size and (whole or region.name in _OF_OTHERS):
            place = (
                region.middle if region.name != _MEASUREMENTS else region.end - 1
            )  # inside of a value, not of a head
            new = partial(_changed_bytes, partial(flip, place=place))
            yield maker.in_record(record, path, "changed", new, of=f"@{region.name}", detail=region.name)


def _certificates(maker: Maker, record: Record, index: int, entry: JsonValue, *, whole: bool) -> Iterator[Alteration]:
    path = (*_LIST, index, "certificate")
    for number in range(len(pem_blocks(base64.b64decode(entry["certificate"]))) if whole else 1):
        new = partial(_changed_bytes, partial(change_pem, index=number, change=partial(flip, place=-1)))
        name = f"certificate {number + 1}"
        yield maker.in_record(record, path, "changed", new, of=f"@{name}", detail=name)


def _changed_bytes(change: Callable[[bytes], bytes], text: str) -> str:
    """The change as one of base64 text."""
    return base64.b64encode(change(base64.b64decode(text))).decode()
