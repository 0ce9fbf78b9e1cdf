"""Transports: what answers a flow's requests.

`ReplayTransport` answers from a saved report and never touches a network.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from .errors import NotRecordedError
from .flow import Request, Response
from .saved import RecordedExchange, SavedReport

__all__ = ["ReplayTransport"]

_HEX: Final = re.compile(r"[0-9a-fA-F]{8,}\Z")


class ReplayTransport:
    """Answers requests from the exchanges of a saved report.

    Method, scheme, host, path and query parameters must be the recorded ones, in any order; hex values are compared
    without case. Of several recorded answers those to the same body count, if there are any, and of these the
    first with status 200, else the first. A request without an answer is a `NotRecordedError`.
    """

    def __init__(self, report: SavedReport) -> None:
        self._answers: dict[tuple[object, ...], list[RecordedExchange]] = {}
        for exchange in report.exchanges:
            self._answers.setdefault(_key(exchange.request), []).append(exchange)

    def send(self, request: Request) -> Response:
        """Answer from the recording.

        Raises:
            NotRecordedError: the report holds no answer to this request.
        """
        recorded = self._answers.get(_key(request))
        if not recorded:
            place = request.url.partition("?")[0][:120]
            raise NotRecordedError(f"the saved report holds no answer to {request.method} {place}")
        fitting = [exchange for exchange in recorded if exchange.request.body == request.body] or recorded
        answered = (exchange for exchange in fitting if exchange.response.status == 200)  # the others were tried again
        return next(answered, fitting[0]).response


def _key(request: Request) -> tuple[object, ...]:
    try:
        parts = urlsplit(request.url)
        query = parse_qsl(parts.query, keep_blank_values=True, max_num_fields=64)
    except ValueError:
        return (request.method, request.url)
    parameters = sorted((name, value.lower() if _HEX.match(value) else value) for name, value in query)
    return (request.method, parts.scheme, parts.netloc.lower(), parts.path, tuple(parameters))
