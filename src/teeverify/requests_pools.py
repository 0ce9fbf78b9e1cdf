"""Which connection a request goes over: the settings of a `requests.Session`, made into pools of urllib3."""

from __future__ import annotations

import os
import ssl
import threading
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH, select_proxy
from urllib3 import PoolManager, ProxyManager
from urllib3.connectionpool import HTTPSConnectionPool

from .errors import ConfigurationError, TransportError
from .origin import Origin
from .requests_connections import TappedPool, bound_to_deadlines
from .tls import hold_to_keys

__all__ = ["ConnectionPools"]

_SERVERS: Final = 64
"""Servers to which connections are kept; a verifier talks to less than ten."""
_UNVERIFIED: Final = object()
_CONNECTIONS: Final = 64
"""Idle connections kept to one server."""


class ConnectionPools:
    """Open connections by server, TLS context and proxy. Safe to share between threads.

    Args:
        session: whose ``proxies``, ``verify``, ``cert`` and ``trust_env`` count, as they are when a request is made.
        ca_file: PEM file that replaces every other setting of certificate authorities.
        use_proxies: False to connect directly whatever the settings say.

    Raises:
        ConfigurationError: the session does not verify certificates, or ``ca_file`` cannot be read.
    """

    def __init__(self, session: requests.Session, *, ca_file: str | None, use_proxies: bool) -> None:
        self._session, self._ca_file, self._use_proxies = session, ca_file, use_proxies
        self._managers: dict[tuple[str, ssl.SSLContext] | None, PoolManager] = {None: _tapped(PoolManager(_SERVERS))}
        self._contexts: dict[object, ssl.SSLContext] = {}
        self._making = threading.Lock()
        if not _is_verifying(session.verify):
            raise ConfigurationError("the session does not verify certificates; without that no channel can be judged")
        if ca_file is not None:
            try:
                self._context(ca_file, None, None)
            except OSError:
                raise ConfigurationError("the CA file cannot be read; name a PEM file with certificates") from None

    def pool(self, origin: Origin, pins: frozenset[bytes] | None, *, verified: bool = True) -> HTTPSConnectionPool:
        """The connections to a server that are held to these pins, or that nobody vouches for (``verified`` False).

        Raises:
            TransportError: the settings turn verification off, name a file that cannot be read, or a SOCKS proxy.
        """
        url = f"{origin}/"
        settings: Any = self._session.merge_environment_settings(url, {}, True, self._ca_file, None)
        verify, cert = settings["verify"], settings["cert"]
        if not _is_verifying(verify) or not _is_verifying(self._session.verify):
            raise TransportError("the session was told not to verify certificates; nothing was sent")
        proxy = select_proxy(url, settings["proxies"]) if self._use_proxies else None
        try:
            context = self._context(verify, cert, pins) if verified or pins else self._unverified()
            manager = self._manager(proxy, self._context(verify, None, None)) if proxy else self._managers[None]
        except OSError:
            raise TransportError("the CA bundle or client certificate of the settings cannot be read") from None
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        pool = manager.connection_from_host(host, origin.port, "https", pool_kwargs={"ssl_context": context})
        assert isinstance(pool, TappedPool)
        return pool

    def close(self) -> None:
        """Close the idle connections; those in use are closed when their answers end."""
        with self._making:
            managers = list(self._managers.values())
        for manager in managers:
            for key in list(manager.pools.keys()):
                pool = manager.pools.get(key)
                if pool is not None:
                    pool.close()
            manager.clear()

    def _manager(self, proxy: str, context: ssl.SSLContext) -> PoolManager:
        url = proxy if "://" in proxy else f"http://{proxy}"
        if not url.lower().startswith(("http://", "https://")):  # tapped connections would not go through another kind
            raise TransportError("the proxy of the settings is not an HTTP proxy; no other kind is used")
        with self._making:
            key = (url, context)
            if key not in self._managers:
                headers = HTTPAdapter().proxy_headers(url)
                self._managers[key] = _tapped(
                    ProxyManager(url, _SERVERS, proxy_headers=headers, proxy_ssl_context=context)
                )
            return self._managers[key]

    def _unverified(self) -> ssl.SSLContext:
        """For answers that prove themselves; the connections tell no key, and are never used for anything else."""
        with self._making:
            if _UNVERIFIED not in self._contexts:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                self._contexts[_UNVERIFIED] = bound_to_deadlines(context)
            return self._contexts[_UNVERIFIED]

    def _context(self, verify: Any, cert: Any, pins: frozenset[bytes] | None) -> ssl.SSLContext:
        key = (verify, cert if cert is None or isinstance(cert, str) else tuple(cert), pins)
        with self._making:
            if key not in self._contexts:
                self._contexts[key] = _new_context(verify, cert, pins)
            return self._contexts[key]


def _is_verifying(verify: Any) -> bool:
    return verify is True or (isinstance(verify, (str, os.PathLike)) and bool(os.fspath(verify)))


def _tapped(manager: PoolManager) -> PoolManager:
    manager.pool_classes_by_scheme = {"https": TappedPool}
    manager.connection_pool_kw["maxsize"] = _CONNECTIONS
    return manager


def _new_context(verify: Any, cert: Any, pins: frozenset[bytes] | None) -> ssl.SSLContext:
    path = DEFAULT_CA_BUNDLE_PATH if verify is True else os.fspath(verify)
    folder = os.path.isdir(path)
    context = ssl.create_default_context(cafile=None if folder else path, capath=path if folder else None)
    context.options |= ssl.OP_NO_RENEGOTIATION  # so that the key which is noted stays the connection's
    if cert:
        context.load_cert_chain(*([cert] if isinstance(cert, str) else cert))
    return bound_to_deadlines(context if pins is None else hold_to_keys(context, pins))
