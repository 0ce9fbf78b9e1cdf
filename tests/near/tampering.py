"""Captured NEAR sessions to tamper with: one place of the recorded report is changed, everything else stays.

A place inside the report's JSON is a path of member names and indices. Several members hold JSON as text; the step
`TEXT` goes into one.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeAlias

import attrs
from attrs import frozen

from captures import capture_path, policy_path
from teeverify.flow import Response
from teeverify.policy import Policy
from teeverify.providers.near import NearVerifier
from teeverify.saved import RecordedExchange, SavedReport
from teeverify.verdict import AttestationVerdict, CheckResult, Outcome

__all__ = [
    "REMOVED",
    "TEXT",
    "Json",
    "Path",
    "Session",
    "deciding_ids",
    "get",
    "nodes",
    "put",
    "session_of",
    "spell",
]

Json: TypeAlias = Any
Path: TypeAlias = tuple[str | int, ...]

TEXT: Final = "<json>"
"""Step into a member whose text is itself JSON."""
REMOVED: Final = object()
"""Put in the place of a member or entry that is to be deleted."""
_HOLD_JSON: Final = frozenset({"event_log", "nvidia_payload", "vm_config", "key_provider_info"})


@frozen(kw_only=True)
class Session:
    """One saved session with the policy under which it is VERIFIED; ``body`` is the parsed attestation report."""

    name: str
    policy: Policy
    report: SavedReport
    body: Json
    place: int
    """Which exchange brought the attestation report."""

    @property
    def cloud(self) -> bool:
        """True for the shape of the gateway."""
        return "gateway_attestation" in self.body

    @property
    def record_paths(self) -> dict[str, Path]:
        """Where each subject's record stands in the body."""
        if self.cloud:
            model: Path = ("model_attestations", 0)
            return {
                "gateway": ("gateway_attestation",),
                "model": model,
                "compose_manager": (*model, "compose_manager_attestation"),
            }
        return {"model": (), "compose_manager": ("compose_manager_attestation",)}

    def with_body(self, body: Json) -> SavedReport:
        """The saved report with another attestation report in its recorded answer."""
        return self.with_body_bytes(json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8"))

    def with_body_bytes(self, body: bytes) -> SavedReport:
        """The same, from bytes."""
        return self.with_answer(self.place, body=body)

    def with_answer(self, place: int, **changes: Json) -> SavedReport:
        """The saved report with members of one recorded answer changed."""
        exchange = self.report.exchanges[place]
        return self.with_exchange(place, attrs.evolve(exchange, response=attrs.evolve(exchange.response, **changes)))

    def with_request(self, place: int, **changes: Json) -> SavedReport:
        """The saved report with members of one recorded request changed."""
        exchange = self.report.exchanges[place]
        return self.with_exchange(place, attrs.evolve(exchange, request=attrs.evolve(exchange.request, **changes)))

    def with_exchange(self, place: int, exchange: RecordedExchange | None) -> SavedReport:
        """The saved report with one exchange replaced, or left out for None."""
        exchanges = list(self.report.exchanges)
        exchanges[place : place + 1] = [] if exchange is None else [exchange]
        return attrs.evolve(self.report, exchanges=tuple(exchanges))

    def places(self, part_of_url: str) -> tuple[int, ...]:
        """Indices of the exchanges whose URL contains that text."""
        return tuple(i for i, each in enumerate(self.report.exchanges) if part_of_url in each.request.url)

    def answer(self, part_of_url: str) -> Response:
        """The first recorded answer of a URL that contains that text."""
        return self.report.exchanges[self.places(part_of_url)[0]].response

    def judge(self, report: SavedReport) -> AttestationVerdict:
        """The verdict on a changed report under this session's policy, as of its own time."""
        return NearVerifier(self.policy).verify_saved(report)

    def judge_body(self, body: Json) -> AttestationVerdict:
        """The verdict where only the attestation report is another one."""
        return self.judge(self.with_body(body))


@functools.cache
def session_of(name: str, policy: str) -> Session:
    """A capture as a session; exchanges that no NEAR verifier asks for (logs, registries) are left out for speed.

    In a direct report the copies in ``all_attestations`` are left out too: a copy that no longer equals its original
    is a record of its own, whose refusal would hide what a tampered original comes to.
    """
    report = SavedReport.from_bytes(capture_path(name).read_bytes())
    wanted = ("/attestation/report", "trustedservices.intel.com", "nras.attestation.nvidia.com")
    exchanges = tuple(each for each in report.exchanges if any(part in each.request.url for part in wanted))
    place = next(i for i, each in enumerate(exchanges) if "/attestation/report" in each.request.url)
    body = json.loads(exchanges[place].response.body)
    body.pop("all_attestations", None)
    session = Session(
        name=name,
        policy=Policy.load(policy_path(policy)),
        report=attrs.evolve(report, exchanges=exchanges),
        body=body,
        place=place,
    )
    session = attrs.evolve(session, report=session.with_body(body))
    assert session.judge(session.report).outcome is Outcome.VERIFIED
    return session


def deciding_ids(verdict: AttestationVerdict, subject_role: str | None = None) -> set[str]:
    """Ids of the checks that keep the verdict from being VERIFIED, of one role's subjects or of all."""

    def of_role(checks: Iterable[CheckResult]) -> set[str]:
        return {check.id for check in checks if check.decides is not None}

    ids: set[str] = set()
    for subject in verdict.subjects:
        if subject_role in (None, subject.role):
            ids |= of_role(subject.checks)
    return ids


def nodes(value: Json, path: Path = ()) -> Iterator[tuple[Path, Json]]:
    """Every member and entry of a JSON value, containers before what they hold, texts that hold JSON included."""
    if path:
        yield path, value
    if isinstance(value, dict):
        for name, member in value.items():
            yield from nodes(member, (*path, name))
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from nodes(entry, (*path, index))
    elif isinstance(value, str) and path and path[-1] in _HOLD_JSON and value[:1] in ("{", "["):
        inner = json.loads(value)
        for name, member in inner.items() if isinstance(inner, dict) else enumerate(inner):
            yield from nodes(member, (*path, TEXT, name))


def get(value: Json, path: Path) -> Json:
    """What stands at a place."""
    for step in path:
        value = json.loads(value) if step == TEXT else value[step]
    return value


def put(value: Json, path: Path, new: Json | Callable[[Json], Json]) -> Json:
    """A copy with another value at one place; a function is given the old value. Only what changes is copied."""
    if not path:
        return new(value) if callable(new) else new
    step, rest = path[0], path[1:]
    if step == TEXT:
        return json.dumps(put(json.loads(value), rest, new), separators=(",", ":"), ensure_ascii=False)
    copy: Json = dict(value) if isinstance(value, dict) else list(value)
    if not rest and new is REMOVED:
        del copy[step]
    else:
        old = copy.get(step) if isinstance(value, dict) else copy[step]
        copy[step] = put(old, rest, new)
    return copy


def spell(path: Path) -> str:
    """A path as text."""
    return ".".join(str(step) for step in path)
