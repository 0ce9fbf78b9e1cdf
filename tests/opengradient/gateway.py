"""What a gateway does with a request, written plainly from the protocol's rules, to hold the library's work against."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["canonical_chat", "plain_dumps"]


def plain_dumps(value: Any) -> str:
    """JSON by hand: sorted keys, ", " and ": ", ASCII with escapes in UTF-16 code units, floats by repr."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return '"' + "".join(map(_escaped, value)) + '"'
    if isinstance(value, list):
        return "[" + ", ".join(map(plain_dumps, value)) + "]"
    return "{" + ", ".join(f"{plain_dumps(key)}: {plain_dumps(value[key])}" for key in sorted(value)) + "}"


_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\f": "\\f", "\b": "\\b"}


def _escaped(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    if " " <= character <= "~":
        return character
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[place]:02x}{units[place + 1]:02x}" for place in range(0, len(units), 2))


def canonical_chat(wire: bytes) -> str:
    """The canonical text of a wire request, for wire requests that a gateway accepts."""
    asked = json.loads(wire)
    found: dict[str, Any] = {
        "model": asked["model"],
        "messages": [_message(message) for message in asked["messages"]],
        "temperature": float(asked.get("temperature") or 0.0),
    }
    if asked.get("max_tokens") is not None:
        found["max_tokens"] = asked["max_tokens"]
    for name in ("stop", "tools", "response_format", "reasoning_effort"):
        if asked.get(name):
            found[name] = asked[name]
    if asked.get("web_search"):
        found["web_search"] = True
    return plain_dumps(found)


def _message(message: dict[str, Any]) -> dict[str, Any]:
    role, content = message["role"], message.get("content")
    if role in ("system", "developer"):
        return {"role": "system", "content": content}
    if role == "user":
        return {"role": "user", "content": [_part(part) for part in content] if isinstance(content, list) else content}
    if role == "tool":
        return {"role": "tool", "content": content, "tool_call_id": message["tool_call_id"]}
    if role == "function":
        return {"role": "function", "content": content, "name": message["name"]}
    found: dict[str, Any] = {"role": "assistant", "content": content or ""}
    if message.get("tool_calls"):
        found["tool_calls"] = [
            {
                "id": call.get("id") or "",
                "type": call.get("type", "function"),
                "function": {name: call["function"][name] for name in ("name", "arguments")},
            }
            for call in message["tool_calls"]
        ]
    return found


def _part(part: Any) -> dict[str, Any]:
    if not isinstance(part, dict):
        return {"type": "text", "text": str(part)}
    if part["type"] == "text":
        return {"type": "text", "text": part.get("text") or ""}
    name = (part.get("file") or {}).get("filename") or part.get("filename")
    return {"type": part["type"], **({"filename": name} if name else {})}
