"""Live HTTPS through `requests`: its settings (proxies, certificate authorities) and the connections of its urllib3.

What `requests` does beside sending one request is left out on purpose: redirects, cookies, passwords from .netrc files,
decoding of bodies.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Final

from .errors import ConfigurationError
from .flow import Request, Response
from .http_rules import Body, PassingError, announced_length, headers_to_send
from .origin import Target, bearers, checked_origin, target_of
from .outages import FAILURES, DeadlineError, outage
from .tls import checked_pins

if TYPE_CHECKING:
    from types import TracebackType

    import requests
    from urllib3.response import BaseHTTPResponse

    from .requests_connections import Attempt

__all__ = ["RequestsTransport"]

_PASSING_STATUS: Final = frozenset({429, 500, 502, 503, 504})
_FIRST_WAIT: Final = 0.2
"""Seconds before the second attempt, on average; doubled for each further one."""
_MAX_RETRY_AFTER: Final = 10
"""Seconds that a server may ask us to wait; who asks for more is not asked again."""
_CHUNK: Final = 64 << 10


class RequestsTransport:
    """Answers requests over the network.

    https only; certificates are always verified, except where the answer proves itself (`Request.self_proving`).
    Redirects are not followed: the answer with its 3xx status is returned. Cookies are neither sent nor kept. Safe to
    share between threads.

    Args:
        session: whose ``proxies``, ``verify``, ``cert`` and ``trust_env`` are used as `requests` uses them
            (``HTTPS_PROXY``, ``REQUESTS_CA_BUNDLE``); its headers, cookies, hooks and adapters are not. SOCKS proxies
            are refused.
        api_keys: bearer tokens by origin (``https://host``); a token is sent to its own origin and nowhere else, and
            not with a request that has an ``Authorization`` header of its own.
        pins: SHA-256 (32 bytes) of the SubjectPublicKeyInfo by origin, or several; see `pin`.
        connect_to: address and port to connect to by host name, or ``*`` for all others, like curl's option of that
            name; SNI, Host and the verification of the certificate keep to the URL. No proxy is used then.
        ca_file: PEM file with the accepted certificate authorities, in place of all other settings of them.
        connect_timeout: seconds to connect to one address of a server, and again for the TLS handshake.
        read_timeout: seconds that a server may stay silent.
        total_timeout: seconds for `send` as a whole, with all attempts and waits; only the look-up of a name, which
            nothing can stop, is not cut short.
        retries: further attempts for repeatable requests (GET, HEAD, and what says so) after an outage (connection
            errors, 429, 500, 502, 503, 504).
        sleep: waits between attempts; replaced in tests.

    Raises:
        ConfigurationError: an origin, key, pin, time or CA file that cannot be used, or a session that does not verify.
    """

    concurrent: Final = True

    def __init__(
        self,
        session: requests.Session | None = None,
        *,
        api_keys: Mapping[str, str] | None = None,
        pins: Mapping[str, bytes | Collection[bytes]] | None = None,
        connect_to: Mapping[str, tuple[str, int]] | None = None,
        ca_file: str | None = None,
        connect_timeout: float = 5.0,
        read_timeout: float = 30.0,
        total_timeout: float = 60.0,
        retries: int = 2,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        import requests

        from .requests_pools import ConnectionPools

        if min(connect_timeout, read_timeout, total_timeout) <= 0:
            raise ConfigurationError("a timeout is zero or less; give seconds above zero")
        self._authorizations = bearers(api_keys)
        self._pins = {checked_origin(origin): checked_pins(pin) for origin, pin in (pins or {}).items()}
        self._connect_to = {host.lower(): (address, int(port)) for host, (address, port) in (connect_to or {}).items()}
        self._connect_timeout, self._read_timeout, self._total = connect_timeout, read_timeout, total_timeout
        self._retries, self._sleep = max(0, retries), sleep
        self._pinning = threading.Lock()
        self._pools = ConnectionPools(
            requests.Session() if session is None else session, ca_file=ca_file, use_proxies=not self._connect_to
        )

    def __enter__(self) -> RequestsTransport:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all idle connections. The transport can be used again; it then opens new ones."""
        self._pools.close()

    def pin(self, origin: str, spki_sha256: bytes | Collection[bytes]) -> None:
        """Hold every later request to ``origin`` to a key, or one of several, in place of earlier pins.

        A server with another key is left inside the TLS handshake, before a byte of the request is written. Connections
        that were opened under other pins, or none, are not used again for that origin.

        Args:
            origin: ``https://host`` or ``https://host:port``.
            spki_sha256: SHA-256 (32 bytes) of the DER SubjectPublicKeyInfo.

        Raises:
            ConfigurationError: the origin or a pin is not what it should be.
        """
        place, pins = checked_origin(origin), checked_pins(spki_sha256)
        with self._pinning:
            self._pins[place] = pins

    def unpin(self, origin: str) -> None:
        """Hold requests to ``origin`` to no key any more; nothing happens where none was pinned.

        Raises:
            ConfigurationError: the origin is not what it should be.
        """
        place = checked_origin(origin)
        with self._pinning:
            self._pins.pop(place, None)

    def send(self, request: Request) -> Response:
        """Answer one request. What answers are accepted is in `http_rules`.

        Raises:
            KeyMismatchError: a pinned origin showed another key; nothing was sent to it.
            AnswerTooLongError: the answer is longer than the request allows.
            TransportError: no whole answer could be had.
        """
        target = target_of(request.url)
        headers = headers_to_send(request, target, self._authorizations)
        deadline = time.monotonic() + self._total
        for attempt in range(self._retries if request.repeatable else 0):
            answer: Response | PassingError
            try:
                answer = self._once(target, request, headers, deadline)
            except PassingError as error:
                answer = error
            wait = _wait_before_repeating(answer, attempt)
            if wait is None or time.monotonic() + wait >= deadline:
                if isinstance(answer, PassingError):
                    raise answer
                return answer
            self._sleep(wait)
        return self._once(target, request, headers, deadline)

    def _once(self, target: Target, request: Request, headers: dict[str, str], deadline: float) -> Response:
        import urllib3

        from .requests_connections import CURRENT, Attempt

        attempt = Attempt(target.origin, deadline, self._connect_to)
        token = CURRENT.set(attempt)
        try:
            with self._pinning:
                pins = self._pins.get(target.origin)
            pool = self._pools.pool(target.origin, pins, verified=not request.self_proving)
            raw = pool.urlopen(
                request.method,
                target.path,
                body=request.body,
                headers=headers,
                retries=False,
                redirect=False,
                timeout=urllib3.Timeout(connect=self._connect_timeout, read=self._read_timeout),
                preload_content=False,
                decode_content=False,
            )
            with closing(raw):
                return _read(raw, request, attempt)
        except (PassingError, urllib3.exceptions.HTTPError, *FAILURES) as error:
            behind = isinstance(error, urllib3.exceptions.ProxyError)
            place = f"the proxy on the way to {target.origin}" if behind else str(target.origin)
            silent = isinstance(error, urllib3.exceptions.TimeoutError)  # urllib3 1.26 does not say what it wraps
            found = outage(TimeoutError() if silent else error, place)
            if isinstance(found, PassingError) and time.monotonic() >= deadline:
                found = outage(DeadlineError(), place)
            raise found from None
        finally:
            attempt.abandon()
            CURRENT.reset(token)


def _read(raw: BaseHTTPResponse, request: Request, attempt: Attempt) -> Response:
    from urllib3.util.response import assert_header_parsing

    original = getattr(raw, "_original_response", None)
    if original is not None:
        assert_header_parsing(original.msg)
    headers = {name.lower(): tuple(raw.headers.getlist(name)) for name in raw.headers}
    announced = announced_length(request, attempt.origin, raw.status, headers)
    body = Body(request.limit, attempt.origin)
    while chunk := raw.read(min(_CHUNK, body.room), decode_content=False):
        body.add(chunk)
    return Response(status=raw.status, headers=headers, body=body.whole(announced), peer_spki=attempt.peer_spki)


def _wait_before_repeating(answer: Response | PassingError, attempt: int) -> float | None:
    """Seconds until the next attempt; None when the answer stands or the server asks for too long a wait."""
    wait = _FIRST_WAIT * (1 << attempt) * (0.5 + random.random())  # noqa: S311 - jitter, not a secret
    if isinstance(answer, PassingError):
        return wait
    if answer.status not in _PASSING_STATUS:
        return None
    asked = answer.headers.get("retry-after", ("0",))[0].strip()
    if not (asked.isascii() and asked.isdigit()):
        return None  # a date, as if it were far off
    return max(wait, float(asked)) if float(asked) <= _MAX_RETRY_AFTER else None
