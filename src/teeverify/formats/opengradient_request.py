"""Requests to OpenGradient's gateway: the JSON that is sent, and the JSON whose hash the gateway signs.

The two differ. What is hashed is a subset in a spelling of its own, so nothing else that could change the answer may be
sent: `chat_request` takes only what the gateway hashes, ``tool_choice`` and ``stream``, and names what it left out.
Reading one's own wire bytes again gives the same request, so a recorded one is judged by the same code.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final

from attrs import field, frozen

from ..crypto.digests import keccak256
from ..errors import FormatError
from ..limits import MAX_CHAT_BODY
from .opengradient_json import gateway_json
from .opengradient_messages import shape_message
from .strict_json import JsonValue, loads

__all__ = ["GatewayRequest", "chat_request", "completion_request", "web_search_request"]

_REASONING: Final = "reasoning_effort"
_ENDPOINT: Final = "endpoint"
_WEB_SEARCH: Final = "web_search"
_REMOVED_INSIDE: Final = ("user", "metadata", "x-request-id", "request_id")
"""Members that the enclave takes out of every request before it hashes it."""


@frozen(kw_only=True)
class GatewayRequest:
    """One request.

    ``wire`` is the UTF-8 JSON that is encrypted and sent, ``canonical`` the ASCII JSON that is hashed. ``dropped``
    names the members of the caller's request that are in neither; where they are in bytes that were sent, the gateway
    may have followed them unsigned. ``attachments`` counts the parts whose bytes are sent and not hashed,
    ``tool_names`` are the functions on offer, ``stream`` says that the answer is to come as a stream.
    """

    wire: bytes = field(repr=lambda wire: f"<{len(wire)} bytes>")
    canonical: bytes = field(repr=lambda canonical: f"<{len(canonical)} bytes>")
    stream: bool = False
    dropped: tuple[str, ...] = ()
    attachments: int = 0
    tool_names: frozenset[str] = frozenset()

    @property
    def request_hash(self) -> bytes:
        """Keccak-256 (32 bytes) of the canonical bytes: what the gateway signs."""
        return keccak256(self.canonical)


def chat_request(body: bytes | Mapping[str, object], *, reasoning_effort: bool = False) -> GatewayRequest:
    """A chat completion in the form of OpenAI's API, shaped for the gateway.

    Args:
        body: the request, as JSON or as a mapping that json can spell.
        reasoning_effort: send the member of that name; only newer gateways hash it, so it is dropped otherwise.

    Raises:
        FormatError: ``request_shape``, ``request_model``, ``request_messages``, ``request_member`` (a member of a type
            that the gateway would reject or hash differently), ``request_not_json``, the codes of `shape_message`, and
            those of `strict_json.loads`.
    """
    members = _read(body)
    messages = members.get("messages")
    if not isinstance(messages, list) or not messages:
        raise FormatError("request_messages", "the request holds no list of messages, or an empty one")
    shaped = [shape_message(one, what=f"messages[{index}]") for index, one in enumerate(messages)]
    canonical: dict[str, JsonValue] = {"model": _model(members), "messages": [one.canonical for one in shaped]}
    names = ("max_tokens", "stop", "tools", "response_format", "web_search")
    canonical |= _committed(members, (*names, _REASONING) if reasoning_effort else names)
    stream = _flag(members, "stream")
    wire = {**canonical, "messages": [one.wire for one in shaped]}
    if members.get("tool_choice") is not None:
        wire["tool_choice"] = _typed(members["tool_choice"], "tool_choice", (str, dict))
    if stream:
        wire["stream"] = True
    lost = (f"messages[{index}].{name}" for index, one in enumerate(shaped) for name in one.dropped)
    return GatewayRequest(
        wire=_spelled(wire),
        canonical=gateway_json(canonical).encode("ascii"),
        stream=stream,
        dropped=(*_unused(members, {*canonical, *names, "tool_choice", "stream"}), *lost),
        attachments=sum(one.attachments for one in shaped),
        tool_names=_tool_names(canonical.get("tools", [])),
    )


def completion_request(body: bytes | Mapping[str, object]) -> GatewayRequest:
    """A request to ``/v1/completions``: model, one prompt, temperature, max_tokens, stop and web_search.

    Raises:
        FormatError: as `chat_request`, and ``request_prompt``.
    """
    members = _read(body)
    prompt = members.get("prompt")
    if not isinstance(prompt, str) or not prompt:
        raise FormatError("request_prompt", "the request holds no prompt, or one that is not text")
    names = ("max_tokens", "stop", "web_search")
    canonical = {"model": _model(members), "prompt": prompt, **_committed(members, names)}
    return GatewayRequest(
        wire=_spelled(canonical),
        canonical=gateway_json(canonical).encode("ascii"),
        dropped=_unused(members, {*canonical, *names}),
    )


def web_search_request(body: bytes | Mapping[str, object]) -> GatewayRequest:
    """A web search: every member is hashed, but for ``endpoint``, by which the enclave tells it from a chat.

    Raises:
        FormatError: ``request_query``, ``request_member`` (one that the enclave takes out before it hashes, or another
            endpoint), ``request_shape``, ``request_not_json``, and the codes of `strict_json.loads`.
    """
    members = _read(body)
    if members.pop(_ENDPOINT, _WEB_SEARCH) != _WEB_SEARCH:
        raise FormatError("request_member", "the request is for another endpoint than web_search")
    if not isinstance(members.get("query"), str) or not members["query"]:
        raise FormatError("request_query", "the request holds no query, or one that is not text")
    taken = [name for name in _REMOVED_INSIDE if name in members]
    if taken:
        raise FormatError("request_member", f"the enclave takes {taken[0]} out of the request: leave it out")
    return GatewayRequest(
        wire=_spelled({_ENDPOINT: _WEB_SEARCH, **members}), canonical=gateway_json(members).encode("ascii")
    )


def _read(body: bytes | Mapping[str, object]) -> dict[str, JsonValue]:
    """The members as the gateway will read them, whatever they were spelled or built like."""
    if not isinstance(body, bytes):
        try:
            body = json.dumps(dict(body), allow_nan=False).encode("ascii")
        except (TypeError, ValueError, RecursionError):
            raise FormatError("request_not_json", "the request holds a value that JSON does not have") from None
    members = loads(body, what="the request", limit=MAX_CHAT_BODY)
    if not isinstance(members, dict):
        raise FormatError("request_shape", "the request is not a JSON object")
    return members


def _spelled(wire: JsonValue) -> bytes:
    return json.dumps(wire, allow_nan=False).encode("ascii")


def _model(members: dict[str, JsonValue]) -> str:
    """The gateway's own name of the model, without the provider before it."""
    model = members.get("model")
    name = model.partition("/")[2] if isinstance(model, str) and "/" in model else model
    if not isinstance(name, str) or not name or "/" in name:
        raise FormatError("request_model", "the model is not a name, or a provider, a slash and a name")
    return name


def _committed(members: dict[str, JsonValue], names: tuple[str, ...]) -> dict[str, JsonValue]:
    """The temperature, and of the other members those that the gateway hashes because they are there."""
    found = {name: _READERS[name](members.get(name)) for name in names}
    present = {name: value for name, value in found.items() if value is not None}
    return {"temperature": _temperature(members.get("temperature")), **present}


def _temperature(value: JsonValue) -> float:
    return 0.0 if value is None else float(_typed(value, "temperature", (int, float)))


def _max_tokens(value: JsonValue) -> int | None:
    return None if value is None else int(_typed(value, "max_tokens", (int,)))


def _stop(value: JsonValue) -> JsonValue:
    texts = value if isinstance(value, list) else [value or ""]
    if not all(isinstance(text, str) for text in texts):
        raise FormatError("request_member", "stop is neither a text nor a list of texts")
    return value or None


def _tools(value: JsonValue) -> JsonValue:
    if not value:
        return None
    if not isinstance(value, list) or not all(isinstance(tool, dict) for tool in value):
        raise FormatError("request_member", "tools is not a list of objects")
    return value


def _response_format(value: JsonValue) -> JsonValue:
    return _typed(value, "response_format", (dict,)) if value else None


def _web_search(value: JsonValue) -> bool | None:
    return True if value else None


def _reasoning_effort(value: JsonValue) -> JsonValue:
    return _typed(value, _REASONING, (str,)) if value else None


_READERS: Final[Mapping[str, Callable[[JsonValue], JsonValue]]] = {
    "max_tokens": _max_tokens,
    "stop": _stop,
    "tools": _tools,
    "response_format": _response_format,
    "web_search": _web_search,
    "reasoning_effort": _reasoning_effort,
}
"""Each gives the value as it is sent and hashed, or None where the gateway takes it for absent."""


def _typed(value: JsonValue, name: str, kinds: tuple[type, ...]) -> JsonValue:
    if type(value) not in kinds:  # not isinstance: true would pass for a number
        words = " or ".join(kind.__name__ for kind in kinds)
        raise FormatError("request_member", f"{name} is of type {type(value).__name__}, {words} was expected")
    return value


def _flag(members: dict[str, JsonValue], name: str) -> bool:
    value = members.get(name)
    return False if value is None else bool(_typed(value, name, (bool,)))


def _unused(members: dict[str, JsonValue], used: set[str]) -> tuple[str, ...]:
    return tuple(sorted(set(members) - used))


def _tool_names(tools: JsonValue) -> frozenset[str]:
    functions = [tool.get("function") for tool in tools]
    names = [function.get("name") for function in functions if isinstance(function, dict)]
    return frozenset(name for name in names if isinstance(name, str))
