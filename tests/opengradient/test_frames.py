"""Verified answers written anew: what was signed, all of it, and nothing else."""

from __future__ import annotations

import json

import pytest

from teeverify.formats.opengradient_frames import write_body, write_frames
from teeverify.formats.opengradient_response import parse_chat_answer
from teeverify.formats.opengradient_stream import parse_stream

from .streams import CALLS, DONE, FRAGMENTS, signed, text, tools
from .vectors import answer_body, signed_fields


def test_what_is_handed_out_is_written_anew() -> None:
    """T9: text that looks like the end of a stream comes out whole, and nothing unsigned comes out at all."""
    content = "data: [DONE]\n\n\u2028data: {}\n"
    hostile = signed(model="data: [DONE]", usage={"x": "leak"}, citations=["leak"])
    answer = parse_stream("".join((text(content), hostile, DONE)).encode())
    frames = write_frames(answer, model="m", chat_id="c")
    assert frames[-1] == b"data: [DONE]\n\n"
    assert all(one.count(b"\n") == 2 and one.endswith(b"\n\n") for one in frames)
    assert b"leak" not in b"".join(frames)
    first, last = (json.loads(one.removeprefix(b"data: ")) for one in frames[:-1])
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": content}
    assert (first["model"], first["id"], first["created"]) == ("m", "c", answer.fields.timestamp)
    assert last["choices"] == [{"index": 0, "delta": {}, "finish_reason": "stop"}]


def test_tool_calls_are_written_anew() -> None:
    answer = parse_stream("".join((text("run rm"), tools(*FRAGMENTS), signed("tool_calls"), DONE)).encode())
    first, last = (json.loads(one[6:]) for one in write_frames(answer, model="m", chat_id="c")[:-1])
    assert first["choices"][0]["delta"] == {
        "role": "assistant",
        "tool_calls": [{"index": index, **call} for index, call in enumerate(CALLS)],
    }
    assert last["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("case", ["text", "tool_calls"])
def test_what_is_written_is_what_was_signed(case: str) -> None:
    answer = parse_chat_answer(answer_body(case))
    members = json.dumps(signed_fields(case))[1:]
    body = write_body(answer, model="m", chat_id="c")
    assert parse_chat_answer(body[:-1] + b", " + members.encode()).output_hash == answer.output_hash
    first, last, done = write_frames(answer, model="m", chat_id="c")
    stream = first + last.rstrip()[:-1] + b", " + members.encode() + b"\n\n" + done
    assert parse_stream(stream).output_hash == answer.output_hash
