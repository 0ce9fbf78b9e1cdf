"""Where a request goes: one strict reading of https URLs for everything that sends them.

The key that is attached, the pin that is held and the connection that is made must mean the same place. So a URL is
read once, here, and whatever two parsers could read differently is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from attrs import field, frozen

from .errors import ConfigurationError, TransportError

__all__ = ["Origin", "Target", "bearers", "checked_origin", "target_of"]

_HTTPS_PORT: Final = 443
_PRINTABLE: Final = re.compile(r"[!-~]+")
_NAME: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_IPV6: Final = re.compile(r"[0-9a-f:.]*:[0-9a-f:.]*")
_TOKEN: Final = re.compile(r"[!-~]+")


@frozen
class Origin:
    """Host (lower case, no brackets, no dot at its end) and port of an https server; ``str()`` gives ``https://host``."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}" if self.port == _HTTPS_PORT else f"https://{host}:{self.port}"


@frozen
class Target:
    """A URL, read. ``path`` is the path and the query as they are sent; it is not shown, for queries may be private."""

    origin: Origin
    path: str = field(repr=False)


def target_of(url: str) -> Target:
    """Read an https URL: printable ASCII, no user name, no backslash.

    Raises:
        TransportError: anything else; the sentence repeats nothing of the URL but its scheme.
    """
    if not _PRINTABLE.fullmatch(url) or "\\" in url:
        raise TransportError("a request to a URL with a character that URLs do not have was refused")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise TransportError("a request to a URL that cannot be read was refused") from None
    if parts.scheme != "https":
        raise TransportError(f"a request to a URL of scheme {parts.scheme[:10]!r} was refused, https was expected")
    if "@" in parts.netloc or port == 0 or parts.netloc.endswith(":"):
        raise TransportError("a request to a URL with a user name or without a port number was refused")
    if not (_IPV6 if parts.netloc.startswith("[") else _NAME).fullmatch(host):
        raise TransportError("a request to a URL without a plain host name was refused")
    path = parts.path or "/"
    return Target(Origin(host, _HTTPS_PORT if port is None else port), f"{path}?{parts.query}" if parts.query else path)


def checked_origin(origin: str) -> Origin:
    """Read ``https://host`` or ``https://host:port``.

    Raises:
        ConfigurationError: it is something else.
    """
    try:
        target = target_of(origin)
    except TransportError:
        target = None
    if target is None or target.path != "/" or origin.endswith("/") or set("?#") & set(origin):
        raise ConfigurationError(f"{origin[:100]!r} is not an origin, https://host or https://host:port was expected")
    return target.origin


def bearers(keys: Mapping[str, str] | None) -> dict[Origin, str]:
    """``Authorization`` values by origin, of bearer tokens by origin.

    Raises:
        ConfigurationError: an origin cannot be read, or a token holds a character that no header can have.
    """
    values: dict[Origin, str] = {}
    for origin, key in (keys or {}).items():
        place = checked_origin(origin)
        if not _TOKEN.fullmatch(key):
            raise ConfigurationError(f"the API key for {place} is empty or holds a space or a character beyond ASCII")
        values[place] = f"Bearer {key}"
    return values
