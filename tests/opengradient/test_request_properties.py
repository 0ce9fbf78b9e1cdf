"""Any request: the gateway's rules, written plainly elsewhere, give the same canonical text."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from formats.attempts import Refused, attempt
from teeverify.formats.opengradient_request import chat_request, completion_request, web_search_request

from .gateway import canonical_chat, plain_dumps
from .vectors import EDGE_BODY, HELLO

texts = st.text(st.characters(codec="utf-8"), max_size=12)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(texts, values, max_size=3)
calls = st.fixed_dictionaries(
    {"function": st.fixed_dictionaries({"name": texts, "arguments": texts})},
    optional={"id": texts | st.none(), "type": st.sampled_from(["function", "custom"]), "index": st.integers(0, 9)},
)
parts = (
    texts
    | st.integers()
    | st.fixed_dictionaries({"type": st.just("text")}, optional={"text": texts | st.none(), "x": values})
    | st.fixed_dictionaries(
        {"type": st.sampled_from(["file", "image_url"])},
        optional={"file": st.fixed_dictionaries({}, optional={"filename": texts}), "filename": texts | st.none()},
    )
)
messages = st.one_of(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "developer"]), "content": texts | st.lists(objects)}),
    st.fixed_dictionaries({"role": st.just("user"), "content": texts | st.lists(parts, max_size=4)}),
    st.fixed_dictionaries(
        {"role": st.just("assistant")},
        optional={"content": texts | st.none(), "tool_calls": st.none() | st.lists(calls, max_size=2), "audio": values},
    ),
    st.fixed_dictionaries({"role": st.just("tool"), "content": texts, "tool_call_id": texts}, optional={"name": texts}),
    st.fixed_dictionaries({"role": st.just("function"), "content": texts, "name": texts}),
)
requests = st.fixed_dictionaries(
    {"model": st.sampled_from(["gpt-4.1", "x/gpt-4.1"]), "messages": st.lists(messages, min_size=1, max_size=4)},
    optional={
        "temperature": st.none() | st.integers(0, 2) | st.floats(0, 2),
        "max_tokens": st.none() | st.integers(0, 10**6),
        "stop": st.none() | texts | st.lists(texts, max_size=2),
        "tools": st.none() | st.lists(objects, max_size=2),
        "response_format": st.none() | objects,
        "web_search": values,
        "reasoning_effort": st.sampled_from(["", "low"]),
        "tool_choice": st.none() | texts | objects,
        "stream": st.none() | st.booleans(),
        "seed": values,
    },
)


@settings(max_examples=200)
@given(requests, st.booleans())
def test_the_gateway_hashes_what_is_hashed_here(asked: dict[str, Any], effort: bool) -> None:
    request = chat_request(asked, reasoning_effort=effort)
    assert canonical_chat(request.wire) == request.canonical.decode()
    again = chat_request(request.wire, reasoning_effort=True)
    assert (again.wire, again.canonical, again.dropped) == (request.wire, request.canonical, ())
    assert chat_request(json.dumps(asked, indent=3, ensure_ascii=False).encode(), reasoning_effort=effort) == request
    assert plain_dumps(json.loads(request.canonical)) == request.canonical.decode()


@given(st.dictionaries(texts | st.sampled_from(["query", "num_results"]), values, max_size=4), texts.filter(bool))
def test_a_search_is_hashed_whole(members: dict[str, Any], query: str) -> None:
    members = {**members, "query": query}
    members.pop("endpoint", None)
    assert web_search_request(members).canonical.decode() == plain_dumps(members)


@given(
    st.binary(max_size=60)
    | values.map(lambda value: json.dumps(value).encode())
    | objects.map(lambda members: json.dumps({**json.loads(EDGE_BODY), **members}).encode())
)
def test_arbitrary_requests(request_body: bytes) -> None:
    for read in (chat_request, completion_request, web_search_request):
        attempt(lambda read=read: read(request_body))  # type: ignore[misc]


@given(st.sampled_from(["model", "messages", "temperature", "stop", "tools", "response_format", "tool_choice"]), values)
def test_arbitrary_members(name: str, value: Any) -> None:
    result = attempt(lambda: chat_request({**json.loads(HELLO), name: value}))
    assert isinstance(result, Refused) or canonical_chat(result.wire) == result.canonical.decode()
