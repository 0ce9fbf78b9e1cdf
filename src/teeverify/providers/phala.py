"""Phala's RedPill gateway: machines of its own, Chutes' instances, and reports in NEAR's shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..policy import Policy
from .front_wire import Front
from .fronts import FRONT_CHECKS, SigningFrontVerifier

__all__ = ["PhalaVerifier"]


class PhalaVerifier(SigningFrontVerifier):
    """Judges what RedPill shows; which shape of report will do follows from the roles that the policy pins.

    A report in ACI's shape is about RedPill's own gateway; the receipts of its exchanges are `AciVerifier`'s.

    Args:
        policy: what the caller demands.
        algorithm: of the signing keys, ``ecdsa`` or ``ed25519``.
        **options: see `Verifier`.

    Raises:
        ConfigurationError: an argument is not one of these, or the policy is for another provider.
    """

    provider = "phala"
    front = Front(
        provider="phala", base="https://api.redpill.ai/v1", path="/attestation/report", names_algorithm=True,
        prefixed_keys=True, shapes=("dstack", "near", "chutes", "aci"),
    )  # fmt: skip

    applicable: Mapping[str, tuple[str, ...]] = {
        **FRONT_CHECKS,
        **dict.fromkeys(("aci.keyset", "aci.expiry", "aci.roles", "aci.custody", "aci.channel"), ("gateway",)),
    }

    def __init__(self, policy: Policy, *, algorithm: str = "ecdsa", **options: Any) -> None:
        super().__init__(policy, algorithm=algorithm, **options)
