"""Writing a first policy from what a Nitro enclave showed: its image as PCR0, PCR1 and PCR2, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from attrs import field, frozen

from .errors import PolicyError
from .policy import Policy, ReferenceValues, utc_day
from .policy_pin import VALIDITY
from .policy_text import to_toml

__all__ = ["EnclaveObservation", "pin_enclaves"]

_IMAGE = ("pcr0", "pcr1", "pcr2")


@frozen(kw_only=True)
class EnclaveObservation:
    """What one enclave showed: ``pcrs`` holds ``pcr0``, ``pcr1`` and ``pcr2`` (48 bytes each), maybe more."""

    role: str
    pcrs: Mapping[str, bytes] = field(repr=False)


def pin_enclaves(
    observations: Sequence[EnclaveObservation], *, provider: str, name: str, recorded_at: datetime, source: str
) -> str:
    """Write the commented TOML text of a policy that pins exactly the images that were observed.

    Keys are not pinned, since an enclave makes new ones at every start; nor is a contract, since what a report says of
    one is the word of nodes.

    Args:
        observations: what was seen, in documents that verify.
        provider: name of the provider.
        name: name of the policy.
        recorded_at: aware time of the observation; the policy is valid until 90 days later.
        source: where the values come from, for the comments.

    Raises:
        PolicyError: nothing was observed, a register is missing, or a value breaks the rules of a policy.
        ConfigurationError: ``recorded_at`` has no time zone.
    """
    if not observations:
        raise PolicyError("no enclave was observed, at least one was expected: use a complete report")
    day = utc_day(recorded_at)
    tables: dict[str, list[dict[str, bytes]]] = {}
    for seen in observations:
        if not seen.pcrs.keys() >= set(_IMAGE):
            raise PolicyError(f"role {seen.role} lacks PCR0, PCR1 or PCR2, an image was expected: use another report")
        table = {register: seen.pcrs[register] for register in _IMAGE}
        if table not in tables.setdefault(seen.role, []):
            tables[seen.role].append(table)
    policy = Policy(
        name=name,
        provider=provider,
        valid_until=day + VALIDITY,
        pins={role: ReferenceValues(pcrs=tuple(pinned)) for role, pinned in tables.items()},
    )
    where = f"Observed in {source} on {day}, in a document that AWS's root vouches for."
    comments = {f"pins.{role}.pcrs[{index}]": where for role, pinned in tables.items() for index in range(len(pinned))}
    comments["valid_until"] = f"{VALIDITY.days} days after the observation: look again then."
    return to_toml(policy, header=_header(where), comments=comments)


def _header(where: str) -> list[str]:
    return [
        where,
        "",
        "These values say what was OBSERVED. A genuine enclave ran exactly this image; whether that is good software",
        "is a question no document can answer. You are the one who decides. What to do next:",
        "  1. Build the image from the published sources, and compare PCR0 and PCR2. PCR1 is the same for nearly every",
        "     enclave there is.",
        "  2. Put what you found into the comments, then run `teeverify policy lint` on this file.",
        "  3. To have a contract's word as well, add [registry] with address and chain_id, from a source you trust.",
        "",
    ]
