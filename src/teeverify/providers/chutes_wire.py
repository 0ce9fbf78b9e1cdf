"""Chutes on the wire: what was asked, and the instances inside the two answers.

`GET /e2e/instances/{chute}` shows a sample of instances with their keys, `GET /chutes/{chute}/evidence?nonce=` the
evidence of all of them. The two are matched by instance id, never by position.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit

from attrs import field, frozen

from ..claims.problem import Problem, ProblemKind
from ..errors import FormatError
from ..formats.encodings import decode_hex
from ..formats.strict_json import JsonValue, loads
from ..limits import MAX_INSTANCES, MAX_REPORT_BODY

__all__ = [
    "API",
    "LLM",
    "ChutesAsked",
    "ChutesRecord",
    "asked_from_urls",
    "asked_nonce",
    "asks_for_evidence",
    "asks_for_keys",
    "chute_of_model",
    "evidence_url",
    "instances_url",
    "is_chute_id",
    "read_instances",
]

API: Final = "https://api.chutes.ai"
LLM: Final = "https://llm.chutes.ai"
_KEYS: Final = "/e2e/instances/"
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")


@frozen(kw_only=True)
class ChutesAsked:
    """What a session asked for: one chute, and evidence for one nonce (32 bytes, a Problem where there was none)."""

    chute: str
    nonce: bytes | Problem

    @property
    def nonce_text(self) -> str | None:
        """The nonce as it was sent, and hashed by the instances: 64 lower-case hex digits."""
        return None if isinstance(self.nonce, Problem) else self.nonce.hex()


@frozen(kw_only=True)
class ChutesRecord:
    """One instance: the entry of the evidence, and the key that the other answer shows for it.

    ``key`` is the key's text, None where there is none. ``problems`` are what is wrong with the pair. ``wrapped`` are
    the nonces (32 bytes) that a gateway's report states, the entry's own first: then there is no certificate, and the
    quote is held against the entry's nonce for consistency, and against ours for freshness.
    """

    id: str
    members: Mapping[str, JsonValue] = field(repr=False)
    key: JsonValue = field(repr=False)
    problems: tuple[Problem, ...] = ()
    wrapped: tuple[bytes | Problem, ...] = ()


def is_chute_id(text: str) -> bool:
    """True for a chute's or an instance's id: a UUID in lower case."""
    return _UUID.match(text) is not None


def instances_url(chute: str) -> str:
    """URL of the keys of a chute's instances."""
    return f"{API}{_KEYS}{quote(chute, safe='')}"


def evidence_url(chute: str, nonce: bytes) -> str:
    """URL of the evidence of all instances of a chute; ``nonce`` is 32 bytes."""
    return f"{API}/chutes/{quote(chute, safe='')}/evidence?nonce={nonce.hex()}"


def asks_for_evidence(url: str) -> bool:
    """True for the URL of a chute's evidence, on whatever host."""
    return _path(url).startswith("/chutes/") and _path(url).endswith("/evidence")


def asks_for_keys(url: str) -> bool:
    """True for the URL of the keys of a chute's instances, on whatever host."""
    return _path(url).startswith(_KEYS)


def asked_from_urls(urls: Sequence[str]) -> ChutesAsked | Problem:
    """What a recorded session asked for, read from its URLs; a MALFORMED Problem where that is not one thing."""
    evidence = {url for url in urls if asks_for_evidence(url)}
    chutes = {_path(url).removeprefix(_KEYS) for url in urls if asks_for_keys(url)}
    if not evidence:
        detail = "the saved report holds no request for evidence"
        return _problem(ProblemKind.UNAVAILABLE, "not_recorded", detail)
    if len(evidence) != 1:
        detail = f"the saved report holds {len(evidence)} requests for evidence, exactly one was expected"
        return _problem(ProblemKind.MALFORMED, "report_ambiguous", detail)
    url = evidence.pop()
    chute = _path(url).split("/")[2]
    if not is_chute_id(chute) or not chutes <= {chute} or not url.startswith(f"{API}/"):
        detail = "the saved report's requests are not about one chute of api.chutes.ai"
        return _problem(ProblemKind.MALFORMED, "other_chute", detail)
    return ChutesAsked(chute=chute, nonce=asked_nonce(url))


def asked_nonce(url: str) -> bytes | Problem:
    """The nonce (32 bytes) that a request carried, once and in lower-case hex; an INVALID Problem otherwise."""
    try:
        pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True, max_num_fields=16)
        values = [value for name, value in pairs if name == "nonce"]
        if len(values) != 1 or values[0] != values[0].lower():
            raise FormatError("not_hex", "the request for evidence does not carry one nonce in lower-case hex")
        return decode_hex(values[0], what="the nonce of the request for evidence", size=32)
    except FormatError as error:
        return _problem(ProblemKind.INVALID, "no_client_nonce", str(error))
    except ValueError:
        return _problem(ProblemKind.INVALID, "no_client_nonce", "the request for evidence has a query that is none")


def chute_of_model(body: bytes, model: str) -> str | Problem:
    """The chute that serves a model, by the list of models: the exact name, and one chute only."""
    document = _document(body, "the list of models")
    entries = document if isinstance(document, Problem) else document.get("data")
    if isinstance(entries, Problem):
        return _problem(ProblemKind.UNAVAILABLE, entries.code, entries.detail)
    fitting = [entry for entry in entries if _names(entry, model)] if isinstance(entries, list) else []
    chutes = {entry.get("chute_id") for entry in fitting if isinstance(entry.get("chute_id"), str)}
    if len(chutes) == 1 and is_chute_id(next(iter(chutes))):
        return str(chutes.pop())
    code, words = ("model_ambiguous", "several chutes") if len(chutes) > 1 else ("model_unknown", "no chute")
    detail = f"the list of models names {words} for {model[:100]!r}: check the name, or pin the chute's id"
    return _problem(ProblemKind.UNAVAILABLE, code, detail)


def _names(entry: JsonValue, model: str) -> bool:
    return isinstance(entry, dict) and entry.get("id") == model


def read_instances(keys: bytes | Problem, evidence: bytes | Problem) -> tuple[ChutesRecord, ...]:
    """Every instance that either answer names, in the order of the evidence; never empty.

    What should be there and is not comes back as a record with a Problem, so it can fail.
    """
    answers = tuple(_document(body, what) for body, what in ((keys, "the list of keys"), (evidence, "the evidence")))
    broken = tuple(answer for answer in answers if isinstance(answer, Problem))
    if broken:
        return (ChutesRecord(id="instance", members={}, key=None, problems=broken),)
    shown, proven = (answer for answer in answers if not isinstance(answer, Problem))
    lists = (_entries(shown, "instances"), _entries(proven, "evidence"))
    malformed = tuple(entries for entries in lists if isinstance(entries, Problem))
    failed = proven.get("failed_instance_ids")
    failed = [] if failed is None else failed
    if malformed or not _are_ids(failed):
        other = _problem(ProblemKind.MALFORMED, "failed_instance_ids", "failed_instance_ids is not a list of texts")
        return (ChutesRecord(id="instance", members={}, key=None, problems=malformed or (other,)),)
    with_key, with_evidence = (entries for entries in lists if not isinstance(entries, Problem))
    records = _matched(with_key, with_evidence, tuple(failed))
    if records:
        return records
    problem = _problem(ProblemKind.ABSENT, "instances_missing", "neither answer names an instance")
    return (ChutesRecord(id="instance", members={}, key=None, problems=(problem,)),)


def _are_ids(value: JsonValue) -> bool:
    return isinstance(value, list) and len(value) <= MAX_INSTANCES and all(isinstance(one, str) for one in value)


def _matched(
    with_key: Sequence[Mapping[str, JsonValue]], with_evidence: Sequence[Mapping[str, JsonValue]], failed: Sequence[str]
) -> tuple[ChutesRecord, ...]:
    keys, shown = _by_id(with_key), _by_id(with_evidence)
    records: list[ChutesRecord] = []
    taken: Counter[str] = Counter()
    for entry in with_evidence:
        name = entry.get("instance_id")
        text = name if isinstance(name, str) else ""
        found = keys.get(text, [])
        problems = _pair_problems(text, found, twice=len(shown.get(text, ())) > 1, failed=text in failed)
        key = found[0].get("e2e_pubkey") if len(found) == 1 else None
        records.append(ChutesRecord(id=_subject_id(text, taken), members=entry, key=key, problems=problems))
    for text in sorted({*keys, *failed} - set(shown)):
        what = "the provider could not collect it" if text in failed else "none was sent"
        problem = _problem(ProblemKind.ABSENT, "evidence_missing", f"there is no evidence of this instance: {what}")
        records.append(ChutesRecord(id=_subject_id(text, taken), members={}, key=None, problems=(problem,)))
    return tuple(records)


def _pair_problems(
    name: str, found: Sequence[Mapping[str, JsonValue]], *, twice: bool, failed: bool
) -> tuple[Problem, ...]:
    problems: list[Problem] = []
    if not is_chute_id(name):
        problems.append(_problem(ProblemKind.MALFORMED, "instance_id", "instance_id is not a UUID in lower case"))
    if twice or len(found) > 1:
        problems.append(_problem(ProblemKind.MALFORMED, "instance_twice", "the same instance id occurs twice"))
    if failed:
        detail = "the instance has evidence and is listed among those without"
        problems.append(_problem(ProblemKind.MALFORMED, "instance_failed", detail))
    if not found:
        problems.append(_problem(ProblemKind.ABSENT, "key_missing", "no key of this instance was shown"))
    return tuple(problems)


def _by_id(entries: Sequence[Mapping[str, JsonValue]]) -> dict[str, list[Mapping[str, JsonValue]]]:
    found: dict[str, list[Mapping[str, JsonValue]]] = {}
    for index, entry in enumerate(entries):
        name = entry.get("instance_id")
        found.setdefault(name if isinstance(name, str) else f"nameless {index}", []).append(entry)
    return found


def _subject_id(name: str, taken: Counter[str]) -> str:
    """The instance's id, with a number where one name would stand for two subjects."""
    shown = name if is_chute_id(name) else "unnamed"
    taken[shown] += 1
    return f"instance:{shown}" if taken[shown] == 1 else f"instance:{shown}:{taken[shown]}"


def _document(body: bytes | Problem, what: str) -> Mapping[str, JsonValue] | Problem:
    if isinstance(body, Problem):
        return body
    try:
        document = loads(body, what=what, limit=MAX_REPORT_BODY)
        if not isinstance(document, dict):
            raise FormatError("report_shape", f"{what} is not a JSON object")
    except FormatError as error:
        return _problem(ProblemKind.MALFORMED, error.code, str(error))
    return document


def _entries(document: Mapping[str, JsonValue], name: str) -> Sequence[Mapping[str, JsonValue]] | Problem:
    entries = document.get(name)
    if entries is None:
        return ()
    if not isinstance(entries, list) or len(entries) > MAX_INSTANCES or not all(isinstance(e, dict) for e in entries):
        detail = f"{name} is not a list of at most {MAX_INSTANCES} objects"
        return _problem(ProblemKind.MALFORMED, "instances_shape", detail)
    return entries


def _path(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:
        return ""


def _problem(kind: ProblemKind, code: str, detail: str) -> Problem:
    return Problem(kind=kind, code=code, detail=detail, where="report")
