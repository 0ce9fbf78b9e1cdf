"""What a client needs to judge the simulation: test roots, a policy, and the authority of its TLS certificates."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from teeverify.errors import ConfigurationError
from teeverify.testing.keys import KeyRing
from teeverify.testing.near import NearSession
from teeverify.testing.near_policy import PolicyText, near_policy
from teeverify.testing.roots import trust_roots, write_roots

from .evidence import Shape
from .signatures import GATEWAY
from .tls import tls_authority

if TYPE_CHECKING:
    from teeverify.policy import Policy
    from teeverify.roots import TrustRoots

__all__ = ["AUTHORITY_FILE", "Paperwork"]

AUTHORITY_FILE = "tls-ca.pem"


class Paperwork:
    """Test roots and policy of one deployment, as values and as files.

    Args:
        shape: the deployment.
        truth: a truthful session of it.
        signature_kind: what its chat signatures call themselves.
    """

    def __init__(self, shape: Shape, truth: NearSession, signature_kind: str | None) -> None:
        self._shape, self._truth, self._signature_kind = shape, truth, signature_kind

    @cached_property
    def roots(self) -> TrustRoots:
        """The test roots."""
        return trust_roots(self._shape.seed)

    @cached_property
    def policy(self) -> Policy:
        """The policy that pins what the truthful simulation shows."""
        from teeverify.policy import Policy

        return Policy.from_toml(self.policy_text())

    def policy_text(self, **changes: Any) -> str:
        """The policy as TOML, with fields of `PolicyText` changed."""
        text = PolicyText(**{"name": "near-simulated", "min_count": self._shape.gpus, **changes})
        signed_by = '\n[exchange]\nsigned_by = "gateway"\n' if self._signature_kind == GATEWAY else ""
        return near_policy(self._truth, text) + signed_by

    def write(self, directory: Path) -> None:
        """Write ``roots/``, ``policy.toml`` and ``tls-ca.pem``.

        Raises:
            ConfigurationError: the directory cannot be written to.
        """
        seed = self._shape.seed
        try:
            write_roots(directory / "roots", seed)
            (directory / "policy.toml").write_text(self.policy_text(), encoding="utf-8")
            (directory / AUTHORITY_FILE).write_text(tls_authority(KeyRing(seed)).pem, encoding="ascii")
        except OSError as error:
            raise ConfigurationError(f"{str(directory)!r} cannot be written to: {error.strerror}") from None
