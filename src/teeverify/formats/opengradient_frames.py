"""Verified answers written anew in OpenAI's form, so that nothing unsigned and no framing of the sender is handed out.

Only what was signed is in them: the text or the tool calls, and the time. Model and id are the caller's own words.
Whether an answer was cut off is not signed, so its ``finish_reason`` here says no more than which kind it is.
"""

from __future__ import annotations

import json
from typing import Final

from .opengradient_answer import SignedAnswer, ToolCall
from .strict_json import JsonValue

__all__ = ["write_body", "write_frames"]

_DONE: Final = b"data: [DONE]\n\n"


def write_body(answer: SignedAnswer, *, model: str, chat_id: str) -> bytes:
    """A chat completion (``chat.completion``) of a verified answer, as JSON."""
    message: dict[str, JsonValue] = {"role": "assistant", "content": answer.text}
    if answer.tool_calls:
        message["tool_calls"] = [_call(call) for call in answer.tool_calls]
    choice = {"index": 0, "message": message, "finish_reason": _finish_reason(answer)}
    head = _head(answer, "chat.completion", model, chat_id)
    return json.dumps({**head, "choices": [choice]}).encode("ascii")


def write_frames(answer: SignedAnswer, *, model: str, chat_id: str) -> tuple[bytes, ...]:
    """The server-sent events (``chat.completion.chunk``) of a verified answer, ``[DONE]`` last.

    One frame holds all the text or all the calls, the next the finish_reason.
    """
    if answer.tool_calls:
        calls = [{"index": index, **_call(call)} for index, call in enumerate(answer.tool_calls)]
        delta: dict[str, JsonValue] = {"role": "assistant", "tool_calls": calls}
    else:
        delta = {"role": "assistant", "content": answer.text}
    head = _head(answer, "chat.completion.chunk", model, chat_id)
    choices = (
        {"index": 0, "delta": delta, "finish_reason": None},
        {"index": 0, "delta": {}, "finish_reason": _finish_reason(answer)},
    )
    frames = (json.dumps({**head, "choices": [choice]}).encode("ascii") for choice in choices)
    return (*(b"data: " + frame + b"\n\n" for frame in frames), _DONE)


def _head(answer: SignedAnswer, kind: str, model: str, chat_id: str) -> dict[str, JsonValue]:
    return {"id": chat_id, "object": kind, "created": answer.fields.timestamp, "model": model}


def _finish_reason(answer: SignedAnswer) -> str:
    return "tool_calls" if answer.tool_calls else "stop"


def _call(call: ToolCall) -> dict[str, JsonValue]:
    function = {"name": call.name or "", "arguments": call.arguments}
    return {"id": call.id or "", "type": call.type or "function", "function": function}
