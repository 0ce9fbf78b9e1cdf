"""What was shown last, and the answers of Intel and NVIDIA that belong to it."""

from __future__ import annotations

import hashlib
import json
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Generic, TypeVar
from urllib.parse import parse_qsl, urlsplit

from attrs import evolve, field, frozen

from teeverify.testing.nras import JWKS_URL, NrasService
from teeverify.testing.recording import Answer, Document, compact, edit_json

from .fault import Fault

__all__ = [
    "UNAVAILABLE",
    "Key",
    "Showing",
    "ShowingDesk",
    "digests",
    "gpu_payloads",
    "question",
    "with_keys_of_yesterday",
]

_MAX_KEPT: Final = 256
"""Answers that are kept for the questions of NVIDIA's kind that follow a showing."""
_STALE: Final = timedelta(minutes=1)
"""Age at which a standing showing is made anew."""
UNAVAILABLE: Final = Answer(503, {"Content-Type": "text/plain"}, b"upstream unavailable\n")

Key = tuple[object, ...]
F = TypeVar("F", bound=Fault)


@frozen(kw_only=True)
class Showing:
    """Evidence for one question, and what Intel and NVIDIA say about it.

    ``answers`` are by question, ``payloads`` NVIDIA's answers by digest of the posted evidence.
    """

    asked_at: datetime
    answers: Mapping[Key, Answer] = field(repr=False)
    payloads: Mapping[str, Answer] = field(repr=False)


S = TypeVar("S", bound=Showing)


class ShowingDesk(ABC, Generic[F, S]):
    """Makes showings and keeps the latest; safe under threads.

    Args:
        clock: says what time it is in the simulation, aware and in UTC.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._fault: F | None = None
        self._latest: S | None = None
        self._posted: OrderedDict[str, Answer] = OrderedDict()

    @abstractmethod
    def standing(self, fault: F | None) -> S:
        """A showing for nobody in particular, asked for as the fault needs it."""

    @abstractmethod
    def lies(self, fault: F) -> bool:
        """Whether a fault is one of the evidence."""

    def now(self) -> datetime:
        """The time of the simulation."""
        return self._clock()

    @property
    def fault(self) -> F | None:
        """The fault that shows."""
        with self._lock:
            return self._fault

    def set_fault(self, fault: F | None) -> S | None:
        """Show one fault from now on; returns a showing of it where its evidence lies."""
        standing = self.standing(fault) if fault is not None and self.lies(fault) else None
        with self._lock:
            self._fault, self._latest = fault, standing
            self._posted.clear()
        return standing

    def endorsement(self, method: str, url: str) -> Answer | None:
        """What Intel, or NVIDIA's key set, says now; None where nobody asks that."""
        return self._recent().answers.get(question(method, url))

    def posted(self, body: bytes) -> Answer | None:
        """NVIDIA's answer to evidence that was shown under the present fault, None where it was not."""
        with self._lock:
            return next((self._posted[digest] for digest in digests(body) if digest in self._posted), None)

    def _recent(self) -> S:
        """The latest showing, or a new one where that is stale."""
        with self._lock:
            fault, latest = self._fault, self._latest
        if latest is None or self._clock() - latest.asked_at > _STALE:
            latest = self.standing(fault)
            with self._lock:
                if fault is self._fault:
                    self._latest = latest
        return latest

    def _keep(self, showing: S, fault: F | None, *, latest: bool) -> None:
        """Answer the questions that follow a showing, unless the fault has changed since it was made."""
        with self._lock:
            if fault is not self._fault:
                return
            if latest and (self._latest is None or showing.asked_at >= self._latest.asked_at):
                self._latest = showing
            for digest, answer in showing.payloads.items():
                self._posted[digest] = answer
            while len(self._posted) > _MAX_KEPT:
                self._posted.popitem(last=False)


def question(method: str, url: str) -> Key:
    """What makes two requests the same question: method, host, path and parameters in any order."""
    parts = urlsplit(url)
    return (method, parts.netloc.lower(), parts.path, tuple(sorted(parse_qsl(parts.query, keep_blank_values=True))))


def digests(payload: bytes) -> Iterator[str]:
    """Digests by which evidence is known again: of its bytes, and of what they mean."""
    yield hashlib.sha256(payload).hexdigest()
    try:
        yield hashlib.sha256(compact(json.loads(payload))).hexdigest()
    except (ValueError, RecursionError):
        return


def gpu_payloads(report: bytes) -> Iterator[bytes]:
    """Every text of GPU evidence in a report of machines, whatever else is wrong with it."""
    try:
        document: Any = json.loads(report)
    except (ValueError, RecursionError):
        return
    records = document.get("model_attestations", [document]) if isinstance(document, dict) else []
    for record in records if isinstance(records, list) else []:
        entries = [record, *(record.get("all_attestations") or [])] if isinstance(record, dict) else []
        for entry in entries:
            payload = entry.get("nvidia_payload") if isinstance(entry, dict) else None
            if isinstance(payload, str):
                yield payload.encode()


def with_keys_of_yesterday(document: Document, service: NrasService, at: datetime) -> Document:
    """In the first hour of a day NVIDIA's key set still has the keys of the day before, whose tokens are around."""
    if at.hour == 0:
        yesterday = evolve(service, issued=service.issued - timedelta(days=1)).key_set()["keys"]
        edit_json(document, JWKS_URL, lambda keys: {"keys": [*keys["keys"], *yesterday]})
    return document
