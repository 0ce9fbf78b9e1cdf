"""Edits of a vllm-proxy's report, and turns of the machine behind it; each makes a change out of its arguments."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from teeverify.testing.dstack import DstackBoot
from teeverify.testing.event_log import Event
from teeverify.testing.front import FrontSession
from teeverify.testing.recording import compact

__all__ = [
    "STRANGER", "boot", "bound", "event", "first", "flipped", "gpus", "in_all_logs", "info", "logs", "moved", "nvidia",
    "put", "runtime", "tcb", "twice", "without", "without_preimage",
]  # fmt: skip

STRANGER: Final = bytes(range(100, 132))
"""A nonce that is nobody's."""


# --- of the report ----------------------------------------------------------------------------------------------------


def put(name: str, value: Any) -> Callable[[Any], Any]:
    """Another value of a member, or what a function makes of the one that is there."""

    def change(body: Any) -> None:
        body[name] = value(body.get(name)) if callable(value) else value

    return change


def flipped(offset: int) -> Callable[[str], str]:
    """Hex digits with the lowest bit of one byte flipped."""

    def flip(text: str) -> str:
        data = bytearray(bytes.fromhex(text))
        data[offset] ^= 1
        return data.hex()

    return flip


def logs(edit: Callable[[list[dict[str, Any]]], Any], *, outer: bool = True) -> Callable[[Any], Any]:
    """Apply one change to both copies of the event log; ``edit`` changes rows in place."""

    def change(body: Any) -> None:
        edit(body["info"]["tcb_info"]["event_log"])
        if outer:
            rows = json.loads(body["event_log"])
            edit(rows)
            body["event_log"] = json.dumps(rows)

    return change


def event(name: str, **members: Any) -> Callable[[list[dict[str, Any]]], Any]:
    """Other members of the first event of a name."""

    def edit(rows: list[dict[str, Any]]) -> None:
        next(row for row in rows if row["event"] == name).update(members)

    return edit


def first(**members: Any) -> Callable[[list[dict[str, Any]]], Any]:
    """Other members of the first event."""
    return lambda rows: rows[0].update(members)


def tcb(name: str, value: Any) -> Callable[[Any], Any]:
    """Another value in ``info.tcb_info``, or what a function makes of the one that is there."""

    def change(body: Any) -> None:
        inner = body["info"]["tcb_info"]
        inner[name] = value(inner[name]) if callable(value) else value

    return change


def info(**members: Any) -> Callable[[Any], Any]:
    """Other members of ``info``."""
    return lambda body: body["info"].update(members)


def gpus(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Change the GPU payload, which is JSON text inside the report."""

    def edit(body: Any) -> None:
        payload = json.loads(body["nvidia_payload"])
        result = change(payload)
        body["nvidia_payload"] = json.dumps(payload if result is None else result)

    return edit


def without_preimage(rows: Any) -> None:
    """Leave the preimages of version 2 out."""
    for row in rows:
        row.pop("preimage", None)


def in_all_logs(report: Any, edit: Callable[[Any], Any]) -> None:
    """As `logs`, and leave out the copy of the report."""
    edit(report["info"]["tcb_info"]["event_log"])
    rows = json.loads(report["event_log"])
    edit(rows)
    report["event_log"] = compact(rows).decode()
    report.pop("all_attestations", None)


# --- of the machine ---------------------------------------------------------------------------------------------------


def boot(change: Callable[[DstackBoot], DstackBoot]) -> Callable[[FrontSession], Any]:
    """Another boot of the model's machine."""

    def spoil(session: FrontSession) -> None:
        model = session.machines.model
        model.boot = change(model.boot)

    return spoil


def runtime(edit: Callable[[list[Event]], Any]) -> Callable[[FrontSession], Any]:
    """Let the guest write another log; the registers follow, as in a TD whose guest the attacker wrote."""

    def change(own: DstackBoot) -> DstackBoot:
        events = list(own.runtime_events())
        edit(events)
        return own.with_runtime(*events)

    return boot(change)


def _at(events: list[Event], name: str) -> int:
    return next(index for index, one in enumerate(events) if one.event == name)


def twice(name: str) -> Callable[[list[Event]], Any]:
    """An event two times."""
    return lambda events: events.insert(_at(events, name), events[_at(events, name)])


def moved(name: str, before: str) -> Callable[[list[Event]], Any]:
    """An event right before another one."""

    def edit(events: list[Event]) -> None:
        one = events.pop(_at(events, name))
        events.insert(_at(events, before), one)

    return edit


def without(name: str) -> Callable[[list[Event]], Any]:
    """A log without an event."""
    return lambda events: events.pop(_at(events, name))


def bound(**changes: Any) -> Callable[[FrontSession], Any]:
    """Other bytes in REPORTDATA: ``data`` makes them of address and nonce."""

    def spoil(session: FrontSession) -> None:
        machines = session.machines
        address = machines.model.signing.address
        machines.model_report_data = changes["data"](address, machines.nonce)

    return spoil


def nvidia(session: FrontSession, **changes: Any) -> None:
    """Turn knobs of NVIDIA's service."""
    for name, value in changes.items():
        setattr(session.machines.nras, name, value)
