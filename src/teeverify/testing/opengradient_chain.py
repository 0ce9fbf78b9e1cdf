"""OpenGradient's registry contract as nodes tell of it: records, and answers to JSON-RPC calls."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from attrs import define, field

from .abi import AbiArray, AbiBytes, AbiTuple, abi_encode, selector, word
from .recording import compact

__all__ = ["CHAIN_ID", "CONTRACT", "ChainNode", "RegistryRecord", "rpc_body", "session_calls"]

CONTRACT: Final = "703cb174aeadb35d611858369b4b1111dc9abda6"
"""Address of the registry, hex."""
CHAIN_ID: Final = 10740

_LIST, _ONE = selector("getActiveTEEs(uint8)"), selector("getTEE(bytes32)")
_ROOT, _APPROVED = selector("awsRootCertificate()"), selector("isPCRApproved(uint8,bytes32)")


@define(kw_only=True)
class RegistryRecord:
    """What the contract holds of one enclave, as the operator wrote it.

    ``ohttp`` are members of OhttpConfig in the contract's order, None for the layout before OHTTP. Times are in Unix
    seconds, ``pcr_hash`` is 32 bytes, keys and certificates are DER.
    """

    tee_id: bytes
    endpoint: bytes
    signing_key: bytes
    tls_certificate: bytes
    pcr_hash: bytes
    tee_type: int = 0
    enabled: int = 1
    registered_at: int
    last_heartbeat_at: int
    ohttp: tuple[int, int, int, int, bytes, bytes, int] | None
    owner: int = int("11" * 20, 16)
    payment_address: int = int("22" * 20, 16)

    def encoded(self) -> AbiTuple:
        """TEEInfo."""
        members: tuple[Any, ...] = (
            self.owner,
            self.payment_address,
            AbiBytes(self.endpoint),
            AbiBytes(self.signing_key),
            AbiBytes(self.tls_certificate),
            self.pcr_hash,
            self.tee_type,
            self.enabled,
            self.registered_at,
            self.last_heartbeat_at,
        )
        if self.ohttp is None:
            return AbiTuple(members)
        key_id, kem, kdf, aead, key, config, registered = self.ohttp
        return AbiTuple((*members, AbiTuple((key_id, kem, kdf, aead, AbiBytes(key), AbiBytes(config), registered))))


@define(kw_only=True)
class ChainNode:
    """One node: what it believes of the chain, and of the contract. Its attributes are knobs.

    ``aws_root`` is the PEM by which the contract judges registrations, None where it has no such function.
    ``answers`` are whole bodies by name of the call (``eth_chainId``, ``eth_blockNumber``, ``eth_getBlockByNumber``,
    ``getActiveTEEs``, ``getTEE``, ``awsRootCertificate``, ``isPCRApproved``) in place of the truthful ones.
    """

    url: str
    chain_id: int = CHAIN_ID
    contract: str = CONTRACT
    block_number: int = 1_000_000
    block_time: int
    block_hash: bytes = b"\xb1" * 32
    records: list[RegistryRecord] = field(factory=list)
    aws_root: bytes | None = b""
    answers: dict[str, bytes] = field(factory=dict)

    def answer(self, body: bytes) -> bytes:
        """The body that answers the body of a request."""
        asked = json.loads(body)
        name, result = self._result(asked["method"], asked.get("params", []))
        if name in self.answers:
            return self.answers[name]
        told = {"error": {"code": 3, "message": "execution reverted"}} if result is None else {"result": result}
        return compact({"jsonrpc": "2.0", "id": asked["id"], **told})

    def _result(self, method: str, parameters: Sequence[Any]) -> tuple[str, Any]:
        """Name and result of a call, None where the contract refuses it."""
        if method == "eth_chainId":
            return method, hex(self.chain_id)
        if method == "eth_blockNumber":
            return method, hex(self.block_number)
        if method == "eth_getBlockByNumber":
            return method, self._block(int(parameters[0], 16))
        target = parameters[0]
        if method != "eth_call" or target["to"].lower() != f"0x{self.contract}":
            return method, "0x"
        name, returned = self._called(bytes.fromhex(target["data"][2:]))
        return name, None if returned is None else f"0x{returned.hex()}"

    def _block(self, number: int) -> dict[str, str]:
        return {
            "number": hex(number),
            "hash": f"0x{self.block_hash.hex()}",
            "timestamp": hex(self.block_time),
            "parentHash": f"0x{bytes(32).hex()}",
        }

    def _called(self, data: bytes) -> tuple[str, bytes | None]:
        if data[:4] == _LIST:
            listed = [record for record in self.records if word(record.tee_type) == data[4:] or record.tee_type > 1]
            return "getActiveTEEs", abi_encode([AbiArray(tuple(record.encoded() for record in listed))])
        if data[:4] == _ONE:
            known = {record.tee_id: record for record in self.records}
            record = known.get(data[4:])
            return "getTEE", None if record is None else abi_encode([record.encoded()])
        if data[:4] == _ROOT:
            return "awsRootCertificate", None if self.aws_root is None else abi_encode([AbiBytes(self.aws_root)])
        if data[:4] == _APPROVED:
            return "isPCRApproved", word(data[36:] in {record.pcr_hash for record in self.records})
        return "unknown", None


def rpc_body(call_id: int, method: str, *parameters: Any) -> bytes:
    """The body of a request as teeverify writes it."""
    return compact({"jsonrpc": "2.0", "id": call_id, "method": method, "params": list(parameters)})


def session_calls(nodes: Sequence[ChainNode], single: bytes | None) -> list[tuple[str, bytes]]:
    """URL and body of the calls of one session, in their order; ``single`` is the id that is asked for at the end."""
    tag, contract = hex(nodes[0].block_number), {"to": f"0x{CONTRACT}"}
    listed = {**contract, "data": f"0x{_LIST.hex()}{bytes(32).hex()}"}
    calls = [(node.url, rpc_body(1, "eth_chainId")) for node in nodes]
    calls.append((nodes[0].url, rpc_body(2, "eth_blockNumber")))
    for node in nodes:
        calls += [
            (node.url, rpc_body(3, "eth_getBlockByNumber", tag, False)),
            (node.url, rpc_body(4, "eth_call", listed, tag)),
            (node.url, rpc_body(5, "eth_call", {**contract, "data": f"0x{_ROOT.hex()}"}, tag)),
        ]
    if single is not None:
        asked = {**contract, "data": f"0x{_ONE.hex()}{single.hex()}"}
        calls.append((nodes[0].url, rpc_body(6, "eth_call", asked, tag)))
    return calls
