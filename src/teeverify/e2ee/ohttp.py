"""Oblivious HTTP (RFC 9458) with responses whole or in chunks (draft-ietf-ohai-chunked-ohttp-08), as a client.

A request is sealed to the key of an enclave, so the relay that carries it reads nothing; the response is sealed to
that very request. What opens here was written by the holder of the key, which says nothing yet about who that is: use
the key of a VERIFIED verdict (`sealed_to`). The plaintext is whatever the two ends agree on, and is not looked at.
"""

from __future__ import annotations

from typing import Final

from attrs import field, frozen

from ..crypto.hpke import open_chacha, response_keys, seal_request
from ..errors import ConfigurationError, FormatError
from ..formats.ohttp_config import OhttpKey, parse_key_config
from ..limits import MAX_CHAT_BODY, MAX_OHTTP_CHUNK, MAX_OHTTP_REQUEST
from ..verdict import AttestedKey

__all__ = ["REQUEST_TYPE", "ChunkedResponse", "OhttpRequest", "response_type", "seal", "sealed_to"]

REQUEST_TYPE: Final = "message/ohttp-req"
"""Content-Type of a sealed request."""
_RESPONSE_TYPE: Final = "message/ohttp-res"
_CHUNKED_TYPE: Final = "message/ohttp-chunked-res"

_REQUEST_LABEL: Final = b"message/bhttp request"
_RESPONSE_LABEL: Final = b"message/bhttp response"
_CHUNKED_LABEL: Final = b"message/bhttp chunked response"
_NONCE_SIZE: Final = 32
_TAG_SIZE: Final = 16
_BILLING: Final = b"\n--opengradient-ohttp-billing-v1--\n"
"""What a gateway of OpenGradient writes for the relay in front of the final chunk (not encrypted, never used)."""
_MAX_BILLING: Final = 4096


def response_type(*, chunked: bool) -> str:
    """The media type that a sealed response must have."""
    return _CHUNKED_TYPE if chunked else _RESPONSE_TYPE


def sealed_to(key: AttestedKey, plaintext: bytes) -> OhttpRequest:
    """Seal a request to a key that a VERIFIED verdict attests (``use`` "ohttp").

    Raises:
        ConfigurationError: it is no key of that use and suite, or the request is too long.
    """
    if key.use != "ohttp":
        raise ConfigurationError(f"the attested key is for {key.use!r}, one for 'ohttp' was expected")
    try:
        config = parse_key_config(bytes.fromhex(key.public_key), what="the attested key configuration")
    except FormatError as error:
        raise ConfigurationError(str(error)) from None
    return seal(config, plaintext)


def seal(key: OhttpKey, plaintext: bytes) -> OhttpRequest:
    """Seal a request under a fresh ephemeral key. Never send one twice: seal anew.

    Raises:
        ConfigurationError: the request is too long, or nothing can be encrypted to the key.
    """
    if len(plaintext) > MAX_OHTTP_REQUEST:
        raise ConfigurationError(f"the request is {len(plaintext)} bytes long, at most {MAX_OHTTP_REQUEST} fit")
    suite = key.suite
    numbers = b"".join(number.to_bytes(2, "big") for number in (suite.kem_id, suite.kdf_id, suite.aead_id))
    header = bytes([key.key_id]) + numbers
    try:
        sealed = seal_request(key.public_key, _REQUEST_LABEL + b"\x00" + header, plaintext)
    except FormatError as error:
        raise ConfigurationError(str(error)) from None
    return OhttpRequest(
        body=header + sealed.enc + sealed.ciphertext,
        enc=sealed.enc,
        secret=sealed.export(_RESPONSE_LABEL, 32),
        chunked_secret=sealed.export(_CHUNKED_LABEL, 32),
    )


@frozen(kw_only=True)
class OhttpRequest:
    """A sealed request and what opens its response. Nothing of it shows in a repr.

    Attributes:
        body: what is sent, with the Content-Type `REQUEST_TYPE`.
    """

    body: bytes = field(repr=False)
    enc: bytes = field(repr=False)
    secret: bytes = field(repr=False)
    chunked_secret: bytes = field(repr=False)

    def open(self, response: bytes) -> bytes:
        """The plaintext of a whole response.

        Raises:
            FormatError: ``ohttp_response``, when it is not the response to this request, or not whole.
        """
        if len(response) < _NONCE_SIZE + _TAG_SIZE or len(response) > MAX_CHAT_BODY:
            raise FormatError("ohttp_response", "the sealed response is too short or too long to be one")
        key, nonce = response_keys(self.secret, self.enc, response[:_NONCE_SIZE])
        plaintext = open_chacha(key, nonce, response[_NONCE_SIZE:])
        if plaintext is None:
            raise FormatError("ohttp_response", "the sealed response was changed, or is not the one to this request")
        return plaintext

    def open_chunked(self, response: bytes) -> bytes:
        """The plaintext of a response in chunks that came to its end (the transport's end of the body).

        Raises:
            FormatError: ``ohttp_response``, when it was changed, reordered or cut off, or answers another request.
        """
        reading = ChunkedResponse(self)
        opened = reading.feed(response)
        return b"".join((*opened, reading.finish()))


class ChunkedResponse:
    """Opens a response chunk by chunk, as it arrives.

    Each chunk is authentic on arrival; that the response is whole is known only after `finish`, and who wrote it only
    after its signature was verified. Nothing may be acted upon before.
    """

    def __init__(self, request: OhttpRequest) -> None:
        self._request = request
        self._buffer = bytearray()
        self._key = self._nonce = b""
        self._count = self._total = 0
        self._final = self._broken = False

    def feed(self, data: bytes) -> tuple[bytes, ...]:
        """Take received bytes and return the plaintexts of the chunks that they complete.

        Raises:
            FormatError: ``ohttp_response``.
        """
        self._require_sound()
        self._total += len(data)
        if self._total > MAX_CHAT_BODY:
            raise FormatError("ohttp_response", f"the sealed response is longer than {MAX_CHAT_BODY} bytes")
        self._buffer += data
        if not self._key and len(self._buffer) >= _NONCE_SIZE:
            nonce = bytes(self._buffer[:_NONCE_SIZE])
            self._key, self._nonce = response_keys(self._request.chunked_secret, self._request.enc, nonce)
            del self._buffer[:_NONCE_SIZE]
        opened = []
        while self._key and not self._final:
            chunk = self._next_chunk()
            if chunk is None:
                break
            opened.append(self._open(chunk, b""))
        return tuple(opened)

    def finish(self) -> bytes:
        """The plaintext of the final chunk, which runs to the end of the body. Call it at the body's clean end only.

        Raises:
            FormatError: ``ohttp_response``, when the response was cut off.
        """
        self._require_sound()
        if not self._final:
            raise FormatError("ohttp_response", "the sealed response was cut off before its final chunk")
        self._broken = True  # there is nothing after the end
        return self._open(bytes(self._buffer), b"final")

    def _require_sound(self) -> None:
        """After an error, and after its end, a response has no further part that could be relied on."""
        if self._broken:
            raise FormatError("ohttp_response", "the sealed response is broken, or was read to its end before")

    def _next_chunk(self) -> bytes | None:
        """The next whole chunk that is not the final one; None where more bytes are needed or the final one begins."""
        head = _varint(self._buffer, 0)
        if head is None:
            return None
        length, start = head
        if self._buffer[:1] == _BILLING[:1]:  # as a length it would be 10, which no chunk has
            return self._next_chunk() if self._skip_billing() else None
        if length == 0:
            del self._buffer[:start]
            self._final = True
            return None
        if not _TAG_SIZE <= length <= MAX_OHTTP_CHUNK:
            raise FormatError("ohttp_response", f"a chunk of {length} bytes is none")
        if len(self._buffer) < start + length:
            return None
        chunk = bytes(self._buffer[start : start + length])
        del self._buffer[: start + length]
        return chunk

    def _skip_billing(self) -> bool:
        """Drop the relay's frame, which has to stand before the final chunk; False where more bytes are needed."""
        head = len(_BILLING) + 4
        if not _BILLING.startswith(bytes(self._buffer[: len(_BILLING)])):
            raise FormatError("ohttp_response", "the sealed response holds something that is no chunk")
        if len(self._buffer) < head:
            return False
        size = int.from_bytes(self._buffer[len(_BILLING) : head], "big")
        if size > _MAX_BILLING:
            raise FormatError("ohttp_response", "the relay's frame in the sealed response is too long")
        follower = _varint(self._buffer, head + size)
        if follower is None:
            return False
        if follower[0] != 0:
            raise FormatError("ohttp_response", "the relay's frame does not stand before the final chunk")
        del self._buffer[: head + size]
        return True

    def _open(self, chunk: bytes, associated: bytes) -> bytes:
        counter = self._count.to_bytes(len(self._nonce), "big")
        nonce = bytes(one ^ other for one, other in zip(self._nonce, counter, strict=True))
        plaintext = open_chacha(self._key, nonce, chunk, associated)
        if plaintext is None:
            self._broken = True
            raise FormatError("ohttp_response", "a chunk was changed, moved or left out, or answers another request")
        self._count += 1
        return plaintext


def _varint(data: bytearray, place: int) -> tuple[int, int] | None:
    """A variable-length integer (RFC 9000 section 16) and where it ends; None where more bytes are needed."""
    if place >= len(data):
        return None
    size = 1 << (data[place] >> 6)
    if place + size > len(data):
        return None
    value = int.from_bytes(data[place : place + size], "big")
    return value & ((1 << (8 * size - 2)) - 1), place + size
