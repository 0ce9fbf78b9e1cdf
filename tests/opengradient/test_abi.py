"""ABI data in the one standard encoding; every other one is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.attempts import Refused, attempt
from teeverify.errors import FormatError
from teeverify.formats.abi import decode_abi, selector, word_at, write_call
from teeverify.limits import MAX_REGISTRY_ENTRIES

from .abi_encoding import Array, Record, Text, encode_values, word

SELECTORS = {
    "getActiveTEEs(uint8)": "4b6014da",
    "getEnabledTEEs(uint8)": "63b86b89",
    "getTEEsByType(uint8)": "b82644b7",
    "getTEE(bytes32)": "418b207d",
    "isTEEActive(bytes32)": "a3bf31f1",
    "isTEEEnabled(bytes32)": "927d3c95",
    "isPCRApproved(uint8,bytes32)": "9831ced5",
    "getApprovedPCRs()": "5766275a",
    "pcrRecords(uint8,bytes32)": "2068b3db",
    "heartbeatMaxAge()": "87267aca",
    "awsRootCertificate()": "f44a0780",
    "getTEEPublicKey(bytes32)": "2cbe7552",
    "computePCRHash((bytes,bytes,bytes))": "476cb030",
    "computeOHTTPConfigHash(bytes32,uint8,uint16,uint16,uint16,bytes,bytes)": "d101bec4",
    "verifyAttestation(bytes,bytes,bytes,bytes)": "f7cf40d3",
    "verifyRSAPSS(bytes,bytes32,bytes)": "7e26679a",
    "verifySignature(bytes32,bytes32,bytes32,uint256,bytes)": "58db61a8",
    "TEENotFound()": "f6523b65",
}


def code_of(types: str, data: bytes) -> str:
    with pytest.raises(FormatError) as refused:
        decode_abi(types, data, what="the data")
    return refused.value.code


@pytest.mark.parametrize(("signature", "expected"), SELECTORS.items())
def test_selectors(signature: str, expected: str) -> None:
    assert selector(signature).hex() == expected


def test_calls() -> None:
    assert write_call("getActiveTEEs(uint8)", 1).hex() == "4b6014da" + "0" * 63 + "1"
    assert write_call("isPCRApproved(uint8,bytes32)", 0, b"\xab" * 32).hex() == "9831ced5" + "0" * 64 + "ab" * 32
    assert write_call("heartbeatMaxAge()") == selector("heartbeatMaxAge()")
    assert write_call("f(bool,address,bytes4)", True, b"\x11" * 20, b"abcd")[4:] == (
        word(1) + bytes(12) + b"\x11" * 20 + b"abcd" + bytes(28)
    )


@pytest.mark.parametrize(
    ("signature", "arguments"),
    [
        ("f(uint8)", (256,)),
        ("f(uint8)", (-1,)),
        ("f(uint8)", (True,)),
        ("f(uint8)", (b"\0",)),
        ("f(uint8)", ()),
        ("f()", (1,)),
        ("f(bytes32)", (bytes(31),)),
        ("f(bytes32)", (bytes(33),)),
        ("f(bytes32)", (0,)),
        ("f(address)", (bytes(32),)),
        ("f(bool)", (1,)),
        ("f(bytes)", (b"",)),
        ("f((uint8))", (1,)),
    ],
)
def test_arguments_that_do_not_fit(signature: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(FormatError) as refused:
        write_call(signature, *arguments)
    assert refused.value.code == "abi_argument"


@pytest.mark.parametrize("types", ["int8", "uint7", "uint264", "bytes33", "byte", "(uint8", "uint8)", "uint8,", "a b"])
def test_types_of_the_library_are_checked(types: str) -> None:
    with pytest.raises(ValueError, match="ABI"):
        decode_abi(types, word(0), what="x")


def test_values_of_every_type() -> None:
    assert decode_abi("bool,bool,uint8,uint256", b"".join(map(word, (0, 1, 255, 2**256 - 1))), what="x") == (
        False,
        True,
        255,
        2**256 - 1,
    )
    assert decode_abi("address,bytes4", word(1) + b"abcd" + bytes(28), what="x") == (bytes(19) + b"\x01", b"abcd")
    assert decode_abi("bytes32[]", word(32) + word(0), what="x") == ((),)
    assert decode_abi("(bytes32,uint8)[]", word(32) + word(1) + b"\xab" * 32 + word(1), what="x") == (
        ((b"\xab" * 32, 1),),
    )


@pytest.mark.parametrize(
    ("types", "data", "code"),
    [
        ("uint8", word(300), "abi_integer"),
        ("uint16", word(1 << 16), "abi_integer"),
        ("bool", word(2), "abi_bool"),
        ("bool", b"\x01" + bytes(31), "abi_bool"),
        ("address", word(1 << 160), "abi_address"),
        ("bytes4", b"abcde" + bytes(27), "abi_padding"),
        ("uint8", b"", "abi_truncated"),
        ("uint8", bytes(31), "abi_length"),
        ("uint8", bytes(33), "abi_length"),
        ("uint8", word(1) + word(0), "abi_trailing"),
        ("bytes", word(32) + word(33) + bytes(32), "abi_truncated"),
        ("bytes", word(32) + word(2**256 - 1) + bytes(32), "abi_truncated"),
        ("bytes", word(32) + word(2**63) + bytes(32), "abi_truncated"),
        ("bytes", word(32) + word(1) + b"ab" + bytes(30), "abi_padding"),
        ("bytes", word(0) + word(0), "abi_pointer"),
        ("bytes", word(33) + word(0), "abi_pointer"),
        ("bytes", word(64) + word(0) + word(0), "abi_pointer"),
        ("bytes", word(2**255) + word(0), "abi_pointer"),
        ("bytes,bytes", word(64) + word(64) + word(0), "abi_pointer"),  # both at one place
        ("bytes,bytes", word(96) + word(64) + word(0) + word(0), "abi_pointer"),  # in another order
        ("bytes", word(32) + word(0) + word(0), "abi_trailing"),
        ("string", word(32) + word(1) + b"\xff" + bytes(31), "abi_not_utf8"),
        ("bytes32[]", word(32) + word(2) + bytes(32), "abi_truncated"),
        ("bytes32[]", word(32) + word(MAX_REGISTRY_ENTRIES + 1) + bytes(32), "abi_count"),
        ("bytes32[]", word(32) + word(2**256 - 1), "abi_count"),
        ("bytes[]", word(32) + word(2) + word(64) + word(64) + word(0), "abi_pointer"),
        ("(bytes,uint8)[]", word(32) + word(1) + word(0) + word(64) + word(0), "abi_pointer"),
    ],
)
def test_every_other_encoding_is_refused(types: str, data: bytes, code: str) -> None:
    assert code_of(types, data) == code


def test_words_outside_of_the_data() -> None:
    assert word_at(word(7) + word(8), 32, what="x") == 8
    for position in (-1, -32, 33, 64, 2**300):
        with pytest.raises(FormatError, match="ends before"):
            word_at(word(7) + word(8), position, what="x")


numbers = st.integers(0, 2**256 - 1)
records = st.tuples(numbers, st.binary(max_size=70), st.text(max_size=40), st.booleans(), st.binary(max_size=3))
TYPES = "uint256,(uint256,bytes,string,bool,(uint8,bytes))[],bytes32"


def encoded(head: int, items: list[tuple[int, bytes, str, bool, bytes]]) -> bytes:
    rows = tuple(
        Record((number, Text(data), Text(text.encode()), int(flag), Record((7, Text(inner)))))
        for number, data, text, flag, inner in items
    )
    return encode_values((head, Array(rows), b"\xcd" * 32))


@given(numbers, st.lists(records, max_size=4))
def test_round_trip_with_another_encoder(head: int, items: list[tuple[int, bytes, str, bool, bytes]]) -> None:
    rows = tuple((number, data, text, flag, (7, inner)) for number, data, text, flag, inner in items)
    assert decode_abi(TYPES, encoded(head, items), what="x") == (head, rows, b"\xcd" * 32)


@settings(max_examples=300)
@given(st.lists(records, min_size=1, max_size=2), st.data())
def test_a_changed_byte_changes_the_values_or_is_refused(
    items: list[tuple[int, bytes, str, bool, bytes]], data: st.DataObject
) -> None:
    """There is one encoding of each value: nothing can be changed that is not seen."""
    good = encoded(5, items)
    place = data.draw(st.integers(0, len(good) - 1))
    changed = bytes([*good[:place], good[place] ^ data.draw(st.integers(1, 255)), *good[place + 1 :]])
    result = attempt(lambda: decode_abi(TYPES, changed, what="x"))
    assert isinstance(result, Refused) or result != decode_abi(TYPES, good, what="x")


@given(
    st.binary(max_size=400)
    | st.lists(st.sampled_from([0, 1, 32, 64, 96, 128, 2**255]), max_size=20).map(
        lambda found: b"".join(map(word, found))
    )
)
def test_arbitrary_data(data: bytes) -> None:
    attempt(lambda: decode_abi(TYPES, data, what="x"))
