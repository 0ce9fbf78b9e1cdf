"""Faults of the chat and of the signature over it; the attestation is truthful in all of them."""

from __future__ import annotations

from typing import Final

from teeverify.testing.simulation.fault import EXCHANGE, INCONCLUSIVE, REJECTED, VERIFIED
from teeverify.testing.simulation.near.fault import NearFault

__all__ = ["exchange_faults"]

_SIGNATURE: Final = ("exchange.signature",)
_NONE: Final = ("exchange.signature", "exchange.signer_attested", "exchange.request_digest")


def exchange_faults() -> tuple[NearFault, ...]:
    """All of them."""
    return (
        _fault(
            "altered-response-byte", "One byte of the answer was changed after signing.", "exchange.response_digest"
        ),
        _fault(
            "altered-request", "The proxy changed the prompt, and signed what it sent on.", "exchange.request_digest"
        ),
        _fault("wrong-signer", "A stranger signed, under his own address.", "exchange.signer_attested"),
        _fault("forged-signature", "A stranger signed, under the attested address.", *_SIGNATURE),
        _fault("other-algorithm", "The signature is of the algorithm that was not asked for.", *_NONE),
        _fault(
            "gateway-signature-as-model",
            "The gateway signed, and calls it the model's signature.",
            "exchange.signer_attested",
            base="cloud",
        ),
        _fault(
            "missing-done",
            "Streams end without [DONE], and the signature is over what came.",
            "exchange.response_digest",
            streamed=True,
        ),
        _fault("signature-404-then-found", "The signature is not there at first.", outcomes=(VERIFIED,)),
        _fault("signature-never", "There is no signature.", *_NONE, outcomes=(INCONCLUSIVE, REJECTED)),
        _fault(
            "signature-error-code",
            "The answer has status 200, and says SIGNATURE_UNSUPPORTED.",
            *_NONE,
            outcomes=(INCONCLUSIVE, REJECTED),
        ),
        _fault("malleable-signature", "The signature is the other encoding of a good one (high s).", *_SIGNATURE),
        _fault("short-signature", "The last byte of the signature is missing.", *_NONE),
        _fault(
            "replayed-chat",
            "From the second request on, an old answer is served with its old id and signature.",
            "exchange.first_seen",
            "exchange.request_digest",
        ),
        _fault("text-names-other-model", "The signed text names another model.", "exchange.model"),
    )


def _fault(
    name: str,
    description: str,
    *checks: str,
    outcomes: tuple[str, ...] = (REJECTED,),
    base: str | None = None,
    streamed: bool = False,
) -> NearFault:
    return NearFault(
        name=name,
        area=EXCHANGE,
        description=description,
        outcomes=outcomes,
        checks=frozenset(checks),
        base=base,
        streamed=streamed,
    )
