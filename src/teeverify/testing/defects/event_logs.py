"""Faults of the event log: digests, payloads, order, and its two copies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

from attrs import evolve

from teeverify.testing.event_log import Event, runtime_event
from teeverify.testing.near import NearSession
from teeverify.testing.recording import Document

from .edits import Rows, edit_logs, event_named
from .model import defect

SHAPE = ("evidence.wellformed", "dstack.rtmr_replay", "dstack.event_digests")
ORDER = ("dstack.event_order", "dstack.compose_event")


def _edited(session: NearSession, edit: Callable[[Rows], Rows | None]) -> Document:
    return session.saved(edit_logs(session.report(), edit))


def _runtime(session: NearSession, edit: Callable[[list[Event]], None]) -> None:
    """Let the guest write another log; registers follow, as in a TD whose guest the attacker wrote."""
    events = list(session.model.boot.runtime_events())
    edit(events)
    session.model.boot = session.model.boot.with_runtime(*events)


def _position(events: list[Event], event: str) -> int:
    return next(index for index, entry in enumerate(events) if entry.event == event)


# --- digests -------------------------------------------------------------------------------------------------------


@defect("dstack.event_digests")
def event_payload_replaced(session: NearSession) -> Document:
    """A TD that measured another compose text; the payload says the pinned one and keeps the true digest."""
    boot = session.model.boot
    pinned, text = boot.compose_hash.hex(), boot.app_compose
    session.model.reboot(app_compose=text.replace("111111", "666666"), mr_config_override=boot.mr_config_id())

    def show_pinned(rows: Rows) -> None:
        event_named(rows, "compose-hash")["event_payload"] = pinned

    report = edit_logs(session.report(), show_pinned)
    info = report["info"]
    info["compose_hash"] = info["tcb_info"]["compose_hash"] = pinned
    info["tcb_info"]["app_compose"] = text
    return session.saved(report)


@defect("dstack.event_digests", shipped=False)
def event_app_id_replaced(session: NearSession) -> Document:
    """Another application shows the pinned app id over the digest of its own."""
    shown = session.model.boot.app_id
    session.model.reboot(app_id=session.keys.material("intruder/app-id", 20))

    def show_pinned(rows: Rows) -> None:
        event_named(rows, "app-id")["event_payload"] = shown.hex()

    report = edit_logs(session.report(), show_pinned)
    report["info"]["app_id"] = shown.hex()
    return session.saved(report)


@defect("dstack.event_digests", shipped=False)
def event_renamed(session: NearSession) -> Document:
    """An event's name is changed, its digest is not."""

    def rename(rows: Rows) -> None:
        event_named(rows, "storage-fs")["event"] = "storage-bs"

    return _edited(session, rename)


@defect("dstack.rtmr_replay", shipped=False)
def event_payload_and_digest_replaced(session: NearSession) -> Document:
    """Payload and digest of the compose event are both another's, so the log does not lead to register 3."""
    other = runtime_event("compose-hash", hashlib.sha256(b"other").digest())

    def replace(rows: Rows) -> None:
        row = event_named(rows, "compose-hash")
        row["event_payload"], row["digest"] = other.payload.hex(), other.digest.hex()

    return _edited(session, replace)


@defect("dstack.rtmr_replay")
def event_boot_digest_edited(session: NearSession) -> Document:
    """One digest of register 0 is changed."""

    def edit(rows: Rows) -> None:
        rows[0]["digest"] = "66" * 48

    return _edited(session, edit)


@defect("dstack.event_digests", "dstack.event_order", "evidence.wellformed", shipped=False)
def event_relabelled(session: NearSession) -> Document:
    """An event after compose-hash has a foreign type, which hides it from lookups by name but not from the replay."""

    def relabel(rows: Rows) -> None:
        event_named(rows, "mr-kms")["event_type"] = 0x0A

    return _edited(session, relabel)


@defect(*SHAPE)
def event_digest_short(session: NearSession) -> Document:
    """A digest has 47 bytes, which lenient readers pad with zeros."""

    def shorten(rows: Rows) -> None:
        rows[0]["digest"] = rows[0]["digest"][:-2]

    return _edited(session, shorten)


# --- shape ---------------------------------------------------------------------------------------------------------


@defect(*SHAPE, "evidence.complete", "dstack.event_order", "dstack.compose_event")
def event_log_empty(session: NearSession) -> Document:
    """There are no events."""
    return _edited(session, lambda _rows: [])


@defect("dstack.rtmr_replay", "dstack.event_order", shipped=False)
def event_log_truncated(session: NearSession) -> Document:
    """The last two events are missing."""
    return _edited(session, lambda rows: rows[:-2])


@defect(*SHAPE, shipped=False)
def event_register_4(session: NearSession) -> Document:
    """An entry is for a register that does not exist."""

    def move(rows: Rows) -> None:
        rows.append({**rows[0], "imr": 4})

    return _edited(session, move)


@defect("evidence.wellformed")
def event_log_text_twice(session: NearSession) -> Document:
    """The event log is JSON text inside JSON text inside JSON."""
    report = session.report()
    report["event_log"] = json.dumps(json.dumps(report["event_log"]))
    return session.saved(report)


@defect("evidence.wellformed", shipped=False)
def event_log_object(session: NearSession) -> Document:
    """The event log is an object with numbered members instead of an array."""
    report = session.report()
    report["event_log"] = {str(index): row for index, row in enumerate(report["event_log"])}
    return session.saved(report)


@defect("evidence.wellformed", shipped=False)
def event_register_as_text(session: NearSession) -> Document:
    """Register numbers are text."""

    def as_text(rows: Rows) -> Rows:
        return [{**row, "imr": str(row["imr"])} for row in rows]

    return _edited(session, as_text)


@defect("dstack.reported_info", "dstack.rtmr_replay", "dstack.event_digests", "evidence.wellformed")
def event_log_copies_differ(session: NearSession) -> Document:
    """The copy inside ``tcb_info`` shows another compose hash than the log beside the quote."""
    report = session.report()
    rows = [dict(row) for row in report["info"]["tcb_info"]["event_log"]]
    event_named(rows, "compose-hash")["event_payload"] = "66" * 32
    report["info"]["tcb_info"]["event_log"] = rows
    return session.saved(report)


# --- order ---------------------------------------------------------------------------------------------------------


@defect(*ORDER)
def event_duplicate_before_ready(session: NearSession) -> None:
    """Two compose-hash events before system-ready, the first of another text; the registers agree with the log."""

    def insert(events: list[Event]) -> None:
        other = runtime_event("compose-hash", hashlib.sha256(b"other").digest())
        events.insert(_position(events, "compose-hash"), other)

    _runtime(session, insert)


@defect(*ORDER, shipped=False)
def event_duplicate_before_ready_last(session: NearSession) -> None:
    """As above with the other text last."""

    def insert(events: list[Event]) -> None:
        other = runtime_event("compose-hash", hashlib.sha256(b"other").digest())
        events.insert(_position(events, "compose-hash") + 1, other)

    _runtime(session, insert)


@defect(*ORDER)
def event_compose_only_after_ready(session: NearSession) -> None:
    """The only compose-hash event comes after system-ready, where any container can write it."""

    def move(events: list[Event]) -> None:
        events.append(events.pop(_position(events, "compose-hash")))

    _runtime(session, move)


@defect(*ORDER, "dstack.key_provider", shipped=False)
def event_key_provider_missing(session: NearSession) -> None:
    """The guest did not say where its keys come from."""
    _runtime(session, lambda events: events.__delitem__(_position(events, "key-provider")))


@defect("dstack.event_order", "dstack.event_digests", "pin.app_id", shipped=False)
def event_app_id_missing(session: NearSession) -> None:
    """The guest did not measure its app id."""
    _runtime(session, lambda events: events.__delitem__(_position(events, "app-id")))


@defect(*ORDER, "dstack.event_digests", shipped=False)
def event_not_ready(session: NearSession) -> None:
    """There is no system-ready event: the boot is not over."""
    _runtime(session, lambda events: events.__delitem__(_position(events, "system-ready")))


@defect("dstack.event_order", "dstack.event_digests", "pin.base_image", "dstack.compose_event")
def event_identity_in_register_0(session: NearSession) -> None:
    """The compose-hash event stands in register 0."""
    boot = session.model.boot
    events = tuple(evolve(event, imr=0) if event.event == "compose-hash" else event for event in boot.events())
    session.model.reboot(events_override=events)


@defect("dstack.event_order", shipped=False)
def event_order_swapped(session: NearSession) -> None:
    """Identity events come after boot-mr-done, so the key service did not see them."""

    def move(events: list[Event]) -> None:
        events.insert(1, events.pop(_position(events, "boot-mr-done")))

    _runtime(session, move)
