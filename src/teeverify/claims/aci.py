"""Claims about an ACI service: its keyset, what the quote must hold for it, and who vouches for its receipt keys."""

from __future__ import annotations

from attrs import frozen

from ..formats.aci_keyset import Keyset
from .problem import Problem

__all__ = ["AciClaims", "KeyCustody"]


@frozen(kw_only=True)
class KeyCustody:
    """The custody chain of one receipt key (32 bytes), for the measured app id.

    ``root`` is the secp256k1 key (33 bytes, compressed) that the chain leads to, None where a signature is none.
    """

    public_key: bytes
    purpose: str
    root: bytes | None


@frozen(kw_only=True)
class AciClaims:
    """All that an ACI report says beyond its dstack evidence.

    ``stated_digest`` is the digest that the report shows beside the keyset, as text. ``statement_digest`` is the first
    half of REPORTDATA (32 bytes) that the keyset and our nonce give, and ``stated_report_data`` what the report says of
    it. ``custody`` is None where the report shows none, and an INVALID Problem where it does not have its form.
    ``host`` is the host name that was asked, ``serving`` the report's own word (``direct``, else an aggregator).
    """

    keyset: Keyset | Problem
    stated_digest: str | Problem
    statement_digest: bytes | Problem
    stated_report_data: bytes | Problem
    custody: tuple[KeyCustody, ...] | Problem | None
    host: str
    serving: str
