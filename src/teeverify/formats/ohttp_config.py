"""The key that OHTTP requests to an OpenGradient enclave are encrypted to, and the hash by which it is signed.

The key is in no attestation document. It is bound by a signature of the attested RSA key over `config_hash`, which the
enclave serves beside the key (``GET /v1/ohttp/config``; also the member ``hpke`` of ``GET /signing-key``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import field, frozen

from ..crypto.digests import keccak256
from ..errors import FormatError
from ..limits import MAX_RSA_BITS
from .encodings import decode_base64, decode_hex
from .strict_json import JsonValue

__all__ = [
    "KEY_CONFIG_SIZE",
    "SUITE",
    "OhttpKey",
    "OhttpSuite",
    "ServedOhttpConfig",
    "config_hash",
    "parse_key_config",
    "read_served_config",
    "require_x25519_key",
    "write_key_config",
]

KEY_CONFIG_SIZE: Final = 41
_KEY_SIZE: Final = 32
_DIGEST: Final = 32
_ALGORITHMS_SIZE: Final = 4
"""Bytes of the one pair of KDF and AEAD that a configuration lists."""
_DOMAIN: Final = b"OPENGRADIENT_TEE_OHTTP_CONFIG_V1"
_FIELD: Final = 2**255 - 19
_LOW_ORDER: Final = frozenset(
    {
        0,
        1,
        _FIELD - 1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    }
)
"""The u-coordinates with which every secret gives the same, all-zero result (RFC 7748 section 6.1)."""


@frozen(kw_only=True)
class OhttpSuite:
    """Identifiers of the IANA HPKE registry (RFC 9180 section 7)."""

    kem_id: int
    kdf_id: int
    aead_id: int


SUITE: Final = OhttpSuite(kem_id=0x0020, kdf_id=0x0001, aead_id=0x0003)
"""DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305: the only suite of these gateways."""


@frozen(kw_only=True)
class OhttpKey:
    """A key configuration (RFC 9458 section 3); ``public_key`` is a usable X25519 key of 32 bytes."""

    key_id: int
    public_key: bytes
    suite: OhttpSuite = SUITE


@frozen(kw_only=True)
class ServedOhttpConfig:
    """What an enclave serves about its key, and says of the signature over it.

    ``key_config`` is the encoded ``key``, 41 bytes. ``tee_id`` and ``signature`` are None where the answer has neither,
    as that of early gateways: such a key is bound to nothing. ``signature_hash`` is the answer's own word on
    `config_hash`; it is never to be used in its place.
    """

    key: OhttpKey
    key_config: bytes = field(repr=False)
    tee_id: bytes | None
    signature: bytes | None = field(repr=False)
    signature_hash: bytes | None = field(repr=False)

    def config_hash(self, tee_id: bytes) -> bytes:
        """The hash that an enclave of that id (32 bytes, from its attested key) must have signed."""
        return config_hash(
            tee_id, self.key.key_id, self.key.suite, public_key=self.key.public_key, key_config=self.key_config
        )


def parse_key_config(data: bytes, *, what: str) -> OhttpKey:
    """Read ``key id (1) || KEM (2) || key (32) || 0004 || KDF (2) || AEAD (2)``, integers big-endian.

    Raises:
        FormatError: ``wrong_length``, ``ohttp_suite`` (any other than `SUITE`, or more than one pair of algorithms) or
            the codes of `require_x25519_key`.
    """
    if len(data) != KEY_CONFIG_SIZE:
        raise FormatError("wrong_length", f"{what} is {len(data)} bytes long, {KEY_CONFIG_SIZE} were expected")
    numbers = [int.from_bytes(data[place : place + 2], "big") for place in (1, 35, 37, 39)]
    if numbers != [SUITE.kem_id, _ALGORITHMS_SIZE, SUITE.kdf_id, SUITE.aead_id]:
        raise FormatError("ohttp_suite", f"{what} is not for X25519, HKDF-SHA256 and ChaCha20-Poly1305 alone")
    return OhttpKey(key_id=data[0], public_key=require_x25519_key(data[3:35], what=f"the key in {what}"))


def write_key_config(key: OhttpKey) -> bytes:
    """The 41 bytes that `parse_key_config` reads."""
    algorithms = (_ALGORITHMS_SIZE, key.suite.kdf_id, key.suite.aead_id)
    tail = b"".join(number.to_bytes(2, "big") for number in algorithms)
    return bytes([key.key_id]) + key.suite.kem_id.to_bytes(2, "big") + key.public_key + tail


def require_x25519_key(key: bytes, *, what: str) -> bytes:
    """The key itself, if it can be encrypted to.

    Raises:
        FormatError: ``wrong_length``, ``x25519_encoding`` (a second spelling of a coordinate: honest software writes
            none) or ``x25519_low_order`` (what is encrypted to it can be read by everybody).
    """
    if len(key) != _KEY_SIZE:
        raise FormatError("wrong_length", f"{what} is {len(key)} bytes long, {_KEY_SIZE} were expected")
    coordinate = int.from_bytes(key, "little")
    if coordinate % 2**255 % _FIELD in _LOW_ORDER:  # X25519 ignores the top bit and reduces the rest
        raise FormatError("x25519_low_order", f"{what} is a point of low order")
    if coordinate >= _FIELD:
        raise FormatError("x25519_encoding", f"{what} is not the canonical form of a coordinate")
    return key


def config_hash(tee_id: bytes, key_id: int, suite: OhttpSuite, *, public_key: bytes, key_config: bytes) -> bytes:
    """Keccak-256 (32 bytes) that the RSA key signs, for any field values; nothing is judged here.

    Args:
        tee_id: 32 bytes.
        key_id: number of the key, below 2**256 as the three numbers of the suite.
        suite: the algorithms.
        public_key: the X25519 key.
        key_config: the encoded key configuration.
    """
    numbers = (key_id, suite.kem_id, suite.kdf_id, suite.aead_id)
    return keccak256(
        keccak256(_DOMAIN)
        + tee_id
        + b"".join(number.to_bytes(32, "big") for number in numbers)
        + keccak256(public_key)
        + keccak256(key_config)
    )


def read_served_config(members: Mapping[str, JsonValue], *, what: str) -> ServedOhttpConfig:
    """Read the object that an enclave serves; its members must agree with the encoded configuration in it.

    Raises:
        FormatError: ``ohttp_inconsistent`` where they do not, ``ohttp_signature_partial`` where the signature is there
            without ``tee_id``, or ``tee_id`` without it, and the codes of `parse_key_config`, `decode_hex` and
            `decode_base64`.
    """
    encoded = decode_base64(members.get("key_config"), what=f"key_config of {what}", limit=KEY_CONFIG_SIZE)
    key = parse_key_config(encoded, what=f"key_config of {what}")
    public_key = decode_hex(members.get("public_key"), what=f"public_key of {what}", size=_KEY_SIZE)
    numbers = tuple(members.get(name) for name in ("key_id", "kem_id", "kdf_id", "aead_id"))
    stated = (key.key_id, key.suite.kem_id, key.suite.kdf_id, key.suite.aead_id)
    if any(type(number) is not int for number in numbers) or numbers != stated or public_key != key.public_key:
        raise FormatError("ohttp_inconsistent", f"{what} states other values than its key_config holds")
    signature, tee_id = members.get("signature"), members.get("tee_id")
    if (signature is None) != (tee_id is None):
        raise FormatError("ohttp_signature_partial", f"{what} holds only one of signature and tee_id")
    size = MAX_RSA_BITS // 8
    return ServedOhttpConfig(
        key=key,
        key_config=encoded,
        tee_id=_prefixed(tee_id, f"tee_id of {what}"),
        signature=None if signature is None else decode_base64(signature, what=f"signature of {what}", limit=size),
        signature_hash=_prefixed(members.get("signature_hash"), f"signature_hash of {what}"),
    )


def _prefixed(value: JsonValue, what: str) -> bytes | None:
    if value is None:
        return None
    return decode_hex(value[2:] if isinstance(value, str) and value[:2] == "0x" else value, what=what, size=_DIGEST)
