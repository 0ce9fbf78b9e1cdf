"""Saved reports, version 1, as plain data: building them, and opening them up again to spoil them.

A document is a dict that `json.dumps` writes as it is: ``media_type``, ``provider``, ``model``, ``nonce``,
``recorded_at`` and ``exchanges`` of request and response with base64 bodies.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from attrs import evolve, frozen

__all__ = [
    "MEDIA_TYPE",
    "Answer",
    "Document",
    "body_of",
    "compact",
    "drop_exchanges",
    "edit_json",
    "exchange",
    "find_exchange",
    "http_date",
    "replace_answer",
    "replace_body",
    "saved_report",
    "timestamp",
]

MEDIA_TYPE: Final = "application/vnd.teeverify.saved-report.v1+json"

Document = dict[str, Any]
"""One saved report."""

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@frozen
class Answer:
    """One HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def with_header(self, header: str, value: str) -> Answer:
        """The same answer with one header set."""
        return evolve(self, headers={**self.headers, header: value})


def compact(value: Any) -> bytes:
    """JSON without spaces, keys in their own order, as the services write it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC, whole seconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def http_date(moment: datetime) -> str:
    """IMF-fixdate (RFC 9110), without regard to the locale."""
    return (
        f"{_DAYS[moment.weekday()]}, {moment.day:02d} {_MONTHS[moment.month - 1]} {moment.year} {moment:%H:%M:%S} GMT"
    )


def exchange(
    method: str, url: str, answer: Answer, *, request_body: bytes | None = None, peer_spki: bytes | None = None
) -> Document:
    """One recorded request and its response."""
    return {
        "request": {"method": method, "url": url, "body": _base64(request_body)},
        "response": {
            "status": answer.status,
            "headers": {header: [value] for header, value in answer.headers.items()},
            "body": _base64(answer.body),
            "peer_spki": _base64(peer_spki),
        },
    }


def saved_report(
    *, provider: str, model: str, nonce: bytes, recorded_at: datetime, exchanges: Sequence[Document]
) -> Document:
    """A saved report around its exchanges."""
    return {
        "media_type": MEDIA_TYPE,
        "provider": provider,
        "model": model,
        "nonce": nonce.hex(),
        "recorded_at": timestamp(recorded_at),
        "exchanges": list(exchanges),
    }


def find_exchange(document: Document, part: str) -> Document:
    """The first exchange whose URL contains ``part``.

    Raises:
        LookupError: there is none.
    """
    for entry in document["exchanges"]:
        if part in entry["request"]["url"]:
            found: Document = entry
            return found
    raise LookupError(f"no recorded request has {part!r} in its URL")


def body_of(document: Document, part: str) -> bytes:
    """The response body of the first exchange whose URL contains ``part``."""
    return base64.b64decode(find_exchange(document, part)["response"]["body"])


def replace_body(document: Document, part: str, body: bytes) -> Document:
    """Put another body into every response whose URL contains ``part``; Content-Length follows."""
    find_exchange(document, part)
    for entry in document["exchanges"]:
        if part in entry["request"]["url"]:
            entry["response"]["body"] = _base64(body)
            if "Content-Length" in entry["response"]["headers"]:
                entry["response"]["headers"]["Content-Length"] = [str(len(body))]
    return document


def replace_answer(document: Document, part: str, answer: Answer) -> Document:
    """Put another answer into every exchange whose URL contains ``part``; the connection's key stays."""
    find_exchange(document, part)
    for entry in document["exchanges"]:
        if part in entry["request"]["url"]:
            spki = entry["response"]["peer_spki"]
            entry["response"] = exchange("GET", "", answer)["response"]
            entry["response"]["peer_spki"] = spki
    return document


def edit_json(document: Document, part: str, edit: Callable[[Any], Any]) -> Document:
    """Change the JSON body of a response; ``edit`` changes the value in place, or returns another one."""
    value = json.loads(body_of(document, part))
    result = edit(value)
    return replace_body(document, part, compact(value if result is None else result))


def drop_exchanges(document: Document, part: str) -> Document:
    """Remove every exchange whose URL contains ``part``."""
    find_exchange(document, part)
    document["exchanges"] = [entry for entry in document["exchanges"] if part not in entry["request"]["url"]]
    return document


def _base64(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()
