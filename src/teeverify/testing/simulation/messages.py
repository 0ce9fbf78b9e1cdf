"""HTTP/1.1 messages (RFC 9112) as the simulated services read and write them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from attrs import field, frozen

from teeverify.testing.recording import Answer, compact

from .stream import TlsStream

__all__ = ["BadRequestError", "HttpReader", "HttpRequest", "Reply", "chunk", "error_reply", "head", "json_reply"]

_MAX_HEAD: Final = 64 << 10
_MAX_BODY: Final = 64 << 20
_REQUEST_LINE: Final = re.compile(r"([A-Z]{1,16}) ([\x21-\x7e]{1,8192}) HTTP/1\.1\Z")
_FIELD: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}):[ \t]*(.*?)[ \t]*\Z")
_REASONS: Final = {
    200: "OK",
    302: "Found",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    421: "Misdirected Request",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
LAST_CHUNK: Final = b"0\r\n\r\n"


class BadRequestError(Exception):
    """What a client sent is not an HTTP/1.1 request that this server takes."""


@frozen(kw_only=True)
class HttpRequest:
    """One request; ``headers`` are by lower-case name, ``body`` is what was left of transfer coding."""

    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def path(self) -> str:
        """The path without the query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        """The query parameters; of a repeated one the last."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True, max_num_fields=64))

    @property
    def host(self) -> str:
        """The host that the client names, in lower case and without a port."""
        return re.sub(r":\d+\Z", "", self.headers.get("host", "").lower())

    @property
    def keep_alive(self) -> bool:
        """False where the client wants the connection closed after the answer."""
        return "close" not in self.headers.get("connection", "").lower()


@frozen(kw_only=True)
class Reply:
    """One answer. ``parts`` stand in place of ``body`` and are sent one by one with chunked transfer coding."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)
    parts: Iterable[bytes] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, answer: Answer) -> Reply:
        """The reply that carries a recorded answer; what belongs to the connection is left to the connection."""
        own = ("content-length", "connection", "transfer-encoding")
        headers = tuple((name, value) for name, value in answer.headers.items() if name.lower() not in own)
        return cls(status=answer.status, headers=headers, body=answer.body)

    def whole(self) -> bytes:
        """All bytes of the body."""
        return self.body if self.parts is None else b"".join(self.parts)


class HttpReader:
    """Requests of one connection, one after the other."""

    def __init__(self, stream: TlsStream) -> None:
        self._stream = stream
        self._buffer = bytearray()

    def next(self) -> HttpRequest | None:
        """The next request, None at the end.

        Raises:
            BadRequestError: what came is no request.
            OSError: the connection broke.
        """
        raw = self._until(b"\r\n\r\n", _MAX_HEAD)
        if raw is None:
            return None
        first, *lines = raw.decode("latin-1").split("\r\n")
        matched = _REQUEST_LINE.match(first)
        if matched is None or not matched[2].startswith("/"):
            raise BadRequestError("the request line is not METHOD /path HTTP/1.1")
        headers = _headers(lines)
        if headers.get("expect", "").lower() == "100-continue":
            self._stream.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return HttpRequest(method=matched[1], target=matched[2], headers=headers, body=self._body(headers))

    def _body(self, headers: Mapping[str, str]) -> bytes:
        coding, length = headers.get("transfer-encoding"), headers.get("content-length", "0")
        if coding is not None:
            if coding.lower() != "chunked" or "content-length" in headers:
                raise BadRequestError("the request's transfer coding is not chunked alone")
            return self._chunked()
        if not re.fullmatch(r"[0-9]{1,9}", length) or int(length) > _MAX_BODY:
            raise BadRequestError(f"Content-Length is not a number up to {_MAX_BODY}")
        return self._exactly(int(length))

    def _chunked(self) -> bytes:
        whole = bytearray()
        while True:
            line = self._line()
            size = line.split(b";")[0].strip()
            if not re.fullmatch(rb"[0-9A-Fa-f]{1,8}", size) or len(whole) + int(size, 16) > _MAX_BODY:
                raise BadRequestError("a chunk of the request has no size that is accepted")
            if int(size, 16) == 0:
                while self._line():
                    pass  # trailers
                return bytes(whole)
            whole += self._exactly(int(size, 16))
            if self._line():
                raise BadRequestError("a chunk of the request is longer than it says")

    def _line(self) -> bytes:
        line = self._until(b"\r\n", _MAX_HEAD)
        if line is None:
            raise BadRequestError("the request ends in the middle")
        return line

    def _until(self, mark: bytes, limit: int) -> bytes | None:
        while mark not in self._buffer:
            if len(self._buffer) > limit:
                raise BadRequestError(f"the request's head is longer than {limit} bytes")
            data = self._stream.receive()
            if not data:
                if self._buffer:
                    raise BadRequestError("the request ends in the middle")
                return None
            self._buffer += data
        end = self._buffer.index(mark)
        found = bytes(self._buffer[:end])
        del self._buffer[: end + len(mark)]
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            data = self._stream.receive()
            if not data:
                raise BadRequestError("the request ends in the middle")
            self._buffer += data
        found = bytes(self._buffer[:size])
        del self._buffer[:size]
        return found


def _headers(lines: Iterable[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        matched = _FIELD.match(line)
        if matched is None:
            raise BadRequestError("a header line of the request cannot be read")
        name = matched[1].lower()
        if name in headers and name in ("host", "content-length", "transfer-encoding", "authorization"):
            raise BadRequestError(f"the request has two {name} headers")
        headers[name] = f"{headers[name]}, {matched[2]}" if name in headers else matched[2]
    return headers


def head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    """Status line and header lines, with the blank line that ends them."""
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chunk(data: bytes) -> bytes:
    """One chunk of chunked transfer coding (RFC 9112, section 7.1)."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def wire_parts(reply: Reply, *, keep_alive: bool) -> Iterator[bytes]:
    """The bytes of a whole reply, in the pieces in which they are sent."""
    connection = ("Connection", "keep-alive" if keep_alive else "close")
    if reply.parts is None:
        length = ("Content-Length", str(len(reply.body)))
        yield head(reply.status, (*reply.headers, length, connection)) + reply.body
        return
    yield head(reply.status, (*reply.headers, ("Transfer-Encoding", "chunked"), connection))
    for part in reply.parts:
        yield chunk(part)
    yield LAST_CHUNK


def json_reply(value: Any, status: int = 200) -> Reply:
    """A JSON document."""
    return Reply(status=status, headers=(("Content-Type", "application/json"),), body=compact(value))


def error_reply(status: int, message: str, kind: str = "invalid_request_error", **more: str) -> Reply:
    """An error in the form of the OpenAI-compatible services."""
    return json_reply({"error": {"message": message, "type": kind, **more}}, status)
