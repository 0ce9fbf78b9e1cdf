"""Keccak-256 as Ethereum uses it (the original padding, not SHA3-256)."""

from __future__ import annotations

__all__ = ["keccak256"]


def keccak256(data: bytes) -> bytes:
    """Keccak-256 of ``data``, 32 bytes."""
    from Crypto.Hash import keccak

    return keccak.new(digest_bits=256, data=data).digest()
