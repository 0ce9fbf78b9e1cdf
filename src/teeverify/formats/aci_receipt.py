"""Receipts of ACI: one signed log of events for each request, with the digests of what came in and what went out.

The signature is over the canonical JSON (RFC 8785) of the document without its ``signature``, members included that
are not known here. Source: ACI specification, section 7.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import field, frozen

from ..errors import FormatError
from ..limits import MAX_CHAT_BODY, MAX_CHAT_ID, MAX_RECEIPT_EVENTS
from .aci_keyset import API_VERSION, parse_digest
from .canonical_json import jcs
from .encodings import decode_hex
from .strict_json import JsonValue, loads

__all__ = ["Receipt", "UpstreamEvent", "parse_receipt", "pinned_sessions"]

_RECEIVED: Final = "request.received"
_FORWARDED: Final = "request.forwarded"
_VERIFIED: Final = "upstream.verified"
_RETURNED: Final = "response.returned"
_SESSION_ID: Final = re.compile(r"[0-9a-f]{64}\Z")
_RESULTS: Final = ("verified", "failed")
_LATEST: Final = 253402300799
"""The last second that a datetime can hold."""


@frozen(kw_only=True)
class UpstreamEvent:
    """One attempt to verify an upstream. ``session_id`` is 64 hex digits of a verified attempt, else None."""

    verified: bool
    required: bool
    session_id: str | None


@frozen(kw_only=True)
class Receipt:
    """A receipt, nothing verified yet.

    ``signing_input`` is what the 64 bytes of ``signature`` are over; digests are 32 bytes; ``served_at`` are Unix
    seconds that the service asserts. ``forwarded_digest`` is None where nothing was forwarded. ``upstream`` are the
    attempts in the order of the log.
    """

    receipt_id: str
    chat_id: str | None
    model: str | None
    keyset_digest: str
    served_at: int
    key_id: str
    request_digest: bytes
    forwarded_digest: bytes | None
    response_digest: bytes
    upstream: tuple[UpstreamEvent, ...]
    signature: bytes = field(repr=False)
    signing_input: bytes = field(repr=False)

    @property
    def session_id(self) -> str | None:
        """The session of the decisive attempt, which is the last one; None where it names none."""
        return self.upstream[-1].session_id if self.upstream else None


def parse_receipt(document: JsonValue) -> Receipt:
    """Read a receipt out of its parsed JSON.

    Raises:
        FormatError: ``receipt_version``, ``receipt_shape``, ``receipt_events``, ``not_a_digest``, or a code of the hex
            and JSON readers.
    """
    if not isinstance(document, dict):
        raise FormatError("receipt_shape", "the receipt is not a JSON object")
    if document.get("api_version") != API_VERSION:
        raise FormatError("receipt_version", f"the receipt is not of version {API_VERSION}")
    served_at, events = document.get("served_at"), document.get("event_log")
    if type(served_at) is not int or not 0 < served_at <= _LATEST:
        raise FormatError("receipt_shape", "served_at of the receipt is not a time in Unix seconds")
    if not isinstance(events, list) or len(events) > MAX_RECEIPT_EVENTS:
        raise FormatError("receipt_events", f"the receipt has no log of at most {MAX_RECEIPT_EVENTS} events")
    keyset = parse_digest(document.get("workload_keyset_digest"), what="workload_keyset_digest of the receipt")
    log = _in_order(events)
    forwarded = log[_FORWARDED]
    return Receipt(
        receipt_id=_text(document, "receipt_id"),
        chat_id=None if document.get("chat_id") is None else _text(document, "chat_id"),
        model=None if document.get("model") is None else _text(document, "model", 512),
        keyset_digest=f"sha256:{keyset.hex()}",
        served_at=served_at,
        key_id=_text(document, "key_id"),
        request_digest=_body_hash(log[_RECEIVED][0]),
        forwarded_digest=_body_hash(forwarded[0]) if forwarded else None,
        response_digest=_body_hash(log[_RETURNED][0]),
        upstream=tuple(_upstream(event) for event in log[_VERIFIED]),
        signature=decode_hex(document.get("signature"), what="the signature of the receipt", size=64),
        signing_input=jcs({name: value for name, value in document.items() if name != "signature"}),
    )


def pinned_sessions(request_body: bytes) -> tuple[str, ...] | None:
    """The sessions that a request accepts (``provider.aci_session_ids``), None where it accepts any.

    Raises:
        FormatError: the request cannot be read, so what it accepts is not known; codes as of the JSON reader.
    """
    document = loads(request_body, what="the request", limit=MAX_CHAT_BODY)
    provider = document.get("provider") if isinstance(document, dict) else None
    if not isinstance(provider, dict) or "aci_session_ids" not in provider:
        return None
    ids = provider["aci_session_ids"]
    return tuple(one for one in ids if isinstance(one, str)) if isinstance(ids, list) else ()


_Event = Mapping[str, JsonValue]


def _in_order(events: Sequence[JsonValue]) -> dict[str, list[_Event]]:
    """The known events by type; unknown ones are signed like the rest and mean nothing here."""
    log: dict[str, list[_Event]] = {_RECEIVED: [], _FORWARDED: [], _VERIFIED: [], _RETURNED: []}
    known: list[str] = []
    for event in events:
        name = event.get("type") if isinstance(event, dict) else None
        if not isinstance(name, str):
            raise FormatError("receipt_events", "an event of the receipt is no object with a type")
        if name in log:
            log[name].append(event)
            known.append(name)
    if not events or events[0]["type"] != _RECEIVED:
        raise FormatError("receipt_events", f"the first event of the receipt is not {_RECEIVED}")
    if len(log[_RECEIVED]) != 1 or len(log[_RETURNED]) != 1 or len(log[_FORWARDED]) > 1:
        raise FormatError("receipt_events", "the receipt repeats or lacks an event that must be there exactly once")
    if known[-1] != _RETURNED:
        raise FormatError("receipt_events", f"an event of the receipt stands after {_RETURNED}")
    return log


def _body_hash(event: _Event) -> bytes:
    return parse_digest(event.get("body_hash"), what=f"body_hash of {event['type']}")


def _upstream(event: _Event) -> UpstreamEvent:
    result, required, session_id = event.get("result"), event.get("required"), event.get("session_id")
    if result not in _RESULTS or type(required) is not bool:
        raise FormatError("receipt_events", f"{_VERIFIED} of the receipt has no known result, or does not say required")
    verified = result == "verified"
    if verified and not (isinstance(session_id, str) and _SESSION_ID.match(session_id)):
        raise FormatError("receipt_events", f"{_VERIFIED} of the receipt names no session of 64 lower-case hex digits")
    return UpstreamEvent(verified=verified, required=required, session_id=session_id if verified else None)


def _text(document: _Event, name: str, limit: int = MAX_CHAT_ID) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= limit or not value.isprintable():
        raise FormatError("receipt_shape", f"{name} of the receipt is not a text of 1 to {limit} characters")
    return value
