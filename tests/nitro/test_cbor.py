"""The CBOR reader against an encoder that was written apart from it, and against what it must refuse."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teeverify.errors import FormatError
from teeverify.formats.cbor import Tagged, read_cbor
from teeverify.limits import MAX_CBOR_DEPTH
from teeverify.testing.cbor import Indefinite, Pairs, Tag, Verbatim, encode, head

LIMIT = 1 << 16
KEYS = st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=40)
SCALARS = KEYS | st.booleans() | st.none()
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.builds(Indefinite, st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4))
        | st.builds(Tag, st.integers(0, 2**64 - 1), inner)
    ),
    max_leaves=12,
)


def read(data: bytes) -> Any:
    return read_cbor(data, what="the value", limit=LIMIT)


def plain(value: Any) -> Any:
    """What the reader gives for a value that the encoder wrote."""
    if isinstance(value, Indefinite):
        return plain(value.value)
    if isinstance(value, Tag):
        return Tagged(value.number, plain(value.value))
    if isinstance(value, list):
        return tuple(plain(item) for item in value)
    return {key: plain(item) for key, item in value.items()} if isinstance(value, dict) else value


def depth(value: Any) -> int:
    if isinstance(value, Indefinite):
        return depth(value.value)
    if isinstance(value, Tag):
        return 1 + depth(value.value)
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(VALUES)
def test_what_was_written_is_read(value: Any) -> None:
    if depth(value) <= MAX_CBOR_DEPTH - 1:
        assert read(encode(value)) == plain(value)


@given(VALUES, st.data())
def test_every_truncation_is_refused(value: Any, data: st.DataObject) -> None:
    encoded = encode(value)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(FormatError):
        read(encoded[:cut])


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(FormatError):
        read(data)


@pytest.mark.parametrize(
    ("encoding", "value"),
    [  # RFC 8949 appendix A
        ("00", 0), ("17", 23), ("1818", 24), ("1903e8", 1000), ("1a000f4240", 10**6), ("1bffffffffffffffff", 2**64 - 1),
        ("20", -1), ("3903e7", -1000), ("3bffffffffffffffff", -(2**64)), ("f4", False), ("f5", True), ("f6", None),
        ("40", b""), ("4401020304", b"\1\2\3\4"), ("60", ""), ("62c3bc", "ü"), ("80", ()), ("83010203", (1, 2, 3)),
        ("9fff", ()), ("9f018202039f0405ffff", (1, (2, 3), (4, 5))), ("a201020304", {1: 2, 3: 4}), ("bfff", {}),
        ("bf61610161629f0203ffff", {"a": 1, "b": (2, 3)}), ("c11a514b67b0", Tagged(1, 1363896240)),
    ],
)  # fmt: skip
def test_examples_of_the_standard(encoding: str, value: Any) -> None:
    assert read(bytes.fromhex(encoding)) == value


@pytest.mark.parametrize(
    ("encoding", "code"),
    [
        ("", "cbor_truncated"), ("18", "cbor_truncated"), ("1900", "cbor_truncated"), ("41", "cbor_truncated"),
        ("9b7fffffffffffffff", "cbor_truncated"), ("bb7fffffffffffffff", "cbor_truncated"), ("9f", "cbor_truncated"),
        ("5b7fffffffffffffff", "cbor_truncated"), ("bf01", "cbor_truncated"), ("a101", "cbor_truncated"),
        ("0000", "cbor_trailing"), ("80ff", "cbor_trailing"),
        ("f93c00", "cbor_type"), ("fa47c35000", "cbor_type"), ("fb3ff199999999999a", "cbor_type"),
        ("f7", "cbor_type"), ("f0", "cbor_type"), ("f818", "cbor_type"), ("e0", "cbor_type"),
        ("1c", "cbor_type"), ("5d", "cbor_type"), ("9e", "cbor_type"),
        ("1817", "cbor_length"), ("1900ff", "cbor_length"), ("1a0000ffff", "cbor_length"), ("580100", "cbor_length"),
        ("1b00000000ffffffff", "cbor_length"), ("9800", "cbor_length"), ("b800", "cbor_length"),
        ("d81200", "cbor_length"), ("3800", "cbor_length"), ("780161", "cbor_length"),
        ("5f4101ff", "cbor_indefinite"), ("7f6161ff", "cbor_indefinite"), ("1f", "cbor_indefinite"),
        ("3f", "cbor_indefinite"), ("df00", "cbor_indefinite"), ("ff", "cbor_indefinite"), ("81ff", "cbor_indefinite"),
        ("bf01ff", "cbor_indefinite"), ("61ff", "cbor_text"), ("63eda080", "cbor_text"),
        ("a1f500", "cbor_key"), ("a1f600", "cbor_key"), ("a18000", "cbor_key"), ("a1a000", "cbor_key"),
        ("a1c10000", "cbor_key"), ("a201000100", "cbor_repeated_key"), ("bf01000100ff", "cbor_repeated_key"),
        ("a2616100616100", "cbor_repeated_key"), ("a2416100416100", "cbor_repeated_key"),
    ],
)  # fmt: skip
def test_what_is_refused(encoding: str, code: str) -> None:
    with pytest.raises(FormatError) as refused:
        read(bytes.fromhex(encoding))
    assert refused.value.code == code


def test_texts_and_bytes_are_different_keys() -> None:
    assert read(encode(Pairs([("a", 1), (b"a", 2)]))) == {"a": 1, b"a": 2}


@pytest.mark.parametrize("opening", [b"\x81", b"\x9f", b"\xa1\x00", b"\xbf\x00", b"\xc1"])
def test_depth(opening: bytes) -> None:
    closing = b"\xff" if opening[0] in (0x9F, 0xBF) else b""
    read(opening * MAX_CBOR_DEPTH + b"\x00" + closing * MAX_CBOR_DEPTH)
    for levels in (MAX_CBOR_DEPTH + 1, 1000, LIMIT // 2):
        with pytest.raises(FormatError) as refused:
            read((opening * levels + b"\x00")[:LIMIT])
        assert refused.value.code == "cbor_depth"


def test_size() -> None:
    whole = encode(bytes(100))
    assert read_cbor(whole, what="it", limit=len(whole)) == bytes(100)
    with pytest.raises(FormatError) as refused:
        read_cbor(whole, what="it", limit=len(whole) - 1)
    assert refused.value.code == "cbor_too_large"


@given(st.integers(0, 2**63), st.sampled_from([1, 2, 4, 8]), st.integers(0, 6))
def test_only_the_shortest_head(argument: int, size: int, major: int) -> None:
    shortest = head(major, argument)
    if argument >= 1 << 8 * size or len(shortest) == size + 1:
        return
    body = b"" if major < 2 else encode(Verbatim(bytes(min(argument, 1000))))
    with pytest.raises(FormatError) as refused:
        read(head(major, argument, size) + body)
    assert refused.value.code == "cbor_length"
