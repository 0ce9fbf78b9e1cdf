"""Streamed answers: aggregated to what was signed, or refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.attempts import Refused, attempt
from teeverify.crypto.digests import keccak256
from teeverify.errors import FormatError
from teeverify.formats import opengradient_stream
from teeverify.formats.opengradient_frames import write_frames
from teeverify.formats.opengradient_stream import parse_stream

from .judging import REQUEST, verifies
from .streams import CALLS, DONE, FRAGMENTS, HI, WHOLE, delta, fragment, frame, signed, text, tools
from .vectors import VECTORS, signed_fields


def code_of(*frames: str) -> str:
    with pytest.raises(FormatError) as refused:
        parse_stream("".join(frames).encode())
    return refused.value.code


def verified(*frames: str) -> bool:
    return verifies(parse_stream("".join(frames).encode()))


def test_the_text_vector() -> None:
    answer = parse_stream(WHOLE.encode())
    assert (answer.kind, answer.text) == ("text", "".join(HI))
    assert answer.message_hash(REQUEST.request_hash).hex() == VECTORS["text"]["msg_hash"]
    assert verifies(answer)
    assert answer.unsigned.members == {"model": "gpt-4.1", "usage": {"total_tokens": 3}}
    assert answer.unsigned.finish_reason == "stop"


def test_the_tool_call_vector() -> None:
    whole = [{"index": index, **call} for index, call in enumerate(CALLS)]
    for frames in ((tools(*whole),), (tools(whole[1]), tools(whole[0])), tuple(map(tools, FRAGMENTS))):
        answer = parse_stream("".join((*frames, signed("tool_calls"), DONE)).encode())
        assert (answer.kind, answer.text) == ("tool_calls", None)
        assert answer.signed_output == VECTORS["tool_calls"]["signed_output"]
        assert verifies(answer)


def test_text_beside_tool_calls_is_unsigned() -> None:
    """T5, S-10."""
    answer = parse_stream("".join((text("run rm"), tools(*FRAGMENTS), signed("tool_calls"), DONE)).encode())
    assert verifies(answer)
    assert (answer.text, answer.unsigned.text) == (None, "run rm")


def test_where_chunks_end_means_nothing() -> None:
    """O-11: the same bytes in any pieces are one stream, whatever lines end with and whatever is no data."""
    for stream in (
        WHOLE.replace("\n", "\r\n"),
        WHOLE.replace("\n\n", "\n"),
        WHOLE.replace("data: ", "data:"),
        WHOLE.replace("data: {", ": keep-alive\nevent: x\nid: 5\n\ndata: {"),
        WHOLE.removesuffix(DONE),
        WHOLE.removesuffix("\n\n"),
        WHOLE.replace("data: [DONE]", "data:[DONE]"),
    ):
        assert verified(stream)


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\u0085", "\u000b", "\u000c", "\u001c", "\r"])
def test_no_other_sign_ends_a_line(sign: str) -> None:
    """O-11: what other readers take for the end of a line cannot smuggle a frame in, or hide one."""
    smuggled = f'data: {{"x": "{sign}data: [DONE]{sign}"}}\n\n'
    result = attempt(lambda: parse_stream((smuggled + WHOLE).encode()))
    if sign < " ":
        assert result == Refused("json_syntax")
    else:
        assert not isinstance(result, Refused)
        assert verifies(result)
    assert not isinstance(attempt(lambda: parse_stream((f"x{sign}data: {{}}\n" + WHOLE).encode())), Refused)
    content = f"a{sign}data: [DONE]\n\nb"
    assert parse_stream("".join((text(content), signed(), DONE)).encode()).text == content


@pytest.mark.parametrize("cut", [b"\xff", b"\xe2\x9c", b"\xed\xa0\x80", b"\xc0\x80"])
def test_invalid_utf8(cut: bytes) -> None:
    """O-11."""
    good = f"data: {json.dumps(delta(content='x'), ensure_ascii=False)}\n\n".encode()
    result = attempt(lambda: parse_stream(good.replace(b'"x"', b'"' + cut + b'"') + WHOLE.encode()))
    assert result == Refused("stream_not_utf8")


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ((), "stream_unsigned"),
        ((DONE,), "stream_unsigned"),
        ((*map(text, HI), DONE), "stream_unsigned"),  # O-9, T8
        ((*map(text, HI), frame(delta("stop")), DONE), "stream_unsigned"),
        ((*map(text, HI), signed(), signed(), DONE), "stream_after_signature"),  # O-9, T1
        ((signed(), *map(text, HI), DONE), "stream_after_signature"),  # O-9, T2, T3
        ((*map(text, HI), signed(), frame({"usage": {}}), DONE), "stream_after_signature"),
        ((*map(text, HI), signed(), frame({}), DONE), "stream_after_signature"),
        ((*map(text, HI), signed(), DONE, text("more")), "stream_after_done"),
        ((*map(text, HI), signed(), DONE, DONE), "stream_after_done"),
        ((*map(text, HI), DONE, signed()), "stream_after_done"),
        ((text(HI[0]), signed(choices=delta(content=HI[1])["choices"]), DONE), "stream_signed_delta"),  # T3
        ((signed(choices=delta("tool_calls", tool_calls=[FRAGMENTS[0]])["choices"]), DONE), "stream_signed_delta"),
        ((*map(text, HI), tools(*FRAGMENTS), signed(), DONE), "answer_unsigned_calls"),  # O-10, T4
        ((tools(*FRAGMENTS), signed("tool_calls", "stop"), DONE), "answer_unsigned_calls"),
        ((tools(*FRAGMENTS), signed("tool_calls", choices=[]), DONE), "answer_unsigned_calls"),
        ((tools(fragment(0), fragment(None)), signed("tool_calls"), DONE), "answer_tool_calls"),  # T6
        ((tools(fragment("0")), signed("tool_calls"), DONE), "answer_tool_calls"),
        ((tools(fragment(0.0)), signed("tool_calls"), DONE), "answer_tool_calls"),
        ((tools(fragment(False)), signed("tool_calls"), DONE), "answer_tool_calls"),
        ((tools(*map(fragment, range(257))), signed("tool_calls"), DONE), "answer_tool_calls"),
        ((frame(delta(tool_calls={"index": 0})), signed("tool_calls"), DONE), "answer_tool_calls"),
        ((tools("f"), signed("tool_calls"), DONE), "answer_shape"),
        ((tools(fragment(0, arguments={})), signed("tool_calls"), DONE), "answer_shape"),
        ((tools(fragment(0, id=5)), signed("tool_calls"), DONE), "answer_shape"),
        ((tools({"index": 0, "function": "f"}), signed("tool_calls"), DONE), "answer_shape"),
        ((frame({"choices": delta()["choices"] * 2}), signed(), DONE), "answer_choices"),  # T7
        ((frame({"choices": [{"index": 1, "delta": {}}]}), signed(), DONE), "answer_choices"),
        ((frame({"choices": [{"index": None, "delta": {}}]}), signed(), DONE), "answer_choices"),
        ((frame({"choices": {"delta": {}}}), signed(), DONE), "answer_choices"),
        ((frame({"choices": [{"delta": "x"}]}), signed(), DONE), "answer_shape"),
        ((signed(choices=delta("stop")["choices"] * 2), DONE), "answer_choices"),
        ((text(5), signed(), DONE), "answer_content"),
        ((text([{"text": 5}]), signed(), DONE), "answer_content"),
        ((frame({"error": "x", "exception_type": "E"}),), "answer_error"),  # O-7
        ((text(HI[0]), frame({"error": "x"}), text(HI[1]), signed(), DONE), "answer_error"),
        ((*map(text, HI), signed(error={"message": "x"}), DONE), "answer_error"),
        (("data: hello\n", WHOLE), "json_syntax"),
        (("data:\n", WHOLE), "json_syntax"),
        (("data:  [DONE]\n", WHOLE), "json_syntax"),
        (("data: [DONE] \n", WHOLE), "json_syntax"),
        (("data: 5\n", WHOLE), "answer_shape"),
        (("data: []\n", WHOLE), "answer_shape"),
        ((WHOLE.replace('"usage"', '"tee_timestamp": 1, "usage"'),), "json_duplicate_key"),
        *(
            ((*map(text, HI), signed(case="text", **{name: None}), DONE), "answer_unsigned")
            for name in signed_fields("text")
        ),
        ((*map(text, HI), signed(tee_timestamp="1770918962"), DONE), "timestamp"),
        ((text(HI[0]), frame({"tee_signature": None}), text(HI[1]), signed(), DONE), "stream_after_signature"),
    ],
)
def test_refused_streams(frames: tuple[str, ...], code: str) -> None:
    assert code_of(*frames) == code


def test_frames_that_say_nothing() -> None:
    searching = frame({**delta(), "web_search": {"status": "searching", "query": "q"}})
    silent = (searching, frame({}), frame({"choices": []}), frame({"choices": [{}]}), frame({"error": None}), text(""))
    assert verified(*silent, text(None), text([HI[0]]), text([{"type": "text", "text": HI[1]}]), signed(), DONE)


def test_changed_text_does_not_verify() -> None:
    """S-2, O-2 behind the encryption: a frame dropped, doubled or moved."""
    one, two = map(text, HI)
    for frames in ((one,), (two,), (one, one, two), (two, one), (one, two, text(" "))):
        assert not verified(*frames, signed(), DONE)


def test_changed_tool_calls_do_not_verify() -> None:
    moved = [FRAGMENTS[2], *FRAGMENTS[:2], FRAGMENTS[4], FRAGMENTS[3]]
    assert verified(*map(tools, moved), signed("tool_calls"), DONE)
    swapped = [FRAGMENTS[4], *FRAGMENTS[:4]]
    for calls in (FRAGMENTS[:4], swapped, [*FRAGMENTS, fragment(2)], [*FRAGMENTS, fragment(0, name="rm")]):
        assert not verified(*map(tools, calls), signed("tool_calls"), DONE)


@pytest.mark.parametrize(
    ("output_hash", "call_id"),
    [
        ("dd088dc85849e115db138da16785440d9c671373b5c8af79cd9d303bd693ce56", ""),
        ("a57c8e59c2bf36c865fb84609302302f9e57ca4e2c17c9eaeea6634f2d2a91c4", None),
        ("00" * 32, ""),
    ],
)
def test_a_missing_id_is_signed_empty_or_as_null(output_hash: str, call_id: str | None) -> None:
    call = tools(fragment(None, name="f", arguments="{}"))
    answer = parse_stream("".join((call, signed("tool_calls", tee_output_hash=output_hash), DONE)).encode())
    assert [one.id for one in answer.tool_calls] == [call_id]
    assert (answer.output_hash.hex() == output_hash) is (output_hash != "00" * 32)


def test_an_absent_index_is_the_first() -> None:
    calls = ({"function": {"name": "f"}}, fragment(0, arguments="{}"))
    answer = parse_stream("".join((*map(tools, calls), signed("tool_calls"), DONE)).encode())
    assert [(one.name, one.arguments) for one in answer.tool_calls] == [("f", "{}")]


def test_tool_calls_announced_and_not_made() -> None:
    answer = parse_stream("".join((*map(text, HI), signed(finish="tool_calls"), DONE)).encode())
    assert (answer.kind, verifies(answer)) == ("text", True)


def test_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opengradient_stream, "MAX_STREAM_FRAMES", 8)
    assert verified(*map(text, HI), *[frame({})] * 4, signed(), DONE)
    assert code_of(*map(text, HI), *[frame({})] * 5, signed(), DONE) == "stream_too_long"
    assert code_of("\n" * 40, WHOLE) == "stream_too_long"
    monkeypatch.setattr(opengradient_stream, "MAX_CHAT_BODY", 10)
    assert code_of(WHOLE) == "stream_too_large"


texts = st.text(st.characters(codec="utf-8"), max_size=12)


@given(st.lists(texts, max_size=6))
def test_any_text_is_the_sum_of_its_frames(contents: list[str]) -> None:
    whole = "".join(contents)
    answer = parse_stream("".join((*map(text, contents), signed(), DONE)).encode())
    assert (answer.text, answer.output_hash) == (whole, keccak256(whole.encode()))
    again = b"".join(write_frames(answer, model="m", chat_id="c")[:1])
    assert parse_stream(again + signed().encode()).text == whole


@given(st.binary(max_size=80) | st.text(alphabet='data: {}[]"DONE\r\n,', max_size=80).map(str.encode))
def test_arbitrary_streams(stream: bytes) -> None:
    assert isinstance(attempt(lambda: parse_stream(stream)), Refused)


@given(st.integers(0, len(WHOLE.encode()) - 1), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_unsigned_or_does_not_verify(place: int, change: int) -> None:
    good = WHOLE.encode()
    changed = bytes([*good[:place], good[place] ^ change, *good[place + 1 :]])
    result = attempt(lambda: parse_stream(changed))
    assert isinstance(result, Refused) or not verifies(result) or result.text == "".join(HI)
