"""Alterations of a TDX quote: every field of it, every certificate in it, the padding behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from ..formats.tdx_quote import parse_quote
from .alteration import Alteration
from .byte_changes import Encoding, change_pem, flip, pem_blocks
from .maker import Maker
from .regions import quote_regions
from .traffic import Record

__all__ = ["other_signature", "quote_alterations"]


def quote_alterations(maker: Maker, record: Record, name: str, text: str, encoding: Encoding) -> Iterator[Alteration]:
    """Alterations of the quote that stands as ``text`` in the record's member of that name."""
    raw = encoding.decode(text)

    def change(region: str, kind: str, change: Callable[[bytes], bytes]) -> Alteration:
        new = partial(encoding.changed, change)
        return maker.in_record(record, (name,), kind, new, of=f"@{region}", detail=region)

    for region in quote_regions(parse_quote(raw)):
        if "reserved" in region.name and region.name.startswith("QE report") and not maker.every_leaf:
            continue
        if region.name == "certificate chain":
            for index in range(len(pem_blocks(raw))):
                part = f"{region.name} / certificate {index + 1}"
                yield change(part, "changed", partial(change_pem, index=index, change=other_signature))
        else:
            yield change(region.name, "changed", partial(flip, place=region.middle))
        if region.name == "padding":
            yield change(region.name, "removed", partial(_cut, end=region.start))


def other_signature(der: bytes) -> bytes:
    """A certificate whose last byte, which belongs to its signature, is another one."""
    return flip(der, -1)


def _cut(data: bytes, end: int) -> bytes:
    return data[:end]
