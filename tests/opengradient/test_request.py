"""Requests: what is sent, what is hashed, and what is refused before it is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from teeverify.errors import FormatError
from teeverify.formats.opengradient_request import chat_request, completion_request, web_search_request
from teeverify.limits import MAX_JSON_DEPTH

from .vectors import EDGE_BODY, HELLO, VECTORS

USER = {"role": "user", "content": "Hello!"}


def body(*messages: Any, **members: Any) -> dict[str, Any]:
    return {"model": "gpt-4.1", "messages": list(messages) or [USER], **members}


def canonical(*messages: Any, **members: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(chat_request(body(*messages, **members)).canonical)
    return found


def code_of(read: Any, request: Any, **options: Any) -> str:
    with pytest.raises(FormatError) as refused:
        read(request, **options)
    return refused.value.code


def test_the_plain_vector() -> None:
    request = chat_request(HELLO)
    assert request.canonical.decode() == VECTORS["text"]["canonical"]
    assert request.request_hash.hex() == VECTORS["text"]["request_hash"]
    assert request.wire.decode() == VECTORS["plaintext"]
    assert (request.dropped, request.attachments, request.stream) == ((), 0, False)


def test_the_vector_of_everything() -> None:
    """S-15: two parts whose bytes nobody signs are counted."""
    request = chat_request(EDGE_BODY)
    assert request.canonical.decode() == VECTORS["canonical"]["canonical"]
    assert request.request_hash.hex() == VECTORS["canonical"]["hash"]
    assert (request.stream, request.attachments, request.tool_names) == (True, 2, frozenset({"get_weather"}))
    assert request.dropped == (
        "n",
        "top_p",
        "user",
        "messages[0].name",
        "messages[1].name",
        "messages[2].refusal",
        "messages[2].tool_calls.index",
        "messages[3].name",
    )
    sent = json.loads(request.wire)
    assert (sent["stream"], sent["tool_choice"], sent["temperature"]) == (True, "auto", 1.0)
    assert sent["messages"][0]["role"] == "system"
    assert sent["messages"][1]["content"] == json.loads(EDGE_BODY)["messages"][1]["content"]
    assert set(sent) == set(json.loads(request.canonical)) | {"stream", "tool_choice"}


def test_reasoning_effort_only_where_it_is_asked_for() -> None:
    asked = body(reasoning_effort="low")
    assert chat_request(asked, reasoning_effort=True).request_hash.hex() == (
        "e950b0ef85ee4eccb3000e081421d63c6d7072ce908e336f63141399211152c7"
    )
    assert json.loads(chat_request(asked, reasoning_effort=True).wire)["reasoning_effort"] == "low"
    left_out = chat_request(asked)
    assert left_out.request_hash.hex() == VECTORS["text"]["request_hash"]
    assert (b"reasoning" in left_out.wire, left_out.dropped) == (False, ("reasoning_effort",))
    assert code_of(chat_request, body(reasoning_effort=3), reasoning_effort=True) == "request_member"


def test_completions_and_web_search() -> None:
    completion = completion_request({"model": "openai/gpt-4.1", "prompt": "Say hi", "max_tokens": 16, "top_p": 1})
    assert completion.canonical == b'{"max_tokens": 16, "model": "gpt-4.1", "prompt": "Say hi", "temperature": 0.0}'
    assert completion.request_hash.hex() == "bc2d7cd0b4700276ea206a10c5fe17f75654179e7e1f3ade919691dd74d22d3c"
    assert (json.loads(completion.wire), completion.dropped) == (json.loads(completion.canonical), ("top_p",))
    search = web_search_request(b'{"query":"nitro root","num_results":6}')
    assert search.canonical == b'{"num_results": 6, "query": "nitro root"}'
    assert search.request_hash.hex() == "1e6c292cff280c6ec63ef26ffa42e6e130528691fd075696ac2e1a89d376cfdb"
    assert json.loads(search.wire) == {"endpoint": "web_search", "query": "nitro root", "num_results": 6}
    assert web_search_request(search.wire) == search


@pytest.mark.parametrize("prompt", [None, "", 5, ["a"], [], {}])
def test_prompts_and_queries_are_text(prompt: object) -> None:
    assert code_of(completion_request, {"model": "m", "prompt": prompt}) == "request_prompt"
    assert code_of(web_search_request, {"query": prompt}) == "request_query"


@pytest.mark.parametrize("name", ["user", "metadata", "x-request-id", "request_id"])
def test_the_enclave_hashes_a_search_without_these(name: str) -> None:
    assert code_of(web_search_request, {"query": "q", name: "x"}) == "request_member"
    assert code_of(web_search_request, {"query": "q", "endpoint": "chat"}) == "request_member"


@pytest.mark.parametrize(
    ("model", "sent"), [("gpt-4.1", "gpt-4.1"), ("openai/gpt-4.1", "gpt-4.1"), ("a b/c", "c"), ("/m", "m")]
)
def test_the_provider_is_taken_off_the_model(model: str, sent: str) -> None:
    request = chat_request({"model": model, "messages": [USER]})
    assert json.loads(request.canonical)["model"] == json.loads(request.wire)["model"] == sent


@pytest.mark.parametrize("model", [None, "", "/", "openai/", "a/b/c", "a//b", 5, ["m"], True])
def test_models_that_are_no_name(model: object) -> None:
    assert code_of(chat_request, {"model": model, "messages": [USER]}) == "request_model"


@pytest.mark.parametrize(
    ("given", "hashed"), [(0, "0.0"), (None, "0.0"), (1, "1.0"), (0.7, "0.7"), (1e-7, "1e-07"), (1e16, "1e+16")]
)
def test_temperatures(given: object, hashed: str) -> None:
    assert f'"temperature": {hashed}'.encode() in chat_request(body(temperature=given)).canonical
    assert f'"temperature": {hashed}'.encode() in chat_request(body(temperature=given)).wire


def test_what_is_there_by_being_true() -> None:
    assert "max_tokens" not in canonical(max_tokens=None)
    assert canonical(max_tokens=0)["max_tokens"] == 0
    nothing: list[Any] = [None, "", [], 0, False]
    for falsy in nothing:
        assert not {"stop", "web_search"} & set(canonical(stop=falsy, web_search=falsy))
        assert not {"tools", "response_format"} & set(canonical(tools=falsy, response_format=falsy))
    assert not {"tools", "response_format"} & set(canonical(tools={}, response_format={}))
    assert (canonical(stop="a")["stop"], canonical(stop=["a", ""])["stop"]) == ("a", ["a", ""])
    assert canonical(web_search={"x": 1})["web_search"] is True
    tools = [{"type": "function", "x": 1.50, "y": 10**20, "\U0001f600": {"b": None, "a": [1e2]}}]
    assert canonical(tools=tools)["tools"] == tools
    assert canonical(response_format={"type": "text"})["response_format"] == {"type": "text"}


@pytest.mark.parametrize(
    "members",
    [
        {"temperature": True},
        {"temperature": "0.5"},
        {"temperature": [1]},
        {"max_tokens": True},
        {"max_tokens": 1.0},
        {"max_tokens": "5"},
        {"stop": 5},
        {"stop": {"a": 1}},
        {"stop": ["a", 5]},
        {"stop": ["a", None]},
        {"tools": {"type": "function"}},
        {"tools": "get_weather"},
        {"tools": ["get_weather"]},
        {"response_format": "json"},
        {"response_format": [1]},
        {"tool_choice": 5},
        {"stream": 1},
        {"stream": "true"},
    ],
)
def test_members_that_the_gateway_would_read_otherwise(members: dict[str, Any]) -> None:
    assert code_of(chat_request, body(**members)) == "request_member"


@pytest.mark.parametrize("messages", [None, [], {}, "Hello", 5])
def test_no_messages(messages: object) -> None:
    assert code_of(chat_request, {"model": "m", "messages": messages}) == "request_messages"


@pytest.mark.parametrize(
    ("request_body", "code"),
    [
        (b"", "json_syntax"),
        (b"[]", "request_shape"),
        (b'{"model":"m","model":"n","messages":[]}', "json_duplicate_key"),
        (HELLO[:-1] + b',"temperature":NaN}', "json_number"),
        (HELLO[:-1] + b',"temperature":1e999}', "json_number"),
        (HELLO.replace(b"Hello!", b"\\ud800"), "json_surrogate"),
        (body({"role": "user", "content": "\udc00"}), "json_surrogate"),
        (body(temperature=float("nan")), "request_not_json"),
        (body(tools=[{"x": float("inf")}]), "request_not_json"),
        (body(tools=[{"x": b"bytes"}]), "request_not_json"),
        (body(tools=[{("a", "b"): 1}]), "request_not_json"),
        (body(tools=[{"x": {1, 2}}]), "request_not_json"),
        (body(tools=[{1: "a", "1": "b"}]), "json_duplicate_key"),
    ],
)
def test_what_is_not_json_is_not_sent(request_body: Any, code: str) -> None:
    assert code_of(chat_request, request_body) == code


def test_what_goes_round_in_circles_is_not_sent() -> None:
    circle: list[Any] = []
    circle.append(circle)
    deep: Any = 1
    for _ in range(MAX_JSON_DEPTH + 1):
        deep = [deep]
    assert code_of(chat_request, body(tools=[{"x": circle}])) == "request_not_json"
    assert code_of(chat_request, body(tools=[{"x": deep}])) == "json_too_deep"


def test_prompts_are_not_shown() -> None:
    assert "Hello" not in repr(chat_request(HELLO))
