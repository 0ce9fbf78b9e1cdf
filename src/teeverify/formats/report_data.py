"""REPORTDATA layouts: what a TD must have put into the 64 bytes that a quote carries for its software.

NEAR AI and the vllm-proxy family: the first half holds the signing key, alone or hashed with the TLS key; the second
half is the verifier's nonce. The form is fixed by what we asked for, never by what came back.
"""

from __future__ import annotations

import hashlib
from typing import Final

__all__ = ["ADDRESS_SIZES", "actions_half", "padded_half", "tls_bound_half"]

ADDRESS_SIZES: Final = {"ed25519": 32, "ecdsa": 20}
"""Bytes of a signing address: the ed25519 public key itself, or an Ethereum address."""


def padded_half(address: bytes) -> bytes:
    """First half of the padded form: the address, then zeros up to 32 bytes."""
    return address.ljust(32, b"\0")


def tls_bound_half(address: bytes, tls_fingerprint: bytes) -> bytes:
    """First half of the TLS-bound form: SHA-256(address || SHA-256 of the TLS key's SubjectPublicKeyInfo)."""
    return hashlib.sha256(address + tls_fingerprint).digest()


def actions_half(actions_hash: bytes) -> bytes:
    """First half in a quote of NEAR's compose-manager: the hash of its action log (32 bytes)."""
    return actions_hash
