"""Until when an answer of Intel or NVIDIA holds, by the dates inside it.

Nothing is verified here, so the dates are the answer's own claim. They decide how long a cache may keep it; the checks
judge it anew at every use.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Final
from urllib.parse import unquote, urlsplit

from ..errors import FormatError
from ..flow import Response
from ..formats.der import CONTEXT_0, SEQUENCE, Element, elements, only_element
from ..formats.encodings import decode_base64
from ..formats.intel_collateral import parse_qe_identity, parse_tcb_info
from ..formats.jose import parse_key_set
from ..limits import MAX_CERTIFICATE_PEM, MAX_CERTIFICATES, MAX_ENDORSEMENT_BODY

__all__ = ["good_until", "is_key_set"]

_KEY_SET: Final = ("nras.attestation.nvidia.com", "/.well-known/jwks.json")
_CRL_CHAIN: Final = "sgx-pck-crl-issuer-chain"
_INTEGER: Final = 0x02
_TIMES: Final = {0x17: re.compile(rb"\d{12}Z\Z"), 0x18: re.compile(rb"\d{14}Z\Z")}
"""UTCTime and GeneralizedTime as RFC 5280 section 4.1.2.5 has them."""
_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_END: Final = "-----END CERTIFICATE-----"


def good_until(url: str, response: Response, *, at: datetime) -> datetime | None:
    """The earliest end of what the answer to ``GET url`` says of itself, or None where it cannot be told.

    That is nextUpdate of TCB info, QE identity and revocation lists, and notAfter of the certificates in their
    issuer-chain headers. For NVIDIA's key set it is the earliest notAfter among the keys that are valid at ``at``
    (aware); old keys stay in the set. None means an unknown URL, an answer that cannot be read, or one whose end has
    come by ``at``.
    """
    if response.status != 200 or len(response.body) > MAX_ENDORSEMENT_BODY:
        return None
    try:
        parts = urlsplit(url)
        reader = _READERS.get((parts.netloc, parts.path)) if parts.scheme == "https" else None
        ends = [] if reader is None else reader(response, at)
    except (FormatError, ValueError):
        return None
    end = min(ends, default=at)
    return end if end > at else None


def is_key_set(url: str) -> bool:
    """True for the URL of NVIDIA's key set."""
    parts = urlsplit(url)
    return (parts.netloc, parts.path) == _KEY_SET


def _of_tcb_info(response: Response, at: datetime) -> list[datetime]:
    del at
    info = parse_tcb_info(response.body, response.headers)
    return [info.next_update, *_chain_ends(info.signed.issuer_chain.decode())]


def _of_qe_identity(response: Response, at: datetime) -> list[datetime]:
    del at
    identity = parse_qe_identity(response.body, response.headers)
    return [identity.next_update, *_chain_ends(identity.signed.issuer_chain.decode())]


def _of_revocation_list(response: Response, at: datetime) -> list[datetime]:
    """RFC 5280 section 5.1: nextUpdate is the second of two times; a list without it has no end to go by."""
    del at
    what = "a revocation list"
    fields = _fields(response.body, what)
    if fields and fields[0].tag == _INTEGER:  # version
        fields = fields[1:]
    if len(fields) < 4:
        raise FormatError("der_syntax", f"{what} has no times")
    headers = response.headers.get(_CRL_CHAIN, ())
    return [_time(fields[3], what), *(end for header in headers for end in _chain_ends(unquote(header)))]


def _of_key_set(response: Response, at: datetime) -> list[datetime]:
    what = "NVIDIA's key set"
    keys = parse_key_set(response.body, what=what)
    found = [keys.find(kid) for kid in keys.members]
    ends = [_certificate_end(key.x5c[0], what) for key in found if key is not None and key.x5c]
    return [end for end in ends if end > at]


_READERS: Final[Mapping[tuple[str, str], Callable[[Response, datetime], list[datetime]]]] = {
    ("api.trustedservices.intel.com", "/tdx/certification/v4/tcb"): _of_tcb_info,
    ("api.trustedservices.intel.com", "/tdx/certification/v4/qe/identity"): _of_qe_identity,
    ("api.trustedservices.intel.com", "/sgx/certification/v4/pckcrl"): _of_revocation_list,
    ("certificates.trustedservices.intel.com", "/IntelSGXRootCA.der"): _of_revocation_list,
    _KEY_SET: _of_key_set,
}


def _chain_ends(pem: str) -> list[datetime]:
    """The notAfter of each certificate of a PEM chain."""
    what = "an issuer chain"
    blocks = pem.split(_BEGIN)[1:]
    if not 0 < len(blocks) <= MAX_CERTIFICATES:
        raise FormatError("certificate_count", f"{what} holds {len(blocks)} certificates")
    ends: list[datetime] = []
    for block in blocks:
        text = "".join(block.partition(_END)[0].split())
        ends.append(_certificate_end(decode_base64(text, what=what, limit=MAX_CERTIFICATE_PEM), what))
    return ends


def _certificate_end(der: bytes, what: str) -> datetime:
    """RFC 5280 section 4.1: validity is the fourth field after the version."""
    fields = _fields(der, what)
    if fields and fields[0].tag == CONTEXT_0:  # version
        fields = fields[1:]
    times = elements(fields[3].content, what=what) if len(fields) > 3 else ()
    if len(times) != 2:
        raise FormatError("der_syntax", f"{what} has a certificate without validity")
    return _time(times[1], what)


def _fields(der: bytes, what: str) -> tuple[Element, ...]:
    """The fields of what is signed in a certificate or a revocation list."""
    signed = elements(only_element(der, SEQUENCE, what=what), what=what)
    return elements(signed[0].content, what=what) if signed else ()


def _time(element: Element, what: str) -> datetime:
    pattern = _TIMES.get(element.tag)
    if pattern is None or not pattern.match(element.content):
        raise FormatError("der_syntax", f"{what} has a time that is not one of X.509")
    digits = element.content[:-1].decode()
    if len(digits) == 12:  # RFC 5280 section 4.1.2.5.1: two digits of the year stand for 1950 to 2049
        digits = ("19" if digits >= "50" else "20") + digits
    return datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=timezone.utc)
