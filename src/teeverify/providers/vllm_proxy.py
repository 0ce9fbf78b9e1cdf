"""A vllm-proxy in a confidential VM of one's own (Dstack-TEE/vllm-proxy), reached by its base URL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..policy import Policy
from .front_wire import Front
from .fronts import FRONT_CHECKS, SigningFrontVerifier

__all__ = ["VllmProxyVerifier"]


class VllmProxyVerifier(SigningFrontVerifier):
    """Judges a self-hosted vllm-proxy: one machine of role model, with its GPUs and its signing key.

    Args:
        policy: what the caller demands.
        url: the proxy's base URL, such as ``https://my-cvm.example/v1``; needed for live use only.
        algorithm: of the signing key, ``ecdsa`` or ``ed25519``.
        tls_bound: ask for the form of REPORTDATA that binds the TLS key (version 2), which newer builds offer. Without
            it channel.tls_spki cannot pass, so the policy has to waive it.
        **options: see `Verifier`.

    Raises:
        ConfigurationError: an argument is not one of these, or the policy is for another provider.
    """

    provider = "vllm-proxy"
    front = Front(
        provider="vllm-proxy", base=None, path="/attestation/report", names_algorithm=True, tls_form=True,
        prefixed_keys=True, shapes=("dstack",),
    )  # fmt: skip
    applicable: Mapping[str, tuple[str, ...]] = {
        **FRONT_CHECKS,
        "binding.tls_spki": ("model",),
        "pin.tls_spki": ("model",),
        "channel.tls_spki": ("model",),
    }

    def __init__(
        self,
        policy: Policy,
        *,
        url: str | None = None,
        algorithm: str = "ecdsa",
        tls_bound: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(policy, url=url, algorithm=algorithm, tls_bound=tls_bound, **options)
