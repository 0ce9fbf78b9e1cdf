"""Faults of chats through a front, and of the signatures over them; the attestation is truthful in all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from teeverify.testing.simulation.fault import EXCHANGE, REJECTED, VERIFIED
from teeverify.testing.simulation.fronts.fault import FrontFault
from teeverify.testing.simulation.near.fault import NearFault

from .near_exchange import exchange_faults

__all__ = ["front_exchange_faults"]

_NONE: Final = ("exchange.signature", "exchange.signer_attested", "exchange.request_digest")
_RESPONSE: Final = "exchange.response_digest"
_SHARED: Final[Mapping[str, int]] = {
    "altered-response-byte": 42,
    "altered-request": 43,
    "wrong-signer": 41,
    "forged-signature": 41,
    "other-algorithm": 44,
    "missing-done": 42,
    "signature-404-then-found": 0,
    "signature-never": 0,
    "signature-error-code": 0,
    "malleable-signature": 44,
    "short-signature": 44,
    "replayed-chat": 42,
}
"""Faults that NEAR's proxies can have as well, with the number of the attack."""


def front_exchange_faults() -> tuple[FrontFault, ...]:
    """All of them."""
    shared = tuple(_of(fault) for fault in exchange_faults() if fault.name in _SHARED)
    return (
        *shared,
        _fault(41, "served-by-another-machine", "A machine that showed no evidence answered and signed.",
               "exchange.signer_attested"),
        _fault(42, "signature-of-other-chat", "The signature is one over another answer.", _RESPONSE),
        _fault(42, "dropped-chunk", "A piece of the stream is missing.", _RESPONSE, streamed=True),
        _fault(42, "reordered-chunks", "Two pieces of the stream changed places.", _RESPONSE, streamed=True),
        _fault(42, "tidied-stream", "A relay takes blank lines out of the stream.", _RESPONSE, streamed=True),
        _fault(42, "answer-sorted", "A relay sorts the members of the answer.", _RESPONSE, streamed=False),
        _fault(42, "answer-spelled-out", "The answer comes in the spelling that is signed.", outcomes=(VERIFIED,),
               streamed=False),
        _fault(44, "text-trailing-colon", "A colon follows the signed text.", *_NONE),
        _fault(44, "text-two-colons", "There is an empty field in the signed text.", "exchange.signature", *_NONE),
        _fault(44, "text-upper-case", "The digests in the signed text are in upper case.", *_NONE),
        _fault(44, "other-recovery-id", "The signature's last byte leads to another key.", *_NONE),
        _fault(56, "key-renewed", "The proxy was started anew after its first report, and signs with a new key.",
               outcomes=(VERIFIED,), renews=True),
    )  # fmt: skip


def _of(fault: NearFault) -> FrontFault:
    return FrontFault(
        name=fault.name,
        area=EXCHANGE,
        description=fault.description,
        outcomes=fault.outcomes,
        checks=fault.checks,
        number=_SHARED[fault.name],
        streamed=True if fault.streamed else None,
    )


def _fault(
    number: int,
    name: str,
    description: str,
    *checks: str,
    outcomes: tuple[str, ...] = (REJECTED,),
    streamed: bool | None = None,
    renews: bool = False,
) -> FrontFault:
    return FrontFault(
        name=name,
        area=EXCHANGE,
        description=description,
        outcomes=outcomes,
        checks=frozenset(checks),
        number=number,
        streamed=streamed,
        renews=renews,
    )
