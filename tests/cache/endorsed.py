"""A simulated session, the requests that belong to it, and a transport that counts what it is asked."""

from __future__ import annotations

import functools
import json
import threading
from typing import Any, Final

from teeverify.endorsement_cache import EndorsementCache, StagedEndorsements
from teeverify.errors import TransportError
from teeverify.flow import Answer, Flow, Request, Response, run
from teeverify.saved import SavedReport
from teeverify.testing import RECORDED_AT, NearSession
from teeverify.transport import ReplayTransport

from .verdicts import Clocks

__all__ = [
    "JWKS",
    "NRAS",
    "CountingTransport",
    "answer_of",
    "asked_flow",
    "clocks_at_recording",
    "endorsement_cache",
    "fetched_again",
    "fill",
    "report_of",
    "requests_of",
    "session",
    "spoiled",
    "urls",
]

JWKS: Final = "https://nras.attestation.nvidia.com/.well-known/jwks.json"
NRAS: Final = "https://nras.attestation.nvidia.com/v3/attest/gpu"


@functools.cache
def session() -> NearSession:
    """One truthful session through the gateway."""
    return NearSession.cloud(gpus=1)


@functools.cache
def _document() -> bytes:
    return json.dumps(session().saved()).encode()


@functools.cache
def report_of() -> SavedReport:
    """The session as a saved report."""
    return SavedReport.from_bytes(_document())


def requests_of(report: SavedReport) -> tuple[Request, ...]:
    """What the session asked, the provider's own report first; each URL once."""
    return tuple({exchange.request.url: exchange.request for exchange in report.exchanges}.values())


def urls(*, kept: bool) -> list[str]:
    """The URLs of the session whose answers may be kept, or the others."""
    found = [request.url for request in requests_of(report_of())]
    return [url for url in found if ("intel.com" in url or url == JWKS) is kept]


def answer_of(url: str) -> Response:
    """What the session was answered."""
    return next(exchange.response for exchange in report_of().exchanges if exchange.request.url == url)


class CountingTransport:
    """Answers from a saved report; ``asked`` lists the URLs. ``changes`` holds other answers by URL."""

    concurrent = True

    def __init__(self, report: SavedReport, changes: dict[str, Answer] | None = None) -> None:
        self._replay, self._changes = ReplayTransport(report), changes or {}
        self._lock = threading.Lock()
        self.asked: list[str] = []

    def send(self, request: Request) -> Response:
        """Answer and count."""
        with self._lock:
            self.asked.append(request.url)
        answer = self._changes.get(request.url)
        if isinstance(answer, TransportError):
            raise answer
        return self._replay.send(request) if answer is None else answer


def asked_flow(*batches: tuple[Request, ...]) -> Flow[list[Answer]]:
    """Asks batch after batch and returns all answers in order."""
    found: list[Answer] = []
    for batch in batches:
        found += yield batch
    return found


def clocks_at_recording() -> Clocks:
    """Clocks that stand at the time of the session."""
    clocks = Clocks()
    clocks.now = RECORDED_AT
    return clocks


def endorsement_cache(clocks: Clocks, **options: Any) -> EndorsementCache:
    """A cache that reads these clocks."""
    return EndorsementCache(wall=clocks.wall, monotonic=clocks.monotonic, **options)


def fill(cache: EndorsementCache, changes: dict[str, Answer] | None = None) -> None:
    """One session that fetches everything and was VERIFIED."""
    staged = StagedEndorsements()
    run(cache.serve(asked_flow(requests_of(report_of())), staged), CountingTransport(report_of(), changes))
    cache.commit(staged)


def fetched_again(cache: EndorsementCache, *, bypass: bool = False) -> list[str]:
    """The URLs that the next session has to ask for."""
    transport = CountingTransport(report_of())
    run(cache.serve(asked_flow(requests_of(report_of())), StagedEndorsements(bypass=bypass)), transport)
    return transport.asked


def spoiled(answer: Response, **changes: Any) -> Response:
    """An answer with some members replaced."""
    members = {name: getattr(answer, name) for name in ("status", "headers", "body", "peer_spki")}
    return Response(**{**members, **changes})
