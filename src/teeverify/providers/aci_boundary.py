"""What a judged ACI gateway comes to in words, and what it does not prove."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..verdict import SubjectVerdict

__all__ = ["ACI_GAPS", "aci_in_words"]

_SOFTWARE: Final = ("tdx.quote_signature", "policy.pinned", "pin.base_image", "pin.compose", "dstack.compose_event")
ACI_GAPS: Final = (
    "What is attested is the machine that answers. Behind an aggregator another one runs the model, and no GPU and no "
    "weights are attested here.",
    "Nothing in the quote names a model: one report describes the whole service.",
    "The custody chain covers a KMS key; that the receipt key has the same secret rests on the measured code.",
    "Keys for encryption and TLS have no custody that is checked: that they never leave the TD rests on the measured "
    "code.",
    "Source repository, commit and image digest in the report are the service's own word; only your pins count.",
    "Values of environment variables (allowed_envs) are not measured.",
    "A hardware key extracted from some machine of Intel forges everything here.",
)


def aci_in_words(judged: Sequence[SubjectVerdict]) -> str:
    """Who runs pinned software, and what its keyset stands for."""
    if not judged:
        return "Nothing was judged."
    gateway = judged[0]
    clauses = [
        "The gateway (Intel TDX) runs the pinned guest image and compose document"
        if gateway.holds(*_SOFTWARE)
        else "What software the gateway runs is not enforced",
        "the connection ends inside it"
        if gateway.holds("aci.channel")
        else "nothing shows where the connection ends, so anybody in between can read and answer",
        "a pinned key management service vouches for its receipt keys"
        if gateway.holds("aci.custody")
        else "nobody vouches for its receipt keys but its own code",
        "it sees prompts in the clear, and what stands behind it is not attested here",
    ]
    return f"{'; '.join(clauses)}."
