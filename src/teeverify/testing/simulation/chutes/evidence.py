"""Fresh keys and evidence of Chutes for every question, and the answers of Intel and NVIDIA that belong to them."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable
from datetime import datetime, timedelta

from attrs import field, frozen

from teeverify.testing.chutes import ChutesSession
from teeverify.testing.chutes_report import KEYS_AGE, instances
from teeverify.testing.chutes_world import World, invocation_nonces
from teeverify.testing.recording import Answer, Document
from teeverify.testing.simulation.showings import (
    UNAVAILABLE,
    Key,
    Showing,
    ShowingDesk,
    digests,
    question,
    with_keys_of_yesterday,
)

from .fault import ChutesFault

__all__ = ["ChutesDesk", "ChutesShape", "ChutesShowing"]


@frozen(kw_only=True)
class ChutesShape:
    """What the simulated deployment looks like; the arguments of `SimulatedTee.chutes` explain it."""

    instances: int
    gpus: int
    model_name: str
    seed: str


@frozen(kw_only=True)
class ChutesShowing(Showing):
    """The evidence of one session, and what Intel and NVIDIA say about it."""

    models: Answer = field(repr=False)
    evidence: Answer = field(repr=False)


class ChutesDesk(ShowingDesk[ChutesFault, ChutesShowing]):
    """Makes showings; safe under threads.

    Args:
        shape: the deployment.
        clock: says what time it is there, aware and in UTC.
    """

    def __init__(self, shape: ChutesShape, clock: Callable[[], datetime]) -> None:
        super().__init__(clock)
        self._shape = shape
        self._world = World.of(shape.seed)
        self._nobody = self._world.keys.material("nonce of nobody", 32)
        self._rounds = itertools.count()

    def lies(self, fault: ChutesFault) -> bool:
        """See `ShowingDesk.lies`."""
        return fault.spoil is not None

    def session(self, nonce: bytes, at: datetime) -> ChutesSession:
        """The truthful session that an answer starts from."""
        shape = self._shape
        return ChutesSession.build(
            instances=shape.instances,
            gpus=shape.gpus,
            nonce=nonce,
            at=at,
            seed=shape.seed,
            model=shape.model_name,
            world=self._world,
        )

    def evidence(self, nonce: bytes) -> Answer:
        """The evidence of all instances, made now."""
        fault = self.fault
        showing = self._show(nonce, fault)
        self._keep(showing, fault, latest=True)
        return showing.evidence

    def keys(self) -> Answer:
        """The keys of all instances, with invocation tokens that nobody had before."""
        session, document = self._spoilt(self._nobody, self.fault, ahead=timedelta(seconds=KEYS_AGE))
        if document is None:
            return session.answer(instances(session), KEYS_AGE)
        return _answers(document).get(question("GET", session.instances_url), UNAVAILABLE)

    def models(self) -> Answer:
        """The list of models, which is the same for everybody."""
        return self._recent().models

    def standing(self, fault: ChutesFault | None) -> ChutesShowing:
        """See `ShowingDesk.standing`."""
        return self._show(self._nobody, fault)

    def _show(self, nonce: bytes, fault: ChutesFault | None) -> ChutesShowing:
        asked_at = self._clock()
        session, document = self._spoilt(nonce, fault)
        if document is None:
            document = session.saved()
        if fault is None or fault.spoil is None:
            with_keys_of_yesterday(document, session.nras, session.at)
        answers = _answers(document)
        return ChutesShowing(
            asked_at=asked_at,
            answers=answers,
            payloads=_payloads(document),
            models=answers.get(question("GET", session.models_url), UNAVAILABLE),
            evidence=answers.get(question("GET", session.evidence_url), UNAVAILABLE),
        )

    def _spoilt(
        self, nonce: bytes, fault: ChutesFault | None, *, ahead: timedelta = timedelta(0)
    ) -> tuple[ChutesSession, Document | None]:
        """A session after the fault, and the saved report where the fault made one; most faults only turn knobs."""
        now = self._clock().replace(microsecond=0) + ahead
        session = self.session(nonce, now if fault is None else now + fault.shift)
        number = next(self._rounds)
        for instance in session.instances:
            instance.invocation_nonces = invocation_nonces(session.keys, f"{instance.instance_id}/{number}")
        return session, None if fault is None or fault.spoil is None else fault.spoil(session)


def _answer(entry: Document) -> Answer:
    response = entry["response"]
    headers = {name: ", ".join(values) for name, values in response["headers"].items()}
    return Answer(response["status"], headers, base64.b64decode(response["body"] or ""))


def _answers(document: Document) -> dict[Key, Answer]:
    """Every answer to a GET, by question."""
    asked = (entry for entry in document["exchanges"] if entry["request"]["method"] == "GET")
    return {question("GET", entry["request"]["url"]): _answer(entry) for entry in asked}


def _payloads(document: Document) -> dict[str, Answer]:
    """NVIDIA's answers, by digest of what was posted."""
    posted = (entry for entry in document["exchanges"] if entry["request"]["method"] == "POST")
    return {
        digest: _answer(entry) for entry in posted for digest in digests(base64.b64decode(entry["request"]["body"]))
    }
