"""Alterations of keys and evidence: every member, every field of quotes, certificates and GPU evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from ..formats.strict_json import JsonValue
from .alteration import Alteration
from .byte_changes import BASE64, flip
from .chutes_maker import ChutesMaker
from .chutes_traffic import EVIDENCE
from .gpus import gpu_list_alterations
from .json_places import REMOVED, Path, get, other_value
from .quotes import quote_alterations
from .regions import certificate_regions, public_key_place
from .traffic import Record

__all__ = ["record_alterations"]

_LISTS: Final = {"keys": ("instances", "list of keys"), "evidence": ("evidence", "evidence")}
_STRANGER: Final = "00000000-0000-4000-8000-000000000001"
_PRAISE: Final = {"verified": True, "tdx_verification": {"status": "UpToDate"}, "gpu_tokens": {"overall": True}}
"""What servers have been seen to say about their own evidence."""


def record_alterations(maker: ChutesMaker) -> Iterator[Alteration]:
    """Everything inside the two answers, entry by entry."""
    for document, (name, shown) in _LISTS.items():
        yield from _document(maker, Record(subject="session", role=document, path=(document,), shown=shown), name)
    for entry in maker.traffic.key_entries:
        yield from _whole(maker, entry)
        yield from _members(maker, entry, by_part=("e2e_pubkey",))
        yield from _key(maker, entry)
    for record in maker.traffic.records:
        yield from _whole(maker, record)
        yield from _members(maker, record, by_part=("quote", "certificate", "gpu_evidence"))
        yield from _quote(maker, record)
        yield from _certificate(maker, record)
        yield from _gpus(maker, record)


def _value(maker: ChutesMaker, record: Record) -> Any:
    return get(maker.traffic.body, record.path)


def _document(maker: ChutesMaker, record: Record, name: str) -> Iterator[Alteration]:
    """Members of an answer as a whole."""
    for member, value in _value(maker, record).items():
        path: Path = (member,)
        container = isinstance(value, dict | list)
        if not container:
            yield maker.in_record(record, path, "changed", other_value)
        if member == "failed_instance_ids" and _contradicted(maker, value):
            continue  # without it an instance could become VERIFIED, which would be no fault
        yield maker.in_record(record, path, "removed", REMOVED)
        yield maker.in_record(record, path, "retyped", [value] if not container else {"0": value})
        if isinstance(value, list) and value:
            yield maker.in_record(record, path, "emptied", [])
        if member == name and len(value) > 1:
            yield maker.in_record(record, path, "reordered", lambda old: old[::-1])
        if member == "failed_instance_ids" and isinstance(value, list):
            yield maker.in_record(record, path, "stranger added", [*value, _STRANGER], of=":stranger")


def _contradicted(maker: ChutesMaker, failed: JsonValue) -> bool:
    """Whether the list of losses names an instance that shows evidence."""
    shown = [entry.get("instance_id") for entry in get(maker.traffic.body, EVIDENCE)]
    return isinstance(failed, list) and any(name in shown for name in failed)


def _whole(maker: ChutesMaker, record: Record) -> Iterator[Alteration]:
    name = "the whole evidence" if record.role == "instance" else "the whole entry of its key"
    for kind, new in (("removed", REMOVED), ("retyped", []), ("emptied", {})):
        make = partial(maker.traffic.with_place, record.path, new)
        yield maker.alteration(record.subject, name, kind, f"record.{record.role}", make)


def _members(maker: ChutesMaker, record: Record, *, by_part: tuple[str, ...]) -> Iterator[Alteration]:
    """Every member as a whole; those in ``by_part`` are changed part by part elsewhere."""
    for name, value in _value(maker, record).items():
        path: Path = (name,)
        own_list = name == "gpu_evidence" and value  # removed and retyped with the list
        if not own_list:
            yield maker.in_record(record, path, "removed", REMOVED)
            yield maker.in_record(record, path, "retyped", lambda old: [old])
        yield maker.in_record(record, path, "emptied", [] if isinstance(value, list) else "")
        if maker.every_leaf:
            yield maker.in_record(record, path, "null", None)
        if name in by_part:
            continue
        if name == "instance_id":
            yield maker.in_record(record, path, "in capitals", lambda old: old.upper())
            yield maker.in_record(record, path, "changed", _STRANGER)
        elif isinstance(value, list):
            for index in range(len(value) if maker.every_leaf else min(1, len(value))):
                yield maker.in_record(record, (*path, index), "changed", other_value)
        else:
            yield maker.in_record(record, path, "changed", other_value)


def _parts(maker: ChutesMaker, record: Record, name: str) -> Callable[..., Alteration]:
    """Alterations of bytes that stand in a member as base64."""

    def change(part: str, kind: str, change: Callable[[bytes], bytes]) -> Alteration:
        new = partial(BASE64.changed, change)
        return maker.in_record(record, (name,), kind, new, of=f"@{part}", detail=part)

    return change


def _longer(data: bytes) -> bytes:
    return data + b"\0"


def _shorter(data: bytes) -> bytes:
    return data[:-1]


def _key(maker: ChutesMaker, record: Record) -> Iterator[Alteration]:
    change = _parts(maker, record, "e2e_pubkey")
    text = _value(maker, record)["e2e_pubkey"]
    yield change("coefficients", "changed", partial(flip, place=0))
    yield change("coefficients", "too large", lambda key: b"\xff\xff\xff" + key[3:])
    yield change("seed", "changed", partial(flip, place=-1))
    yield change("end", "byte added", _longer)
    yield change("end", "byte removed", _shorter)
    for kind, new in (("space added", f"{text} "), ("line break added", f"{text}\n"), ("url-safe", _url_safe(text))):
        if new != text:
            yield maker.in_record(record, ("e2e_pubkey",), kind, new)


def _url_safe(text: str) -> str:
    return text.replace("+", "-").replace("/", "_")


def _quote(maker: ChutesMaker, record: Record) -> Iterator[Alteration]:
    text = _value(maker, record)["quote"]
    change = _parts(maker, record, "quote")
    yield from quote_alterations(maker, record, "quote", text, BASE64)
    yield change("padding", "zero byte added", _longer)
    yield change("end", "cut", lambda raw: raw[:900])
    yield maker.in_record(record, ("quote",), "written in hex", BASE64.decode(text).hex())


def _certificate(maker: ChutesMaker, record: Record) -> Iterator[Alteration]:
    """The key of the certificate, which the quote names, and the fields around it, which nothing does."""
    change = _parts(maker, record, "certificate")
    text = _value(maker, record)["certificate"]
    der = BASE64.decode(text)
    for region in certificate_regions(der):
        place = region.end - (2 if region.name == "validity" else 1)  # the last digit of a time, before its Z
        place = public_key_place(der) if region.name == "public key" else place
        yield change(region.name, "changed", partial(flip, place=place))
    yield change("end", "byte added", _longer)


def _gpus(maker: ChutesMaker, record: Record) -> Iterator[Alteration]:
    entries: JsonValue = _value(maker, record).get("gpu_evidence")
    if entries:
        where: Path = ("gpu_evidence",)
        yield from gpu_list_alterations(maker, record, where, entries)
        for name in ("evidence", "certificate"):
            longer = partial(BASE64.changed, _longer)
            yield maker.in_record(record, (*where, 0, name), "zero byte added", longer, of="@end", detail="end")
    praised = partial(maker.traffic.with_place, record.path, lambda old: {**old, **_PRAISE})
    yield maker.alteration(record.subject, "opinions of the server", "added", "instance.opinions", praised)
