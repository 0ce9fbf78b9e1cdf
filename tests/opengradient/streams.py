"""Streams made frame by frame, as a gateway sends them."""

from __future__ import annotations

import json
from typing import Any, Final

from .vectors import VECTORS, signed_fields

__all__ = ["CALLS", "DONE", "FRAGMENTS", "HI", "WHOLE", "delta", "fragment", "frame", "signed", "text", "tools"]

DONE: Final = "data: [DONE]\n\n"
HI: Final = ("Hi there! ", "\u2713 \u4f60\u597d")
CALLS: Final = VECTORS["tool_calls"]["tool_calls"]


def frame(document: Any) -> str:
    return f"data: {json.dumps(document)}\n\n"


def delta(finish: str | None = None, **members: Any) -> dict[str, Any]:
    return {"choices": [{"delta": members, "index": 0, "finish_reason": finish}], "model": "gpt-4.1"}


def text(content: Any) -> str:
    return frame(delta(content=content, role="assistant"))


def tools(*calls: Any) -> str:
    return frame(delta(tool_calls=list(calls)))


def signed(case: str = "text", finish: str | None = None, **changed: Any) -> str:
    finish = finish or ("stop" if case == "text" else "tool_calls")
    document = {**delta(finish), "usage": {"total_tokens": 3}, **signed_fields(case), **changed}
    return frame({name: value for name, value in document.items() if value is not None})


def fragment(index: Any, **members: Any) -> dict[str, Any]:
    function = {name: members.pop(name) for name in ("name", "arguments") if name in members}
    return {"index": index, "function": function, **members}


WHOLE: Final = "".join((*map(text, HI), signed(), DONE))
FRAGMENTS: Final = (
    fragment(0, id="call_1", type="function", name="get_weather", arguments=""),
    fragment(1, id="call_2", name="now"),
    fragment(0, arguments='{"city": "Z'),
    fragment(1, arguments="{}"),
    fragment(0, id="", name=None, arguments='\\u00fcrich"}'),
)
