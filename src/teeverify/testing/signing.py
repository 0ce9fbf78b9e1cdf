"""The keys with which a simulated model or gateway signs responses: Ed25519, or secp256k1 with an Ethereum address."""

from __future__ import annotations

from attrs import field, frozen
from Crypto.Hash import keccak
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .keys import KeyRing, raw_public

__all__ = ["OhttpKey", "SigningKey", "ethereum_address"]


def ethereum_address(public_key: bytes) -> bytes:
    """The last 20 bytes of Keccak-256 of ``x || y``."""
    return keccak.new(digest_bits=256, data=public_key).digest()[-20:]


@frozen(kw_only=True)
class SigningKey:
    """Both keys of one signer; a report binds the one that was asked for.

    ``address_override`` and ``public_override`` are reported in place of the truth.
    """

    algorithm: str
    ed25519: ed25519.Ed25519PrivateKey = field(repr=False)
    secp256k1: ec.EllipticCurvePrivateKey = field(repr=False)
    address_override: bytes | None = None
    public_override: bytes | None = None

    @classmethod
    def derive(cls, keys: KeyRing, label: str, algorithm: str) -> SigningKey:
        """The keys of one label; ``algorithm`` is "ed25519" or "ecdsa"."""
        if algorithm not in ("ed25519", "ecdsa"):
            raise ValueError(f"no signing algorithm is called {algorithm!r}")
        return cls(algorithm=algorithm, ed25519=keys.ed25519(label), secp256k1=keys.secp256k1(label))

    @property
    def ed25519_public(self) -> bytes:
        """The 32 bytes of the Ed25519 public key."""
        return self.ed25519.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    @property
    def public(self) -> bytes:
        """The public key as reported: 32 bytes, or ``x || y``."""
        if self.public_override is not None:
            return self.public_override
        return self.ed25519_public if self.algorithm == "ed25519" else raw_public(self.secp256k1)

    @property
    def address(self) -> bytes:
        """The address that goes into REPORTDATA: the Ed25519 key itself, or 20 bytes."""
        if self.address_override is not None:
            return self.address_override
        return self.ed25519_public if self.algorithm == "ed25519" else ethereum_address(raw_public(self.secp256k1))

    @property
    def address_text(self) -> str:
        """The address as reported: hex, with 0x in front of an Ethereum address."""
        return self.address.hex() if self.algorithm == "ed25519" else "0x" + self.address.hex()


@frozen(kw_only=True)
class OhttpKey:
    """An Oblivious HTTP key configuration (RFC 9458) and the signature that ties it to a signing key."""

    public: bytes

    @property
    def key_config(self) -> bytes:
        """Key id 1, X25519, HKDF-SHA256 with AES-128-GCM and ChaCha20-Poly1305: 45 bytes."""
        return b"\x01\x00\x20" + self.public + bytes.fromhex("00080001000100010003")

    def attestation(self, signer: SigningKey) -> dict[str, str]:
        """``ohttp_attestation``; the signer is always the Ed25519 key, whatever the report binds."""
        return {
            "signing_algo": "ed25519",
            "signing_key": signer.ed25519_public.hex(),
            "key_config": self.key_config.hex(),
            "signature": signer.ed25519.sign(self.key_config).hex(),
        }
