"""Whole answers: every form that is read, every other one refused, and arbitrary ones."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.attempts import Refused, attempt
from teeverify.crypto.digests import keccak256
from teeverify.errors import FormatError
from teeverify.formats.opengradient_answer import message_hash, read_signed_fields
from teeverify.formats.opengradient_json import gateway_json
from teeverify.formats.opengradient_response import (
    parse_chat_answer,
    parse_completion_answer,
    parse_web_search_answer,
)

from .judging import verifies, with_message
from .vectors import VECTORS, answer_body, signed_fields


def code_of(body: bytes, **options: Any) -> str:
    with pytest.raises(FormatError) as refused:
        parse_chat_answer(body, **options)
    return refused.value.code


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"tee_output_hash": "00" * 31}, "wrong_length"),
        ({"tee_output_hash": "0x" + "00" * 31}, "wrong_length"),
        ({"tee_request_hash": "zz" * 32}, "not_hex"),
        ({"tee_request_hash": 5}, "not_hex"),
        ({"tee_id": "0x0x" + "00" * 31}, "not_hex"),
        ({"tee_id": ["00" * 32]}, "not_hex"),
        ({"tee_signature": "!!" + VECTORS["text"]["sig"][2:]}, "not_base64"),
        ({"tee_signature": VECTORS["text"]["sig"][:76] + "\n" + VECTORS["text"]["sig"][76:]}, "not_base64"),
        ({"tee_signature": VECTORS["text"]["sig"].rstrip("=")}, "not_base64"),
        ({"tee_signature": VECTORS["text"]["sig"].replace("g==", "h==")}, "not_base64"),
        ({"tee_signature": "A" * 2000}, "wrong_length"),
        ({"tee_signature": {"value": "AAAA"}}, "not_base64"),
    ],
)
def test_fields_of_another_form(changed: dict[str, Any], code: str) -> None:
    """S-12."""
    assert code_of(answer_body("text", **changed)) == code


def test_hashes_with_prefix_and_capitals_are_the_same() -> None:
    spelled = {name: f"0x{value.upper()}" for name, value in signed_fields("text").items() if name.endswith("hash")}
    fields = read_signed_fields({**signed_fields("text"), **spelled, "tee_id": VECTORS["tee_id"][2:]})
    assert fields == read_signed_fields(signed_fields("text"))


def test_content_in_parts() -> None:
    parts = [{"type": "text", "text": "Hi there! "}, "\u2713 ", {"text": "\u4f60\u597d", "annotations": []}]
    assert verifies(parse_chat_answer(with_message("text", content=parts)))
    for content in ([5], [None], [{"type": "image"}], [{"text": 5}], 5, True, {"text": "x"}):
        assert code_of(with_message("text", content=content)) == "answer_content"


@pytest.mark.parametrize("message", [{}, {"content": None}, {"content": ""}, {"content": [], "images": ["x"]}])
def test_no_text_is_the_hash_of_nothing(message: dict[str, Any]) -> None:
    answer = parse_chat_answer(with_message("text", **message))
    assert (answer.text, answer.output_hash) == ("", keccak256(b""))


def test_tool_calls_beside_signed_text_are_refused() -> None:
    calls = VECTORS["tool_calls"]["tool_calls"]
    for finish in ("stop", None, "TOOL_CALLS"):
        assert code_of(with_message("text", finish, content=VECTORS["text"]["text"], tool_calls=calls)) == (
            "answer_unsigned_calls"
        )
    empty = parse_chat_answer(with_message("text", "tool_calls", content=VECTORS["text"]["text"], tool_calls=[]))
    assert (empty.kind, verifies(empty)) == ("text", True)


@pytest.mark.parametrize(
    "calls",
    [
        "f",
        {"function": {}},
        ["f"],
        [{}],
        [{"function": None}],
        [{"function": {"name": "f"}}],
        [{"function": {"name": "f", "arguments": {}}}],
        [{"function": {"name": 5, "arguments": ""}}],
        [{"id": 5, "function": {"name": "f", "arguments": ""}}],
        [{"type": ["function"], "function": {"name": "f", "arguments": ""}}],
        [{"function": {"name": "f", "arguments": ""}}] * 257,
    ],
)
def test_tool_calls_of_another_form(calls: object) -> None:
    assert code_of(with_message("tool_calls", "tool_calls", tool_calls=calls)) == "answer_tool_calls"


def test_a_null_id_is_signed_as_it_is() -> None:
    calls = [{"id": None, "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    answer = parse_chat_answer(with_message("tool_calls", "tool_calls", tool_calls=calls))
    assert answer.output_hash.hex() == "a57c8e59c2bf36c865fb84609302302f9e57ca4e2c17c9eaeea6634f2d2a91c4"
    assert answer.tool_calls[0].id is None


@pytest.mark.parametrize(
    "choices", [None, [], {}, "x", [1], [{}, {}], [{"index": 1}], [{"index": False}], [{"index": "0"}]]
)
def test_one_choice_is_signed(choices: object) -> None:
    assert code_of(answer_body("text", choices=choices)) == "answer_choices"


def test_an_envelope_changes_nothing() -> None:
    """An envelope of the enclave is opened, and every rule holds for what is in it."""
    inner = json.loads(answer_body("text"))
    assert verifies(parse_chat_answer(json.dumps({"status": 200, "body": inner}).encode()))
    cases: list[tuple[Any, str]] = [
        ({"status": 400, "body": inner}, "answer_error"),
        ({"status": 302, "body": inner}, "answer_error"),
        ({"status": 100, "body": inner}, "answer_error"),
        ({"status": "200", "body": inner}, "answer_shape"),
        ({"status": True, "body": inner}, "answer_shape"),
        ({"status": 200, "body": None}, "answer_shape"),
        ({"status": 200, "body": inner, **inner}, "answer_shape"),
        ({"status": 200, "body": {"error": "no", **inner}}, "answer_error"),
        ({"status": 200, "body": {"status": 200, "body": inner}}, "answer_choices"),
        ({"error": "no", **inner}, "answer_error"),
        ({"status": 200, "body": {name: inner[name] for name in ("choices", "model")}}, "answer_unsigned"),
        ([], "answer_shape"),
    ]
    for document, code in cases:
        assert code_of(json.dumps(document).encode()) == code


def test_completions_and_searches() -> None:
    text = VECTORS["text"]["text"]
    completion = answer_body("text", choices=[{"text": text, "index": 0, "logprobs": 1, "finish_reason": "length"}])
    answer = parse_completion_answer(completion)
    assert (verifies(answer), answer.text, answer.unsigned.message) == (True, text, {"logprobs": 1})
    search = parse_web_search_answer(answer_body("text", choices=None, content=text, results=[1]))
    assert (verifies(search), search.text, search.unsigned.members["results"]) == (True, text, [1])
    for body in (answer_body("text", choices=[{"text": ["x"]}]), answer_body("text", choices=[{"text": 5}])):
        assert attempt(lambda body=body: parse_completion_answer(body)) == Refused("answer_shape")  # type: ignore[misc]
    assert attempt(lambda: parse_web_search_answer(answer_body("text", content=["x"]))) == Refused("answer_shape")
    assert attempt(lambda: parse_web_search_answer(b'{"content":"x"}')) == Refused("answer_unsigned")


@pytest.mark.parametrize("hashes", [(b"", bytes(64)), (bytes(33), bytes(31)), (bytes(31), bytes(33))])
def test_a_message_is_made_of_whole_hashes(hashes: tuple[bytes, bytes]) -> None:
    assert attempt(lambda: message_hash(*hashes, 5)) == Refused("wrong_length")
    assert attempt(lambda: message_hash(bytes(32), bytes(32), -1)) == Refused("wrong_length")


def test_nothing_of_an_answer_is_shown() -> None:
    shown = repr(parse_chat_answer(answer_body("text"))) + repr(parse_chat_answer(answer_body("tool_calls")))
    assert "there" not in shown
    assert "city" not in shown


texts = st.text(st.characters(codec="utf-8"), max_size=10)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


@given(
    st.sampled_from(["choices", "message", "tool_calls", "content", "finish_reason", *signed_fields("text")]),
    json_values,
)
def test_arbitrary_members(name: str, value: Any) -> None:
    document = json.loads(answer_body("tool_calls"))
    choice = document["choices"][0]
    holder = (
        choice["message"]
        if name in ("tool_calls", "content")
        else choice
        if name in ("message", "finish_reason")
        else document
    )
    same = gateway_json(holder.get(name)) == gateway_json(value)
    holder[name] = value
    result = attempt(lambda: parse_chat_answer(json.dumps(document).encode()))
    unsigned = name in ("content", "tee_request_hash", "tee_output_hash", "tee_id") or (
        name == "finish_reason" and same
    )
    assert isinstance(result, Refused) or same or unsigned or not verifies(result)


@given(st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode()))
def test_arbitrary_answers(body: bytes) -> None:
    for parse in (parse_chat_answer, parse_completion_answer, parse_web_search_answer):
        assert isinstance(attempt(lambda parse=parse: parse(body)), Refused)  # type: ignore[misc]
