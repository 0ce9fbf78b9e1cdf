"""What went wrong, in one sentence that names the server and nothing of the request.

The texts of HTTP libraries repeat URLs and thereby what they carry, so none of them is passed on.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from http.client import HTTPException, IncompleteRead
from typing import Final

from .errors import KeyMismatchError, TransportError
from .http_rules import PassingError
from .tls import PinnedKeyError

__all__ = ["FAILURES", "DeadlineError", "outage"]

FAILURES: Final = (HTTPException, OSError, ValueError)
"""What http.client, ssl, sockets and name look-ups raise; the trees of the HTTP libraries come in addition."""

_CERTIFICATE_FAULTS: Final = {
    9: "is not valid yet",
    10: "has expired",
    18: "is signed by itself",
    19: "ends in a certificate authority that is not trusted",
    20: "was issued by a certificate authority that is not trusted",
    21: "came without the certificates that lead to its authority",
    23: "was revoked",
    62: "is for another host name",
    64: "is for another address",
}
"""X509_V_ERR_* of OpenSSL (include/openssl/x509_vfy.h)."""

_MAX_REASON: Final = 60
"""Characters of OpenSSL's name of a reason."""


class DeadlineError(TimeoutError):
    """The time for the whole answer is over."""


def outage(error: BaseException, place: object) -> TransportError:
    """The error to raise in place of a library's; a `PassingError` where another attempt could help.

    Args:
        error: what was caught; what it wraps is looked at too.
        place: the server's origin, for the sentence.
    """
    causes = list(_causes(error))
    for judge in (_final, _passing, _of_the_system, _improper):
        for cause in causes:
            found = judge(cause, place)
            if found is not None:
                return found
    return TransportError(f"{place} gave no answer that can be used ({type(error).__name__})")


def _final(cause: BaseException, place: object) -> TransportError | None:
    """What no second attempt would change, or what has its sentence already."""
    if isinstance(cause, TransportError):
        return cause
    if isinstance(cause, PinnedKeyError):
        return KeyMismatchError(f"{place} showed another TLS key than a pinned one; nothing was sent to it")
    if isinstance(cause, ssl.SSLCertVerificationError) and hasattr(cause, "verify_code"):  # not aiohttp's wrapper
        fault = _CERTIFICATE_FAULTS.get(cause.verify_code, f"was refused (OpenSSL code {cause.verify_code})")
        return TransportError(f"the certificate of {place} {fault}; nothing was sent to it")
    if isinstance(cause, UnicodeError):
        return TransportError(f"{place} is not a name that a host can have, or a header is not plain text")
    return None


def _passing(cause: BaseException, place: object) -> TransportError | None:
    sentence: str | None = None
    if isinstance(cause, socket.gaierror):
        sentence = f"the name of {place} could not be resolved; check the name and the resolver"
    elif isinstance(cause, ConnectionRefusedError):
        sentence = f"{place} refused the connection"
    elif isinstance(cause, DeadlineError):
        sentence = f"{place} did not answer in the time that a whole answer may take"
    elif isinstance(cause, TimeoutError):
        sentence = f"{place} stayed silent for longer than it may"
    elif isinstance(cause, (ConnectionError, ssl.SSLEOFError)):  # http.client.RemoteDisconnected is one of them
        sentence = f"{place} broke the connection off"
    elif isinstance(cause, ssl.SSLError):
        reason = str(getattr(cause, "reason", None) or type(cause).__name__)[:_MAX_REASON]
        sentence = f"TLS with {place} failed ({reason})"
    elif isinstance(cause, IncompleteRead):
        sentence = f"the answer of {place} ended too early"
    return None if sentence is None else PassingError(sentence)


def _of_the_system(cause: BaseException, place: object) -> TransportError | None:
    if isinstance(cause, OSError) and cause.errno is not None:
        return PassingError(f"the connection to {place} failed (error {cause.errno} of the operating system)")
    return None


def _improper(cause: BaseException, place: object) -> TransportError | None:
    if isinstance(cause, (HTTPException, ValueError)):
        return TransportError(f"the exchange with {place} was not proper HTTP ({type(cause).__name__})")
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what it wraps, outermost first.

    Not ``__context__``: that may be an error which the caller was handling when he asked.
    """
    seen: set[int] = set()
    pending: list[object] = [error]
    while pending:
        cause = pending.pop(0)
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            pending += [getattr(cause, "reason", None), *cause.args, cause.__cause__]
