"""Parts of an answer of OpenGradient's gateway: signed fields, the output that they are about, the unsigned rest.

The output is hashed here from what will be handed out, never taken from the answer's own word. One hash covers either
the text or the tool calls; which of them it is, the answer says unsigned, so callers must see `SignedAnswer.kind`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

from attrs import field, frozen

from ..crypto.digests import keccak256
from ..errors import FormatError
from ..limits import MAX_RSA_BITS, MAX_TOOL_CALLS
from .encodings import decode_base64, decode_hex
from .opengradient_json import text_hash
from .strict_json import JsonValue

__all__ = [
    "SIGNED_FIELDS",
    "TOOL_CALLS",
    "SignedAnswer",
    "SignedFields",
    "ToolCall",
    "Unsigned",
    "message_hash",
    "read_signed_fields",
    "read_tool_calls",
    "require_no_error",
]

SIGNED_FIELDS: Final = ("tee_signature", "tee_request_hash", "tee_output_hash", "tee_timestamp", "tee_id")
TOOL_CALLS: Final = "tool_calls"
"""The value of finish_reason, and of `SignedAnswer.kind`, for an answer that is tool calls."""

_DIGEST: Final = 32
_MAX_TIME: Final = 2**63
_DIGITS: Final = re.compile(r"[0-9]{1,19}\Z")


@frozen(kw_only=True)
class SignedFields:
    """What an answer says about its signature.

    ``request_hash`` and ``output_hash`` are 32 bytes and the answer's own word: they are to equal what is computed, and
    never to stand in for it. ``timestamp`` is in Unix seconds by the enclave's clock, ``tee_id`` 32 bytes.
    """

    signature: bytes = field(repr=False)
    request_hash: bytes
    output_hash: bytes
    timestamp: int
    tee_id: bytes


@frozen(kw_only=True)
class ToolCall:
    """One signed call; a member is None where the gateway signed null, ``arguments`` is the text as it came."""

    id: str | None
    type: str | None
    name: str | None
    arguments: str = field(repr=False)


@frozen(kw_only=True)
class Unsigned:
    """What came with an answer and is covered by no signature; anybody on the way inside could have changed it.

    ``members`` are those of the answer beside choices and the signed fields (model, usage, images, citations ...),
    ``message`` those of the message beside its output. ``text`` is text beside tool calls, None where there is none.
    """

    finish_reason: str | None = None
    text: str | None = field(default=None, repr=False)
    members: Mapping[str, JsonValue] = field(factory=dict, repr=False)
    message: Mapping[str, JsonValue] = field(factory=dict, repr=False)


@frozen(kw_only=True)
class SignedAnswer:
    """One answer, its output apart from what is unsigned; no signature has been verified.

    ``signed_output`` is the text whose hash is signed: the answer itself, or the JSON of ``tool_calls``. ``kind`` is
    the answer's own word on which it is: text that is JSON of tool calls has the same hash.
    """

    kind: Literal["text", "tool_calls"]
    signed_output: str = field(repr=False)
    tool_calls: tuple[ToolCall, ...] = ()
    fields: SignedFields
    unsigned: Unsigned

    @property
    def text(self) -> str | None:
        """The signed text; None where tool calls are signed."""
        return self.signed_output if self.kind == "text" else None

    @property
    def output_hash(self) -> bytes:
        """Keccak-256 (32 bytes) of ``signed_output``, computed."""
        return text_hash(self.signed_output)

    def message_hash(self, request_hash: bytes) -> bytes:
        """What the signature is over, from the computed hashes of request (32 bytes, the caller's) and output."""
        return message_hash(request_hash, self.output_hash, self.fields.timestamp)


def message_hash(request_hash: bytes, output_hash: bytes, timestamp: int) -> bytes:
    """The 32 bytes that the gateway signs: Keccak-256 of both hashes and the time in 32 bytes, big-endian.

    RSASSA-PSS hashes them once more (`teeverify.crypto.rsa.verify_pss`).

    Raises:
        FormatError: ``wrong_length`` where a hash is not 32 bytes, or the time does not fit.
    """
    if len(request_hash) != _DIGEST or len(output_hash) != _DIGEST or not 0 <= timestamp < _MAX_TIME:
        raise FormatError("wrong_length", "a signed message is made of two hashes of 32 bytes and a time in seconds")
    return keccak256(request_hash + output_hash + timestamp.to_bytes(_DIGEST, "big"))


def read_signed_fields(members: Mapping[str, JsonValue], *, digits_as_timestamp: bool = False) -> SignedFields:
    """Read the five fields; every one of them must be there.

    Args:
        members: the answer, or the last frame of a stream.
        digits_as_timestamp: accept a timestamp that is a string of digits.

    Raises:
        FormatError: ``answer_unsigned`` where a field is missing, null or empty; ``timestamp``; ``not_hex``,
            ``not_base64`` or ``wrong_length``.
    """
    missing = [name for name in SIGNED_FIELDS if members.get(name) in (None, "")]
    if missing:
        raise FormatError("answer_unsigned", f"the answer has no {missing[0]}: it is not signed")
    return SignedFields(
        signature=decode_base64(members["tee_signature"], what="tee_signature", limit=MAX_RSA_BITS // 8),
        request_hash=_digest(members, "tee_request_hash"),
        output_hash=_digest(members, "tee_output_hash"),
        timestamp=_timestamp(members["tee_timestamp"], digits_as_timestamp),
        tee_id=_digest(members, "tee_id"),
    )


def read_tool_calls(calls: list[JsonValue]) -> tuple[ToolCall, ...]:
    """The calls of a signed list, each with a function whose name is a string or null and whose arguments are text.

    Raises:
        FormatError: ``answer_tool_calls``, also for more than `MAX_TOOL_CALLS`.
    """
    if len(calls) > MAX_TOOL_CALLS:
        raise FormatError("answer_tool_calls", f"the answer holds more than {MAX_TOOL_CALLS} tool calls")
    return tuple(map(_tool_call, calls))


def require_no_error(document: Mapping[str, JsonValue]) -> None:
    """Refuse a document or frame that reports an error.

    Raises:
        FormatError: ``answer_error``; the enclave's words are not repeated.
    """
    if document.get("error") is not None:
        raise FormatError("answer_error", "the enclave answered with an error")


def _tool_call(call: JsonValue) -> ToolCall:
    match call:
        case {"function": {"arguments": str(arguments), **function}, **members}:
            found = (members.get("id"), members.get("type"), function.get("name"))
            call_id, kind, name = (value if isinstance(value, str) else None for value in found)
            if found == (call_id, kind, name):
                return ToolCall(id=call_id, type=kind, name=name, arguments=arguments)
    raise FormatError("answer_tool_calls", "the answer holds a tool call of a form that is not known")


def _digest(members: Mapping[str, JsonValue], name: str) -> bytes:
    value = members[name]
    return decode_hex(value[2:] if isinstance(value, str) and value[:2] == "0x" else value, what=name, size=_DIGEST)


def _timestamp(value: JsonValue, digits: bool) -> int:
    if digits and isinstance(value, str) and _DIGITS.match(value):
        value = int(value)
    if type(value) is not int or not 0 <= value < _MAX_TIME:
        raise FormatError("timestamp", "tee_timestamp is not a time in whole seconds")
    return value
