"""TLS contexts that end the connection inside the handshake when the server shows another key than a pinned one.

A pin is an addition to ordinary verification (chain, name, dates), never a replacement. It is held wherever Python's
own `ssl` does the TLS: `requests`, `httpx`, `aiohttp`, `http.client`, asyncio streams. A library gets the context and
needs to know nothing of it: its handshake fails, so it never comes to write a request.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final

from .errors import ConfigurationError, FormatError, TransportError

if TYPE_CHECKING:
    _Base = ssl.SSLObject
else:
    _Base = object

__all__ = [
    "PinnedKeyError",
    "checked_pins",
    "hold_to_keys",
    "pinned_context",
    "spki_of_certificate",
    "verified_peer_spki",
    "verifies",
]

_SHA256_SIZE: Final = 32
_SSL_ERROR: Final = int(ssl.SSL_ERROR_SSL)


class PinnedKeyError(ssl.SSLError):
    """The server showed another key than the pinned ones; no byte of a request was written.

    An `ssl.SSLError`, so that every library treats it as a failed handshake and closes the connection.
    """

    reason = "PINNED_KEY_MISMATCH"
    library = "TEEVERIFY"


class _Refused(ssl.SSLError):
    """The connection cannot be held to a key: refused, like a failed handshake."""

    reason = "PINNED_KEY_UNCHECKED"
    library = "TEEVERIFY"


def pinned_context(spki_sha256: bytes | Collection[bytes], *, ca_file: str | None = None) -> ssl.SSLContext:
    """A client context for servers with a known key.

    Certificates are verified as by `ssl.create_default_context`; then the server's key must be a pinned one, or the
    handshake fails with `PinnedKeyError`. TLS 1.2 is the least version. Resumed sessions and renegotiation are refused,
    so the key that was checked is the one that the server proved to have on this very connection.

    Args:
        spki_sha256: SHA-256 (32 bytes) of the DER SubjectPublicKeyInfo of the server's certificate, or several.
        ca_file: PEM file with the accepted certificate authorities; the platform's when omitted.

    Raises:
        ConfigurationError: a pin is not 32 bytes long, there is none, or ``ca_file`` cannot be read.
    """
    pins = checked_pins(spki_sha256)
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError:
        raise ConfigurationError("the CA file cannot be read; name a PEM file with certificates") from None
    return hold_to_keys(context, pins)


def hold_to_keys(context: ssl.SSLContext, pins: frozenset[bytes]) -> ssl.SSLContext:
    """Make a client context of the caller's end every handshake with a server whose key is not in ``pins``.

    Use it before the first connection is made: open connections are not looked at again. Returns the same context.
    """
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    context.sslsocket_class = type("PinnedSocket", (_Held, context.sslsocket_class), {"_pins": pins})
    context.sslobject_class = type("PinnedObject", (_Held, context.sslobject_class), {"_pins": pins})
    return context


def checked_pins(spki_sha256: bytes | Collection[bytes]) -> frozenset[bytes]:
    """The pins as a set.

    Raises:
        ConfigurationError: a pin is not 32 bytes long, or there is none.
    """
    several = [spki_sha256] if isinstance(spki_sha256, (bytes, bytearray)) else list(spki_sha256)
    if not several:
        raise ConfigurationError("the set of pinned TLS keys is empty; no server could ever fit it")
    for pin in several:
        if len(pin) != _SHA256_SIZE:
            raise ConfigurationError("a pinned TLS key is the SHA-256 of a SubjectPublicKeyInfo: 32 bytes")
    return frozenset(bytes(pin) for pin in several)


def verifies(context: ssl.SSLContext) -> bool:
    """True when the context verifies the server's certificate and its name."""
    return context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname


def spki_of_certificate(der: bytes) -> bytes:
    """The DER SubjectPublicKeyInfo as it stands in a DER certificate.

    Raises:
        FormatError: ``certificate_syntax`` or ``certificate_too_large``.
    """
    from .crypto.certificates import load_der

    return load_der(der, what="the server's certificate").spki_der


def verified_peer_spki(tls: ssl.SSLObject | ssl.SSLSocket | None) -> bytes | None:
    """The DER SubjectPublicKeyInfo of the server at the other end of an open connection; None for no TLS object.

    Raises:
        TransportError: the connection was made without verifying the server's certificate and name, or the certificate
            cannot be read.
    """
    if tls is None:
        return None
    if not verifies(tls.context):
        raise TransportError("the client does not verify certificates; without that no channel can be judged")
    try:
        return spki_of_certificate(tls.getpeercert(True) or b"")  # by place: httpx hands out the object below SSLSocket
    except FormatError:
        raise TransportError("the server's certificate cannot be read, so its key is unknown") from None


class _Held(_Base):
    """Mixed into `ssl.SSLSocket` and `ssl.SSLObject`: a handshake is complete when the key has been checked.

    OpenSSL makes a handshake by itself when somebody writes or reads before it. So nothing is written or read before
    `do_handshake` has come to its end.
    """

    _pins: frozenset[bytes] = frozenset()
    _fits: bool = False

    def do_handshake(self, *block: bool) -> None:
        super().do_handshake(*block)
        self._fits = False
        self._judge()
        self._fits = True

    def write(self, data: Any) -> int:
        self._require_fit()
        return super().write(data)

    def read(self, *arguments: Any, **options: Any) -> Any:
        self._require_fit()
        return super().read(*arguments, **options)

    def send(self, *arguments: Any) -> Any:
        self._require_fit()
        return super().send(*arguments)  # type: ignore[misc]

    def _require_fit(self) -> None:
        if not self._fits:
            raise _Refused(_SSL_ERROR, "the server's key is not checked yet; complete the handshake first")

    def _judge(self) -> None:
        if not verifies(self.context):
            raise _Refused(_SSL_ERROR, "the verification of certificates was turned off; a pin does not replace it")
        if self.session_reused:
            raise _Refused(_SSL_ERROR, "the server resumed a session and proved no key; connect without a session")
        der = self.getpeercert(binary_form=True)
        try:
            spki = spki_of_certificate(der or b"")
        except FormatError:
            raise _Refused(_SSL_ERROR, "the server's certificate cannot be read, so its key is unknown") from None
        observed = hashlib.sha256(spki).digest()
        if observed not in self._pins:
            raise PinnedKeyError(
                _SSL_ERROR,
                f"the server showed the TLS key {observed.hex()}, which is not a pinned one; nothing was sent",
            )
