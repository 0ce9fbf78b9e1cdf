"""What a verifier needs beside its checks: policy, roots, transport, caches and a clock."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from .challenge import aware, checked_model, utc_now
from .errors import ConfigurationError
from .flow import Transport
from .policy import Policy
from .roots import PRODUCTION_ROOTS, TrustRoots
from .verdict import AttestationVerdict

if TYPE_CHECKING:
    from .cache import CacheKey, VerdictCache
    from .endorsement_cache import EndorsementCache

__all__ = ["Equipped"]


class Equipped:
    """Holds the equipment of one verifier; caches and transport are made on first use. See `Verifier`."""

    provider: str
    """Name of the provider."""
    origin: str
    """Scheme and host that the caller's prompts go to; a part of the cache key."""
    asked_form: str = ""
    """What is asked for beside the model, for example the signing algorithm; a part of the cache key."""

    def __init__(
        self,
        policy: Policy,
        *,
        roots: TrustRoots = PRODUCTION_ROOTS,
        transport: Transport | None = None,
        api_key: str | None = None,
        cache: VerdictCache | None = None,
        endorsements: EndorsementCache | None = None,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        if policy.provider != self.provider:
            raise ConfigurationError(
                f"policy {policy.name!r} is for provider {policy.provider!r}, the evidence is of {self.provider!r}: "
                f"choose a policy for {self.provider!r}"
            )
        if api_key is not None and not (api_key and api_key.isascii() and api_key.isprintable()):
            raise ConfigurationError("the API key is empty or holds characters that no HTTP header can carry")
        self._policy, self._roots = policy, roots
        self._key_of = functools.lru_cache(maxsize=256)(self._make_key)
        self._transport, self._cache, self._endorsements = transport, cache, endorsements
        self._making = threading.Lock()
        self._api_key = api_key
        self._clock = utc_now if clock is None else clock

    @property
    def policy(self) -> Policy:
        """What the caller demands; a verifier keeps its policy, since verdicts are held under it."""
        return self._policy

    @property
    def roots(self) -> TrustRoots:
        """The trust anchors."""
        return self._roots

    @property
    def transport(self) -> Transport:
        """What answers this verifier's requests."""
        with self._making:
            if self._transport is None:
                from .requests_transport import RequestsTransport

                self._transport = RequestsTransport()
            return self._transport

    @property
    def cache(self) -> VerdictCache:
        """The verdicts that are held."""
        with self._making:
            if self._cache is None:
                from .cache import VerdictCache

                self._cache = VerdictCache(wall=self.time)
            return self._cache

    @property
    def endorsements(self) -> EndorsementCache:
        """The answers of Intel and NVIDIA that are held."""
        with self._making:
            if self._endorsements is None:
                from .endorsement_cache import EndorsementCache

                self._endorsements = EndorsementCache(wall=self.time)
            return self._endorsements

    def held_attestation(
        self, model: str, *, tls_spki: bytes | None = None, now: datetime | None = None
    ) -> AttestationVerdict | None:
        """The verdict that is held, without asking anybody; None where there is none.

        ``tls_spki`` is the SHA-256 (32 bytes) of the SubjectPublicKeyInfo of a connection: then only a verdict that
        found the connection to end at this very key will do.
        """
        return self.cache.get(self.cache_key(model, tls_spki), now=self.time(now))

    def hold(self, verdict: AttestationVerdict, *, now: datetime | None = None) -> None:
        """Put a verdict of this verifier into the cache, under its TLS key and as the latest for its model."""
        at = self.time(now)
        self.cache.put(self.cache_key(verdict.model), verdict, now=at)
        if verdict.attested_tls_spki is not None:
            self.cache.put(self.cache_key(verdict.model, verdict.attested_tls_spki), verdict, now=at)

    def time(self, now: datetime | None = None) -> datetime:
        """The aware time (UTC) of a call: the one that it names, else the clock's.

        Raises:
            ConfigurationError: the time has no time zone.
        """
        return aware(self._clock() if now is None else now)

    def cache_key(self, model: str, tls_spki: bytes | None = None) -> CacheKey:
        """The key under which a verdict of this verifier is held; ``tls_spki`` is 32 bytes, None for whichever.

        Raises:
            ConfigurationError: the model is no name.
        """
        try:
            return self._key_of(model, tls_spki)
        except TypeError:  # what is not hashable is neither a name nor bytes
            return self._make_key(model, tls_spki)

    def _make_key(self, model: object, tls_spki: object) -> CacheKey:
        from .cache import CacheKey

        if tls_spki is None:
            shown = ""
        elif isinstance(tls_spki, bytes) and len(tls_spki) == 32:
            shown = tls_spki.hex()
        else:
            raise ConfigurationError("tls_spki is not the 32 bytes of a SHA-256: pass attested_tls_spki of a verdict")
        return CacheKey(
            provider=self.provider,
            origin=self.origin,
            model=checked_model(model),
            algorithm=self.asked_form,
            tls_spki=shown,
            policy_digest=self.policy.digest,
            roots=self.roots.digest,
        )
