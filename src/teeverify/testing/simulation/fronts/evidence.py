"""Fresh reports of fronts for every question, and the answers of Intel and NVIDIA that belong to them."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Final

from attrs import field, frozen

from teeverify.testing.front import FRONT_URLS, FrontSession
from teeverify.testing.keys import KeyRing
from teeverify.testing.recording import Answer, Document
from teeverify.testing.signing import SigningKey
from teeverify.testing.simulation.showings import (
    UNAVAILABLE,
    Key,
    Showing,
    ShowingDesk,
    digests,
    gpu_payloads,
    question,
    with_keys_of_yesterday,
)

from .fault import FrontFault

__all__ = ["RENEWED", "Ask", "FrontDesk", "FrontShape", "FrontShowing", "shown_in"]

RENEWED: Final = "renewed"
"""Label of the signing key that a proxy has after it was started anew."""


@frozen(kw_only=True)
class FrontShape:
    """What the simulated deployment looks like; the arguments of `SimulatedTee.phala` and its like explain it."""

    provider: str
    shape: str
    gpus: int
    instances: int
    tls_bound: bool
    model_name: str
    seed: str


@frozen(kw_only=True)
class Ask:
    """What a report is asked for; ``nonce`` is 32 bytes."""

    nonce: bytes
    algorithm: str = "ecdsa"
    tls_bound: bool = False


@frozen(kw_only=True)
class FrontShowing(Showing):
    """One report and what Intel and NVIDIA say about it; ``peer_spki`` is the key at which its connection ends."""

    report: Answer = field(repr=False)
    peer_spki: bytes | None


class FrontDesk(ShowingDesk[FrontFault, FrontShowing]):
    """Makes showings; safe under threads.

    Args:
        shape: the deployment.
        clock: says what time it is there, aware and in UTC.
    """

    def __init__(self, shape: FrontShape, clock: Callable[[], datetime]) -> None:
        super().__init__(clock)
        self._shape = shape
        self._counting = threading.Lock()
        self._count = 0

    def lies(self, fault: FrontFault) -> bool:
        """See `ShowingDesk.lies`."""
        return fault.spoil is not None

    def set_fault(self, fault: FrontFault | None) -> FrontShowing | None:
        """See `ShowingDesk.set_fault`; reports are counted from here on."""
        with self._counting:
            self._count = 0
        return super().set_fault(fault)

    def session(self, ask: Ask, at: datetime) -> FrontSession:
        """The truthful session that an answer starts from."""
        shape = self._shape
        return FrontSession.build(
            shape.provider, shape.shape, algorithm=ask.algorithm, tls_bound=ask.tls_bound, nonce=ask.nonce,
            gpus=shape.gpus, instances=shape.instances, model=shape.model_name, at=at, seed=shape.seed,
        )  # fmt: skip

    def report(self, ask: Ask) -> Answer:
        """The report, made now."""
        fault = self.fault
        with self._counting:
            renewed = fault is not None and fault.renews and self._count > 0
            self._count += 1
        showing = self._show(ask, fault, renewed=renewed)
        self._keep(showing, fault, latest=True)
        return showing.report

    def standing(self, fault: FrontFault | None) -> FrontShowing:
        """See `ShowingDesk.standing`."""
        nonce = KeyRing(self._shape.seed).material("nonce of nobody", 32)
        return self._show(Ask(nonce=nonce, tls_bound=self._shape.tls_bound), fault)

    def _show(self, ask: Ask, fault: FrontFault | None, *, renewed: bool = False) -> FrontShowing:
        now = self._clock().replace(microsecond=0)
        session = self.session(ask, now if fault is None else now + fault.shift)
        if renewed:
            model = session.machines.model
            model.signing = SigningKey.derive(session.behind.keys, RENEWED, model.signing.algorithm)
        document = None if fault is None or fault.spoil is None else fault.spoil(session)
        if document is None:
            document = session.saved()
        if fault is None or fault.spoil is None:
            with_keys_of_yesterday(document, session.behind.nras, session.behind.at)
        url = FRONT_URLS[self._shape.provider]
        return shown_in(document, now, url=url, by_body=self._shape.shape == "chutes")


def shown_in(document: Document, asked_at: datetime, *, url: str, by_body: bool = False) -> FrontShowing:
    """The showing that a saved report holds.

    Args:
        document: the saved report.
        asked_at: when it was asked for.
        url: of the report request, without its query.
        by_body: whether NVIDIA's answers are told apart by what was posted; else the one answer is about all evidence.
    """
    report, peer_spki = UNAVAILABLE, None
    answers: dict[Key, Answer] = {}
    posted: list[tuple[bytes, Answer]] = []
    for entry in document["exchanges"]:
        request, response = entry["request"], entry["response"]
        headers = {name: ", ".join(values) for name, values in response["headers"].items()}
        answer = Answer(response["status"], headers, base64.b64decode(response["body"] or ""))
        if request["url"].partition("?")[0] == url:
            report = answer
            peer_spki = base64.b64decode(response["peer_spki"]) if response["peer_spki"] else None
        elif request["method"] == "POST":
            posted.append((base64.b64decode(request["body"] or ""), answer))
        else:
            answers[question(request["method"], request["url"])] = answer
    if not by_body:
        nras = posted[0][1] if posted else UNAVAILABLE
        posted = [(payload, nras) for payload in gpu_payloads(report.body)]
    payloads = {digest: answer for body, answer in posted for digest in digests(body)}
    return FrontShowing(asked_at=asked_at, report=report, peer_spki=peer_spki, answers=answers, payloads=payloads)
