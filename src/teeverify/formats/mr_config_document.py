"""The mr_config document of dstack: what the host binds a TD to by MRCONFIGID version 3.

The hash is over the exact text that was served; it is parsed only for its members. Source: dstack ``dstack-types``,
``MrConfigV3``, which knows these members and refuses others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from ..errors import FormatError
from ..limits import MAX_EVENT_PAYLOAD
from .encodings import decode_hex
from .strict_json import JsonValue, loads

__all__ = ["MrConfigDocument", "parse_mr_config_document"]

_MEMBERS: Final = frozenset(
    {
        "version",
        "app_id",
        "compose_hash",
        "gpu_policy_hash",
        "init_script_hashes",
        "instance_id",
        "key_provider",
        "key_provider_id",
    }
)
_MAX_SCRIPTS: Final = 16
"""Init scripts in one document; dstack binds at most five."""


@frozen(kw_only=True)
class MrConfigDocument:
    """The members of a document; None for what it does not bind.

    ``compose_hash`` and ``gpu_policy_hash`` are 32 bytes, ``init_script_hashes`` are in the order of execution,
    ``key_provider`` is dstack's name of the kind: ``kms``, ``local``, ``tpm`` or ``none``.
    """

    compose_hash: bytes
    key_provider: str
    app_id: bytes | None
    instance_id: bytes | None
    key_provider_id: bytes | None
    gpu_policy_hash: bytes | None
    init_script_hashes: tuple[bytes, ...] | None


def parse_mr_config_document(document: bytes) -> MrConfigDocument:
    """Read a document of version 3.

    Raises:
        FormatError: ``mr_config_shape``, or a code of the JSON and hex readers.
    """
    members = loads(document, what="the mr_config document", limit=MAX_EVENT_PAYLOAD)
    if not isinstance(members, dict) or not members.keys() <= _MEMBERS:
        raise FormatError("mr_config_shape", "the mr_config document is no object of the members that dstack knows")
    version = members.get("version", 3)
    if type(version) is not int or version != 3:
        raise FormatError("mr_config_shape", "the mr_config document is not of version 3")
    key_provider = members.get("key_provider")
    if not isinstance(key_provider, str):
        raise FormatError("mr_config_shape", "the mr_config document names no key provider")
    scripts = members.get("init_script_hashes")
    if scripts is not None and not (isinstance(scripts, list) and len(scripts) <= _MAX_SCRIPTS):
        raise FormatError("mr_config_shape", "init_script_hashes of the mr_config document is not a short list")
    hashes = None if scripts is None else tuple(_octets({"init_script": one}, "init_script", 32) for one in scripts)
    return MrConfigDocument(
        compose_hash=_octets(members, "compose_hash", 32),
        key_provider=key_provider,
        app_id=_optional(members, "app_id"),
        instance_id=_optional(members, "instance_id"),
        key_provider_id=_optional(members, "key_provider_id"),
        gpu_policy_hash=_optional(members, "gpu_policy_hash"),
        init_script_hashes=hashes,
    )


def _octets(members: Mapping[str, JsonValue], name: str, size: int | None) -> bytes:
    return decode_hex(members.get(name), what=f"{name} of the mr_config document", size=size, limit=4096)


def _optional(members: Mapping[str, JsonValue], name: str) -> bytes | None:
    """None and the empty text bind nothing."""
    return _octets(members, name, None) if members.get(name) not in (None, "") else None
