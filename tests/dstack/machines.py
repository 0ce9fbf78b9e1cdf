"""Real dstack guests of the captures: what the quote reports, what the log holds, what vm_config says."""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Iterator
from typing import Any

from attrs import frozen

from captures import captures_folder
from teeverify.formats.event_log import EventLog, parse_event_log
from teeverify.formats.tdx_quote import TdReport, parse_quote

CAPTURES = ("near-*.json", "nanogpt-phala-*.json", "venice-*.json")


@frozen(kw_only=True)
class Machine:
    """One record of a capture."""

    where: str
    report: TdReport
    log: EventLog
    memory_size: int

    def rows(self, register: int) -> tuple[bytes, ...]:
        return tuple(event.digest for event in self.log.events if event.imr == register)

    @property
    def acpi(self) -> tuple[bytes, bytes, bytes]:
        loader, rsdp, tables = (e.digest for e in self.log.events if e.imr == 0 and e.event_type == 10)
        return loader, rsdp, tables


@functools.cache
def app_certificates_of_captures() -> tuple[tuple[str, str, TdReport], ...]:
    """Where it stands, the PEM chain, and the report of the record's own quote, for every record with both."""
    folder, found = captures_folder(), []
    for pattern in CAPTURES:
        for path in sorted(folder.glob(pattern)):
            for exchange in json.loads(path.read_text())["exchanges"]:
                body = base64.b64decode(exchange["response"]["body"] or "")
                if b"app_cert" in body:
                    found += list(_certified(json.loads(body), path.stem))
    return tuple(found)


def _certified(value: Any, where: str) -> Iterator[tuple[str, str, TdReport]]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _certified(item, f"{where}[{index}]")
    elif isinstance(value, dict):
        info = value.get("info")
        if isinstance(info, dict) and info.get("app_cert") and value.get("intel_quote"):
            yield where, info["app_cert"], parse_quote(bytes.fromhex(value["intel_quote"])).report
        for name, item in value.items():
            yield from _certified(item, f"{where}.{name}")


@functools.cache
def machines() -> tuple[Machine, ...]:
    """Every record with a quote, a log and a vm_config; skips where there are no captures."""
    folder, found = captures_folder(), []
    for pattern in CAPTURES:
        for path in sorted(folder.glob(pattern)):
            for exchange in json.loads(path.read_text())["exchanges"]:
                body = base64.b64decode(exchange["response"]["body"] or "")
                if b"event_log" in body:
                    found += list(_machines(json.loads(body), path.stem))
    return tuple(found)


def _machines(value: Any, where: str) -> Iterator[Machine]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _machines(item, f"{where}[{index}]")
    elif isinstance(value, dict):
        quote = value.get("intel_quote") or value.get("quote")
        if quote and value.get("event_log"):
            yield _machine(value, quote, where)
        for name, item in value.items():
            yield from _machines(item, f"{where}.{name}")


def _machine(record: dict[str, Any], quote: str, where: str) -> Machine:
    info = record.get("info") or {}
    tcb_info = info.get("tcb_info") or {}
    tcb_info = json.loads(tcb_info) if isinstance(tcb_info, str) else tcb_info
    config = json.loads(info.get("vm_config") or record["vm_config"])
    return Machine(
        where=where,
        report=parse_quote(bytes.fromhex(quote)).report,
        log=parse_event_log(tcb_info.get("event_log") or record["event_log"]),
        memory_size=config["memory_size"],
    )
