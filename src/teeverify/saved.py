"""Saved report, version 1: the recorded traffic of one attestation session, as one JSON document.

Everything in it is untrusted input. Reading it establishes its form and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

from attrs import field, frozen

from .errors import ConfigurationError, FormatError, SavedReportError
from .exchange import Exchange
from .flow import Request, Response
from .formats.encodings import decode_base64, decode_hex
from .formats.strict_json import JsonValue, loads
from .limits import (
    MAX_CHAT_BODY,
    MAX_CHAT_ID,
    MAX_EXCHANGES,
    MAX_HEADER,
    MAX_HEADERS,
    MAX_REPORT_BODY,
    MAX_SAVED_REPORT,
)

__all__ = ["MEDIA_TYPE", "RecordedExchange", "SavedReport", "format_time", "parse_time"]

_URL: Final = re.compile(r"[\x21-\x7e]+\Z")
MEDIA_TYPE: Final = "application/vnd.teeverify.saved-report.v1+json"
_TIME: Final = re.compile(r"(\d{4}-\d{2}-\d{2})[Tt](\d{2}:\d{2}:\d{2})(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})\Z")


@frozen(kw_only=True)
class RecordedExchange:
    """One request and its answer, as they were recorded."""

    request: Request
    response: Response


@frozen(kw_only=True)
class SavedReport:
    """A saved report. ``nonce`` is 32 bytes, ``recorded_at`` an aware UTC time that the file merely claims.

    ``exchange`` is a chat that the report also holds, with its signature among the recorded exchanges. ``digest`` is
    the SHA-256 (hex) of the file's bytes, empty for a report that was not read from bytes.
    """

    provider: str
    model: str
    nonce: bytes
    recorded_at: datetime
    exchanges: tuple[RecordedExchange, ...] = field(repr=False)
    exchange: Exchange | None = field(default=None, repr=False)
    digest: str = ""

    def good_answers(self, wanted: Callable[[str], bool]) -> tuple[Response, ...]:
        """The distinct answers with status 200 to GET requests of the URLs that ``wanted`` picks.

        Other statuses are outages, after which one asks again; two different good answers leave open which one counts.
        """
        found: list[Response] = []
        for exchange in self.exchanges:
            request, response = exchange.request, exchange.response
            if request.method == "GET" and wanted(request.url) and response.status == 200 and response not in found:
                found.append(response)
        return tuple(found)

    @classmethod
    def load(cls, path: str | Path) -> SavedReport:
        """Read a saved report from a file.

        Raises:
            SavedReportError: the file is missing, is a directory, or is not a saved report.
        """
        try:
            with Path(path).open("rb") as file:
                data = file.read(MAX_SAVED_REPORT + 1)
        except (OSError, ValueError) as error:  # ValueError: a path with a NUL character
            reason = error.strerror if isinstance(error, OSError) else error
            raise SavedReportError(f"the saved report {str(path)!r} cannot be read: {reason}") from None
        return cls.from_bytes(data)

    @classmethod
    def from_bytes(cls, data: bytes) -> SavedReport:
        """Read a saved report from its bytes.

        Raises:
            SavedReportError: the bytes are not a saved report of version 1.
        """
        try:
            return _read(loads(data, what="the saved report", limit=MAX_SAVED_REPORT), data)
        except FormatError as error:
            raise SavedReportError(str(error)) from None

    def to_bytes(self) -> bytes:
        """Write the report as UTF-8 JSON; reading it back gives a report that is judged alike.

        Raises:
            SavedReportError: it is longer than a saved report may be, or holds text that is none.
        """
        document: dict[str, JsonValue] = {
            "media_type": MEDIA_TYPE,
            "provider": self.provider,
            "model": self.model,
            "nonce": self.nonce.hex(),
            "recorded_at": format_time(self.recorded_at),
            "exchanges": [_write_exchange(exchange) for exchange in self.exchanges],
        }
        if self.exchange is not None:
            document["exchange"] = _write_chat(self.exchange)
        try:
            data = json.dumps(document, indent=1, ensure_ascii=False).encode("utf-8") + b"\n"
        except UnicodeEncodeError:
            raise SavedReportError("the report holds text that is not Unicode, so it cannot be saved") from None
        if len(data) > MAX_SAVED_REPORT:
            raise SavedReportError(
                f"the report would be {len(data)} bytes long, at most {MAX_SAVED_REPORT} can be read back: save it "
                "without the exchange, and keep the request's and the response's bytes in files of their own"
            )
        return data

    def save(self, path: str | Path) -> None:
        """Write the report to a file.

        Raises:
            SavedReportError: the file cannot be written.
        """
        try:
            Path(path).write_bytes(self.to_bytes())
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise SavedReportError(f"the saved report {str(path)!r} cannot be written: {reason}") from None


def parse_time(value: object, *, what: str) -> datetime:
    """Read an RFC 3339 time and return it in UTC; fractions beyond microseconds are cut.

    Raises:
        FormatError: ``not_a_time``.
    """
    match = _TIME.match(value) if isinstance(value, str) else None
    if match:
        day, clock, fraction, zone = match.groups()
        text = f"{day}T{clock}.{(fraction or '.0')[1:7].ljust(6, '0')}{'+00:00' if zone in 'Zz' else zone}"
        try:
            return datetime.fromisoformat(text).astimezone(timezone.utc)
        except (ValueError, OverflowError):
            pass
    raise FormatError("not_a_time", f"{what} is not an RFC 3339 time such as 2026-06-29T02:06:37Z")


def format_time(at: datetime) -> str:
    """An aware time in RFC 3339, UTC, with microseconds only where there are any."""
    utc = at.astimezone(timezone.utc)
    return f"{utc.replace(tzinfo=None).isoformat(timespec='microseconds' if utc.microsecond else 'seconds')}Z"


def _read(document: JsonValue, data: bytes) -> SavedReport:
    if not isinstance(document, dict) or document.get("media_type") != MEDIA_TYPE:
        raise FormatError("saved_report_shape", f"the document is not a saved report: media_type is not {MEDIA_TYPE}")
    exchanges = document.get("exchanges")
    if not isinstance(exchanges, list) or len(exchanges) > MAX_EXCHANGES:
        raise FormatError("saved_report_shape", f"exchanges is not a list of at most {MAX_EXCHANGES} exchanges")
    model = _text(document, "model", 512)
    return SavedReport(
        provider=_text(document, "provider", 64),
        model=model,
        nonce=decode_hex(document.get("nonce"), what="nonce of the saved report", size=32),
        recorded_at=parse_time(document.get("recorded_at"), what="recorded_at of the saved report"),
        exchanges=tuple(_read_exchange(entry, f"exchange {i}") for i, entry in enumerate(exchanges)),
        exchange=_read_chat(document, model),
        digest=hashlib.sha256(data).hexdigest(),
    )


def _read_chat(document: dict[str, JsonValue], model: str) -> Exchange | None:
    if document.get("exchange") is None:
        return None
    chat, what = _object(document, "exchange", "the saved report"), "the saved exchange"
    request, response = (chat.get(name) for name in ("request_body", "response_body"))
    try:
        return Exchange(
            model=model,
            chat_id=None if chat.get("chat_id") is None else _text(chat, "chat_id", MAX_CHAT_ID, what),
            request_body=decode_base64(request, what=f"request_body of {what}", limit=MAX_CHAT_BODY),
            response_body=decode_base64(response, what=f"response_body of {what}", limit=MAX_CHAT_BODY),
            peer_spki=_base64(chat.get("peer_spki"), f"peer_spki of {what}"),
            receipt_id=None if chat.get("receipt_id") is None else _text(chat, "receipt_id", MAX_CHAT_ID, what),
        )
    except ConfigurationError as error:
        raise FormatError("saved_report_shape", str(error)) from None


def _read_exchange(entry: JsonValue, what: str) -> RecordedExchange:
    request, response = _object(entry, "request", what), _object(entry, "response", what)
    status = response.get("status")
    if type(status) is not int or not 100 <= status <= 599:
        raise FormatError("saved_report_shape", f"{what} has no HTTP status")
    url = _text(request, "url", 8192, what)
    if not _URL.match(url):  # parsers disagree about control characters, and drop some silently
        raise FormatError("saved_report_shape", f"the URL of {what} holds other characters than printable ASCII")
    return RecordedExchange(
        request=Request(
            method=_text(request, "method", 16, what),
            url=url,
            body=_base64(request.get("body"), f"the request body of {what}"),
            limit=MAX_REPORT_BODY,
        ),
        response=Response(
            status=status,
            headers=_headers(response.get("headers"), what),
            body=_base64(response.get("body"), f"the response body of {what}") or b"",
            peer_spki=_base64(response.get("peer_spki"), f"peer_spki of {what}"),
        ),
    )


def _object(entry: JsonValue, name: str, what: str) -> dict[str, JsonValue]:
    value = entry.get(name) if isinstance(entry, dict) else None
    if not isinstance(value, dict):
        raise FormatError("saved_report_shape", f"{what} has no {name} object")
    return value


def _text(members: dict[str, JsonValue], name: str, limit: int, what: str = "the saved report") -> str:
    value = members.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= limit:
        raise FormatError("saved_report_shape", f"{name} of {what} is not a text of 1 to {limit} characters")
    return value


def _base64(value: JsonValue, what: str) -> bytes | None:
    return None if value is None else decode_base64(value, what=what, limit=MAX_REPORT_BODY)


def _headers(value: JsonValue, what: str) -> Mapping[str, tuple[str, ...]]:
    if not isinstance(value, dict) or len(value) > MAX_HEADERS:
        raise FormatError("saved_report_shape", f"{what} has no headers object")
    headers: dict[str, tuple[str, ...]] = {}
    for name, values in value.items():
        if not isinstance(values, list) or not all(isinstance(item, str) for item in values):
            raise FormatError("saved_report_shape", f"header {name[:50]!r} of {what} is not a list of texts")
        if name.lower() in headers:
            raise FormatError("saved_report_shape", f"header {name[:50]!r} of {what} occurs twice in different case")
        if sum(map(len, values)) > MAX_HEADER:
            raise FormatError(
                "saved_report_shape", f"header {name[:50]!r} of {what} is longer than {MAX_HEADER} characters"
            )
        headers[name.lower()] = tuple(values)
    return headers


def _encoded(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def _write_chat(exchange: Exchange) -> dict[str, JsonValue]:
    named = {} if exchange.receipt_id is None else {"receipt_id": exchange.receipt_id}
    return {
        **named,
        "chat_id": exchange.chat_id,
        "request_body": _encoded(exchange.request_body),
        "response_body": _encoded(exchange.response_body),
        "peer_spki": _encoded(exchange.peer_spki),
    }


def _write_exchange(exchange: RecordedExchange) -> dict[str, JsonValue]:
    request, response = exchange.request, exchange.response
    return {
        "request": {"method": request.method, "url": request.url, "body": _encoded(request.body)},
        "response": {
            "status": response.status,
            "headers": {name: list(values) for name, values in response.headers.items()},
            "body": _encoded(response.body),
            "peer_spki": _encoded(response.peer_spki),
        },
    }
