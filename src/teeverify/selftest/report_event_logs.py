"""Alterations of event logs: every event of each log, and of its copies a boot event and an identity event."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from ..formats.strict_json import JsonValue
from .alteration import Alteration
from .json_places import REMOVED, TEXT, Path, other_value
from .report_maker import ReportMaker
from .traffic import Record

__all__ = ["is_in_log", "log_alterations"]

_RUNTIME: Final = 3
"""The register of the events that the guest's own software writes."""
_NOT_MEASURED: Final = frozenset({"event", "event_payload", "event_type"})
"""Members of which a firmware event's digest says nothing."""
_MEMBER: Final = "event_log"


def is_in_log(path: Path) -> bool:
    """True for an event log and everything in it."""
    return _MEMBER in path


def log_alterations(maker: ReportMaker, record: Record) -> Iterator[Alteration]:
    """All copies of the record's event log; a log that another record shows too counts as a copy."""
    logs = list(_logs(maker, record))
    for path, value, first in logs:
        only = ":only" if len(logs) == 1 else ""
        yield maker.in_record(record, path, "removed", REMOVED, of=only)
        yield maker.in_record(record, path, "retyped", {"events": value})
        inside, events = (*path, TEXT) if isinstance(value, str) else path, _events(value)
        samples = _samples(events)
        yield maker.in_record(record, inside, "reordered", lambda old: [*old[:-2], old[-1], old[-2]])
        yield maker.in_record(record, inside, "last event repeated", lambda old: [*old, old[-1]])
        for index, event in enumerate(events):
            every = maker.every_leaf or (first and index in samples)
            if every or first or index in samples:
                yield from _event(maker, record, (*inside, index), event, every=every)


def _logs(maker: ReportMaker, record: Record) -> Iterator[tuple[Path, JsonValue, bool]]:
    """Each log of a record, and whether it is the first that says what it says."""
    for path, value in maker.traffic.nodes_of(record.path):
        own = path[0] not in ("compose_manager_attestation", "all_attestations")
        if own and path[-1] == _MEMBER and value not in (None, ""):
            yield path, value, _first_place(maker, _events(value)) == (*record.path, *path)


def _first_place(maker: ReportMaker, events: JsonValue) -> Path:
    return next(
        path
        for path, value in maker.traffic.nodes_of(())
        if path[-1] == _MEMBER and "all_attestations" not in path and value and _events(value) == events
    )


def _events(value: JsonValue) -> JsonValue:
    return json.loads(value) if isinstance(value, str) else value


def _samples(events: list[JsonValue]) -> tuple[int, ...]:
    """The first firmware event and the event that names the application's compose document."""
    boot = [index for index, event in enumerate(events) if event["imr"] != _RUNTIME]
    runtime = [index for index, event in enumerate(events) if event["imr"] == _RUNTIME]
    named = [index for index in runtime if events[index]["event"] == "compose-hash"]
    return (*boot[:1], *(named or runtime)[:1])


def _event(maker: ReportMaker, record: Record, path: Path, event: JsonValue, *, every: bool) -> Iterator[Alteration]:
    """One event: its removal and all of its members, or only what is measured of it."""
    boot = event["imr"] != _RUNTIME
    if every:
        yield maker.in_record(record, path, "removed", REMOVED)
    for name in event if every else ("digest",) if boot else ("event_payload",):
        of = ":boot" if boot and name in _NOT_MEASURED else ""
        new = _other_payload if name == "event_payload" else other_value
        yield maker.in_record(record, (*path, name), "changed", new, of=of)


def _other_payload(value: str) -> str:
    """Another payload that is hex, however short the old one is."""
    return f"{value}00" if len(value) < 8 else str(other_value(value))
