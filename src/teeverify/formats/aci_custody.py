"""Key custody of ACI on dstack: the signatures by which a KMS vouches for the keys of an application.

A chain has two signatures (secp256k1, recoverable, over Keccak-256). The application's key signs
``PURPOSE:KEY``, where KEY is the derived secp256k1 key in compressed hex, and the KMS root signs
``dstack-kms-issued:`` with the app id and the application's key. Source: dstack KMS; ACI key custody (dstack).
"""

from __future__ import annotations

from typing import Final

from attrs import field, frozen

from ..errors import FormatError
from ..limits import MAX_KEYSET_KEYS
from .encodings import decode_hex
from .strict_json import JsonValue

__all__ = ["RECEIPT_PURPOSE", "CustodyEntry", "parse_custody"]

RECEIPT_PURPOSE: Final = "aci.receipt.ed25519.v1"
_PROVIDER: Final = "dstack-kms"
_PREFIX: Final = b"dstack-kms-issued:"


@frozen(kw_only=True)
class CustodyEntry:
    """The chain of one receipt key: ``public_key`` is the published key (32 bytes), ``kms_key`` the derived secp256k1
    key (33 bytes, compressed); the signatures are r, s and v, 65 bytes each."""

    public_key: bytes
    purpose: str
    kms_key: bytes
    purpose_signature: bytes = field(repr=False)
    root_signature: bytes = field(repr=False)

    @property
    def purpose_message(self) -> bytes:
        """What the application's key signs."""
        return f"{self.purpose}:{self.kms_key.hex()}".encode()

    @staticmethod
    def root_message(app_id: bytes, app_key: bytes) -> bytes:
        """What the KMS root signs: ``app_id`` is 20 bytes, ``app_key`` 33."""
        return _PREFIX + app_id + app_key


def parse_custody(value: JsonValue) -> tuple[CustodyEntry, ...]:
    """The chains of the receipt keys; those of other roles prove nothing that is used here and are not read.

    Raises:
        FormatError: ``custody_shape``, or ``chain_length`` where a chain has not exactly two signatures of 65 bytes.
    """
    if not isinstance(value, dict) or value.get("provider") != _PROVIDER:
        raise FormatError("custody_shape", f"key_custody is not an object of provider {_PROVIDER}")
    entries = value.get("keys")
    if not isinstance(entries, list) or len(entries) > MAX_KEYSET_KEYS:
        raise FormatError("custody_shape", f"key_custody has no list of at most {MAX_KEYSET_KEYS} keys")
    if not all(isinstance(entry, dict) for entry in entries):
        raise FormatError("custody_shape", "key_custody holds an entry that is not an object")
    return tuple(_entry(entry) for entry in entries if entry.get("role") == "receipt")


def _entry(entry: dict[str, JsonValue]) -> CustodyEntry:
    purpose, chain = entry.get("purpose"), entry.get("signature_chain")
    if not isinstance(purpose, str) or not 0 < len(purpose) <= 256 or entry.get("algo") != "ed25519":
        raise FormatError("custody_shape", "a receipt key of key_custody has no purpose, or is not of ed25519")
    if not isinstance(chain, list) or len(chain) != 2:
        raise FormatError("chain_length", "the custody chain of a receipt key has not exactly two signatures")
    try:
        public_key = decode_hex(entry.get("public_key"), what="a receipt key of key_custody", size=32)
        kms_key = _compressed(decode_hex(entry.get("kms_public_key"), what="kms_public_key", limit=65))
        signatures = [decode_hex(link, what="a signature of the custody chain", size=65) for link in chain]
    except FormatError as error:
        raise FormatError("custody_shape", str(error)) from None
    return CustodyEntry(
        public_key=public_key,
        purpose=purpose,
        kms_key=kms_key,
        purpose_signature=signatures[0],
        root_signature=signatures[1],
    )


def _compressed(key: bytes) -> bytes:
    """A secp256k1 key in SEC 1's compressed form, out of either form."""
    if len(key) == 33 and key[0] in (2, 3):
        return key
    if len(key) == 65 and key[0] == 4:
        return bytes([2 + (key[64] & 1)]) + key[1:33]
    raise FormatError("custody_shape", "kms_public_key is no secp256k1 key of 33 or 65 bytes")
