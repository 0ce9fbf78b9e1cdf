"""What a client needs to judge the simulation: test roots, a policy, and the authority of its TLS certificates."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from teeverify.errors import ConfigurationError
from teeverify.testing.keys import KeyRing
from teeverify.testing.roots import trust_roots, write_roots

from .tls import tls_authority

if TYPE_CHECKING:
    from teeverify.policy import Policy
    from teeverify.roots import TrustRoots

__all__ = ["AUTHORITY_FILE", "Paperwork"]

AUTHORITY_FILE = "tls-ca.pem"


class Paperwork:
    """Test roots and policy of one deployment, as values and as files.

    Args:
        seed: of the test roots.
        policy_text: makes the policy, as TOML.
    """

    def __init__(self, seed: str, policy_text: Callable[[], str]) -> None:
        self._seed, self._policy_text = seed, policy_text

    @cached_property
    def roots(self) -> TrustRoots:
        """The test roots."""
        return trust_roots(self._seed)

    @cached_property
    def policy(self) -> Policy:
        """The policy that pins what the truthful simulation shows."""
        from teeverify.policy import Policy

        return Policy.from_toml(self._policy_text())

    def write(self, directory: Path) -> None:
        """Write ``roots/``, ``policy.toml`` and ``tls-ca.pem``.

        Raises:
            ConfigurationError: the directory cannot be written to.
        """
        try:
            write_roots(directory / "roots", self._seed)
            (directory / "policy.toml").write_text(self._policy_text(), encoding="utf-8")
            (directory / AUTHORITY_FILE).write_text(tls_authority(KeyRing(self._seed)).pem, encoding="ascii")
        except OSError as error:
            raise ConfigurationError(f"{str(directory)!r} cannot be written to: {error.strerror}") from None
