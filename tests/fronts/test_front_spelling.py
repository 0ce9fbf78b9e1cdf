"""Which bytes a signature covers: two spellings of a plain answer and no third one, streams byte by byte."""

from __future__ import annotations

import json
from typing import Final

import attrs
import pytest

from .chats import ANSWER, CHAT, STREAM, STREAMED, chat, compact_utf8, signing_verifier, spelled_by_python, verdict_on
from .world import Front

DIGEST = ("REJECTED", {"exchange.response_digest": "other_response"})

# --- the spelling of plain answers ------------------------------------------------------------------------------------

PLAIN: Final = compact_utf8(ANSWER)
SPELLED: Final = spelled_by_python(ANSWER)


def test_the_two_spellings_differ_and_both_count() -> None:
    assert PLAIN != SPELLED
    for signed in (PLAIN, SPELLED):
        front = Front("phala")
        assert signing_verifier(front).verify_exchange(chat(front, received=PLAIN, signed=signed)).verified


OTHERS: Final = {
    "indented": json.dumps(ANSWER, indent=1).encode(),
    "sorted": json.dumps(ANSWER, sort_keys=True).encode(),
    "compact ASCII": json.dumps(ANSWER, separators=(",", ":")).encode(),
    "UTF-8 with spaces": json.dumps(ANSWER, ensure_ascii=False).encode(),
    "a line feed after it": SPELLED + b"\n",
    "another answer": json.dumps({**ANSWER, "id": "chatcmpl-2"}).encode(),
    "another float": SPELLED.replace(b"-0.000123456789", b"-0.000123456788"),
    "an integer for a float": SPELLED.replace(b"[1.0, ", b"[1, "),
    "zero without its sign": SPELLED.replace(b"-0.0]", b"0.0]"),
    "members in another order": json.dumps(dict(reversed(ANSWER.items()))).encode(),
    "nothing": b"",
}


@pytest.mark.parametrize("name", OTHERS)
def test_no_other_spelling_counts(name: str) -> None:
    front = Front("phala")
    assert OTHERS[name] not in (PLAIN, SPELLED)
    judged = signing_verifier(front).verify_exchange(chat(front, received=PLAIN, signed=OTHERS[name]))
    assert verdict_on(judged) == DIGEST


@pytest.mark.parametrize(
    "received",
    [
        pytest.param(
            PLAIN.replace('"世界'.encode(), '"世间'.encode()).replace("世界".encode(), "世间".encode()), id="a letter"
        ),
        pytest.param(PLAIN.replace(b'"role":"assistant"', b'"role":"user"'), id="a role"),
        pytest.param(PLAIN.replace(b"{},true", b"{},1"), id="1 for true"),
        pytest.param(PLAIN.replace(b"1781000000", b"1781000000.0"), id="a float for an integer"),
        pytest.param(PLAIN[:-1] + b',"x":1}', id="a member more"),
        pytest.param(PLAIN[:-1] + b',"id":"chatcmpl-1"}', id="a member twice"),
        pytest.param(PLAIN[:-1] + b',"id":"chatcmpl-2"}', id="another id behind the id"),
        pytest.param(PLAIN + b"{}", id="an object more"),
        pytest.param(PLAIN.replace(b"0.1", b"NaN"), id="not a number"),
        pytest.param(PLAIN.replace(b"0.1", b"1e999"), id="too large a number"),
        pytest.param(b"[" + PLAIN + b"]", id="a list"),
        pytest.param(PLAIN[:-1], id="cut off"),
        pytest.param(b"\xef\xbb\xbf" + PLAIN, id="a byte order mark"),
        pytest.param(PLAIN.decode().encode("utf-16"), id="UTF-16"),
    ],
)
def test_an_answer_that_was_changed_on_the_way(received: bytes) -> None:
    front = Front("phala")
    exchange = attrs.evolve(chat(front), response_body=received, chat_id=CHAT)
    assert received != PLAIN
    outcome, found = verdict_on(signing_verifier(front).verify_exchange(exchange))
    assert (outcome, found.get("exchange.response_digest")) == ("REJECTED", "other_response")


@pytest.mark.parametrize("received", [json.dumps(ANSWER, indent=2).encode(), SPELLED, b" " + PLAIN + b"\n"])
def test_white_space_on_the_way_changes_no_value(received: bytes) -> None:
    """The signature is over the values in Python's spelling, so white space is all that a relay can change."""
    front = Front("phala")
    assert signing_verifier(front).verify_exchange(chat(front, received=received, signed=SPELLED)).verified


# --- streams ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "received",
    [
        pytest.param(STREAMED.replace(b"\n\n\n", b"\n\n"), id="two newlines for three"),
        pytest.param(STREAMED.replace(b"\n", b"\r\n"), id="other line ends"),
        pytest.param(STREAMED.replace(b'"h"', b'"H"'), id="a letter"),
        pytest.param(STREAMED.split(b"\n\n\n", 1)[1], id="a chunk dropped"),
        pytest.param(STREAMED + b"\n", id="a newline more"),
        pytest.param(b": ping\n\n" + STREAMED, id="a comment"),
        pytest.param(STREAMED.replace(b": ", b":"), id="chunks in another spelling"),
    ],
)
def test_a_stream_counts_byte_by_byte(received: bytes) -> None:
    front = Front("phala")
    exchange = chat(front, sent=STREAM, received=received, signed=STREAMED)
    outcome, found = verdict_on(signing_verifier(front).verify_exchange(exchange))
    assert (outcome, found.get("exchange.response_digest")) == ("REJECTED", "other_response")


def test_a_stream_is_never_respelled() -> None:
    """A plain object where a stream was asked for, signed in Python's spelling: the stream never came to its end."""
    front = Front("phala")
    judged = signing_verifier(front).verify_exchange(chat(front, sent=STREAM, received=PLAIN, signed=SPELLED))
    assert verdict_on(judged) == ("REJECTED", {"exchange.response_digest": "stream_unfinished"})


def test_a_stream_without_its_end() -> None:
    front = Front("phala")
    cut = STREAMED.removesuffix(b"data: [DONE]\n\n")
    judged = signing_verifier(front).verify_exchange(chat(front, sent=STREAM, received=cut))
    assert verdict_on(judged) == ("REJECTED", {"exchange.response_digest": "stream_unfinished"})
