"""The attestation document of an AWS Nitro enclave: COSE_Sign1 (RFC 9052) over a map that the hypervisor fills in.

The layout is that of AWS, "Nitro Enclaves attestation document specification". Reading is strict and says nothing about
who signed; that is `teeverify.crypto.nitro`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from types import MappingProxyType
from typing import Final

from attrs import field, frozen

from ..errors import FormatError
from ..limits import (
    MAX_CERTIFICATES,
    MAX_NITRO_CERTIFICATE,
    MAX_NITRO_DOCUMENT,
    MAX_NITRO_FIELD,
    MAX_NITRO_MODULE_ID,
)
from .cbor import CborKey, CborValue, Tagged, read_cbor
from .encodings import decode_base64

__all__ = ["IMAGE_PCRS", "NONCE_SIZE", "NitroDocument", "decode_document", "parse_document"]

IMAGE_PCRS: Final = (0, 1, 2)
"""The registers that measure the enclave image: all of it, its kernel and boot ramdisk, its application."""

NONCE_SIZE: Final = 20
"""Bytes of the nonce that nitriding takes from a client; a challenge of 32 bytes is cut to its first 20."""

_COSE_SIGN1: Final = 18
_ALGORITHM: Final = 1
_ES384: Final = -35
"""COSE header parameter 1, and its value for ECDSA with SHA-384 (RFC 9053 section 2.1)."""
_SIGNATURE_SIZE: Final = 96
_DIGEST: Final = "SHA384"
_DIGEST_SIZE: Final = 48
_PCR_SIZES: Final = (32, 48, 64)
_MAX_PCR: Final = 31
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_LAST_MILLISECOND: Final = 253_402_300_799_999
"""The end of the year 9999, where calendars of programs end."""
_REQUIRED: Final = frozenset({"module_id", "timestamp", "digest", "pcrs", "certificate", "cabundle"})
_OPTIONAL: Final = frozenset({"public_key", "user_data", "nonce"})
_WHITE_SPACE: Final = b" \t\r\n"


@frozen(kw_only=True)
class NitroDocument:
    """A well-formed document.

    ``protected`` and ``payload`` are the signed bytes as they came, ``signature`` is r then s, 48 bytes each,
    big-endian. ``timestamp`` is an aware UTC time, to the millisecond. ``pcrs`` maps 0 to 31 to 32, 48 or 64 bytes;
    PCR0, PCR1 and PCR2 are there and have 48. ``certificate`` and ``cabundle`` are DER; the bundle begins with the
    root and ends with the issuer of ``certificate``. ``public_key``, ``user_data`` and ``nonce`` are what the program
    in the enclave chose, None where it chose nothing.
    """

    protected: bytes = field(repr=False)
    payload: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    module_id: str
    timestamp: datetime
    pcrs: Mapping[int, bytes] = field(repr=False)
    certificate: bytes = field(repr=False)
    cabundle: tuple[bytes, ...] = field(repr=False)
    public_key: bytes | None = field(repr=False)
    user_data: bytes | None = field(repr=False)
    nonce: bytes | None = field(repr=False)

    @property
    def signed_bytes(self) -> bytes:
        """The Sig_structure of RFC 9052 section 4.4 that the signature is over."""
        return b"\x84\x6aSignature1" + _byte_string(self.protected) + b"\x40" + _byte_string(self.payload)


def decode_document(body: bytes) -> bytes:
    """The bytes of a document that was served as base64, with white space around it and none inside.

    Raises:
        FormatError: ``not_base64`` or ``wrong_length``.
    """
    text = body.strip(_WHITE_SPACE)
    if not text.isascii():
        raise FormatError("not_base64", "the attestation document is not standard base64")
    return decode_base64(text.decode("ascii"), what="the attestation document", limit=MAX_NITRO_DOCUMENT)


def parse_document(data: bytes) -> NitroDocument:
    """Read a COSE_Sign1 attestation document, with tag 18 in front or without it.

    Raises:
        FormatError: a code of `read_cbor`, ``cose_shape``, ``cose_header``, ``cose_signature_form``,
            ``nitro_members``, ``nitro_member``, ``nitro_pcrs`` or ``nitro_certificates``.
    """
    protected, payload, signature = _envelope(data)
    members = _members(payload)
    return NitroDocument(
        protected=protected,
        payload=payload,
        signature=signature,
        module_id=_module_id(members["module_id"]),
        timestamp=_timestamp(members["timestamp"]),
        pcrs=_pcrs(members["pcrs"]),
        certificate=_certificate(members["certificate"]),
        cabundle=_cabundle(members["cabundle"]),
        public_key=_chosen(members, "public_key"),
        user_data=_chosen(members, "user_data"),
        nonce=_chosen(members, "nonce"),
    )


def _envelope(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Protected header, payload and signature."""
    outer = read_cbor(data, what="the attestation document", limit=MAX_NITRO_DOCUMENT)
    if isinstance(outer, Tagged) and outer.tag == _COSE_SIGN1:
        outer = outer.value
    if not isinstance(outer, tuple) or len(outer) != 4:
        raise FormatError("cose_shape", "the attestation document is not the four-element array of COSE_Sign1")
    protected, unprotected, payload, signature = outer
    if not (isinstance(protected, bytes) and isinstance(payload, bytes) and isinstance(signature, bytes)):
        raise FormatError("cose_shape", "header, payload and signature of the document are not all byte strings")
    header = read_cbor(protected, what="the protected header of the document", limit=MAX_NITRO_DOCUMENT)
    if header != {_ALGORITHM: _ES384}:
        raise FormatError("cose_header", "the protected header is not the algorithm ES384 alone")
    if unprotected != {}:  # nothing there is signed, and AWS puts nothing there
        raise FormatError("cose_header", "the unprotected header of the document is not an empty map")
    if len(signature) != _SIGNATURE_SIZE:
        raise FormatError(
            "cose_signature_form", f"the signature is {len(signature)} bytes long, r and s are {_SIGNATURE_SIZE}"
        )
    return protected, payload, signature


def _members(payload: bytes) -> Mapping[CborKey, CborValue]:
    members = read_cbor(payload, what="the payload of the document", limit=MAX_NITRO_DOCUMENT)
    if not isinstance(members, Mapping):
        raise FormatError("nitro_members", "the payload of the document is not a map")
    missing, unknown = _REQUIRED - members.keys(), members.keys() - _REQUIRED - _OPTIONAL
    if missing:
        raise FormatError("nitro_members", f"the document has no {min(missing)}")
    if unknown:
        raise FormatError("nitro_members", f"the document has {len(unknown)} members that are not known")
    if members["digest"] != _DIGEST:
        raise FormatError("nitro_member", f"the digest of the document is not {_DIGEST}")
    return members


def _module_id(value: CborValue) -> str:
    if not isinstance(value, str) or not 1 <= len(value.encode()) <= MAX_NITRO_MODULE_ID:
        raise FormatError("nitro_member", f"module_id is not a text of 1 to {MAX_NITRO_MODULE_ID} bytes")
    return value


def _timestamp(value: CborValue) -> datetime:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LAST_MILLISECOND:
        raise FormatError("nitro_member", "timestamp is not a number of milliseconds since 1970")
    return _EPOCH + timedelta(milliseconds=value)


def _pcrs(value: CborValue) -> Mapping[int, bytes]:
    if not isinstance(value, Mapping):
        raise FormatError("nitro_pcrs", "pcrs is not a map")
    registers: dict[int, bytes] = {}
    for index, register in value.items():
        if not isinstance(index, int) or not 0 <= index <= _MAX_PCR:
            raise FormatError("nitro_pcrs", f"pcrs has a key that is not 0 to {_MAX_PCR}")
        if not isinstance(register, bytes) or len(register) not in _PCR_SIZES:
            raise FormatError("nitro_pcrs", f"PCR{index} is not 32, 48 or 64 bytes")
        registers[index] = register
    for index in IMAGE_PCRS:
        if len(registers.get(index, b"")) != _DIGEST_SIZE:
            raise FormatError("nitro_pcrs", f"PCR{index} is missing or not {_DIGEST_SIZE} bytes long")
    return MappingProxyType(registers)


def _cabundle(value: CborValue) -> tuple[bytes, ...]:
    most = MAX_CERTIFICATES - 1  # the leaf is the last one of the chain
    if not isinstance(value, tuple) or not 1 <= len(value) <= most:
        raise FormatError("nitro_certificates", f"cabundle is not an array of 1 to {most} certificates")
    return tuple(_certificate(item) for item in value)


def _certificate(value: CborValue) -> bytes:
    if not isinstance(value, bytes) or not 1 <= len(value) <= MAX_NITRO_CERTIFICATE:
        raise FormatError(
            "nitro_certificates", f"a certificate of the document is not 1 to {MAX_NITRO_CERTIFICATE} bytes"
        )
    return value


def _chosen(members: Mapping[CborKey, CborValue], name: str) -> bytes | None:
    value = members.get(name)
    if value is None or (isinstance(value, bytes) and len(value) <= MAX_NITRO_FIELD):
        return value
    raise FormatError("nitro_member", f"{name} is neither null nor at most {MAX_NITRO_FIELD} bytes")


def _byte_string(data: bytes) -> bytes:
    """A CBOR byte string with the shortest form of its length."""
    size = len(data)
    if size < 24:
        return bytes([0x40 | size]) + data
    if size < 1 << 8:
        return b"\x58" + size.to_bytes(1, "big") + data
    return b"\x59" + size.to_bytes(2, "big") + data  # at most MAX_NITRO_DOCUMENT
