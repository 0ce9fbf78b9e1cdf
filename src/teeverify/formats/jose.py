"""Signed tokens and key sets: compact JWS (RFC 7515) and JWK Set (RFC 7517), read strictly; nothing is verified here.

Only what NVIDIA's attestation service uses is accepted: ES384 with a key named by ``kid``. A header that brings its own
key or names where to get one is refused before any key is looked up, and so is every other algorithm.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from attrs import field, frozen

from ..errors import FormatError
from ..limits import MAX_ENDORSEMENT_BODY, MAX_JWKS_KEYS, MAX_TOKEN
from .encodings import decode_base64
from .strict_json import JsonValue, loads

__all__ = ["CompactJws", "JsonWebKey", "KeySet", "parse_compact_jws", "parse_key_set"]

_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+\Z")
_HEADER_MEMBERS: Final = frozenset({"alg", "kid", "typ"})
_ALGORITHM: Final = "ES384"
_SIGNATURE: Final = 96
_COORDINATE: Final = 48
_MAX_KEY_ID: Final = 256
_MAX_X5C: Final = 4
_MAX_X5C_CERTIFICATE: Final = 8 << 10


@frozen(kw_only=True)
class CompactJws:
    """One token: ``kid`` of its header, ``payload`` bytes, and the ``text`` it was, which is what digests cover.

    ``signature`` is r then s, 96 bytes; its header named ES384 and nothing else.
    """

    text: str = field(repr=False)
    kid: str
    payload: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    @property
    def signing_input(self) -> bytes:
        """What the signature covers: header and payload as they stand in the token (RFC 7515 section 5.1)."""
        return self.text.rpartition(".")[0].encode("ascii")


@frozen(kw_only=True)
class JsonWebKey:
    """One P-384 key: coordinates of 48 bytes each, and the DER of its certificate chain, leaf first (may be empty)."""

    kid: str
    x: bytes = field(repr=False)
    y: bytes = field(repr=False)
    x5c: tuple[bytes, ...] = field(repr=False)


@frozen(kw_only=True)
class KeySet:
    """A key set whose key ids are unique. Keys are read when asked for: one of some thirty is needed."""

    members: Mapping[str, Mapping[str, JsonValue]] = field(repr=False)

    def find(self, kid: str) -> JsonWebKey | None:
        """The P-384 key of that id; None where the set has none, or one of another kind.

        Raises:
            FormatError: ``jwk_syntax``: the key is there and cannot be read.
        """
        member = self.members.get(kid)
        if member is None or (member.get("kty"), member.get("crv")) != ("EC", "P-384"):
            return None
        chain = member.get("x5c", [])
        if not isinstance(chain, list) or len(chain) > _MAX_X5C:
            raise FormatError("jwk_syntax", f"the key set's key has no list of at most {_MAX_X5C} certificates")
        return JsonWebKey(
            kid=kid,
            x=_coordinate(member.get("x")),
            y=_coordinate(member.get("y")),
            x5c=tuple(decode_base64(item, what="a key's certificate", limit=_MAX_X5C_CERTIFICATE) for item in chain),
        )


def parse_compact_jws(text: JsonValue, *, what: str) -> CompactJws:
    """Split ``header.payload.signature`` and judge the header.

    Raises:
        FormatError: ``jws_syntax``, ``jws_header`` or ``jws_algorithm``.
    """
    if not isinstance(text, str) or len(text) > MAX_TOKEN:
        raise FormatError("jws_syntax", f"{what} is not text of at most {MAX_TOKEN} characters")
    parts = text.split(".")
    if len(parts) != 3:
        raise FormatError("jws_syntax", f"{what} has {len(parts)} parts, a compact token has 3")
    header_bytes, payload, signature = (_decode_base64url(part, what) for part in parts)
    try:
        header = loads(header_bytes, what=f"the header of {what}", limit=MAX_TOKEN)
    except FormatError as error:
        raise FormatError("jws_header", str(error)) from None
    if not isinstance(header, dict) or not header.keys() <= _HEADER_MEMBERS or header.get("typ", "JWT") != "JWT":
        raise FormatError("jws_header", f"the header of {what} has other members than alg, kid and typ")
    if header.get("alg") != _ALGORITHM:
        raise FormatError("jws_algorithm", f"{what} is not signed with {_ALGORITHM}, the only algorithm accepted")
    kid = header.get("kid")
    if not isinstance(kid, str) or not 1 <= len(kid) <= _MAX_KEY_ID:
        raise FormatError("jws_header", f"the header of {what} names no key")
    if len(signature) != _SIGNATURE:
        raise FormatError("jws_syntax", f"the signature of {what} is {len(signature)} bytes long, not {_SIGNATURE}")
    return CompactJws(text=text, kid=kid, payload=payload, signature=signature)


@lru_cache(maxsize=8)
def parse_key_set(body: bytes, *, what: str) -> KeySet:
    """Read a JWK Set: at most `MAX_JWKS_KEYS` keys, no key id twice.

    Pure, and remembered for a few sets: the same one comes with every report of a day.

    Raises:
        FormatError: ``jwks_syntax``, ``jwks_duplicate_kid``, or a code of `strict_json.loads`.
    """
    document = loads(body, what=what, limit=MAX_ENDORSEMENT_BODY)
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or len(keys) > MAX_JWKS_KEYS:
        raise FormatError("jwks_syntax", f"{what} has no list of at most {MAX_JWKS_KEYS} keys")
    members: dict[str, Mapping[str, JsonValue]] = {}
    for key in keys:
        kid = key.get("kid") if isinstance(key, dict) else None
        if not isinstance(kid, str):
            raise FormatError("jwks_syntax", f"{what} has a key without an id")
        if kid in members:
            raise FormatError("jwks_duplicate_kid", f"{what} has two keys of one id, so the id names no key")
        members[kid] = key
    return KeySet(members=members)


def _coordinate(value: JsonValue) -> bytes:
    data = _decode_base64url(value, "a coordinate of a key") if isinstance(value, str) else b""
    if len(data) != _COORDINATE:
        raise FormatError("jwk_syntax", f"a key's coordinate is {len(data)} bytes long, not {_COORDINATE}")
    return data


def _decode_base64url(text: str, what: str) -> bytes:
    """Base64url without padding (RFC 7515 section 2), in its one canonical spelling."""
    if not _BASE64URL.match(text) or len(text) % 4 == 1:
        raise FormatError("jws_syntax", f"{what} has a part that is not base64url without padding")
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:  # pragma: no cover - the pattern and the length rule leave nothing to refuse
        data = b""
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != text:
        raise FormatError("jws_syntax", f"{what} has a part that is not canonical base64url")
    return data
