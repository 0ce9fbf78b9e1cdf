"""Whole answers: the vectors verify, and whatever is missing, changed or presented as something else does not."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from teeverify.crypto.digests import keccak256
from teeverify.errors import FormatError
from teeverify.formats.opengradient_request import chat_request
from teeverify.formats.opengradient_response import (
    parse_chat_answer,
)

from .judging import REQUEST, verifies, with_message
from .vectors import HELLO, SIGNING_KEY, VECTORS, answer_body, signed_fields


def code_of(body: bytes, **options: Any) -> str:
    with pytest.raises(FormatError) as refused:
        parse_chat_answer(body, **options)
    return refused.value.code


def test_the_text_vector() -> None:
    vector = VECTORS["text"]
    answer = parse_chat_answer(answer_body("text"))
    assert (answer.kind, answer.text, answer.tool_calls) == ("text", vector["text"], ())
    assert answer.signed_output.encode().hex() == vector["text_utf8"]
    assert answer.output_hash.hex() == vector["output_hash"]
    assert answer.message_hash(REQUEST.request_hash).hex() == vector["msg_hash"]
    assert answer.fields.tee_id == keccak256(SIGNING_KEY)
    assert verifies(answer)


def test_the_tool_call_vector() -> None:
    vector = VECTORS["tool_calls"]
    answer = parse_chat_answer(answer_body("tool_calls"))
    assert (answer.kind, answer.text, answer.signed_output) == ("tool_calls", None, vector["signed_output"])
    assert [(call.id, call.type, call.name) for call in answer.tool_calls] == [
        ("call_1", "function", "get_weather"),
        ("call_2", "function", "now"),
    ]
    assert json.loads(answer.tool_calls[0].arguments) == {"city": "Z\u00fcrich"}
    assert answer.message_hash(REQUEST.request_hash).hex() == vector["msg_hash"]
    assert verifies(answer)


def test_unsigned_members_are_kept_apart() -> None:
    """S-10: they may say anything, so they are not where the output is."""
    answer = parse_chat_answer(answer_body("text", model="other", citations=["x"]))
    assert verifies(answer)
    assert answer.unsigned.members == {
        "id": "chatcmpl-1",
        "model": "other",
        "usage": {"total_tokens": 3},
        "citations": ["x"],
    }
    calls = VECTORS["tool_calls"]["tool_calls"]
    beside = parse_chat_answer(with_message("tool_calls", "tool_calls", content="run rm", tool_calls=calls, images=[1]))
    assert verifies(beside)
    assert (beside.text, beside.unsigned.text, beside.unsigned.message) == (None, "run rm", {"images": [1]})
    assert beside.unsigned.finish_reason == "tool_calls"


@pytest.mark.parametrize("name", signed_fields("text"))
@pytest.mark.parametrize("value", [None, "", "null"])
def test_no_field_may_be_missing(name: str, value: str | None) -> None:
    """S-1; the older formats, which have none of the fields, are refused for the same reason."""
    document = json.loads(answer_body("text"))
    document[name] = None if value == "null" else value
    if value is None:
        del document[name]
    assert code_of(json.dumps(document).encode()) == "answer_unsigned"


@pytest.mark.parametrize(
    "text",
    [
        "hi there! \u2713 \u4f60\u597d",
        "Hi there! \u2713 \u4f60\u597d ",
        "Hi there! \u2713\u00a0\u4f60\u597d",
        "Hi there!",
        "",
    ],
)
def test_changed_text(text: str) -> None:
    """S-2."""
    answer = parse_chat_answer(with_message("text", content=text))
    assert answer.output_hash != answer.fields.output_hash
    assert not verifies(answer)


def test_text_is_not_normalised() -> None:
    """S-2: one sign and its decomposed form look alike and are two texts."""
    found = {parse_chat_answer(with_message("text", content=text)).output_hash for text in ("\u00e9", "e\u0301")}
    assert len(found) == 2


def test_an_answer_to_another_request() -> None:
    """S-3."""
    other = chat_request(HELLO.replace(b"Hello!", b"Hello."))
    assert not verifies(parse_chat_answer(answer_body("text")), other.request_hash)


def test_reported_hashes_are_no_input() -> None:
    """S-6."""
    answer = parse_chat_answer(answer_body("text", tee_output_hash="00" * 32, tee_request_hash="11" * 32))
    assert verifies(answer)
    assert (answer.fields.output_hash, answer.fields.request_hash) == (bytes(32), b"\x11" * 32)
    forged = "Send money"
    lying = answer_body(
        "text",
        tee_output_hash=keccak256(forged.encode()).hex(),
        choices=[{"index": 0, "message": {"content": forged}, "finish_reason": "stop"}],
    )
    assert not verifies(parse_chat_answer(lying))


@pytest.mark.parametrize(
    "value", [1770918962.0, True, -1, 2**63, 2**128, "1770918962", "1_770", " 1770918962", [1], {}]
)
def test_times_that_are_none(value: object) -> None:
    """S-7."""
    assert code_of(answer_body("text", tee_timestamp=value)) == "timestamp"


def test_a_changed_time() -> None:
    """S-7."""
    assert code_of(answer_body("text", tee_timestamp=2**256)) == "json_number"
    assert not verifies(parse_chat_answer(answer_body("text", tee_timestamp=1770918963)))
    assert parse_chat_answer(answer_body("text", tee_timestamp=0)).fields.timestamp == 0
    assert parse_chat_answer(answer_body("text", tee_timestamp=2**63 - 1)).fields.timestamp == 2**63 - 1


def test_digits_as_a_time_only_where_that_is_asked_for() -> None:
    assert verifies(parse_chat_answer(answer_body("text", tee_timestamp="1770918962"), digits_as_timestamp=True))
    for value in (" 1770918962", "1_770", "+1", "-1", "\u0661", "9" * 20, str(2**63), "1.0", True):
        assert code_of(answer_body("text", tee_timestamp=value), digits_as_timestamp=True) == "timestamp"


@pytest.mark.parametrize("size", [0, 255, 257])
def test_signatures_of_another_length(size: int) -> None:
    answer = parse_chat_answer(answer_body("text", tee_signature=base64.b64encode(b"\1" * size).decode() or "AA=="))
    assert not verifies(answer)


def test_a_signature_over_something_else() -> None:
    """S-14, and the signature of the other vector."""
    heartbeat = keccak256(keccak256(SIGNING_KEY) + (1770918962).to_bytes(32, "big"))
    assert heartbeat.hex() == VECTORS["heartbeat_hash"]
    for signature in (VECTORS["ohttp_config"]["sig"], VECTORS["tool_calls"]["sig"]):
        assert not verifies(parse_chat_answer(answer_body("text", tee_signature=signature)))


def test_tool_calls_and_text_may_share_a_hash() -> None:
    """S-9: nothing here can tell them apart, which is why the kind and the names are for a check to judge."""
    signed = VECTORS["tool_calls"]["signed_output"]
    as_text = parse_chat_answer(with_message("tool_calls", "stop", content=signed))
    assert verifies(as_text)
    assert (as_text.kind, as_text.text, as_text.tool_calls) == ("text", signed, ())
    assert not {call.name for call in parse_chat_answer(answer_body("tool_calls")).tool_calls} & REQUEST.tool_names


def test_duplicate_members() -> None:
    """S-13."""
    twice = answer_body("text")[:-1] + b', "tee_output_hash": "' + b"0" * 64 + b'"}'
    assert code_of(twice) == "json_duplicate_key"
    assert code_of(answer_body("text").replace(b'"content"', b'"content": "x", "content"')) == "json_duplicate_key"
