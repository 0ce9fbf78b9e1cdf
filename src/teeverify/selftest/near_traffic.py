"""A saved NEAR session taken apart: which exchange is which, where the records stand, and how one place is changed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import field, frozen

from ..errors import FormatError
from ..flow import run
from ..formats.strict_json import JsonValue, same_json
from ..policy import Policy
from ..providers.near_flow import attestation_flow
from ..providers.near_wire import NearAsked, asked_from_url
from ..saved import SavedReport
from .json_places import Path, get, nodes, put, styled
from .traffic import NotingTransport, Record, Traffic, rivals_of

__all__ = ["TEXT_MEMBERS", "NearTraffic"]

TEXT_MEMBERS: Final = frozenset(
    {"app_compose", "event_log", "key_provider_info", "nvidia_payload", "tcb_info", "vm_config"}
)
"""Members that hold JSON as text, or may."""


@frozen(kw_only=True)
class NearTraffic(Traffic):
    """One saved session that is VERIFIED.

    ``body`` is the parsed attestation report. ``front`` is the index of the exchange that brought it. ``copies`` are
    the entries of ``all_attestations`` that repeat the record that they stand in, by the place of that record.
    ``text`` is the report as it came.
    """

    asked: NearAsked
    body: Any = field(repr=False)
    front: int
    records: tuple[Record, ...]
    copies: Mapping[Path, tuple[int, ...]]
    text: str = field(repr=False)

    @classmethod
    def read(cls, report: SavedReport, policy: Policy) -> NearTraffic:
        """Take a session apart that was VERIFIED under the policy; of another one, parts may be missing.

        Raises:
            FormatError: ``not_near_session`` when the report holds no answer to a request with its own nonce.
        """
        asked = _our_request(report)
        with_nras = policy.gpu.nras != "ignore"
        transport = NotingTransport(report)
        run(attestation_flow(asked, nonce=report.nonce, model=report.model, with_nras=with_nras), transport)
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
            rivals=rivals_of(report, used),
            text=text,
        )

    def nodes_of(self, path: Path) -> Iterator[tuple[Path, JsonValue]]:
        """See `Traffic.nodes_of`; JSON in text included."""
        return nodes(get(self.body, path), text_members=TEXT_MEMBERS)

    def spell_place(self, record: Record, path: Path) -> str:
        """See `Traffic.spell_place`; ``tcb_info`` is written alike whether it stands as text or not."""
        return super().spell_place(record, path).replace("tcb_info.<json>", "tcb_info")

    def with_place(self, path: Path, new: Any) -> SavedReport:
        """See `Traffic.with_place`; copies of a record follow it."""
        return self.with_body(self._with_copies(put(self.body, path, new), path))

    def with_body(self, body: JsonValue) -> SavedReport:
        """The saved report with another attestation report in its recorded answer."""
        return self.with_answer(self.front, body=styled(body, like=self.text).encode("utf-8"))

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
