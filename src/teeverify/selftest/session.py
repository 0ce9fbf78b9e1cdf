"""Alterations of what every saved report has: its own members, and exchanges that no verification asks for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any, Final
from urllib.parse import quote

import attrs

from ..saved import SavedReport
from .alteration import Alteration
from .byte_changes import flip
from .maker import Maker
from .traffic import host_of

__all__ = ["file_alterations", "other_nonce", "unused_alterations", "with_query"]

_FAR: Final = timedelta(days=40)
"""Longer than Intel's collateral and NVIDIA's tokens live."""


def file_alterations(maker: Maker) -> Iterator[Alteration]:
    """Nonce, model and date of the file."""
    report = maker.traffic.report

    def change(name: str, kind: str, place: str, **changes: Any) -> Alteration:
        return maker.alteration("session", name, kind, place, partial(attrs.evolve, report, **changes))

    yield change("nonce", "changed", "session.nonce", nonce=other_nonce(report))
    yield change("model", "changed", "session.model", model=f"{report.model}-x")
    for kind, moved in (("moved forward", _FAR), ("moved back", -_FAR), ("moved by a second", timedelta(seconds=1))):
        yield change("recorded_at", kind, "session.recorded_at", recorded_at=report.recorded_at + moved)


def other_nonce(report: SavedReport) -> bytes:
    """Another nonce than the report's, 32 bytes."""
    return flip(report.nonce, 0)


def with_query(url: str, pairs: list[tuple[str, str]]) -> str:
    """The URL with another query."""
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in pairs)
    return f"{url.partition('?')[0]}?{query}"


def unused_alterations(maker: Maker, *, read: tuple[int, ...] = ()) -> Iterator[Alteration]:
    """Exchanges that the verification never asked for, host by host; those at ``read`` are looked at all the same."""
    traffic = maker.traffic
    hosts = {index: host_of(traffic.exchanges[index].request.url) for index in traffic.unused if index not in read}
    for host in dict.fromkeys(hosts.values()):
        left_out = frozenset(index for index in hosts if hosts[index] == host)
        kept = tuple(each for index, each in enumerate(traffic.exchanges) if index not in left_out)
        without = partial(attrs.evolve, traffic.report, exchanges=kept)
        yield maker.alteration("session", f"exchanges with {host}", "removed", "session.unused", without)
