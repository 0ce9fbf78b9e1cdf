"""Fresh ACI reports for every nonce, and the answers of Intel that belong to them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from attrs import frozen

from teeverify.testing.aci import ACI_HOST, AciSession
from teeverify.testing.keys import KeyRing
from teeverify.testing.recording import Answer
from teeverify.testing.simulation.fronts.evidence import FrontShowing, shown_in
from teeverify.testing.simulation.showings import ShowingDesk

from .fault import AciFault

__all__ = ["AciDesk", "AciShape"]

_HOSTS: Final = {"aci": ACI_HOST, "phala": "api.redpill.ai"}
_LIFE: Final = timedelta(days=365)
"""How long the keyset is good for, from the start of the simulation on."""
_LEGACY: Final = {"signing_algo": "ecdsa", "intel_quote": "00", "nvidia_payload": "{}", "all_attestations": []}
"""What RedPill adds for older clients. It is about another quote, and never read."""


@frozen(kw_only=True)
class AciShape:
    """What the simulated deployment looks like; the arguments of `SimulatedTee.aci` explain it.

    ``provider`` is "aci", or "phala" for RedPill's own gateway.
    """

    serving: str
    model_name: str
    seed: str
    provider: str

    @property
    def host(self) -> str:
        """The host name of the service."""
        return _HOSTS[self.provider]


class AciDesk(ShowingDesk[AciFault, FrontShowing]):
    """Makes showings; safe under threads.

    Args:
        shape: the deployment.
        clock: says what time it is there, aware and in UTC.
    """

    def __init__(self, shape: AciShape, clock: Callable[[], datetime]) -> None:
        super().__init__(clock)
        self._shape = shape
        self._ends = int((clock() + _LIFE).timestamp())
        self._nobody = KeyRing(shape.seed).material("nonce of nobody", 32)
        self._counting = threading.Lock()
        self._count = 0

    def lies(self, fault: AciFault) -> bool:
        """See `ShowingDesk.lies`."""
        return fault.defect is not None

    def set_fault(self, fault: AciFault | None) -> FrontShowing | None:
        """See `ShowingDesk.set_fault`; reports are counted from here on."""
        with self._counting:
            self._count = 0
        return super().set_fault(fault)

    def session(self, nonce: bytes | None = None, at: datetime | None = None) -> AciSession:
        """The truthful session that an answer starts from, for nobody and now unless told otherwise."""
        shape, at = self._shape, at or self.now().replace(microsecond=0)
        session = AciSession.build(
            nonce=nonce or self._nobody, serving=shape.serving, model_name=shape.model_name, at=at, seed=shape.seed
        )
        session.host = shape.host
        listed: dict[str, Any] = {"spki_sha256": session.gateway.fingerprint.hex(), "domain": shape.host}
        session.keyset_changes.update(not_after=self._ends, tls_public_keys=[listed])
        if shape.provider == "phala":
            session.top_level = dict(_LEGACY)
        return session

    def rotated(self) -> AciSession:
        """`session` with the keyset that follows the first one."""
        session = self.session()
        session.keyset_changes["not_after"] = self._ends + 60
        return session

    def report(self, nonce: bytes | None) -> Answer:
        """The report, made now; without a nonce its statement names none."""
        fault = self.fault
        with self._counting:
            rotated = fault is not None and fault.rotates and self._count > 0
            self._count += 1
        showing = self._show(nonce, fault, rotated=rotated)
        self._keep(showing, fault, latest=True)
        return showing.report

    def standing(self, fault: AciFault | None) -> FrontShowing:
        """See `ShowingDesk.standing`."""
        return self._show(self._nobody, fault)

    def _show(self, nonce: bytes | None, fault: AciFault | None, *, rotated: bool = False) -> FrontShowing:
        now = self._clock().replace(microsecond=0)
        session = self.session(nonce, now if fault is None else now + fault.shift)
        if nonce is None:
            session.attested_nonce = None
        if rotated:
            session.keyset_changes["not_after"] = self._ends + 60
        report = session.report() if fault is None or fault.defect is None else fault.defect.report(session)
        return shown_in(session.saved(report), now, url=session.report_url.partition("?")[0])
