"""The meaning of a policy as one JSON document, and the digest over it.

Lists of pins, statuses, advisories and waivers are sets: the document holds them sorted, so two files that mean the
same have one digest. Names, labels and reasons are part of it, because verdicts show them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any, Final

import attrs

if TYPE_CHECKING:
    from .policy import Policy

__all__ = ["digest_of", "document_of"]

_SCHEMA: Final = "teeverify.policy/v1"


def document_of(policy: Policy) -> dict[str, Any]:
    """The policy as JSON-able values, in the shape of its TOML form: bytes as hex, dates as ``YYYY-MM-DD``.

    What the policy does not pin is absent; what it leaves at its default is there.
    """
    document = {
        "schema": _SCHEMA,
        "name": policy.name,
        "provider": policy.provider,
        "valid_until": policy.valid_until.isoformat(),
        "tcb": _plain(policy.tcb),
        "gpu": _plain(policy.gpu),
        "instances": {"mode": policy.instances},
        "pins": _plain(policy.pins),
        "waive": _plain(policy.waivers),
    }
    # Added after the first release: left out where it is strict, so that older digests stay as they are.
    if policy.exchange.signed_by != "model":
        document["exchange"] = _plain(policy.exchange)
    if policy.registry != type(policy.registry)():
        document["registry"] = _plain(policy.registry)
    return document


def digest_of(policy: Policy) -> str:
    """SHA-256 over the document as JSON with sorted keys, without white space, in ASCII; 64 hex digits."""
    return hashlib.sha256(_canonical(document_of(policy)).encode("ascii")).hexdigest()


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _plain(value: object) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, tuple):
        return sorted((_plain(item) for item in value), key=_canonical)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    section = type(value)
    if attrs.has(section):
        members = ((field.name, getattr(value, field.name)) for field in attrs.fields(section))
        return {name: _plain(member) for name, member in members if member is not None}
    return value
