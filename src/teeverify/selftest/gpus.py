"""Alterations of GPU evidence: every field of the first GPU's, and what identifies each of the others."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from ..formats.strict_json import JsonValue
from .alteration import Alteration
from .byte_changes import BASE64, change_pem, flip, pem_blocks
from .json_places import REMOVED, Path, other_value
from .maker import Maker
from .regions import Region, spdm_regions
from .traffic import Record

__all__ = ["gpu_list_alterations", "label_alterations"]

_MEASUREMENTS: Final = "response / measurements"
_OF_OTHERS: Final = frozenset({"request / nonce", _MEASUREMENTS})
"""Fields of the evidence that are changed for every GPU; the first GPU's are changed all."""


def gpu_list_alterations(maker: Maker, record: Record, where: Path, entries: list[JsonValue]) -> Iterator[Alteration]:
    """The list of GPUs that stands at ``where`` in the record, and each GPU's certificates, evidence and labels."""
    yield from _list(maker, record, where, entries)
    for index, entry in enumerate(entries):
        whole = maker.every_leaf or index == 0
        yield from _evidence(maker, record, (*where, index, "evidence"), entry, whole=whole)
        yield from _certificates(maker, record, (*where, index, "certificate"), entry, whole=whole)
        if whole:
            yield from label_alterations(maker, record, (*where, index), entry)


def label_alterations(maker: Maker, record: Record, where: Path, holder: JsonValue) -> Iterator[Alteration]:
    """The sender's labels beside the evidence, in the object ``holder`` at ``where``."""
    for name in ("nonce", "arch"):
        if name in holder:
            yield maker.in_record(record, (*where, name), "changed", other_value)
            yield maker.in_record(record, (*where, name), "removed", REMOVED)


def _list(maker: Maker, record: Record, where: Path, entries: list[JsonValue]) -> Iterator[Alteration]:
    yield maker.in_record(record, where, "removed", REMOVED)
    yield maker.in_record(record, where, "retyped", lambda old: {"0": old})
    yield maker.in_record(record, where, "first GPU repeated", lambda old: [*old, old[0]])
    for index in range(len(entries)):
        yield maker.in_record(record, (*where, index), "removed", REMOVED)
    if len(entries) > 1:
        yield maker.in_record(record, where, "reordered", lambda old: [old[1], old[0], *old[2:]])
        foreign = entries[1]["evidence"]
        yield maker.in_record(record, (*where, 0, "evidence"), "replaced", foreign, detail="that of the next GPU")


def _evidence(maker: Maker, record: Record, path: Path, entry: JsonValue, *, whole: bool) -> Iterator[Alteration]:
    for region in spdm_regions(BASE64.decode(entry["evidence"])):
        if region.size and (whole or region.name in _OF_OTHERS):
            new = partial(BASE64.changed, partial(flip, place=_inside(region)))
            yield maker.in_record(record, path, "changed", new, of=f"@{region.name}", detail=region.name)


def _inside(region: Region) -> int:
    """A byte of a measurement's value, not of its head."""
    return region.end - 1 if region.name == _MEASUREMENTS else region.middle


def _certificates(maker: Maker, record: Record, path: Path, entry: JsonValue, *, whole: bool) -> Iterator[Alteration]:
    for number in range(len(pem_blocks(BASE64.decode(entry["certificate"]))) if whole else 1):
        new = partial(BASE64.changed, partial(change_pem, index=number, change=partial(flip, place=-1)))
        name = f"certificate {number + 1}"
        yield maker.in_record(record, path, "changed", new, of=f"@{name}", detail=name)
