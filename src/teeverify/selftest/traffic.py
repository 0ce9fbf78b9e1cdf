"""A saved session taken apart: which exchanges were read, and the report with one of them, or one place, changed.

What a provider's answers hold is the matter of its own subclass.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import attrs
from attrs import frozen

from ..errors import FormatError, NotRecordedError
from ..flow import Request, Response
from ..formats.nras import parse_nras_answer
from ..formats.strict_json import JsonValue
from ..policy import Policy
from ..saved import RecordedExchange, SavedReport
from ..transport import ReplayTransport
from .json_places import Path, shape

__all__ = ["KEY_SET_PATH", "NRAS_PATH", "NotingTransport", "Record", "Traffic", "host_of", "rivals_of"]

NRAS_PATH: Final = "/v3/attest/gpu"
KEY_SET_PATH: Final = "jwks.json"


@frozen(kw_only=True)
class Record:
    """Evidence of one attesting environment: the id of its subject, its role, where it stands in the answers' JSON.

    ``shown`` stands before the names of its fields, for people, where one subject has several records.
    """

    subject: str
    role: str
    path: Path
    shown: str = ""


@frozen(kw_only=True)
class Traffic(ABC):
    """One saved session that is VERIFIED.

    ``used`` are the indices of the exchanges that the flow read, in the report's order; ``rivals`` the other exchanges
    that could answer the request of a used one.
    """

    report: SavedReport
    policy: Policy
    used: tuple[int, ...]
    rivals: Mapping[int, frozenset[int]]

    @property
    def exchanges(self) -> tuple[RecordedExchange, ...]:
        """All recorded exchanges."""
        return self.report.exchanges

    @abstractmethod
    def nodes_of(self, path: Path) -> Iterator[tuple[Path, JsonValue]]:
        """Every member and entry below a place of the answers' JSON, with paths from that place."""

    @abstractmethod
    def with_place(self, path: Path, new: Any) -> SavedReport:
        """The saved report with another value at one place of the answers' JSON."""

    def spell_place(self, record: Record, path: Path) -> str:
        """A place inside a record as the provider's tables write it."""
        return f"{record.role}.{shape(path)}"

    def concerned(self, subject: str) -> tuple[str, ...]:
        """Ids of the subjects that an alteration is of; empty where it is of the session, whose outcome then counts."""
        del subject
        return ()

    def concerned_by(self, place: int) -> tuple[str, ...]:
        """The same for an alteration of one recorded exchange."""
        del place
        return ()

    def places(self, part_of_url: str) -> tuple[int, ...]:
        """Indices of the exchanges that the flow read and whose URL contains that text."""
        return tuple(place for place in self.used if part_of_url in self.exchanges[place].request.url)

    @property
    def nvidia_answers(self) -> tuple[int, ...]:
        """Indices of the answers of NVIDIA's service that were read and hold tokens; an outage holds none."""
        return tuple(place for place in self.places(NRAS_PATH) if _holds_tokens(self.exchanges[place].response))

    @property
    def unused(self) -> tuple[int, ...]:
        """Indices of the exchanges that the flow neither read nor could have read."""
        rivals = {index for indices in self.rivals.values() for index in indices}
        return tuple(index for index in range(len(self.exchanges)) if index not in {*self.used, *rivals})

    def with_answer(self, place: int, **changes: Any) -> SavedReport:
        """The saved report with members of one recorded answer changed."""
        exchange = self.exchanges[place]
        return self.with_exchange(place, attrs.evolve(exchange, response=attrs.evolve(exchange.response, **changes)))

    def with_request(self, place: int, **changes: Any) -> SavedReport:
        """The saved report with members of one recorded request changed."""
        exchange = self.exchanges[place]
        return self.with_exchange(place, attrs.evolve(exchange, request=attrs.evolve(exchange.request, **changes)))

    def with_exchange(self, place: int, exchange: RecordedExchange | None) -> SavedReport:
        """The saved report with one exchange replaced, or left out for None."""
        return self.with_exchanges({place: exchange})

    def with_exchanges(self, new: Mapping[int, RecordedExchange | None]) -> SavedReport:
        """The saved report with exchanges replaced by index, or left out for None.

        Other answers to the same request are left out too: where a file holds several, the untouched one would answer.
        """
        rivals = {index for place in new for index in self.rivals.get(place, ())}
        kept = [new.get(index, old) for index, old in enumerate(self.exchanges) if index not in rivals]
        return attrs.evolve(self.report, exchanges=tuple(each for each in kept if each is not None))


class NotingTransport(ReplayTransport):
    """A replay that notes which exchanges answered: ``used`` are their indices."""

    def __init__(self, report: SavedReport) -> None:
        # Answers of their own, told apart by identity: two exchanges of a report may share one, or be equal.
        own = tuple(attrs.evolve(each, response=attrs.evolve(each.response)) for each in report.exchanges)
        super().__init__(attrs.evolve(report, exchanges=own))
        self._own = own
        self.used: set[int] = set()

    def send(self, request: Request) -> Response:
        """See `ReplayTransport.send`."""
        response = super().send(request)
        self.used.add(self.place_of(response))
        return response

    def place_of(self, response: object) -> int:
        """The index of the exchange that brought an answer of this transport; -1 for anything else."""
        return next((place for place, each in enumerate(self._own) if each.response is response), -1)

    def url_of(self, place: int) -> str:
        """The URL that was asked for in an exchange."""
        return self._own[place].request.url


def rivals_of(report: SavedReport, used: tuple[int, ...]) -> dict[int, frozenset[int]]:
    """For each exchange that was read, the others that a replay could answer the same request from."""
    others = [
        (index, ReplayTransport(attrs.evolve(report, exchanges=(exchange,))))
        for index, exchange in enumerate(report.exchanges)
        if index not in used
    ]
    return {
        place: frozenset(index for index, alone in others if _answers(alone, report.exchanges[place].request))
        for place in used
    }


def host_of(url: str) -> str:
    """The host of a URL, in words where it has none."""
    try:
        return urlsplit(url).netloc or "no host"
    except ValueError:
        return "an unreadable host"


def _answers(transport: ReplayTransport, request: Request) -> bool:
    try:
        transport.send(request)
    except NotRecordedError:
        return False
    return True


def _holds_tokens(response: Response) -> bool:
    try:
        return response.status == 200 and bool(parse_nras_answer(response.body).devices)
    except FormatError:
        return False
