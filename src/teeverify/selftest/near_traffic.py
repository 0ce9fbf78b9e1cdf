"""A saved NEAR session taken apart: which exchange is which, where the records stand, and how one place is changed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs
from attrs import field, frozen

from ..errors import FormatError, NotRecordedError
from ..flow import Request, Response, run
from ..formats.nras import parse_nras_answer
from ..formats.strict_json import JsonValue, same_json
from ..policy import Policy
from ..providers.near_flow import attestation_flow
from ..providers.near_wire import NearAsked, asked_from_url
from ..saved import RecordedExchange, SavedReport
from ..transport import ReplayTransport
from .json_places import Path, get, nodes, put, styled

__all__ = ["NRAS_PATH", "TEXT_MEMBERS", "NearTraffic", "Record"]

NRAS_PATH: Final = "/v3/attest/gpu"
TEXT_MEMBERS: Final = frozenset(
    {"app_compose", "event_log", "key_provider_info", "nvidia_payload", "tcb_info", "vm_config"}
)
"""Members that hold JSON as text, or may."""


@frozen(kw_only=True)
class Record:
    """One attesting environment: the id of its subject, its role, where it stands in the report's JSON."""

    subject: str
    role: str
    path: Path


@frozen(kw_only=True)
class NearTraffic:
    """One saved session that is VERIFIED.

    ``body`` is the parsed attestation report. ``front`` is the index of the exchange that brought it, ``used`` are
    those of all exchanges that the flow read, in the report's order. ``copies`` are the entries of
    ``all_attestations`` that repeat the record that they stand in, by the place of that record; ``rivals`` the other
    exchanges that could answer the request of a used one. ``text`` is the report as it came.
    """

    report: SavedReport
    policy: Policy
    asked: NearAsked
    body: Any = field(repr=False)
    front: int
    used: tuple[int, ...]
    records: tuple[Record, ...]
    copies: Mapping[Path, tuple[int, ...]]
    rivals: Mapping[int, frozenset[int]]
    text: str = field(repr=False)

    @classmethod
    def read(cls, report: SavedReport, policy: Policy) -> NearTraffic:
        """Take a session apart that was VERIFIED under the policy; of another one, parts may be missing.

        Raises:
            FormatError: ``not_near_session`` when the report holds no answer to a request with its own nonce.
        """
        asked = _our_request(report)
        transport = _Noting(report)
        run(
            attestation_flow(asked, nonce=report.nonce, model=report.model, with_nras=policy.gpu.nras != "ignore"),
            transport,
        )
        used = tuple(sorted(transport.used))
        front = next(place for place in used if report.exchanges[place].request.url == asked.url)
        text = report.exchanges[front].response.body.decode("utf-8")
        body = json.loads(text)
        return cls(
            report=report,
            policy=policy,
            asked=asked,
            body=body,
            front=front,
            used=used,
            records=tuple(_records(body, cloud=asked.cloud)),
            copies=dict(_copies(body, cloud=asked.cloud)),
            rivals=_rivals(report, used),
            text=text,
        )

    @property
    def exchanges(self) -> tuple[RecordedExchange, ...]:
        """All recorded exchanges."""
        return self.report.exchanges

    def nodes_of(self, path: Path) -> Iterator[tuple[Path, JsonValue]]:
        """Every member and entry below a place of the report, with paths from that place; JSON in text included."""
        return nodes(get(self.body, path), text_members=TEXT_MEMBERS)

    def places(self, part_of_url: str) -> tuple[int, ...]:
        """Indices of the exchanges that the flow read and whose URL contains that text."""
        return tuple(place for place in self.used if part_of_url in self.exchanges[place].request.url)

    @property
    def nvidia_answers(self) -> tuple[int, ...]:
        """Indices of the answers of NVIDIA's service that were read and hold tokens; an outage holds none."""
        return tuple(place for place in self.places(NRAS_PATH) if _holds_tokens(self.exchanges[place].response))

    def with_place(self, path: Path, new: Any) -> SavedReport:
        """The saved report with another value at one place of the attestation report; copies of a record follow it."""
        return self.with_body(self._with_copies(put(self.body, path, new), path))

    def with_body(self, body: JsonValue) -> SavedReport:
        """The saved report with another attestation report in its recorded answer."""
        return self.with_answer(self.front, body=styled(body, like=self.text).encode("utf-8"))

    def with_answer(self, place: int, **changes: Any) -> SavedReport:
        """The saved report with members of one recorded answer changed."""
        exchange = self.exchanges[place]
        return self.with_exchange(place, attrs.evolve(exchange, response=attrs.evolve(exchange.response, **changes)))

    def with_request(self, place: int, **changes: Any) -> SavedReport:
        """The saved report with members of one recorded request changed."""
        exchange = self.exchanges[place]
        return self.with_exchange(place, attrs.evolve(exchange, request=attrs.evolve(exchange.request, **changes)))

    def with_exchange(self, place: int, exchange: RecordedExchange | None) -> SavedReport:
        """The saved report with one exchange replaced, or left out for None.

        Other answers to the same request are left out too: where a file holds several, the untouched one would answer.
        """
        kept = [
            exchange if index == place else other
            for index, other in enumerate(self.exchanges)
            if index not in self.rivals.get(place, ())
        ]
        return attrs.evolve(self.report, exchanges=tuple(each for each in kept if each is not None))

    def _with_copies(self, body: JsonValue, path: Path) -> JsonValue:
        """What a consistent forger does: the copies of the altered record say what the record says."""
        for holder, indices in self.copies.items():
            inside = path[: len(holder)] == holder and len(path) > len(holder)
            if not inside or path[len(holder)] == "all_attestations":
                continue
            record = get(body, holder)
            for index in indices:
                names = record["all_attestations"][index]
                copy = {name: record[name] for name in names if name in record}
                body = put(body, (*holder, "all_attestations", index), copy)
        return body


class _Noting(ReplayTransport):
    """A replay that notes which exchanges answered."""

    def __init__(self, report: SavedReport) -> None:
        # Answers of their own, told apart by identity: two exchanges of a report may share one, or be equal.
        own = tuple(attrs.evolve(each, response=attrs.evolve(each.response)) for each in report.exchanges)
        super().__init__(attrs.evolve(report, exchanges=own))
        self._places = {id(exchange.response): place for place, exchange in enumerate(own)}
        self.used: set[int] = set()

    def send(self, request: Request) -> Response:
        response = super().send(request)
        self.used.add(self._places[id(response)])
        return response


def _rivals(report: SavedReport, used: tuple[int, ...]) -> dict[int, frozenset[int]]:
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


def _our_request(report: SavedReport) -> NearAsked:
    for exchange in report.exchanges:
        if exchange.request.method == "GET" and exchange.response.status == 200:
            try:
                asked = asked_from_url(exchange.request.url)
            except FormatError:
                continue
            if asked.nonce == report.nonce:
                return asked
    raise FormatError("not_near_session", "the saved report holds no answer to a NEAR report request with its nonce")


def _records(body: Mapping[str, JsonValue], *, cloud: bool) -> Iterator[Record]:
    """Every record that is judged, in the order and under the ids of the verdict."""
    if cloud:
        yield Record(subject="gateway", role="gateway", path=("gateway_attestation",))
    holders = _holders(body, cloud=cloud)
    for number, path in enumerate(holders):
        suffix = f":{number + 1}" if number else ""
        yield Record(subject=f"model{suffix}", role="model", path=path)
        if get(body, path).get("compose_manager_attestation") is not None:
            inner = (*path, "compose_manager_attestation")
            yield Record(subject=f"compose_manager{suffix}", role="compose_manager", path=inner)


def _holders(body: Mapping[str, JsonValue], *, cloud: bool) -> list[Path]:
    """Where the records of model machines stand."""
    return [("model_attestations", index) for index in range(len(body["model_attestations"]))] if cloud else [()]


def _copies(body: Mapping[str, JsonValue], *, cloud: bool) -> Iterator[tuple[Path, tuple[int, ...]]]:
    """Entries of ``all_attestations`` that say nothing but what the record around them says."""
    for path in _holders(body, cloud=cloud):
        record = get(body, path)
        entries = record.get("all_attestations")
        if isinstance(entries, list):
            yield path, tuple(index for index, entry in enumerate(entries) if _repeats(entry, record))


def _repeats(entry: JsonValue, record: Mapping[str, JsonValue]) -> bool:
    return isinstance(entry, dict) and all(
        name in record and same_json(value, record[name]) for name, value in entry.items()
    )
