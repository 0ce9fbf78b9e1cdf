"""Single answers of an Ethereum node: none of them passes for an empty list."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.attempts import attempt
from teeverify.errors import FormatError
from teeverify.formats.json_rpc import eth_call, read_block, read_call_result, read_quantity, read_result, rpc_request
from teeverify.limits import MAX_RPC_BODY


def answer(**members: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 7, **members}).encode()


def code_of(read: Callable[..., object], body: bytes) -> str:
    with pytest.raises(FormatError) as refused:
        read(body, call_id=7)
    return refused.value.code


def test_requests() -> None:
    assert rpc_request("eth_blockNumber", (), call_id=1) == (
        b'{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}'
    )
    assert json.loads(eth_call(b"\x11" * 20, b"\x4b\x60\x14\xda", block="0x10", call_id=2)) == {
        "jsonrpc": "2.0",
        "id": 2,
        "method": "eth_call",
        "params": [{"to": "0x" + "11" * 20, "data": "0x4b6014da"}, "0x10"],
    }


def test_answers() -> None:
    assert read_call_result(answer(result="0xaB00"), call_id=7) == b"\xab\x00"
    assert read_quantity(answer(result="0x29f4"), call_id=7) == 10740
    assert read_quantity(answer(result="0x0"), call_id=7) == 0
    block = read_block(answer(result={"number": "0x10", "timestamp": "0x65", "hash": "0x" + "ab" * 32}), call_id=7)
    assert (block.number, block.timestamp, block.hash, block.tag) == (16, 101, b"\xab" * 32, "0x10")
    assert read_result(answer(result=None), call_id=7) is None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "json_syntax"),
        (b"<html>busy</html>", "json_syntax"),
        (b"[]", "rpc_shape"),
        (b"[" + answer(result="0x00") + b"]", "rpc_shape"),
        (b'{"id":7,"result":"0x00"}', "rpc_shape"),
        (answer(result="0x00", jsonrpc="1.0"), "rpc_shape"),
        (answer(), "rpc_shape"),
        (answer(result="0x00", id=8), "rpc_id"),
        (answer(result="0x00", id="7"), "rpc_id"),
        (answer(result="0x00", id=7.0), "rpc_id"),
        (answer(result="0x00", id=None), "rpc_id"),
        (answer(result="0x00", error={"code": -1, "message": "no"}), "rpc_error"),
        (answer(result="0x00", error=None), "rpc_error"),
        (answer(error={"code": -32000, "message": "header not found"}), "rpc_error"),
        (answer(error={"code": True, "message": 3}), "rpc_error"),
        (answer(error="execution reverted"), "rpc_error"),
        (answer(error={"code": 3, "message": "execution reverted", "data": "0xf6523b65"}), "rpc_reverted"),
        (answer(error={"code": -32000, "message": "execution reverted"}), "rpc_reverted"),
        (answer(result="0x"), "rpc_no_contract"),
        (answer(result=""), "rpc_result"),
        (answer(result="00"), "rpc_result"),
        (answer(result="0X00"), "rpc_result"),
        (answer(result=None), "rpc_result"),
        (answer(result=["0x00"]), "rpc_result"),
        (answer(result="0x0"), "not_hex"),
        (answer(result="0xzz"), "not_hex"),
        (answer(result="0x 00"), "not_hex"),
        (b'{"jsonrpc":"2.0","id":7,"result":"0x00","result":"0x01"}', "json_duplicate_key"),
        (b" " * (MAX_RPC_BODY + 1), "json_too_large"),
    ],
)
def test_refusals(body: bytes, code: str) -> None:
    assert code_of(read_call_result, body) == code


@pytest.mark.parametrize("result", ["0x", "0x00", "0x01", "10", 16, "0xg", "0x" + "f" * 65, None, "-0x1", "0x1\n"])
def test_no_quantities(result: object) -> None:
    assert code_of(read_quantity, answer(result=result)) == "rpc_result"


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (None, "rpc_no_block"),
        ("0x10", "rpc_result"),
        ({"number": "0x10", "timestamp": "0x65"}, "rpc_result"),
        ({"number": "0x10", "timestamp": 101, "hash": "0x" + "ab" * 32}, "rpc_result"),
        ({"number": None, "timestamp": "0x65", "hash": "0x" + "ab" * 32}, "rpc_result"),
        ({"number": "0x10", "timestamp": "0x65", "hash": "0x" + "ab" * 31}, "wrong_length"),
        ({"number": "0x10", "timestamp": "0x65", "hash": "ab" * 32}, "rpc_result"),
    ],
)
def test_no_blocks(result: object, code: str) -> None:
    assert code_of(read_block, answer(result=result)) == code


def test_the_words_of_the_node_are_not_repeated() -> None:
    with pytest.raises(FormatError) as refused:
        read_result(answer(error={"code": 1, "message": "visit evil.example"}), call_id=7)
    assert "evil" not in str(refused.value)


json_values = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=4)


@given(
    st.binary(max_size=80)
    | json_values.map(lambda value: answer(result=value))
    | json_values.map(lambda value: answer(error=value))
)
def test_arbitrary_answers(body: bytes) -> None:
    for read in (read_call_result, read_quantity, read_block):
        attempt(lambda read=read: read(body, call_id=7))  # type: ignore[misc]
