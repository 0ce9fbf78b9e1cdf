"""Chat messages as OpenGradient's gateway hashes them, and as they are sent to it.

What is sent is what is hashed, but for the parts of a user's message: they are sent whole, while attachments are hashed
by type and file name only. Members that the gateway drops are dropped here too, by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from attrs import field, frozen

from ..errors import FormatError
from .strict_json import JsonValue

__all__ = ["ShapedMessage", "shape_message"]

_CALL_MEMBERS: Final = frozenset({"id", "type", "function"})
_FUNCTION_MEMBERS: Final = frozenset({"name", "arguments"})


@frozen(kw_only=True)
class ShapedMessage:
    """One message: ``wire`` as it is sent, ``canonical`` as it is hashed.

    ``dropped`` names the members that are in neither. ``attachments`` counts the parts whose content is sent and not
    hashed.
    """

    wire: dict[str, JsonValue] = field(repr=False)
    canonical: dict[str, JsonValue] = field(repr=False)
    dropped: tuple[str, ...]
    attachments: int = 0


def shape_message(message: JsonValue, *, what: str) -> ShapedMessage:
    """Shape one message by its role.

    Args:
        message: the message, out of `strict_json.loads`.
        what: which message it is, for the error's sentence.

    Raises:
        FormatError: ``request_message`` (no object), ``request_role``, ``request_content``, ``request_part``,
            ``request_tool_call``, ``request_tool_call_id`` or ``request_name``: the gateway would fail, or hash
            something else than what it was sent.
    """
    if not isinstance(message, dict):
        raise FormatError("request_message", f"{what} is not an object")
    role = message.get("role")
    if not isinstance(role, str) or role not in _SHAPES:
        raise FormatError("request_role", f"{what} has a role that the gateway does not know")
    return _SHAPES[role](message, what)


def _system(message: dict[str, JsonValue], what: str) -> ShapedMessage:
    shaped = {"role": "system", "content": _content(message, what)}
    return _same(message, shaped)


def _tool(message: dict[str, JsonValue], what: str) -> ShapedMessage:
    call_id = message.get("tool_call_id")
    if not isinstance(call_id, str):
        raise FormatError("request_tool_call_id", f"{what} has a tool_call_id that is not a string")
    return _same(message, {"role": "tool", "content": _content(message, what), "tool_call_id": call_id})


def _function(message: dict[str, JsonValue], what: str) -> ShapedMessage:
    name = message.get("name")
    if not isinstance(name, str):
        raise FormatError("request_name", f"{what} has a name that is not a string")
    return _same(message, {"role": "function", "content": _content(message, what), "name": name})


def _user(message: dict[str, JsonValue], what: str) -> ShapedMessage:
    content = _content(message, what)
    parts = [_part(part, what) for part in content] if isinstance(content, list) else []
    return ShapedMessage(
        wire={"role": "user", "content": content},
        canonical={"role": "user", "content": parts if isinstance(content, list) else content},
        dropped=_unused(message, {"role", "content"}),
        attachments=sum(part["type"] != "text" for part in parts),
    )


def _assistant(message: dict[str, JsonValue], what: str) -> ShapedMessage:
    content = message.get("content")
    if content is not None and not isinstance(content, (str, list)):
        raise FormatError("request_content", f"{what} has content that is neither text nor a list of parts")
    shaped: dict[str, JsonValue] = {"role": "assistant", "content": content or ""}
    calls = message.get("tool_calls")
    dropped: list[str] = []
    if calls:
        if not isinstance(calls, list):
            raise FormatError("request_tool_call", f"{what} has tool_calls that are not a list")
        shaped["tool_calls"] = [_tool_call(call, what, dropped) for call in calls]
    unused = _unused(message, {"role", "content", "tool_calls"})
    return ShapedMessage(wire=shaped, canonical=shaped, dropped=(*unused, *dict.fromkeys(dropped)))


_SHAPES: Final[Mapping[str, Callable[[dict[str, JsonValue], str], ShapedMessage]]] = MappingProxyType(
    {
        "system": _system,
        "developer": _system,
        "user": _user,
        "assistant": _assistant,
        "tool": _tool,
        "function": _function,
    }
)


def _same(message: dict[str, JsonValue], shaped: dict[str, JsonValue]) -> ShapedMessage:
    return ShapedMessage(wire=shaped, canonical=shaped, dropped=_unused(message, set(shaped)))


def _unused(members: dict[str, JsonValue], used: set[str] | frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted(set(members) - used))


def _content(message: dict[str, JsonValue], what: str) -> JsonValue:
    content = message.get("content")
    if not isinstance(content, (str, list)):
        raise FormatError("request_content", f"{what} has content that is neither text nor a list of parts")
    return content


def _part(part: JsonValue, what: str) -> dict[str, JsonValue]:
    """One part of a user's content as it is hashed."""
    if not isinstance(part, dict):
        if isinstance(part, list):  # Python's spelling of it, which is hashed, depends on the version of Python
            raise FormatError("request_part", f"{what} has a part that is a list")
        return {"type": "text", "text": str(part)}
    kind = part.get("type")
    if not isinstance(kind, str):
        raise FormatError("request_part", f"{what} has a part whose type is not a string")
    if kind == "text":
        text = part.get("text")
        if text is not None and not isinstance(text, str):
            raise FormatError("request_part", f"{what} has a part whose text is not a string")
        return {"type": "text", "text": text or ""}
    name = _file_name(part, what)
    return {"type": kind, "filename": name} if name else {"type": kind}


def _file_name(part: dict[str, JsonValue], what: str) -> str | None:
    file = part.get("file")
    if file is not None and not isinstance(file, dict):
        raise FormatError("request_part", f"{what} has a part whose file is not an object")
    name = (file or {}).get("filename") or part.get("filename")
    if name and not isinstance(name, str):
        raise FormatError("request_part", f"{what} has a part whose filename is not a string")
    return name or None


def _tool_call(call: JsonValue, what: str, dropped: list[str]) -> dict[str, JsonValue]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(call, dict) or not isinstance(function, dict):
        raise FormatError("request_tool_call", f"{what} has a tool call without a function")
    texts = (call.get("id") or "", call.get("type") or "function", function.get("name"), function.get("arguments"))
    if not all(isinstance(text, str) for text in texts):
        raise FormatError("request_tool_call", f"{what} has a tool call whose members are not strings")
    dropped.extend(f"tool_calls.{name}" for name in _unused(call, _CALL_MEMBERS))
    dropped.extend(f"tool_calls.function.{name}" for name in _unused(function, _FUNCTION_MEMBERS))
    call_id, kind, name, arguments = texts
    return {"id": call_id, "type": kind, "function": {"name": name, "arguments": arguments}}
