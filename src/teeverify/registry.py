"""Which verifier class is responsible for which provider."""

from __future__ import annotations

from collections.abc import Mapping

from .errors import ConfigurationError, UnknownProviderError
from .verifier import Verifier

__all__ = ["VerifierRegistry", "register_verifier", "verifier_for"]


class VerifierRegistry:
    """Verifier classes by provider name; an unknown name is an error, never a default."""

    def __init__(self, classes: Mapping[str, type[Verifier]]) -> None:
        self._classes = dict(classes)

    def register(self, verifier: type[Verifier]) -> None:
        """Add a verifier class under its provider's name.

        Raises:
            ConfigurationError: the name is taken.
        """
        if verifier.provider in self._classes:
            raise ConfigurationError(f"provider {verifier.provider!r} is registered already")
        self._classes[verifier.provider] = verifier

    @property
    def providers(self) -> tuple[str, ...]:
        """The registered names, sorted."""
        return tuple(sorted(self._classes))

    def get(self, provider: str) -> type[Verifier]:
        """The class for a provider.

        Raises:
            UnknownProviderError: no verifier is registered under that name.
        """
        if provider not in self._classes:
            known = ", ".join(self.providers)
            raise UnknownProviderError(f"there is no verifier for provider {provider[:64]!r}; known are: {known}")
        return self._classes[provider]


_OWN: dict[str, type[Verifier]] = {}
"""Classes that the application registered."""


def register_verifier(verifier: type[Verifier]) -> None:
    """Make a verifier class of your own known by its provider's name, to `verifier_for` and the command line.

    Raises:
        ConfigurationError: a verifier of that name is built in or registered already.
    """
    registry = _known()
    registry.register(verifier)
    _OWN[verifier.provider] = verifier


def verifier_for(provider: str) -> type[Verifier]:
    """The verifier class for a provider, built in or registered.

    Raises:
        UnknownProviderError: there is none under that name.
    """
    return _known().get(provider)


def _known() -> VerifierRegistry:
    from .providers.aci import AciVerifier
    from .providers.chutes import ChutesVerifier
    from .providers.chutes_chain import ChutesChainVerifier
    from .providers.dstack_app import DstackVerifier
    from .providers.nanogpt import NanoGptVerifier
    from .providers.near import NearVerifier
    from .providers.opengradient import OpenGradientVerifier
    from .providers.phala import PhalaVerifier
    from .providers.venice import VeniceVerifier
    from .providers.vllm_proxy import VllmProxyVerifier

    built_in = (
        NearVerifier,
        ChutesVerifier,
        ChutesChainVerifier,
        PhalaVerifier,
        VllmProxyVerifier,
        NanoGptVerifier,
        VeniceVerifier,
        OpenGradientVerifier,
        AciVerifier,
        DstackVerifier,
    )
    return VerifierRegistry({**{kind.provider: kind for kind in built_in}, **_OWN})
