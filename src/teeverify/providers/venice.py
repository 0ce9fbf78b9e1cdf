"""Venice: a front that passes on the reports of NEAR AI's machines, with its own opinion beside them."""

from __future__ import annotations

from .front_wire import Front
from .fronts import FrontVerifier

__all__ = ["VeniceVerifier"]


class VeniceVerifier(FrontVerifier):
    """Judges what Venice passes on; what Venice says of it (``verified``, ``server_verification``) is never read.

    The name in the report's ``model`` is Venice's own and must be the one asked for; ``model_name`` is the upstream's.
    No signatures of exchanges are known to be passed on. Args and errors are those of `Verifier`.
    """

    provider = "venice"
    front = Front(
        provider="venice", base="https://api.venice.ai/api/v1", path="/tee/attestation", names_algorithm=False,
        prefixed_keys=True,
    )  # fmt: skip
