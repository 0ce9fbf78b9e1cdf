"""A saved session whose evidence is one dstack report: where its records stand, and how one place of it is changed."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import field, frozen

from ..formats.strict_json import JsonValue, same_json
from ..providers.report_records import ReportAsked
from ..saved import SavedReport
from .json_places import Path, get, nodes, put, styled
from .traffic import Record, Traffic

__all__ = ["TEXT_MEMBERS", "ReportTraffic", "copies_of", "records_of"]

TEXT_MEMBERS: Final = frozenset(
    {"app_compose", "event_log", "key_provider_info", "nvidia_payload", "tcb_info", "vm_config"}
)
"""Members that hold JSON as text, or may."""


@frozen(kw_only=True)
class ReportTraffic(Traffic, ABC):
    """One saved session that is VERIFIED.

    ``asked`` is what was asked for. ``body`` is the parsed attestation report. ``front`` is the index of the exchange
    that brought it. ``copies`` are the entries of ``all_attestations`` that repeat the record that they stand in, by
    the place of that record. ``text`` is the report as it came. ``twins`` are members that may stand in a record under
    a second name, by the first one.
    """

    asked: ReportAsked
    body: Any = field(repr=False)
    front: int
    records: tuple[Record, ...]
    copies: Mapping[Path, tuple[int, ...]]
    text: str = field(repr=False)
    twins: Mapping[str, str] = field(factory=dict)

    def nodes_of(self, path: Path) -> Iterator[tuple[Path, JsonValue]]:
        """See `Traffic.nodes_of`; JSON in text included."""
        return nodes(get(self.body, path), text_members=TEXT_MEMBERS)

    def spell_place(self, record: Record, path: Path) -> str:
        """See `Traffic.spell_place`; ``tcb_info`` is written alike whether it stands as text or not."""
        return super().spell_place(record, path).replace("tcb_info.<json>", "tcb_info")

    def with_place(self, path: Path, new: Any) -> SavedReport:
        """See `Traffic.with_place`; what repeats the place follows it: its second name, and copies of its record."""
        body = self._with_twin(put(self.body, path, new), path)
        return self.with_body(self._with_copies(body, path))

    def with_body(self, body: JsonValue) -> SavedReport:
        """The saved report with another attestation report in its recorded answer."""
        return self.with_answer(self.front, body=styled(body, like=self.text).encode("utf-8"))

    def _with_twin(self, body: JsonValue, path: Path) -> JsonValue:
        """What a consistent forger does: a member that stands there under two names says one thing."""
        twin = self.twins.get(path[-1]) if path and isinstance(path[-1], str) else None
        holder = path[:-1]
        if twin is None or not any(record.path == holder for record in self.records):
            return body
        new, old = get(body, holder).get(path[-1]), get(self.body, holder)
        if not isinstance(new, str) or not isinstance(old.get(twin), str):
            return body
        return put(body, (*holder, twin), new)

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


def records_of(body: Mapping[str, JsonValue], *, through_gateway: bool) -> Iterator[Record]:
    """Every record that is judged, in the order and under the ids of the verdict."""
    if through_gateway:
        yield Record(subject="gateway", role="gateway", path=("gateway_attestation",))
    for number, path in enumerate(_holders(body, through_gateway=through_gateway)):
        suffix = f":{number + 1}" if number else ""
        yield Record(subject=f"model{suffix}", role="model", path=path)
        if get(body, path).get("compose_manager_attestation") is not None:
            inner = (*path, "compose_manager_attestation")
            yield Record(subject=f"compose_manager{suffix}", role="compose_manager", path=inner)


def copies_of(body: Mapping[str, JsonValue], *, through_gateway: bool) -> Iterator[tuple[Path, tuple[int, ...]]]:
    """Entries of ``all_attestations`` that say nothing but what the record around them says."""
    for path in _holders(body, through_gateway=through_gateway):
        record = get(body, path)
        entries = record.get("all_attestations")
        if isinstance(entries, list):
            yield path, tuple(index for index, entry in enumerate(entries) if _repeats(entry, record))


def _holders(body: Mapping[str, JsonValue], *, through_gateway: bool) -> list[Path]:
    """Where the records of model machines stand."""
    if not through_gateway:
        return [()]
    return [("model_attestations", index) for index in range(len(body["model_attestations"]))]


def _repeats(entry: JsonValue, record: Mapping[str, JsonValue]) -> bool:
    return isinstance(entry, dict) and all(
        name in record and same_json(value, record[name]) for name, value in entry.items()
    )
