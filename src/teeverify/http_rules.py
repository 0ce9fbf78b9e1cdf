"""What every live transport sends and accepts, whichever library does the I/O."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Final

from .errors import AnswerTooLongError, TransportError
from .flow import Request
from .origin import Origin, Target

__all__ = ["Body", "PassingError", "announced_length", "headers_to_send"]

_OWN_HEADERS: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "cookie", "proxy-authorization"}
)
"""Headers that a transport makes itself, or never sends."""
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\t -~]*")
"""RFC 9110 section 5, without bytes beyond ASCII."""
_MAX_HEADER_BYTES: Final = 64 << 10
"""Names and values together; usual servers stop at 8 to 32 KiB."""
_MAX_LENGTH_DIGITS: Final = 19
_FIRST_FINAL_STATUS: Final = 200
_BODILESS: Final = frozenset({204, 304})


class PassingError(TransportError):
    """An outage that may pass: worth another attempt where the request may be repeated."""


def headers_to_send(request: Request, target: Target, authorizations: Mapping[Origin, str]) -> dict[str, str]:
    """The request's headers, an unencoded answer asked for, and the key of exactly this origin.

    A request that has an ``Authorization`` header of its own keeps that one.

    Raises:
        TransportError: the request brings a header that only the transport may set, or that no header can be.
    """
    headers = {name: value for name, value in request.headers.items() if name.lower() != "accept-encoding"}
    names = {name.lower() for name in headers}
    if names & _OWN_HEADERS:
        raise TransportError(f"a request brought the header {min(names & _OWN_HEADERS)}, which it may not set")
    if not all(_NAME.fullmatch(name) and _VALUE.fullmatch(value) for name, value in headers.items()):
        raise TransportError("a request brought a header with a character that headers do not have")
    headers["Accept-Encoding"] = "identity"
    if "user-agent" not in names:
        headers["User-Agent"] = "teeverify"
    if request.self_proving:
        if "authorization" in names:
            raise TransportError("a request that any server may answer brought credentials; nothing was sent")
        return headers
    if target.origin in authorizations and "authorization" not in names:
        headers["Authorization"] = authorizations[target.origin]
    return headers


def announced_length(
    request: Request, origin: Origin, status: int, headers: Mapping[str, tuple[str, ...]]
) -> int | None:
    """Judge the head of an answer; how many bytes of body it announces, or None where it does not say.

    Raises:
        AnswerTooLongError: it announces more than the request allows.
        TransportError: it is not final, has too many headers, is encoded, or contradicts itself about its length.
    """
    if status < _FIRST_FINAL_STATUS:
        raise TransportError(f"the answer of {origin} has the status {status}, a final one was expected")
    if sum(len(name) + len(value) for name, values in headers.items() for value in values) > _MAX_HEADER_BYTES:
        raise TransportError(f"the headers that {origin} answered with are longer than {_MAX_HEADER_BYTES} bytes")
    if _values(headers, "content-encoding") - {"", "identity"}:
        raise TransportError(f"the answer of {origin} is encoded, which was not asked for")
    if request.method == "HEAD" or status in _BODILESS:
        return None
    length = _stated_length(origin, headers)
    if length is not None and length > request.limit:
        raise _too_long(origin, request.limit)
    return length


class Body:
    """Collects a body of at most ``limit`` bytes that comes from ``origin``."""

    def __init__(self, limit: int, origin: Origin) -> None:
        self._limit, self._origin = limit, origin
        self._bytes = io.BytesIO()

    @property
    def room(self) -> int:
        """How many bytes to read at most: those that may still come, and one more, by which an endless body shows."""
        return max(1, self._limit + 1 - self._bytes.tell())

    def add(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises:
            AnswerTooLongError: there are more than the limit.
        """
        if len(chunk) >= self.room:
            raise _too_long(self._origin, self._limit)
        self._bytes.write(chunk)

    def whole(self, announced: int | None) -> bytes:
        """The body, at its end.

        Raises:
            PassingError: another length was announced.
        """
        if announced is not None and announced != self._bytes.tell():
            size = self._bytes.tell()
            raise PassingError(f"the answer of {self._origin} is {size} bytes long, {announced} were announced")
        return self._bytes.getvalue()


def _stated_length(origin: Origin, headers: Mapping[str, tuple[str, ...]]) -> int | None:
    codings, lengths = _values(headers, "transfer-encoding"), _values(headers, "content-length")
    if codings and (codings != {"chunked"} or lengths):
        raise TransportError(f"the answer of {origin} has another transfer coding than chunked, or a length beside it")
    if not lengths:
        return None
    length = lengths.pop()
    if lengths or not (length.isascii() and length.isdigit()) or len(length) > _MAX_LENGTH_DIGITS:
        raise TransportError(f"the answer of {origin} announces its length in a way that cannot be understood")
    return int(length)


def _values(headers: Mapping[str, tuple[str, ...]], name: str) -> set[str]:
    return {value.strip(" \t").lower() for value in headers.get(name, ())}  # white space of HTTP, not of Unicode


def _too_long(origin: Origin, limit: int) -> AnswerTooLongError:
    return AnswerTooLongError(f"the answer of {origin} is longer than {limit} bytes, the most that is accepted")
