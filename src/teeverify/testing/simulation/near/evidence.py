"""Fresh reports of NEAR AI for every question, and the answers of Intel and NVIDIA that belong to them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import datetime

from attrs import evolve, field, frozen

from teeverify.testing.keys import KeyRing
from teeverify.testing.near import NearSession
from teeverify.testing.recording import Answer, Document
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

from .fault import NearFault

__all__ = ["Ask", "EvidenceDesk", "NearShowing", "Shape"]


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
class NearShowing(Showing):
    """One report and what Intel and NVIDIA say about it.

    ``peer_spki`` is the key at which the connection has to end for the fault to show, None where the fault has no
    answer at all.
    """

    report: Answer = field(repr=False)
    peer_spki: bytes | None


class EvidenceDesk(ShowingDesk[NearFault, NearShowing]):
    """Makes showings; safe under threads.

    Args:
        shape: the deployment.
        clock: says what time it is there, aware and in UTC.
    """

    def __init__(self, shape: Shape, clock: Callable[[], datetime]) -> None:
        super().__init__(clock)
        self._shape = shape

    def lies(self, fault: NearFault) -> bool:
        """See `ShowingDesk.lies`."""
        return fault.spoil is not None

    def session(self, ask: Ask, at: datetime, fault: NearFault | None = None) -> NearSession:
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

    def show(self, ask: Ask, fault: NearFault | None) -> NearShowing:
        """Make a showing without keeping it."""
        now = self._clock().replace(microsecond=0)
        session = self.session(ask, now if fault is None else now + fault.shift, fault)
        spoil = None if fault is None or not fault.spoils(cloud=ask.cloud, backend=ask.backend) else fault.spoil
        document = spoil(session) if spoil is not None else None
        if document is None:
            document = session.saved()
        if spoil is None:
            with_keys_of_yesterday(document, session.nras, session.at)
        return _showing(document, now)

    def report(self, ask: Ask) -> Answer:
        """The report, made now."""
        fault = self.fault
        showing = self.show(ask, fault)
        # The front's answers cover all platforms; those of a model host behind a gateway would not.
        self._keep(showing, fault, latest=ask.cloud == self._shape.cloud)
        return showing.report

    def standing(self, fault: NearFault | None) -> NearShowing:
        """See `ShowingDesk.standing`."""
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


def _showing(document: Document, asked_at: datetime) -> NearShowing:
    report, peer_spki = UNAVAILABLE, None
    answers: dict[Key, Answer] = {}
    nras = UNAVAILABLE
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
    payloads = {digest: nras for payload in gpu_payloads(report.body) for digest in digests(payload)}
    return NearShowing(asked_at=asked_at, report=report, peer_spki=peer_spki, answers=answers, payloads=payloads)
