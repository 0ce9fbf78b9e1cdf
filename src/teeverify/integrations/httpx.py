"""Transports over `httpx` clients, sync and async.

Of the client its connections, proxies, TLS settings and timeouts are used; its headers, cookies and credentials are not
sent. To hold the client to a key, give it ``verify=pinned_context(...)``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from ..flow import Request, Response
from ..http_rules import Body, announced_length, headers_to_send
from ..origin import Origin, Target, bearers, target_of
from ..outages import FAILURES, DeadlineError, outage
from ..tls import verified_peer_spki

if TYPE_CHECKING:
    import httpx

__all__ = ["AsyncHttpxTransport", "HttpxTransport"]


class HttpxTransport:
    """Answers requests over an `httpx.Client`, which the caller closes. Safe to share between threads.

    https only; redirects are not followed, nothing is tried again.

    Args:
        client: the client.
        bearer: bearer tokens by origin (``https://host``); a token is sent to its own origin and nowhere else.
        total_timeout: seconds for a body, looked at whenever some of it comes; the client's own timeouts hold as well.
            A server that never comes to the end of its headers is not bounded by it: where that matters, use
            `RequestsTransport` or `AsyncHttpxTransport`.

    Raises:
        ConfigurationError: an origin or token that cannot be used.
    """

    concurrent: Final = True

    def __init__(
        self, client: httpx.Client, *, bearer: Mapping[str, str] | None = None, total_timeout: float = 60.0
    ) -> None:
        self._client, self._authorizations, self._total = client, bearers(bearer), total_timeout

    def send(self, request: Request) -> Response:
        """Answer one request.

        Raises:
            TransportError: no whole answer could be had, also as `KeyMismatchError` or `AnswerTooLongError`.
        """
        target = target_of(request.url)
        prepared = _prepared(self._client, request, target, self._authorizations)
        deadline = time.monotonic() + self._total
        with _translated(target.origin):
            raw = self._client.send(prepared, stream=True, auth=None, follow_redirects=False)
            try:
                answer = _Answer(request, target.origin, raw)
                for chunk in raw.iter_raw():
                    answer.body.add(chunk)
                    if time.monotonic() > deadline:
                        raise DeadlineError
                return answer.whole()
            finally:
                raw.close()


class AsyncHttpxTransport:
    """The same over an `httpx.AsyncClient`, under asyncio or trio; ``total_timeout`` is for the whole answer."""

    concurrent: Final = True

    def __init__(
        self, client: httpx.AsyncClient, *, bearer: Mapping[str, str] | None = None, total_timeout: float = 60.0
    ) -> None:
        self._client, self._authorizations, self._total = client, bearers(bearer), total_timeout

    async def send(self, request: Request) -> Response:
        """Answer one request; raises as `HttpxTransport.send`."""
        import anyio

        target = target_of(request.url)
        prepared = _prepared(self._client, request, target, self._authorizations)
        with _translated(target.origin), anyio.fail_after(self._total):
            raw = await self._client.send(prepared, stream=True, auth=None, follow_redirects=False)
            try:
                answer = _Answer(request, target.origin, raw)
                async for chunk in raw.aiter_raw():
                    answer.body.add(chunk)
                return answer.whole()
            finally:
                await raw.aclose()


class _Answer:
    """An answer whose head was judged and whose body is coming."""

    def __init__(self, request: Request, origin: Origin, raw: httpx.Response) -> None:
        stream = raw.extensions.get("network_stream")
        self._peer_spki = verified_peer_spki(None if stream is None else stream.get_extra_info("ssl_object"))
        self._status = raw.status_code
        self._headers = {name.lower(): tuple(raw.headers.get_list(name)) for name in raw.headers}
        self._announced = announced_length(request, origin, self._status, self._headers)
        self.body = Body(request.limit, origin)

    def whole(self) -> Response:
        body = self.body.whole(self._announced)
        return Response(status=self._status, headers=self._headers, body=body, peer_spki=self._peer_spki)


def _prepared(
    client: httpx.Client | httpx.AsyncClient, request: Request, target: Target, authorizations: Mapping[Origin, str]
) -> httpx.Request:
    """Not ``client.build_request``, which would add the client's own headers and cookies."""
    import httpx

    with _translated(target.origin):
        return httpx.Request(
            request.method,
            f"{target.origin}{target.path}",
            # h11 keeps what a server sends after an answer, and would take it for the next one.
            headers={**headers_to_send(request, target, authorizations), "Connection": "close"},
            content=request.body,
            extensions={"timeout": client.timeout.as_dict()},  # httpx 0.28 would set it itself
        )


@contextmanager
def _translated(origin: Origin) -> Iterator[None]:
    import httpx

    try:
        yield
    except TimeoutError:  # ours: httpx has its own
        raise outage(DeadlineError(), origin) from None
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, *FAILURES) as error:
        raise outage(error, origin) from None
