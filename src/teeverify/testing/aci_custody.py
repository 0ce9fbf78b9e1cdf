"""A simulated dstack KMS that vouches for an ACI service's receipt key, by a chain of two recoverable signatures."""

from __future__ import annotations

from typing import Any

from attrs import define
from Crypto.Hash import keccak
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from eth_keys.datatypes import PrivateKey

from .keys import KeyRing

__all__ = ["CustodyChain", "app_public_hex"]


def app_public_hex(keys: KeyRing, label: str) -> str:
    """The uncompressed point of a secp256k1 key, 65 bytes in hex."""
    return _point(keys.secp256k1(label), PublicFormat.UncompressedPoint)


def _point(key: ec.EllipticCurvePrivateKey, form: PublicFormat) -> str:
    return key.public_key().public_bytes(Encoding.X962, form).hex()


def _signed(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    """r, s and v (0 or 1) over Keccak-256 of a message."""
    secret = PrivateKey(key.private_numbers().private_value.to_bytes(32, "big"))
    digest = keccak.new(digest_bits=256, data=message).digest()
    return bytes(secret.sign_msg_hash(digest).to_bytes())


@define(kw_only=True)
class CustodyChain:
    """The custody of one receipt key; attributes are knobs.

    ``root_label`` names the KMS root among the keys of the world, ``links`` how many signatures the chain shows,
    ``first_v`` what is added to v of both signatures (27 is the other spelling of the same).
    """

    keys: KeyRing
    app_id: bytes
    public_key: bytes
    purpose: str = "aci.receipt.ed25519.v1"
    root_label: str = "kms/custody"
    provider: str = "dstack-kms"
    role: str = "receipt"
    links: int = 2
    first_v: int = 0
    shown: bool = True

    @property
    def root_public(self) -> str:
        """The KMS root that policies pin, compressed, in hex."""
        return _point(self.keys.secp256k1("kms/custody"), PublicFormat.CompressedPoint)

    def document(self) -> dict[str, Any] | None:
        """``key_custody``, None where it is not shown."""
        if not self.shown:
            return None
        kms_public = _point(self.keys.secp256k1("aci/receipt-kms"), PublicFormat.CompressedPoint)
        app = self.keys.secp256k1("aci/app-key")
        app_public = bytes.fromhex(_point(app, PublicFormat.CompressedPoint))
        chain = [
            _signed(app, f"{self.purpose}:{kms_public}".encode()),
            _signed(self.keys.secp256k1(self.root_label), b"dstack-kms-issued:" + self.app_id + app_public),
        ]
        spelled = [link[:64] + bytes([link[64] + self.first_v]) for link in chain]
        return {
            "provider": self.provider,
            "keys": [
                {
                    "role": self.role,
                    "path": "aci/receipt-ed25519/v1",
                    "purpose": self.purpose,
                    "algo": "ed25519",
                    "public_key": self.public_key.hex(),
                    "kms_public_key": kms_public,
                    "signature_chain": [link.hex() for link in (spelled + spelled)[: self.links]],
                }
            ],
        }
