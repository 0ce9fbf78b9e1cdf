"""The workload keyset of ACI (attested confidential inference, ``aci/1``), its digest, and the statement in the quote.

The keyset is the identity of an ACI service: its digest is hashed, together with the client's nonce, into REPORTDATA.
The digest is over the object as it was parsed, members included that are not known here; entries with an unknown
algorithm count for the digest and for nothing else. Source: ACI specification, sections 3.1 and 3.2.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Final

from attrs import field, frozen

from ..errors import FormatError
from ..limits import MAX_KEYSET_KEYS
from .canonical_json import jcs
from .encodings import decode_hex
from .strict_json import JsonValue

__all__ = ["API_VERSION", "Keyset", "KeysetKey", "TlsKey", "parse_digest", "parse_keyset", "statement_digest"]

API_VERSION: Final = "aci/1"
_PURPOSE: Final = "aci.report_data.v1"
_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})\Z")
_HEX: Final = re.compile(r"[0-9a-f]*\Z")
_RECEIPT_SIZES: Final = {"ed25519": (32,)}
_E2EE_SIZES: Final = {
    "x25519-aes-256-gcm-hkdf-sha256": (32,),
    "secp256k1-aes-256-gcm-hkdf-sha256": (33, 65),
}
_LATEST: Final = 253402300799
"""The last second that a datetime can hold."""
_FIELD_25519: Final = 2**255 - 19
_OLD_MEMBERS: Final = ("workload_identity", "keyset_epoch")
_ED25519_SPKI: Final = bytes.fromhex("302a300506032b6570032100")
_X25519_SPKI: Final = bytes.fromhex("302a300506032b656e032100")
_SECP256K1_SPKI: Final = bytes.fromhex("3056301006072a8648ce3d020106052b8104000a034200")
"""What stands before the key in a DER SubjectPublicKeyInfo (RFC 8410; SEC 1 and RFC 5480)."""


@frozen(kw_only=True)
class KeysetKey:
    """A key of an algorithm that is known: ``ed25519`` for receipts, an E2EE suite otherwise. ``public_key`` is raw."""

    key_id: str
    algorithm: str
    public_key: bytes


@frozen(kw_only=True)
class TlsKey:
    """A TLS key: SHA-256 (32 bytes) of its SubjectPublicKeyInfo; ``domain`` is lower-case, None for every host."""

    spki_sha256: bytes
    domain: str | None


@frozen(kw_only=True)
class Keyset:
    """A keyset; ``digest`` is ``sha256:`` and hex, ``not_after`` Unix seconds, ``subject`` a name that proves nothing.

    ``shared`` names, in words, every key that stands in two roles.
    """

    digest: str
    subject: str | None
    not_after: int
    receipt_keys: tuple[KeysetKey, ...]
    e2ee_keys: tuple[KeysetKey, ...]
    tls_keys: tuple[TlsKey, ...]
    shared: tuple[str, ...] = field(default=())

    def lists_tls_key(self, spki_sha256: bytes, host: str) -> bool:
        """True when a TLS key is listed for a host: an entry with a domain counts for exactly that host."""
        return any(key.spki_sha256 == spki_sha256 and key.domain in (None, host.lower()) for key in self.tls_keys)


def statement_digest(keyset_digest: str, nonce: bytes) -> bytes:
    """SHA-256 (32 bytes) of the statement over a keyset's digest and our 32-byte nonce: the first half of REPORTDATA.

    The form without a nonce (``null``) is not made here, since it answers no challenge.
    """
    return hashlib.sha256(jcs({"keyset_digest": keyset_digest, "nonce": nonce.hex(), "purpose": _PURPOSE})).digest()


def parse_digest(value: JsonValue, *, what: str) -> bytes:
    """Read ``sha256:`` and 64 lower-case hex digits.

    Raises:
        FormatError: ``not_a_digest``.
    """
    match = _DIGEST.match(value) if isinstance(value, str) else None
    if match is None:
        raise FormatError("not_a_digest", f"{what} is not sha256: and 64 lower-case hex digits")
    return bytes.fromhex(match.group(1))


def parse_keyset(value: JsonValue) -> Keyset:
    """Read a keyset out of its parsed JSON object.

    Raises:
        FormatError: ``keyset_revision`` for the older form with an identity key, ``keyset_shape``,
            ``keyset_key_repeated``, ``json_number``, ``not_hex`` or ``wrong_length``.
    """
    if not isinstance(value, dict):
        raise FormatError("keyset_shape", "the workload keyset is missing or is not an object")
    if any(name in value for name in _OLD_MEMBERS):
        detail = "the keyset is of the older revision with an identity key and an endorsement, which is not judged here"
        raise FormatError("keyset_revision", detail)
    subject, not_after = value.get("subject"), value.get("not_after")
    if not (subject is None or (isinstance(subject, str) and len(subject) <= 512)):
        raise FormatError("keyset_shape", "the subject of the keyset is neither null nor a text of at most 512")
    if type(not_after) is not int or not 0 < not_after <= _LATEST:
        raise FormatError("keyset_shape", "not_after of the keyset is not a time in Unix seconds")
    receipts = _keys(value, "receipt_signing_keys", _RECEIPT_SIZES)
    e2ee = _keys(value, "e2ee_public_keys", _E2EE_SIZES)
    tls = tuple(_tls_key(entry, what) for entry, what in _entries(value, "tls_public_keys"))
    return Keyset(
        digest=f"sha256:{hashlib.sha256(jcs(value)).hexdigest()}",
        subject=subject,
        not_after=not_after,
        receipt_keys=receipts,
        e2ee_keys=e2ee,
        tls_keys=tls,
        shared=tuple(_shared(value, receipts, e2ee, tls)),
    )


def _entries(keyset: Mapping[str, JsonValue], role: str) -> Iterator[tuple[Mapping[str, JsonValue], str]]:
    entries = keyset.get(role)
    if not isinstance(entries, list) or len(entries) > MAX_KEYSET_KEYS:
        raise FormatError("keyset_shape", f"{role} of the keyset is not a list of at most {MAX_KEYSET_KEYS} keys")
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise FormatError("keyset_shape", f"{role}[{index}] of the keyset is not an object")
        yield entry, f"{role}[{index}]"


def _keys(keyset: Mapping[str, JsonValue], role: str, sizes: Mapping[str, tuple[int, ...]]) -> tuple[KeysetKey, ...]:
    found: dict[str, KeysetKey] = {}
    for entry, what in _entries(keyset, role):
        key_id, algorithm = entry.get("key_id"), entry.get("algo")
        if not isinstance(algorithm, str) or not isinstance(key_id, str) or not 0 < len(key_id) <= 256:
            raise FormatError("keyset_shape", f"{what} of the keyset has no key_id or algo")
        if key_id in found:
            raise FormatError("keyset_key_repeated", f"{what} of the keyset repeats a key_id, so it names two keys")
        if algorithm in sizes:
            found[key_id] = KeysetKey(
                key_id=key_id, algorithm=algorithm, public_key=_raw(entry.get("public_key"), what, sizes[algorithm])
            )
    return tuple(found.values())


def _raw(value: JsonValue, what: str, sizes: tuple[int, ...]) -> bytes:
    """A key in lower-case hex, of one of the lengths that its algorithm has."""
    raw = decode_hex(value, what=f"the key of {what}", limit=max(sizes))
    if len(raw) not in sizes:
        raise FormatError("wrong_length", f"the key of {what} is {len(raw)} bytes long, which no key of its kind is")
    if not _HEX.match(value) or (len(raw) > 32 and raw[0] not in {33: (2, 3), 65: (4,)}[len(raw)]):
        raise FormatError(
            "keyset_shape", f"the key of {what} is not lower-case hex, or has another prefix than its form"
        )
    return raw


def _tls_key(entry: Mapping[str, JsonValue], what: str) -> TlsKey:
    domain = entry.get("domain")
    if not (domain is None or (isinstance(domain, str) and 0 < len(domain) <= 253 and domain.isascii())):
        raise FormatError("keyset_shape", f"the domain of {what} is not a host name")
    digest = decode_hex(entry.get("spki_sha256"), what=f"spki_sha256 of {what}", size=32)
    return TlsKey(spki_sha256=digest, domain=None if domain is None else domain.lower())


def _shared(
    keyset: Mapping[str, JsonValue],
    receipts: tuple[KeysetKey, ...],
    e2ee: tuple[KeysetKey, ...],
    tls: tuple[TlsKey, ...],
) -> Iterator[str]:
    """Every key in two roles, however it is spelled there, also among keys of unknown algorithms."""
    shown = [_texts(keyset, role) for role in ("receipt_signing_keys", "e2ee_public_keys")]
    curve = [{_x_coordinate(key) for key in keys} for keys in (receipts, e2ee)]
    if shown[0] & shown[1] or curve[0] & curve[1]:
        yield "a receipt key is an E2EE key as well"
    listed = {key.spki_sha256 for key in tls}
    for name, keys, texts in (("a receipt key", receipts, shown[0]), ("an E2EE key", e2ee, shown[1])):
        if listed & {digest for key in keys for digest in _spki_digests(key)} or {d.hex() for d in listed} & texts:
            yield f"{name} is a TLS key as well"


def _texts(keyset: Mapping[str, JsonValue], role: str) -> set[str]:
    keys = (entry.get("public_key") for entry, _ in _entries(keyset, role))
    return {key.lower() for key in keys if isinstance(key, str)}


def _x_coordinate(key: KeysetKey) -> tuple[str, bytes]:
    """What two spellings of one key pair have in common; an ed25519 key becomes the X25519 key of the same secret."""
    if key.algorithm.startswith("secp256k1"):
        return "secp256k1", key.public_key[1:33]
    number = int.from_bytes(key.public_key, "little") & ((1 << 255) - 1)
    if key.algorithm == "ed25519":  # RFC 7748, section 4.1: u = (1 + y) / (1 - y)
        number = (1 + number) * pow(1 - number, _FIELD_25519 - 2, _FIELD_25519)
    return "25519", (number % _FIELD_25519).to_bytes(32, "little")


def _spki_digests(key: KeysetKey) -> tuple[bytes, ...]:
    """SHA-256 of the SubjectPublicKeyInfo that a certificate for this key would hold."""
    if key.algorithm == "ed25519":
        wrapped = [_ED25519_SPKI + key.public_key]
    elif key.algorithm.startswith("x25519"):
        wrapped = [_X25519_SPKI + key.public_key]
    else:
        wrapped = [_SECP256K1_SPKI + key.public_key] if len(key.public_key) == 65 else []
    return tuple(hashlib.sha256(spki).digest() for spki in wrapped)
