"""A transport over an `aiohttp.ClientSession`.

Of the session only its connector is used (connections, name look-ups, TLS settings); its headers, cookies, credentials
and proxies are not. To hold it to a key, give its connector ``ssl=pinned_context(...)``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from ..errors import TransportError
from ..flow import Request, Response
from ..http_rules import Body, announced_length, headers_to_send
from ..origin import Target, bearers, target_of
from ..outages import FAILURES, DeadlineError, outage
from ..tls import verified_peer_spki

if TYPE_CHECKING:
    import aiohttp

__all__ = ["AiohttpTransport"]

_CHUNK: Final = 64 << 10


class AiohttpTransport:
    """Answers requests over the connector of an `aiohttp.ClientSession`, which the caller closes.

    https only; redirects are not followed.

    Args:
        session: the session.
        bearer: bearer tokens by origin (``https://host``); a token is sent to its own origin and nowhere else.
        total_timeout: seconds for a whole answer.

    Raises:
        ConfigurationError: an origin or token that cannot be used.
    """

    concurrent: Final = True

    def __init__(
        self, session: aiohttp.ClientSession, *, bearer: Mapping[str, str] | None = None, total_timeout: float = 60.0
    ) -> None:
        self._session, self._authorizations, self._total = session, bearers(bearer), total_timeout

    async def send(self, request: Request) -> Response:
        """Answer one request.

        Raises:
            TransportError: no whole answer could be had, also as `KeyMismatchError` or `AnswerTooLongError`.
        """
        import aiohttp

        target = target_of(request.url)
        headers = headers_to_send(request, target, self._authorizations)
        connector = self._session.connector
        if connector is None:
            raise TransportError("the session is closed; give the transport an open one")
        own = aiohttp.ClientSession(
            connector=connector,
            connector_owner=False,
            response_class=_tapped_response(),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=self._total),
        )
        try:
            async with own:
                return await _answer(own, request, target, headers)
        except asyncio.TimeoutError:
            raise outage(DeadlineError(), target.origin) from None
        except (aiohttp.ClientError, *FAILURES) as error:
            raise outage(error, target.origin) from None


async def _answer(own: aiohttp.ClientSession, request: Request, target: Target, headers: dict[str, str]) -> Response:
    import yarl

    url = yarl.URL(f"{target.origin}{target.path}", encoded=True)
    async with own.request(request.method, url, headers=headers, data=request.body, allow_redirects=False) as raw:
        tapped: Any = raw
        with tapped.aborting():
            answered = {name.lower(): tuple(raw.headers.getall(name)) for name in raw.headers}
            announced = announced_length(request, target.origin, raw.status, answered)
            body = Body(request.limit, target.origin)
            async for chunk in raw.content.iter_chunked(_CHUNK):
                body.add(chunk)
            spki: bytes | None = tapped.peer_spki
            return Response(status=raw.status, headers=answered, body=body.whole(announced), peer_spki=spki)


def _tapped_response() -> type[aiohttp.ClientResponse]:
    """A response that notes the server's key when it starts: the connection may be given back before it is returned."""
    import aiohttp

    class TappedResponse(aiohttp.ClientResponse):
        peer_spki: bytes | None = None
        transport: asyncio.Transport | None = None

        async def start(self, connection: Any) -> aiohttp.ClientResponse:
            self.transport = connection.transport
            with self.aborting():
                if self.transport is not None:
                    self.peer_spki = verified_peer_spki(self.transport.get_extra_info("ssl_object"))
                return await super().start(connection)

        @contextmanager
        def aborting(self) -> Iterator[None]:
            """Leave a bad server at once: a proper end of TLS would wait for it to agree."""
            try:
                yield
            except BaseException:
                if self.transport is not None:
                    self.transport.abort()
                raise

    return TappedResponse
