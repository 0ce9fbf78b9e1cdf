"""The hash by which OpenGradient's registry names an enclave image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..crypto.digests import keccak256
from ..errors import FormatError

__all__ = ["DEBUG_PCR_HASH", "pcr_hash", "pcr_hash_of_table"]

_PCR: Final = 48
_IMAGE: Final = ("pcr0", "pcr1", "pcr2")

DEBUG_PCR_HASH: Final = bytes.fromhex("cd2e66bf0b91eeedc6c648ae9335a78d7c9a4ab0ef33612a824d91cdc68a4f21")
"""`pcr_hash` of an enclave in debug mode, whose PCRs are all zero; to be refused even where it is approved."""


def pcr_hash(pcr0: bytes, pcr1: bytes, pcr2: bytes) -> bytes:
    """Keccak-256 (32 bytes) of three PCRs of 48 bytes each, one after the other.

    Raises:
        FormatError: ``wrong_length``, since otherwise bytes could move from one PCR to the next.
    """
    if any(len(pcr) != _PCR for pcr in (pcr0, pcr1, pcr2)):
        raise FormatError("wrong_length", f"a PCR is not {_PCR} bytes long")
    return keccak256(pcr0 + pcr1 + pcr2)


def pcr_hash_of_table(table: Mapping[str, bytes]) -> bytes | None:
    """`pcr_hash` of a table ``pcr0`` ... -> 48 bytes; None where it lacks one of the three."""
    values = [table.get(name) for name in _IMAGE]
    return pcr_hash(*values) if all(value is not None and len(value) == _PCR for value in values) else None  # type: ignore[arg-type]
