"""NanoGPT: a front that passes on the reports of whoever serves the model."""

from __future__ import annotations

from .front_wire import Front
from .fronts import FrontVerifier

__all__ = ["NanoGptVerifier"]


class NanoGptVerifier(FrontVerifier):
    """Judges what NanoGPT passes on: a dstack machine, Chutes' instances, or a report in NEAR's shape.

    No signatures of exchanges are known to be passed on. Args and errors are those of `Verifier`.
    """

    provider = "nanogpt"
    front = Front(
        provider="nanogpt", base="https://nano-gpt.com/api/v1", path="/tee/attestation", names_algorithm=False,
        prefixed_keys=True,
    )  # fmt: skip
