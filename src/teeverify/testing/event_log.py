"""Events of a dstack guest: their digests, their JSON rows, and the registers that they lead to."""

from __future__ import annotations

import hashlib
import struct
from typing import Any, Final

from attrs import frozen

from .recording import compact

__all__ = ["RUNTIME_EVENT", "Event", "replay", "runtime_event"]

RUNTIME_EVENT: Final = 0x08000001
"""Event type of what the guest itself measures, always into register 3."""


@frozen(kw_only=True)
class Event:
    """One entry of the event log."""

    imr: int
    event_type: int
    digest: bytes
    event: str
    payload: bytes
    version: int | None = None

    def row(self, *, sorted_keys: bool) -> dict[str, Any]:
        """The entry as JSON; NEAR sorts the keys of a model's log and keeps dstack's order elsewhere."""
        row: dict[str, Any] = {
            "imr": self.imr,
            "event_type": self.event_type,
            "digest": self.digest.hex(),
            "event": self.event,
            "event_payload": self.payload.hex(),
        }
        if self.version is not None:
            row["version"] = self.version
            row["preimage"] = _preimage_v2(self.event, self.payload).hex()
        return dict(sorted(row.items())) if sorted_keys else row


def _preimage_v2(event: str, payload: bytes) -> bytes:
    return compact({"name": event, "payload": payload.hex(), "type": RUNTIME_EVENT})


def runtime_event(event: str, payload: bytes = b"", *, version: int = 1) -> Event:
    """A runtime event with its digest, in the form of dstack up to 0.5 (1) or with a preimage (2)."""
    if version == 2:
        preimage = _preimage_v2(event, payload)
    else:
        preimage = struct.pack("<I", RUNTIME_EVENT) + b":" + event.encode() + b":" + payload
    return Event(
        imr=3,
        event_type=RUNTIME_EVENT,
        digest=hashlib.sha384(preimage).digest(),
        event=event,
        payload=payload,
        version=None if version == 1 else version,
    )


def replay(events: tuple[Event, ...], imr: int) -> bytes:
    """The register that the events of one index lead to."""
    register = bytes(48)
    for entry in events:
        if entry.imr == imr:
            register = hashlib.sha384(register + entry.digest).digest()
    return register
