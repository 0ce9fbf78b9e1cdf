"""What OpenGradient's gateway does with a request: the JSON that it hashes, and answers that it signs.

Written from the protocol's rules, and not with the library's own code for them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from Crypto.Hash import keccak

from .rsa import RsaTestKey

__all__ = ["ANSWER", "CALLS", "canonical_request", "keccak_256", "signed_body", "signed_fields", "signed_frames"]

ANSWER: Final = "This is a simulated answer. No model was asked, and no hardware vouches for it: café."
CALLS: Final = (
    {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Z\\u00fcrich"}'}},
)
"""Tool calls to answer with; the request has to offer ``get_weather``."""


def keccak_256(data: bytes) -> bytes:
    """Keccak-256 with Ethereum's padding."""
    return keccak.new(digest_bits=256, data=data).digest()


def canonical_request(wire: bytes) -> bytes:
    """The JSON whose hash is signed, of a request that the gateway accepts."""
    asked = json.loads(wire)
    hashed: dict[str, Any] = {
        "model": asked["model"],
        "messages": [_message(message) for message in asked["messages"]],
        "temperature": float(asked.get("temperature") or 0.0),
    }
    if asked.get("max_tokens") is not None:
        hashed["max_tokens"] = asked["max_tokens"]
    hashed |= {name: asked[name] for name in ("stop", "tools", "response_format") if asked.get(name)}
    if asked.get("web_search"):
        hashed["web_search"] = True
    return json.dumps(hashed, sort_keys=True).encode()


def signed_fields(wire: bytes, output: str, key: RsaTestKey, at: int, **changes: Any) -> dict[str, Any]:
    """The five members that sign ``output`` as the answer to ``wire`` at a time in Unix seconds."""
    request, answer = keccak_256(canonical_request(wire)), keccak_256(output.encode())
    message = keccak_256(request + answer + at.to_bytes(32, "big"))
    fields = {
        "tee_signature": base64.b64encode(key.sign(message)).decode(),
        "tee_request_hash": request.hex(),
        "tee_output_hash": answer.hex(),
        "tee_timestamp": at,
        "tee_id": f"0x{keccak_256(key.spki).hex()}",
    }
    return {**fields, **changes}


def signed_body(
    wire: bytes,
    key: RsaTestKey,
    at: int,
    *,
    text: str = ANSWER,
    calls: Sequence[Mapping[str, Any]] = (),
    chat_id: str | None = None,
    **changes: Any,
) -> bytes:
    """A whole answer: ``text``, or ``calls`` where there are any; ``changes`` are members added or replaced."""
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if calls:
        message = {"role": "assistant", "content": None, "tool_calls": [dict(call) for call in calls]}
    fields = signed_fields(wire, _output(text, calls), key, at)
    document = {
        "id": chat_id or f"chatcmpl-{keccak_256(fields['tee_signature'].encode()).hex()[:24]}",
        "object": "chat.completion",
        "created": at,
        "model": json.loads(wire)["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 21, "total_tokens": 28},
        **fields,
        **changes,
    }
    return json.dumps(document).encode()


def signed_frames(
    wire: bytes,
    key: RsaTestKey,
    at: int,
    *,
    text: str = ANSWER,
    calls: Sequence[Mapping[str, Any]] = (),
    pieces: int = 3,
    **changes: Any,
) -> list[bytes]:
    """The server-sent events of a stream, ``[DONE]`` last; ``changes`` are members of the signed one."""
    model = json.loads(wire)["model"]

    def frame(delta: Mapping[str, Any], finish: str | None = None, **members: Any) -> bytes:
        choices = [{"delta": delta, "index": 0, "finish_reason": finish}]
        return b"data: " + json.dumps({"choices": choices, "model": model, **members}).encode() + b"\n\n"

    size = -(-len(text) // pieces)
    deltas: list[dict[str, Any]] = [
        {"content": text[place : place + size], "role": "assistant"} for place in range(0, len(text), size or 1)
    ]
    if calls:
        deltas = [{"tool_calls": [{"index": index, **call}]} for index, call in enumerate(calls)]
    last = {"usage": {"total_tokens": 28}, **signed_fields(wire, _output(text, calls), key, at), **changes}
    finish = "tool_calls" if calls else "stop"
    return [*(frame(delta) for delta in deltas), frame({}, finish, **last), b"data: [DONE]\n\n"]


def _output(text: str, calls: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps([dict(call) for call in calls], sort_keys=True) if calls else text


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    role, content = message["role"], message.get("content")
    if role == "user" and isinstance(content, list):
        content = [_part(part) for part in content]
    hashed: dict[str, Any] = {"role": "system" if role == "developer" else role, "content": content}
    if role == "assistant":
        hashed["content"] = content or ""
        if message.get("tool_calls"):
            hashed["tool_calls"] = [_call(call) for call in message["tool_calls"]]
    hashed |= {name: message[name] for name in _NAMED.get(role, ())}
    return hashed


_NAMED: Final[Mapping[str, tuple[str, ...]]] = {"tool": ("tool_call_id",), "function": ("name",)}


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = {name: call["function"][name] for name in ("name", "arguments")}
    return {"id": call.get("id") or "", "type": call.get("type") or "function", "function": function}


def _part(part: Any) -> dict[str, Any]:
    if not isinstance(part, dict):
        return {"type": "text", "text": str(part)}
    if part["type"] == "text":
        return {"type": "text", "text": part.get("text") or ""}
    name = (part.get("file") or {}).get("filename") or part.get("filename")
    return {"type": part["type"], **({"filename": name} if name else {})}
