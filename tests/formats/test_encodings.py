"""Hex and base64 read strictly."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teeverify.errors import FormatError
from teeverify.formats.encodings import decode_base64, decode_hex

from .attempts import Refused, attempt


def hex_code(text: object, **options: Any) -> str:
    with pytest.raises(FormatError) as refused:
        decode_hex(text, what="the value", **options)
    return refused.value.code


def base64_code(text: object, limit: int = 1000) -> str:
    with pytest.raises(FormatError) as refused:
        decode_base64(text, what="the value", limit=limit)
    return refused.value.code


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "0g",
        "0x00",
        " 00",
        "00 ",
        "00\n",
        "0 0",
        "00 00",
        "\N{FULLWIDTH DIGIT ZERO}0",
        "\N{ARABIC-INDIC DIGIT ZERO}\N{ARABIC-INDIC DIGIT ZERO}",
        "+0",
        "0_0_",
        None,
        0,
        True,
        b"00",
        ["00"],
        {},
    ],
)
def test_hex_refuses(text: object) -> None:
    assert hex_code(text) == "not_hex"


def test_hex_of_either_case_is_read_and_nothing_is_nothing() -> None:
    assert decode_hex("aAfF00", what="x") == b"\xaa\xff\x00"
    assert decode_hex("", what="x") == b""


@pytest.mark.parametrize(
    ("text", "options"),
    [("00", {"size": 2}), ("000000", {"size": 2}), ("", {"size": 1}), ("0000", {"limit": 1}), ("0" * 9, {"limit": 4})],
)
def test_hex_lengths(text: str, options: dict[str, int]) -> None:
    assert hex_code(text, **options) == "wrong_length"


def test_hex_limit_counts_the_last_byte() -> None:
    assert decode_hex("0000", what="x", limit=2) == bytes(2)
    assert decode_hex("0000", what="x", size=2) == bytes(2)


@pytest.mark.parametrize(
    "text",
    [
        "AA",
        "AAA",
        "AA=A",
        "A===",
        "====",
        "AA==AA==",
        "AAAA====",
        "AAAA=",
        " AAAA",
        "AAAA\n",
        "AA\nAA",
        "AA AA",
        "_-__",
        "AB==",  # spare bits that are not zero: a second spelling of b"\x00"
        "AAB=",
        "\N{FULLWIDTH LATIN CAPITAL LETTER A}AAA",
        None,
        7,
        b"AAAA",
    ],
)
def test_base64_refuses(text: object) -> None:
    assert base64_code(text) == "not_base64"


def test_base64_too_long() -> None:
    assert base64_code("A" * 4000, limit=100) == "wrong_length"


@pytest.mark.parametrize("limit", [10, 11, 12, 100])
def test_base64_limit_counts_the_last_byte(limit: int) -> None:
    assert decode_base64(base64.b64encode(bytes(limit)).decode(), what="x", limit=limit) == bytes(limit)
    assert base64_code(base64.b64encode(bytes(limit + 1)).decode(), limit) == "wrong_length"
    assert base64_code(base64.b64encode(bytes(limit + 2)).decode(), limit) == "wrong_length"


@given(st.binary(max_size=64))
def test_round_trips(data: bytes) -> None:
    assert decode_hex(data.hex(), what="x", size=len(data)) == data
    assert decode_hex(data.hex().upper(), what="x", limit=len(data)) == data
    assert decode_base64(base64.b64encode(data).decode(), what="x", limit=64) == data


anything = st.none() | st.integers() | st.floats() | st.binary(max_size=8) | st.text(max_size=30) | st.just(["00"])


@given(anything)
def test_anything_else_is_a_format_error(value: object) -> None:
    for result in (
        attempt(lambda: decode_hex(value, what="x", limit=9)),
        attempt(lambda: decode_base64(value, what="x", limit=9)),
    ):
        assert not isinstance(result, Refused) or result.code in ("not_hex", "not_base64", "wrong_length")


@given(st.text(alphabet="AQgw+/=", max_size=12))
def test_base64_has_one_spelling(text: str) -> None:
    try:
        data = decode_base64(text, what="x", limit=64)
    except FormatError:
        return
    assert base64.b64encode(data).decode() == text
