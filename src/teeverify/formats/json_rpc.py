"""JSON-RPC 2.0 with an Ethereum node: request bodies, and single answers read so that none passes for "nothing there".

A node is trusted for its answers only as far as the caller says. Its own words about an error are never repeated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Final

from attrs import frozen

from ..errors import FormatError
from ..limits import MAX_RPC_BODY
from .encodings import decode_hex
from .strict_json import JsonValue, loads

__all__ = ["Block", "eth_call", "read_block", "read_call_result", "read_quantity", "read_result", "rpc_request"]

_QUANTITY: Final = re.compile(r"0x(?:0|[1-9a-fA-F][0-9a-fA-F]{0,63})\Z")
_REVERTED: Final = 3
"""The error code of a call that the contract itself ended (geth and its kin)."""


@frozen(kw_only=True)
class Block:
    """One block's header: its number, its hash (32 bytes), and its time in seconds since 1970-01-01 UTC."""

    number: int
    hash: bytes
    timestamp: int

    @property
    def tag(self) -> str:
        """The number as calls name a block."""
        return hex(self.number)


def rpc_request(method: str, parameters: Sequence[JsonValue], *, call_id: int) -> bytes:
    """The body of one request."""
    document = {"jsonrpc": "2.0", "id": call_id, "method": method, "params": list(parameters)}
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode("ascii")


def eth_call(contract: bytes, data: bytes, *, block: str, call_id: int) -> bytes:
    """The body of one read of a contract.

    Args:
        contract: address, 20 bytes.
        data: the call, as `teeverify.formats.abi.write_call` makes it.
        block: number of the block in hex with 0x, so that several calls speak of one state; or ``latest``.
        call_id: number that the answer must repeat.
    """
    target = {"to": f"0x{contract.hex()}", "data": f"0x{data.hex()}"}
    return rpc_request("eth_call", (target, block), call_id=call_id)


def read_result(body: bytes, *, call_id: int) -> JsonValue:
    """The ``result`` of an answer.

    Raises:
        FormatError: ``rpc_reverted`` (the contract refused the call, or has no such function), ``rpc_error`` (any other
            error), ``rpc_shape``, ``rpc_id``, and the codes of `strict_json.loads`.
    """
    document = loads(body, what="the node's answer", limit=MAX_RPC_BODY)
    if not isinstance(document, dict) or document.get("jsonrpc") != "2.0":
        raise FormatError("rpc_shape", "the node's answer is not one JSON-RPC 2.0 object")
    answered = document.get("id")
    if type(answered) is not int or answered != call_id:
        raise FormatError("rpc_id", f"the node's answer is not the one to request {call_id}")
    if "error" in document:
        raise _error(document["error"])
    if "result" not in document:
        raise FormatError("rpc_shape", "the node's answer has neither a result nor an error")
    return document["result"]


def read_call_result(body: bytes, *, call_id: int) -> bytes:
    """The bytes that a contract returned.

    Raises:
        FormatError: ``rpc_no_contract`` for an empty result: there is no contract at the address, which is not the same
            as an empty list; ``rpc_result``, and the codes of `read_result` and `decode_hex`.
    """
    result = read_result(body, call_id=call_id)
    if not isinstance(result, str) or not result.startswith("0x"):
        raise FormatError("rpc_result", "the node's result is not a string of hex digits with 0x before them")
    if result == "0x":
        raise FormatError("rpc_no_contract", "the node's result is empty: no contract that answers is at the address")
    return decode_hex(result[2:], what="the node's result", limit=MAX_RPC_BODY)


def read_quantity(body: bytes, *, call_id: int) -> int:
    """A number, as ``eth_blockNumber`` and ``eth_chainId`` answer: hex with 0x and no zeros in front, 256 bits at most.

    Raises:
        FormatError: ``rpc_result`` and the codes of `read_result`.
    """
    return _quantity(read_result(body, call_id=call_id), "the node's result")


def read_block(body: bytes, *, call_id: int) -> Block:
    """The answer to ``eth_getBlockByNumber``.

    Raises:
        FormatError: ``rpc_no_block`` where the node does not have it, ``rpc_result``, and the codes of `read_result`
            and `decode_hex`.
    """
    result = read_result(body, call_id=call_id)
    if result is None:
        raise FormatError("rpc_no_block", "the node does not have the block that was asked for")
    if not isinstance(result, dict):
        raise FormatError("rpc_result", "the node's result is not a block")
    digest = result.get("hash")
    if not isinstance(digest, str) or not digest.startswith("0x"):
        raise FormatError("rpc_result", "the block's hash is not a string of hex digits with 0x before them")
    return Block(
        number=_quantity(result.get("number"), "the block's number"),
        hash=decode_hex(digest[2:], what="the block's hash", size=32),
        timestamp=_quantity(result.get("timestamp"), "the block's timestamp"),
    )


def _quantity(value: JsonValue, what: str) -> int:
    if not isinstance(value, str) or not _QUANTITY.match(value):
        raise FormatError("rpc_result", f"{what} is not a number in hex with 0x and without zeros before it")
    return int(value[2:], 16)


def _error(error: JsonValue) -> FormatError:
    number = error.get("code") if isinstance(error, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    if (type(number) is int and number == _REVERTED) or (
        isinstance(message, str) and message.startswith("execution reverted")
    ):
        return FormatError("rpc_reverted", "the contract refused the call, or has no such function")
    return FormatError("rpc_error", "the node answered with an error")
