"""Faults of ACI services: reports, receipts and sessions, evidence that is dated wrongly, and broken servers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Final

from attrs import evolve

from teeverify.testing.aci_defects import ACI_DEFECTS, RECEIPT_DEFECTS, AciDefect, ReceiptDefect
from teeverify.testing.simulation.aci.fault import AciFault
from teeverify.testing.simulation.fault import CLOCK, EVIDENCE, EXCHANGE, INCONCLUSIVE, REJECTED, VERIFIED
from teeverify.testing.simulation.hosts import NVIDIA, PROVIDER

from .table import by_name
from .transport import transport_faults

__all__ = ["ACI_FAULTS", "REDPILL_ACI_FAULTS"]

_NONE: Final = ("exchange.signature", "exchange.signer_attested", "exchange.request_digest")


def _of(defect: AciDefect) -> AciFault:
    return AciFault(
        name=defect.name,
        area=EVIDENCE,
        description=defect.description,
        outcomes=(REJECTED,),
        checks=defect.checks,
        number=defect.number,
        defect=defect,
    )


def _of_receipt(defect: ReceiptDefect) -> AciFault:
    return AciFault(
        name=defect.name,
        area=EXCHANGE,
        description=defect.description,
        outcomes=(REJECTED,),
        checks=frozenset(defect.findings),
        number=defect.number,
        serving="aggregator" if defect.aggregator else None,
        receipt=defect,
    )


def _chat(
    name: str,
    description: str,
    *checks: str,
    outcomes: tuple[str, ...] = (REJECTED,),
    streamed: bool = False,
    rotates: bool = False,
) -> AciFault:
    return AciFault(
        name=name,
        area=EXCHANGE,
        description=description,
        outcomes=outcomes,
        checks=frozenset(checks),
        streamed=streamed,
        rotates=rotates,
    )


_CHATS: Final = (
    _chat("altered-response-byte", "One byte of the answer was changed on the way.", "exchange.response_digest"),
    _chat("altered-request", "The prompt was changed on the way.", "exchange.request_digest"),
    _chat(
        "missing-done",
        "Streams end without [DONE], and the receipt is over what came.",
        "exchange.response_digest",
        streamed=True,
    ),
    _chat(
        "replayed-chat",
        "From the second request on, an old answer is served with its old id and receipt.",
        "exchange.first_seen",
        "exchange.request_digest",
    ),
    _chat("receipt-404-then-found", "The receipt is not there at first.", outcomes=(VERIFIED,)),
    _chat("receipt-never", "There is no receipt.", *_NONE, outcomes=(INCONCLUSIVE, REJECTED)),
    _chat("keyset-rotated", "The keyset changes after the first report.", outcomes=(VERIFIED,), rotates=True),
)


def _clock_fault() -> AciFault:
    return AciFault(
        name="clock-ahead",
        area=CLOCK,
        description="Everything that is signed is dated an hour ahead.",
        outcomes=(REJECTED,),
        checks=frozenset({"tcb.collateral_current"}),
        shift=timedelta(hours=1),
    )


def _broken() -> Iterable[AciFault]:
    """NVIDIA is not asked, for no GPU shows evidence."""
    checks = {PROVIDER: frozenset({"evidence.complete", "evidence.wellformed"})}
    return (one for one in transport_faults(AciFault, checks, {PROVIDER: "The service"}) if one.group != NVIDIA)


ACI_FAULTS: Final[Mapping[str, AciFault]] = by_name(
    (_of(defect) for defect in ACI_DEFECTS.values()),
    (_clock_fault(),),
    _CHATS,
    (_of_receipt(defect) for defect in RECEIPT_DEFECTS.values()),
    _broken(),
)
"""All faults of ACI services, by name."""


def _behind_redpill(fault: AciFault) -> AciFault:
    """RedPill's verifier knows other shapes too; which one it may be is the policy's to say."""
    if not fault.name.startswith("answers-in-"):
        return fault
    outcome = INCONCLUSIVE if fault.name.endswith("-tinfoil") else REJECTED
    return evolve(fault, outcomes=(outcome,), checks=fault.checks | {"policy.shape", "evidence.complete"})


REDPILL_ACI_FAULTS: Final[Mapping[str, AciFault]] = {name: _behind_redpill(fault) for name, fault in ACI_FAULTS.items()}
"""The same of RedPill's own gateway, where `PhalaVerifier` judges its reports."""
