"""NEAR's directory: which host serves a model, and which machines stand behind it.

All of it is routing advice that nobody signs: whatever host comes out is judged like any other, and only hosts of
near.ai are ever asked.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from ..claims.problem import Problem, ProblemKind
from ..endorsements.answers import good_answer
from ..errors import FormatError
from ..flow import Answer, Flow, Request
from ..formats.strict_json import JsonValue, loads
from ..limits import MAX_BACKENDS, MAX_DIRECTORY, MAX_ENDORSEMENT_BODY

__all__ = ["MODELS_HOST", "Directory", "backends_flow", "is_model_host"]

MODELS_HOST: Final = "completions.near.ai"
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST: Final = re.compile(rf"(?!.*(?:^|\.)xn--)(?:{_LABEL}\.)+near\.ai\Z")
_CLOUD_HOST: Final = "cloud-api.near.ai"
_WHERE: Final = "directory"
_KEPT: Final = 300.0
"""Seconds for which the directory is kept."""


def is_model_host(host: str) -> bool:
    """True for a host name below near.ai that can be a model's: no port, no punycode, not the gateway."""
    return len(host) <= 253 and _HOST.match(host) is not None and host != _CLOUD_HOST


class Directory:
    """The map from models to hosts, fetched when it is needed and kept for five minutes; safe under threads."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._hosts: Mapping[str, str | None] = {}
        self._until = float("-inf")

    def host_of(self, model: str) -> Flow[str | Problem]:
        """The host that serves a model, or an UNAVAILABLE Problem."""
        hosts = self._kept()
        if hosts is None or model not in hosts:
            (answer,) = yield (_get(f"https://{MODELS_HOST}/endpoints"),)
            document = _json(answer, "NEAR's directory of models")
            if isinstance(document, Problem):
                return document
            hosts = _read_hosts(document)
            with self._lock:
                self._hosts, self._until = hosts, self._monotonic() + _KEPT
        host = hosts.get(model, "")
        if host:
            return host
        code = "model_unknown" if host == "" else "model_ambiguous"
        words = "does not name a host of near.ai for" if host == "" else "names several hosts for"
        return _unavailable(code, f"NEAR's directory {words} model {model[:100]!r}: check the name, or give the host")

    def has_named(self, host: str) -> bool:
        """True for a host that the directory named when it was last fetched, however long ago."""
        with self._lock:
            return host in self._hosts.values()

    def _kept(self) -> Mapping[str, str | None] | None:
        with self._lock:
            return self._hosts if self._monotonic() < self._until else None


def backends_flow(directory: Directory, model: str, host: str | None) -> Flow[tuple[str, ...]]:
    """The hosts of the single machines behind the model's host; empty when NEAR does not say."""
    found: str | Problem = host if host is not None else (yield from directory.host_of(model))
    if isinstance(found, Problem):
        return ()
    label, _, base = found.partition(".")
    (answer,) = yield (_get(f"https://{base}/backends/count?domain={found}"),)
    document = _json(answer, "NEAR's count of machines")
    total = document.get("total") if isinstance(document, Mapping) else None
    if type(total) is not int or not 0 < total <= MAX_BACKENDS:
        return ()
    hosts = (f"{label}-i{number}.{base}" for number in range(total))
    return tuple(name for name in hosts if is_model_host(name))


def _get(url: str) -> Request:
    return Request(method="GET", url=url, headers={"Accept": "application/json"}, limit=MAX_ENDORSEMENT_BODY)


def _json(answer: Answer, what: str) -> Mapping[str, JsonValue] | Problem:
    good = good_answer(answer, what=what, where=_WHERE)
    if isinstance(good, Problem):
        return good
    try:
        document = loads(good.body, what=what, limit=MAX_ENDORSEMENT_BODY)
    except FormatError as error:
        return _unavailable("not_an_answer", str(error))
    return document if isinstance(document, dict) else _unavailable("not_an_answer", f"{what} is not a JSON object")


def _read_hosts(document: Mapping[str, JsonValue]) -> Mapping[str, str | None]:
    """Model to host; None for a model that several hosts claim. Entries that are not NEAR's are left out."""
    entries = document.get("endpoints")
    hosts: dict[str, str | None] = {}
    for entry in entries[:MAX_DIRECTORY] if isinstance(entries, list) else ():
        domain, models = (entry.get("domain"), entry.get("models")) if isinstance(entry, dict) else (None, None)
        if not isinstance(domain, str) or not isinstance(models, list) or not is_model_host(domain):
            continue
        for model in models[:MAX_DIRECTORY]:
            if isinstance(model, str):
                hosts[model] = domain if hosts.get(model, domain) == domain else None
    return hosts


def _unavailable(code: str, detail: str) -> Problem:
    return Problem(kind=ProblemKind.UNAVAILABLE, code=code, detail=detail, where=_WHERE)
