"""MRCONFIGID as dstack uses it: 48 bytes that the host fixes when it builds the TD, with the compose hash inside.

Source: dstack ``dstack-types``, mr_config. Version 1 is ``01 || SHA-256(app-compose) || 15 zero bytes``; version 2
replaces the digest by Keccak-256(compose hash || app id || kind || key provider id); version 3 by
SHA-256("dstack-mr-config-v3:" || 00 || document).
"""

from __future__ import annotations

import hashlib
from typing import Final

from ..crypto.digests import keccak256
from ..errors import FormatError

__all__ = ["KEY_PROVIDER_KINDS", "mr_config_v1", "mr_config_v2", "mr_config_v3", "mr_config_version"]

KEY_PROVIDER_KINDS: Final = {"none": 0, "local": 1, "local-sgx": 1, "kms": 2, "tpm": 3}
"""Byte of version 2 by name; guests measure the kind ``local`` under the name ``local-sgx``."""
_TAIL: Final = bytes(15)


def mr_config_version(mr_config_id: bytes) -> int:
    """Version byte of an MRCONFIGID: 0 (unset), 1, 2 or 3.

    Raises:
        FormatError: ``mr_config_version`` for any other first byte, or a zero version with bytes after it.
    """
    version = mr_config_id[0]
    if version not in (0, 1, 2, 3) or (version == 0 and any(mr_config_id)):
        raise FormatError("mr_config_version", f"MRCONFIGID starts with {version:#04x}, dstack's versions are 1 to 3")
    return version


def mr_config_v1(compose_hash: bytes) -> bytes:
    """The 48 bytes of version 1 for a compose hash of 32 bytes."""
    return b"\x01" + compose_hash + _TAIL


def mr_config_v2(compose_hash: bytes, app_id: bytes, key_provider: str, key_provider_id: bytes) -> bytes:
    """The 48 bytes of version 2; ``key_provider`` is one of `KEY_PROVIDER_KINDS`.

    Raises:
        FormatError: ``key_provider_kind`` for another name.
    """
    kind = KEY_PROVIDER_KINDS.get(key_provider)
    if kind is None:
        raise FormatError("key_provider_kind", f"key provider {key_provider!r} is not one that dstack knows")
    return b"\x02" + keccak256(compose_hash + app_id + bytes([kind]) + key_provider_id) + _TAIL


def mr_config_v3(document: bytes) -> bytes:
    """The 48 bytes of version 3 for the mr_config document exactly as it was served."""
    return b"\x03" + hashlib.sha256(b"dstack-mr-config-v3:\x00" + document).digest() + _TAIL
