"""dstack event logs: the entries that were extended into RTMR0 to RTMR3, and their replay.

Sources: Intel TDX module specification (RTMR extend: SHA-384 over the old value and the digest), dstack
``dstack-attest`` / ``cc-eventlog`` (runtime events, versions 1 and 2). A runtime event is believed only as far as its
digest, recomputed here from its name and payload, replays to the register in the quote.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from typing import Final

from attrs import frozen

from ..errors import FormatError
from ..limits import MAX_EVENT_PAYLOAD, MAX_EVENTS, MAX_REPORT_BODY
from .encodings import decode_hex
from .strict_json import JsonValue, loads

__all__ = ["RUNTIME_EVENT", "Event", "EventLog", "parse_event_log", "replay", "runtime_digest"]

RUNTIME_EVENT: Final = 0x08000001
"""Event type of everything that dstack extends into RTMR3."""
RUNTIME_NAMES: Final = frozenset(
    [
        "system-preparing",
        "app-id",
        "compose-hash",
        "instance-id",
        "boot-mr-done",
        "mr-kms",
        "os-image-hash",
        "key-provider",
        "storage-fs",
        "system-ready",
        "init-script-hash",
        "gpu-policy-hash",
        "gpu-attestation",
    ]
)
"""Names that dstack gives to events of RTMR3."""
_ZERO: Final = bytes(48)
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,63}\Z")


@frozen(kw_only=True)
class Event:
    """One entry. ``digest`` is 48 bytes, or empty where the log came stripped; ``imr`` is the RTMR's number, 0 to 3."""

    imr: int
    event_type: int
    digest: bytes
    name: str
    payload: bytes
    version: int

    @property
    def is_runtime(self) -> bool:
        """True for dstack's own events, whose digest covers name and payload."""
        return self.event_type == RUNTIME_EVENT


@frozen(kw_only=True)
class EventLog:
    """The entries in the order in which they were extended."""

    events: tuple[Event, ...]

    @property
    def runtime(self) -> tuple[Event, ...]:
        """The entries of RTMR3."""
        return tuple(event for event in self.events if event.imr == 3)


def parse_event_log(value: JsonValue, *, what: str = "the event log") -> EventLog:
    """Read an event log that is a JSON array, or a JSON string holding one (both forms are on the wire).

    Raises:
        FormatError: ``event_log_shape``, ``event_shape``, ``event_version``, or a code of the JSON and hex readers.
    """
    if isinstance(value, str):
        value = loads(value, what=what, limit=MAX_REPORT_BODY)
    if not isinstance(value, list):
        raise FormatError("event_log_shape", f"{what} is of type {type(value).__name__}, an array was expected")
    if not 0 < len(value) <= MAX_EVENTS:
        raise FormatError("event_log_shape", f"{what} has {len(value)} entries, 1 to {MAX_EVENTS} are accepted")
    return EventLog(events=tuple(_parse_event(entry, f"{what}, entry {i}") for i, entry in enumerate(value)))


def _parse_event(entry: JsonValue, what: str) -> Event:
    if not isinstance(entry, dict):
        raise FormatError("event_shape", f"{what} is of type {type(entry).__name__}, an object was expected")
    imr, event_type, name = entry.get("imr"), entry.get("event_type"), entry.get("event")
    if type(imr) is not int or not 0 <= imr <= 3:
        raise FormatError("event_shape", f"{what} has no register number from 0 to 3")
    if type(event_type) is not int or not 0 <= event_type < 1 << 32:
        raise FormatError("event_shape", f"{what} has no 32-bit event type")
    if not isinstance(name, str) or len(name) > 256:
        raise FormatError("event_shape", f"{what} has no event name")
    version = entry.get("version", 1)
    if type(version) is not int or version not in (1, 2):
        raise FormatError("event_version", f"{what} has an event version other than 1 and 2")
    digest = decode_hex(entry.get("digest"), what=f"the digest of {what}", limit=48)
    if len(digest) not in ((0, 48) if imr == 3 else (48,)):
        raise FormatError("event_shape", f"{what} has a digest of {len(digest)} bytes, 48 were expected")
    if (imr == 3) != (event_type == RUNTIME_EVENT):
        # A runtime event under a foreign type would keep its place in the chain and escape every look-up by name.
        raise FormatError("event_shape", f"{what} has type {event_type:#x} in RTMR{imr}, where dstack does not put it")
    if imr != 3 and name in RUNTIME_NAMES:
        # Only the digests of boot rows are measured; a row that borrows such a name could mislead who reads by name.
        raise FormatError("event_shape", f"{what} has the name of a runtime event in RTMR{imr}")
    if imr == 3 and not _NAME.match(name):
        # Version 1 digests join name and payload with a colon, so a colon in a name would make two readings possible.
        raise FormatError("event_shape", f"{what} has a name that is not of lower-case letters, digits and hyphens")
    payload = decode_hex(entry.get("event_payload"), what=f"the payload of {what}", limit=MAX_EVENT_PAYLOAD)
    event = Event(imr=imr, event_type=event_type, digest=digest, name=name, payload=payload, version=version)
    if version == 2 and imr == 3:
        preimage = decode_hex(entry.get("preimage"), what=f"the preimage of {what}", limit=3 * MAX_EVENT_PAYLOAD)
        if preimage != _preimage_v2(event):
            raise FormatError("event_shape", f"{what} has a preimage that is not made of its name, payload and type")
    return event


def runtime_digest(event: Event) -> bytes:
    """The digest that a runtime event must have (48 bytes), from its type, name and payload.

    Version 1 is SHA-384(LE32(type) ":" name ":" payload); version 2 is SHA-384 of the canonical JSON (RFC 8785) of
    name, payload and type.
    """
    if event.version == 2:
        return hashlib.sha384(_preimage_v2(event)).digest()
    name = event.name.encode("utf-8")
    return hashlib.sha384(struct.pack("<I", event.event_type) + b":" + name + b":" + event.payload).digest()


def _preimage_v2(event: Event) -> bytes:
    members = {"name": event.name, "payload": event.payload.hex(), "type": event.event_type}
    return json.dumps(members, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def replay(log: EventLog) -> tuple[bytes, bytes, bytes, bytes]:
    """Extend the entries in order and return RTMR0 to RTMR3, 48 bytes each.

    Runtime entries are extended with their recomputed digest, never with the one that the log claims.
    """
    registers = [_ZERO, _ZERO, _ZERO, _ZERO]
    for event in log.events:
        digest = runtime_digest(event) if event.is_runtime else event.digest
        registers[event.imr] = hashlib.sha384(registers[event.imr] + digest).digest()
    return (registers[0], registers[1], registers[2], registers[3])
