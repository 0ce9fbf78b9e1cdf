"""Streamed answers of OpenGradient's gateway: the decrypted server-sent events, read as one signed answer.

Nothing of a stream is signed before its last frame, and that one signs the text or the tool calls that all frames make
up together. So a stream is read as a whole, and callers get what was verified (`opengradient_frames`), not its frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from attrs import define, evolve, field

from ..errors import FormatError
from ..limits import MAX_CHAT_BODY, MAX_STREAM_FRAMES, MAX_TOOL_CALLS
from .opengradient_answer import (
    SIGNED_FIELDS,
    TOOL_CALLS,
    SignedAnswer,
    SignedFields,
    Unsigned,
    read_signed_fields,
    read_tool_calls,
    require_no_error,
)
from .opengradient_json import (
    gateway_json,
    joined_text,
    only_choice,
    optional_object,
    optional_text,
    read_object,
    text_hash,
)
from .strict_json import JsonValue

__all__ = ["parse_stream"]

_FRAME: Final = "a frame of the stream"
_DATA: Final = "data:"
_DONE: Final = "[DONE]"


def parse_stream(stream: bytes, *, digits_as_timestamp: bool = False) -> SignedAnswer:
    """Read a whole stream.

    Args:
        stream: the plaintexts of all chunks, joined; where one chunk ends and the next begins means nothing.
        digits_as_timestamp: accept a timestamp that is a string of digits.

    Returns:
        The answer. Its ``unsigned`` holds the members of the signed frame, and text that came beside tool calls.

    Raises:
        FormatError: ``stream_too_large``, ``stream_not_utf8``, ``stream_too_long`` (frames), ``stream_after_done``,
            ``stream_after_signature`` (a frame after the signed one, so also a second signed one),
            ``stream_signed_delta`` (content in the signed frame), ``stream_unsigned`` (no signed frame),
            ``answer_error``, ``answer_choices``, ``answer_shape``, ``answer_content``, ``answer_tool_calls``,
            ``answer_unsigned_calls``, and the codes of `read_signed_fields` and `strict_json.loads`.
    """
    heard = _Heard()
    signed: dict[str, JsonValue] | None = None
    for payload in _payloads(stream):
        frame = read_object(payload, what=_FRAME)
        require_no_error(frame)
        if signed is not None:
            raise FormatError("stream_after_signature", "the stream goes on after its signed frame")
        delta = optional_object((only_choice(frame, what=_FRAME) or {}).get("delta"), what=f"the delta of {_FRAME}")
        if any(name in frame for name in SIGNED_FIELDS):
            signed = frame
            if joined_text(delta.get("content"), what=_FRAME) or delta.get("tool_calls"):
                raise FormatError("stream_signed_delta", "the signed frame holds content of its own")
        else:
            heard.take(delta)
    if signed is None:
        raise FormatError("stream_unsigned", "the stream ends without a signed frame")
    return _answer(heard, signed, read_signed_fields(signed, digits_as_timestamp=digits_as_timestamp))


def _payloads(stream: bytes) -> Iterator[str]:
    """What stands after ``data:`` in each line, up to ``[DONE]``. Lines end with LF or CRLF and nothing else."""
    if len(stream) > MAX_CHAT_BODY:
        raise FormatError("stream_too_large", f"the stream is {len(stream)} bytes long")
    if stream.count(b"\n") > 4 * MAX_STREAM_FRAMES:
        raise FormatError("stream_too_long", f"the stream has more than {4 * MAX_STREAM_FRAMES} lines")
    try:
        lines = stream.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise FormatError("stream_not_utf8", f"the stream is not UTF-8 at byte {error.start}") from None
    payloads = [line.removesuffix("\r").removeprefix(_DATA) for line in lines if line.startswith(_DATA)]
    if len(payloads) > MAX_STREAM_FRAMES:
        raise FormatError("stream_too_long", f"the stream has more than {MAX_STREAM_FRAMES} frames")
    for index, payload in enumerate(payloads):
        text = payload.removeprefix(" ")
        if text == _DONE:
            if index + 1 != len(payloads):
                raise FormatError("stream_after_done", f"the stream goes on after {_DONE}")
            return
        yield text


@define
class _Slot:
    """One tool call as its fragments come in."""

    id: str = ""
    type: str = "function"
    name: str = ""
    arguments: list[str] = field(factory=list)

    def signed(self, missing: str | None) -> dict[str, JsonValue]:
        """The call as it is signed, with ``missing`` where no id or name came."""
        function = {"name": self.name or missing, "arguments": "".join(self.arguments)}
        return {"id": self.id or missing, "type": self.type, "function": function}


@define
class _Heard:
    """What the deltas make up so far; slots by index, of which null may be one if it is the only one."""

    texts: list[str] = field(factory=list)
    slots: dict[int | None, _Slot] = field(factory=dict)

    def take(self, delta: dict[str, JsonValue]) -> None:
        """Add one delta."""
        self.texts.append(joined_text(delta.get("content"), what=_FRAME))
        calls = delta.get("tool_calls")
        if calls is None:
            return
        if not isinstance(calls, list):
            raise FormatError("answer_tool_calls", f"{_FRAME} holds tool_calls that are not a list")
        for call in calls:
            self._take_call(optional_object(call, what=f"a tool call of {_FRAME}"))

    def calls(self, missing: str | None) -> list[JsonValue]:
        """The calls by ascending index."""
        numbers = sorted(index for index in self.slots if index is not None)
        if None in self.slots and numbers:
            raise FormatError("answer_tool_calls", "the stream mixes tool calls with and without an index")
        return [self.slots[index].signed(missing) for index in numbers or self.slots]

    def _take_call(self, call: dict[str, JsonValue]) -> None:
        index = call.get("index", 0)
        if index is not None and type(index) is not int:
            raise FormatError("answer_tool_calls", f"{_FRAME} holds a tool call whose index is not a number")
        slot = self.slots.setdefault(index, _Slot())
        if len(self.slots) > MAX_TOOL_CALLS:
            raise FormatError("answer_tool_calls", f"the stream holds more than {MAX_TOOL_CALLS} tool calls")
        function = optional_object(call.get("function"), what=f"the function of {_FRAME}")
        slot.id = _text(call, "id") or slot.id
        slot.type = _text(call, "type") or slot.type
        slot.name = _text(function, "name") or slot.name
        slot.arguments.append(_text(function, "arguments"))


def _answer(heard: _Heard, frame: dict[str, JsonValue], fields: SignedFields) -> SignedAnswer:
    choice = only_choice(frame, what=_FRAME) or {}
    finish_reason = optional_text(choice.get("finish_reason"), what="finish_reason")
    if heard.slots and finish_reason != TOOL_CALLS:
        raise FormatError("answer_unsigned_calls", "the stream holds tool calls beside the text that is signed")
    members = {name: value for name, value in frame.items() if name not in ("choices", *SIGNED_FIELDS)}
    text = "".join(heard.texts)
    unsigned = Unsigned(finish_reason=finish_reason, members=members)
    if not heard.slots:
        return SignedAnswer(kind="text", signed_output=text, fields=fields, unsigned=unsigned)
    calls = _signed_calls(heard, fields.output_hash)
    return SignedAnswer(
        kind="tool_calls",
        signed_output=gateway_json(calls),
        tool_calls=read_tool_calls(calls),
        fields=fields,
        unsigned=evolve(unsigned, text=text or None),
    )


def _signed_calls(heard: _Heard, output_hash: bytes) -> list[JsonValue]:
    """The calls in the one of two forms that the answer says it signed, else in the first.

    Where a provider gives no id or name, the gateway signs null although the stream leaves the member out.
    """
    plain, with_null = heard.calls(""), heard.calls(None)
    return with_null if text_hash(gateway_json(with_null)) == output_hash else plain


def _text(members: dict[str, JsonValue], name: str) -> str:
    return optional_text(members.get(name), what=f"{name} of a tool call") or ""
