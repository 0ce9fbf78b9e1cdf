"""Fresh evidence for every question, and the answers of Intel and NVIDIA that belong to it."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from attrs import evolve, field, frozen

from teeverify.testing.keys import KeyRing
from teeverify.testing.near import NearSession
from teeverify.testing.nras import JWKS_URL
from teeverify.testing.recording import Answer, Document, compact, edit_json

from .fault import Fault

__all__ = ["Ask", "EvidenceDesk", "Shape", "Showing", "question"]

_MAX_KEPT: Final = 256
"""Showings that are kept for the questions of Intel's and NVIDIA's kind that follow them."""
_STALE: Final = timedelta(minutes=1)
"""Age at which a standing showing is made anew."""
_UNAVAILABLE: Final = Answer(503, {"Content-Type": "text/plain"}, b"upstream unavailable\n")

Key = tuple[object, ...]


@frozen(kw_only=True)
class Shape:
    """What the simulated deployment looks like; the arguments of `SimulatedTee.near` explain it."""

    cloud: bool
    gpus: int
    backends: int
    model_name: str
    seed: str


@frozen(kw_only=True)
class Ask:
    """What a report is asked for. ``nonce`` is 32 bytes; ``backend`` is the machine that answers."""

    nonce: bytes
    cloud: bool
    algorithm: str
    tls_bound: bool
    backend: int = 0


@frozen(kw_only=True)
class Showing:
    """One report and what Intel and NVIDIA say about it.

    ``answers`` are by question, ``payloads`` NVIDIA's answers by digest of the posted evidence. ``peer_spki`` is the
    key at which the connection has to end for the fault to show, None where the fault has no answer at all.
    """

    asked_at: datetime
    report: Answer
    peer_spki: bytes | None
    answers: Mapping[Key, Answer] = field(repr=False)
    payloads: Mapping[str, Answer] = field(repr=False)


class EvidenceDesk:
    """Makes showings; safe under threads.

    Args:
        shape: the deployment.
        clock: says what time it is there, aware and in UTC.
    """

    def __init__(self, shape: Shape, clock: Callable[[], datetime]) -> None:
        self._shape, self._clock = shape, clock
        self._lock = threading.Lock()
        self._fault: Fault | None = None
        self._latest: Showing | None = None
        self._posted: OrderedDict[str, Answer] = OrderedDict()

    def set_fault(self, fault: Fault | None) -> Showing | None:
        """Show one fault from now on; returns a showing of it where its evidence lies."""
        standing = None if fault is None or fault.spoil is None else self._standing(fault)
        with self._lock:
            self._fault, self._latest = fault, standing
            self._posted.clear()
        return standing

    def session(self, ask: Ask, at: datetime, fault: Fault | None = None) -> NearSession:
        """The truthful session that an answer starts from."""
        shape = self._shape
        lean = fault is not None and fault.lean
        session = NearSession.build(
            cloud=ask.cloud,
            nonce=ask.nonce,
            algorithm=ask.algorithm,
            tls_bound=ask.tls_bound,
            gpus=shape.gpus,
            copies=fault.copies if lean and fault is not None else True,
            model_name=shape.model_name,
            at=at,
            seed=shape.seed,
        )
        session.request_bodies = False
        session.nras.spare_keys = 0 if lean else 1
        if ask.backend:
            become_backend(session, ask.backend)
        return session

    def show(self, ask: Ask, fault: Fault | None) -> Showing:
        """Make a showing without keeping it."""
        now = self._clock().replace(microsecond=0)
        session = self.session(ask, now if fault is None else now + fault.shift, fault)
        spoil = None if fault is None or not fault.spoils(cloud=ask.cloud, backend=ask.backend) else fault.spoil
        document = spoil(session) if spoil is not None else None
        if document is None:
            document = session.saved()
        if spoil is None and session.at.hour == 0:  # tokens of the day before are still around
            yesterday = evolve(session.nras, issued=session.nras.issued - timedelta(days=1)).key_set()["keys"]
            edit_json(document, JWKS_URL, lambda keys: {"keys": [*keys["keys"], *yesterday]})
        return _showing(document, now)

    def report(self, ask: Ask) -> Answer:
        """The report, made now."""
        with self._lock:
            fault = self._fault
        showing = self.show(ask, fault)
        with self._lock:
            if fault is self._fault:
                # The front's answers cover all platforms; those of a model host behind a gateway would not.
                newer = self._latest is None or showing.asked_at >= self._latest.asked_at
                if ask.cloud == self._shape.cloud and newer:
                    self._latest = showing
                for digest, answer in showing.payloads.items():
                    self._posted[digest] = answer
                while len(self._posted) > _MAX_KEPT:
                    self._posted.popitem(last=False)
        return showing.report

    def endorsement(self, method: str, url: str) -> Answer | None:
        """What Intel, or NVIDIA's key set, says now; None where nobody asks that."""
        with self._lock:
            fault, latest = self._fault, self._latest
        if latest is None or self._clock() - latest.asked_at > _STALE:
            latest = self._standing(fault)
            with self._lock:
                if fault is self._fault:
                    self._latest = latest
        return latest.answers.get(question(method, url))

    def _standing(self, fault: Fault | None) -> Showing:
        """A showing for nobody in particular, asked for as the fault needs it."""
        keys, shape = KeyRing(self._shape.seed), self._shape
        algorithm = None if fault is None else fault.algorithm
        ask = Ask(
            nonce=keys.material("nonce of nobody", 32),
            cloud=shape.cloud,
            algorithm=algorithm or "ed25519",
            tls_bound=True,
            backend=0 if fault is None or fault.only_backend is None else fault.only_backend,
        )
        return self.show(ask, fault)

    def posted(self, body: bytes) -> Answer | None:
        """NVIDIA's answer to evidence that was shown under the present fault, None where it was not."""
        with self._lock:
            return next((self._posted[digest] for digest in _digests(body) if digest in self._posted), None)


def become_backend(session: NearSession, number: int) -> None:
    """Put another machine of the same application in the model's place: same signing key, all else its own."""
    label, keys = f"model-i{number}", session.keys
    own = session.model.copy()
    own.platform = evolve(
        own.platform,
        label=label,
        ppid=keys.material(f"ppid/{label}", 16),
        platform_instance_id=keys.material(f"platform-instance/{label}", 16),
    )
    own.layout = evolve(own.layout, qe_id=keys.material(f"qe-id/{label}", 16))
    own.tls_key = keys.p256(f"tls/{label}")
    own.reboot(instance_id=keys.material(f"instance-id/{label}", 20))
    session.model = session.compose_manager = own
    count = len(session.gpus)
    session.gpus = [session.nvidia.device(i, host=f"host-{number + 1}", fabric=count > 1) for i in range(count)]


def question(method: str, url: str) -> Key:
    """What makes two requests the same question: method, host, path and parameters in any order."""
    parts = urlsplit(url)
    return (method, parts.netloc.lower(), parts.path, tuple(sorted(parse_qsl(parts.query, keep_blank_values=True))))


def _showing(document: Document, asked_at: datetime) -> Showing:
    report, peer_spki = _UNAVAILABLE, None
    answers: dict[Key, Answer] = {}
    nras = _UNAVAILABLE
    for entry in document["exchanges"]:
        request, response = entry["request"], entry["response"]
        headers = {name: ", ".join(values) for name, values in response["headers"].items()}
        answer = Answer(response["status"], headers, base64.b64decode(response["body"] or ""))
        if request["url"].partition("?")[0].endswith("/v1/attestation/report"):
            report = answer
            peer_spki = base64.b64decode(response["peer_spki"]) if response["peer_spki"] else None
        elif request["method"] == "POST":
            nras = answer
        else:
            answers[question(request["method"], request["url"])] = answer
    payloads = {digest: nras for payload in _payloads(report.body) for digest in _digests(payload)}
    return Showing(asked_at=asked_at, report=report, peer_spki=peer_spki, answers=answers, payloads=payloads)


def _payloads(report: bytes) -> Iterator[bytes]:
    """Every text of GPU evidence in a report, whatever else is wrong with it."""
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


def _digests(payload: bytes) -> Iterator[str]:
    """Digests by which evidence is known again: of its bytes, and of what they mean."""
    yield hashlib.sha256(payload).hexdigest()
    try:
        yield hashlib.sha256(compact(json.loads(payload))).hexdigest()
    except (ValueError, RecursionError):
        return
