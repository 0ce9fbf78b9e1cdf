"""Event logs of all versions of the guest, and every way to forge one (attacks 16 to 25)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from teeverify.testing import DstackApp
from teeverify.testing.event_log import Event, runtime_event

from .apps import FORM, failing, judge, reason

Rows = list[dict[str, Any]]
HASH = b"\x5a" * 32


def with_log(app: DstackApp, edit: Callable[[Rows], Rows | None]) -> dict[str, Any]:
    """The app's files with every copy of its event log edited."""
    files: dict[str, Any] = app.files()
    info = json.loads(files["info"])
    rows = json.loads(files["event_log"])
    rows = edit(rows) or rows
    info["tcb_info"]["event_log"] = rows
    return {**files, "event_log": json.dumps(rows), "info": json.dumps(info)}


def runtime(app: DstackApp) -> list[Event]:
    return [event for event in app.enclave.boot.events() if event.imr == 3]


def booted(*changes: Callable[[list[Event]], list[Event]], version: int = 1) -> DstackApp:
    """An app whose guest really extended other events: its registers follow."""
    app = DstackApp.build(event_version=version)
    events = runtime(app)
    for change in changes:
        events = change(events)
    app.enclave.boot = app.enclave.boot.with_runtime(*events)
    return app


def place(events: list[Event], name: str) -> int:
    return [event.event for event in events].index(name)


def inserted(before: str, *new: Event) -> Callable[[list[Event]], list[Event]]:
    return lambda events: [*events[: place(events, before)], *new, *events[place(events, before) :]]


def appended(*new: Event) -> Callable[[list[Event]], list[Event]]:
    return lambda events: [*events, *new]


def without(*names: str) -> Callable[[list[Event]], list[Event]]:
    return lambda events: [event for event in events if event.event not in names]


def again(events: list[Event]) -> list[Event]:
    """Every other event in version 2."""
    return [runtime_event(e.event, e.payload, version=2) if i % 2 else e for i, e in enumerate(events)]


NEWER = (
    runtime_event("init-script-hash", HASH),
    runtime_event("init-script-hash", HASH[::-1]),
    runtime_event("gpu-policy-hash", HASH),
    runtime_event("gpu-attestation", b'{"version":2}'),
)


@pytest.mark.parametrize(
    "app",
    [
        booted(),
        booted(version=2),
        booted(again),
        booted(inserted("instance-id", *NEWER)),
        booted(appended(runtime_event("compose-hash", HASH), runtime_event("app-id", b"\1" * 20))),
        booted(inserted("system-ready", runtime_event("something-new", b"x"))),
    ],
    ids=["v1", "v2", "mixed", "newer", "app-events", "unknown"],
)
def test_logs_that_guests_write(app: DstackApp) -> None:
    assert failing(judge(app)) == set()


@pytest.mark.parametrize(
    ("app", "why"),
    [
        (booted(inserted("mr-kms", NEWER[0])), "event_order"),
        (booted(inserted("system-ready", NEWER[2])), "event_order"),
        (booted(inserted("key-provider", NEWER[3])), "event_order"),
        (booted(inserted("instance-id", runtime_event("init-script-hash", b"short"))), "event_payload"),
        (booted(inserted("instance-id", runtime_event("gpu-policy-hash", b""))), "event_payload"),
        (booted(inserted("instance-id", NEWER[2], NEWER[2])), "event_repeated"),
        (booted(inserted("instance-id", NEWER[3], NEWER[3])), "event_repeated"),
        (booted(inserted("instance-id", runtime_event("compose-hash", HASH))), "event_repeated"),
        (booted(inserted("system-ready", runtime_event("app-id", b"\1" * 20))), "event_repeated"),
        (booted(without("compose-hash"), inserted("system-ready", runtime_event("compose-hash", HASH))), "event_order"),
        (booted(without("compose-hash"), appended(runtime_event("compose-hash", HASH))), "event_missing"),
        (booted(without("compose-hash"), inserted("app-id", runtime_event("upgraded-app-id", HASH))), "event_missing"),
        (booted(without("os-image-hash")), "event_missing"),
        (booted(without("system-preparing")), "event_order"),
        (booted(without("boot-mr-done")), "event_order"),
        (booted(without("system-ready")), "event_order"),
        (booted(without("boot-mr-done"), appended(runtime_event("boot-mr-done"))), "event_order"),
        (booted(inserted("app-id", runtime_event("boot-mr-done"))), "event_order"),
        (booted(lambda events: [runtime_event("first"), *events]), "event_order"),
    ],
)
def test_identity_events_at_other_places(app: DstackApp, why: str) -> None:
    verdict = judge(app)
    assert failing(verdict) == {"dstack.event_order"}
    assert reason(verdict, "dstack.event_order") == why


def test_the_log_of_a_guest_before_markers_is_refused() -> None:
    """dstack 0.3.6: rootfs-hash, app-id, compose-hash, ca-cert-hash, instance-id; nothing says where the app began."""
    legacy = [
        runtime_event("rootfs-hash", HASH),
        *[event for event in runtime(DstackApp.build()) if event.event in ("app-id", "compose-hash")],
        runtime_event("ca-cert-hash", HASH),
        runtime_event("instance-id", b"\2" * 20),
    ]
    verdict = judge(booted(lambda events: legacy))
    assert failing(verdict) == {"dstack.event_order"}


def edited(name: str, **changes: Any) -> Callable[[Rows], None]:
    def edit(rows: Rows) -> None:
        row = next(row for row in rows if row["event"] == name)
        for member, value in changes.items():
            if value is None:
                row.pop(member, None)
            else:
                row[member] = value

    return edit


def stripped(rows: Rows) -> None:
    for row in rows:
        if row["imr"] == 3:
            row["digest"] = ""


def both(*edits: Callable[[Rows], Any]) -> Callable[[Rows], None]:
    def edit(rows: Rows) -> None:
        for one in edits:
            one(rows)

    return edit


def preimage(name: str, payload: str, kind: int = 0x08000001) -> str:
    return json.dumps({"name": name, "payload": payload, "type": kind}, separators=(",", ":")).encode().hex()


def test_a_stripped_log_replays() -> None:
    for version in (1, 2):
        app = DstackApp.build(event_version=version)
        assert failing(judge(app, with_log(app, stripped))) == set()


@pytest.mark.parametrize(
    ("version", "edit", "by"),
    [
        (1, edited("compose-hash", event_payload="ee" * 32), {"dstack.event_digests"}),
        (1, both(stripped, edited("compose-hash", event_payload="ee" * 32)), {"dstack.rtmr_replay"}),
        (1, edited("compose-hash", digest="00"), FORM),
        (1, edited("compose-hash", digest="00" * 49), FORM),
        (1, edited("compose-hash", event="compose"), {"dstack.event_digests"}),
        (1, edited("compose-hash", event="compose-hash:"), FORM),
        (1, edited("compose-hash", event_type=3), FORM),
        (1, edited("compose-hash", event_type=True), FORM),
        (1, edited("compose-hash", imr=2), FORM),
        (1, edited("compose-hash", imr=4), FORM),
        (1, edited("compose-hash", imr=-1), FORM),
        (1, edited("compose-hash", imr=True), FORM),
        (1, edited("compose-hash", imr=3.0), FORM),
        (1, edited("compose-hash", imr="3"), FORM),
        (1, edited("compose-hash", version=2), FORM),
        (1, edited("compose-hash", version=3), FORM),
        (1, edited("compose-hash", version="1"), FORM),
        (1, edited("compose-hash", version=0), FORM),
        (1, edited("compose-hash", version=1.0), FORM),
        (2, edited("compose-hash", preimage=None), FORM),
        (2, edited("compose-hash", preimage=""), FORM),
        (2, edited("compose-hash", preimage="00"), FORM),
        (2, edited("compose-hash", preimage=preimage("compose-hash", "ee" * 32)), FORM),
        (2, edited("compose-hash", event_payload="ee" * 32), FORM),
        (
            2,
            edited("compose-hash", event_payload="ee" * 32, preimage=preimage("compose-hash", "ee" * 32)),
            {"dstack.event_digests"},
        ),
        (
            2,
            both(stripped, edited("app-id", event_payload="ee" * 20, preimage=preimage("app-id", "ee" * 20))),
            {"dstack.rtmr_replay"},
        ),
        (2, edited("compose-hash", version=None), {"dstack.event_digests"}),
        (2, both(stripped, edited("compose-hash", version=1)), {"dstack.rtmr_replay"}),
        (2, edited("compose-hash", version=3), FORM),
    ],
)
def test_a_forged_entry(version: int, edit: Callable[[Rows], None], by: set[str]) -> None:
    app = DstackApp.build(event_version=version)
    found = failing(judge(app, with_log(app, edit)))
    assert found
    assert found & by


def test_a_row_of_the_firmware_may_not_be_called_like_an_event() -> None:
    app = DstackApp.build()
    for name in ("compose-hash", "init-script-hash", "gpu-policy-hash", "gpu-attestation"):
        assert "evidence.wellformed" in failing(judge(app, with_log(app, edited("", event=name))))
