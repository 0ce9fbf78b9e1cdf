"""Oblivious HTTP in chunks: order, end, lengths, and the frame that stands there for the relay."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teeverify.crypto.hpke import open_chacha
from teeverify.e2ee.ohttp import ChunkedResponse
from teeverify.limits import MAX_CHAT_BODY, MAX_OHTTP_CHUNK
from teeverify.testing.keys import KeyRing
from teeverify.testing.ohttp import BILLING, OhttpServer, OpenedRequest, billing_frame, quic_varint

from .test_ohttp import CHUNK, CHUNKED, FINAL, NONCE, SENT, SERVER, WIRE, refused


def parts(chunks: Sequence[bytes] = (b"one", b"two", b"three", b"end"), **options: Any) -> list[bytes]:
    return SERVER.open(WIRE).sealed_parts(chunks, **options)


def test_o2_chunks_that_were_moved() -> None:
    nonce, one, two, three, end = parts()
    assert SENT.open_chunked(b"".join((nonce, one, two, three, end))) == b"onetwothreeend"
    for order in (
        (nonce, two, one, three, end),
        (nonce, two, three, end),
        (nonce, one, three, end),
        (nonce, one, one, two, three, end),
        (nonce, one, two, three, three, end),
        (nonce, end),
        (nonce, one, two, end),
        (one, two, three, end),
    ):
        assert refused(partial(SENT.open_chunked, b"".join(order)))


@pytest.mark.parametrize("size", range(len(CHUNKED)))
def test_o3_cut_off_anywhere(size: int) -> None:
    assert refused(lambda: SENT.open_chunked(CHUNKED[:size]))


def test_o4_final_and_not_final() -> None:
    nonce, one, two, three, end = parts()
    relabelled = b"\x00" + two[1:]  # a chunk as the final one
    assert refused(lambda: SENT.open_chunked(nonce + one + relabelled))
    sealed = end[1:]
    assert refused(lambda: SENT.open_chunked(nonce + one + two + three + quic_varint(len(sealed)) + sealed))
    more = quic_varint(len(sealed)) + sealed + end
    assert refused(lambda: SENT.open_chunked(nonce + one + two + three + more))


def test_o5_bytes_after_the_end() -> None:
    assert refused(lambda: SENT.open_chunked(CHUNKED + b"\0"))
    assert refused(lambda: SENT.open_chunked(CHUNKED + b"\x00" + FINAL))
    assert refused(lambda: SENT.open_chunked(CHUNKED + CHUNK))


def test_every_bit_of_a_chunked_response_counts() -> None:
    for place in range(len(CHUNKED)):
        flipped = bytearray(CHUNKED)
        flipped[place] ^= 1 << place % 8
        assert refused(partial(SENT.open_chunked, bytes(flipped)))


@pytest.mark.parametrize("size", [2, 4, 8])
def test_lengths_in_more_bytes_than_needed_are_legal(size: int) -> None:
    assert SENT.open_chunked(b"".join(parts(varint_size=size))) == b"onetwothreeend"


@pytest.mark.parametrize("length", [1, 10, 15, MAX_OHTTP_CHUNK + 1, 2**30 - 1, 2**62 - 1])
def test_o12_lengths_that_no_chunk_has(length: int) -> None:
    reading = ChunkedResponse(SENT)
    if length == 10:  # as a length in more bytes; in one byte it is a billing frame's first
        assert refused(lambda: reading.feed(NONCE + quic_varint(length, 2) + bytes(100)))
    else:
        assert refused(lambda: reading.feed(NONCE + quic_varint(length)))


def test_o12_endless_responses() -> None:
    reading = ChunkedResponse(SENT)
    size = MAX_OHTTP_CHUNK - 16
    nonce, *chunks = SERVER.open(WIRE).sealed_parts([bytes(size)] * (MAX_CHAT_BODY // size + 2))
    fitting = MAX_CHAT_BODY // len(chunks[0])
    for part in (nonce, *chunks[: fitting - 1]):
        reading.feed(part)
    assert refused(lambda: reading.feed(b"".join(chunks[fitting - 1 : fitting + 1])))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=90), min_size=1, max_size=6), st.data())
def test_where_the_network_cuts_means_nothing(chunks: list[bytes], data: st.DataObject) -> None:
    body = b"".join(parts(chunks, billing=billing_frame() if data.draw(st.booleans()) else b""))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    reading = ChunkedResponse(SENT)
    pieces = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    opened = [chunk for piece in pieces for chunk in reading.feed(piece)]
    assert b"".join((*opened, reading.finish())) == b"".join(chunks)


# --- the relay's frame ------------------------------------------------------------------------------------------------


def test_o14_the_relays_frame_only_in_front_of_the_end() -> None:
    frame = billing_frame(b'{"cost_opg": "0.1"}')
    nonce, one, two, three, end = parts()
    whole = b"onetwothreeend"
    assert SENT.open_chunked(b"".join((nonce, one, two, three, frame, end))) == whole
    assert SENT.open_chunked(b"".join((nonce, one, two, three, billing_frame(b"not even JSON"), end))) == whole
    assert SENT.open_chunked(b"".join((nonce, one, two, three, billing_frame(bytes(4096)), end))) == whole
    for body in (
        (nonce, frame, one, two, three, end),
        (nonce, one, frame, two, three, end),
        (nonce, one, two, three, frame, frame, end),
        (nonce, one, two, three, frame),
        (nonce, one, two, three, billing_frame(bytes(4097)), end),
        (nonce, one, two, three, b"\n" + frame, end),
        (nonce, one, two, three, frame[:-1], end),
        (nonce, one, two, three, BILLING[:-1] + b"x" + frame[35:], end),
        (frame, nonce, one, two, three, end),
    ):
        assert refused(partial(SENT.open_chunked, b"".join(body)))


def test_nothing_follows_an_error_or_the_end() -> None:
    nonce, one, two, three, end = parts()
    reading = ChunkedResponse(SENT)
    assert refused(lambda: reading.feed(nonce + two))
    assert refused(lambda: reading.feed(one))
    assert refused(reading.finish)
    again = ChunkedResponse(SENT)
    assert again.feed(nonce + one + two + three + end) == (b"one", b"two", b"three")
    assert again.finish() == b"end"
    assert refused(again.finish)
    assert refused(lambda: again.feed(b"x"))


def test_chacha_with_other_sizes() -> None:
    assert open_chacha(bytes(32), bytes(12), b"") is None
    assert open_chacha(bytes(31), bytes(12), bytes(40)) is None
    assert open_chacha(bytes(32), bytes(11), bytes(40)) is None


def test_the_receiver_of_the_tests_refuses_what_is_not_for_it() -> None:
    from cryptography.exceptions import InvalidTag

    with pytest.raises(InvalidTag):
        OhttpServer(private=KeyRing().material("other", 32)).open(WIRE)
    with pytest.raises(InvalidTag):
        SERVER.open(WIRE[:-1] + bytes([WIRE[-1] ^ 1]))
    assert isinstance(SERVER.open(WIRE), OpenedRequest)
