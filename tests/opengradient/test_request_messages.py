"""Messages of each role: as they are sent, as they are hashed, and when they are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from teeverify.errors import FormatError
from teeverify.formats.opengradient_request import chat_request

USER = {"role": "user", "content": "Hello!"}


def body(*messages: Any) -> dict[str, Any]:
    return {"model": "gpt-4.1", "messages": list(messages)}


def canonical(*messages: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(chat_request(body(*messages)).canonical)
    return found


def wire(*messages: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(chat_request(body(*messages)).wire)
    return found


def test_messages_of_each_role() -> None:
    calls = [
        {"function": {"name": "f", "arguments": "{}", "x": 1}, "index": 2},
        {"id": None, "type": None, "function": {"name": "g", "arguments": ""}},
    ]
    shaped = [
        {"id": "", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        {"id": "", "type": "function", "function": {"name": "g", "arguments": ""}},
    ]
    cases: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"role": "developer", "content": "c", "name": "n"}, {"role": "system", "content": "c"}),
        (
            {"role": "system", "content": [{"type": "text", "text": "c", "x": 1}]},
            {"role": "system", "content": [{"type": "text", "text": "c", "x": 1}]},
        ),
        ({"role": "user", "content": "", "name": "n"}, {"role": "user", "content": ""}),
        ({"role": "assistant"}, {"role": "assistant", "content": ""}),
        ({"role": "assistant", "content": None, "tool_calls": []}, {"role": "assistant", "content": ""}),
        (
            {"role": "assistant", "content": "c", "tool_calls": calls},
            {"role": "assistant", "content": "c", "tool_calls": shaped},
        ),
        (
            {"role": "tool", "content": "c", "tool_call_id": "", "name": "n"},
            {"role": "tool", "content": "c", "tool_call_id": ""},
        ),
        ({"role": "function", "content": "c", "name": "n", "x": 1}, {"role": "function", "content": "c", "name": "n"}),
    ]
    for message, expected in cases:
        assert canonical(message)["messages"] == wire(message)["messages"] == [expected]


def test_parts_of_a_user() -> None:
    parts = [
        "bare",
        5,
        None,
        True,
        1.5,
        {"type": "text"},
        {"type": "text", "text": "t", "cache": 1},
        {"type": "image_url", "image_url": {"url": "data:,x"}, "filename": ""},
        {"type": "file", "file": {"filename": "a", "file_data": "x"}, "filename": "b"},
        {"type": "file", "file": {"file_data": "x"}, "filename": "b"},
        {"type": "input_audio", "file": None},
    ]
    message = {"role": "user", "content": parts}
    assert wire(message)["messages"] == [message]
    assert canonical(message)["messages"][0]["content"] == [
        *({"type": "text", "text": text} for text in ("bare", "5", "None", "True", "1.5", "", "t")),
        {"type": "image_url"},
        {"type": "file", "filename": "a"},
        {"type": "file", "filename": "b"},
        {"type": "input_audio"},
    ]
    assert chat_request(body(message)).attachments == 4


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("Hello", "request_message"),
        (None, "request_message"),
        ({"content": "c"}, "request_role"),
        ({"role": "critic", "content": "c"}, "request_role"),
        ({"role": "User", "content": "c"}, "request_role"),
        ({"role": ["user"], "content": "c"}, "request_role"),
        *(
            ({"role": role, "content": None, "tool_call_id": "i", "name": "n"}, "request_content")
            for role in ("user", "system", "developer", "tool", "function")
        ),
        *(({"role": role, "content": 5}, "request_content") for role in ("user", "system", "assistant")),
        ({"role": "user", "content": {"type": "text", "text": "c"}}, "request_content"),
        ({"role": "user", "content": [["c"]]}, "request_part"),
        ({"role": "user", "content": [{"text": "c"}]}, "request_part"),
        ({"role": "user", "content": [{"type": None}]}, "request_part"),
        ({"role": "user", "content": [{"type": "text", "text": 5}]}, "request_part"),
        ({"role": "user", "content": [{"type": "file", "file": "a"}]}, "request_part"),
        ({"role": "user", "content": [{"type": "file", "filename": 5}]}, "request_part"),
        ({"role": "tool", "content": "c"}, "request_tool_call_id"),
        ({"role": "tool", "content": "c", "tool_call_id": 5}, "request_tool_call_id"),
        ({"role": "tool", "content": "c", "tool_call_id": None}, "request_tool_call_id"),
        ({"role": "function", "content": "c"}, "request_name"),
        ({"role": "assistant", "tool_calls": {"a": 1}}, "request_tool_call"),
        ({"role": "assistant", "tool_calls": ["f"]}, "request_tool_call"),
        ({"role": "assistant", "tool_calls": [{"id": "i"}]}, "request_tool_call"),
        (
            {"role": "assistant", "tool_calls": [{"id": 5, "function": {"name": "f", "arguments": ""}}]},
            "request_tool_call",
        ),
        ({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}, "request_tool_call"),
        ({"role": "assistant", "tool_calls": [{"function": {"arguments": ""}}]}, "request_tool_call"),
    ],
)
def test_refused_messages(message: object, code: str) -> None:
    with pytest.raises(FormatError) as refused:
        chat_request(body(USER, message))
    assert refused.value.code == code
