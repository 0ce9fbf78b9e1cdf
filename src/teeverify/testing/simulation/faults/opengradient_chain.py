"""Faults of what the nodes of a simulated OpenGradient tell: of the chain, and of what the contract holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from attrs import evolve

from teeverify.testing.abi import word
from teeverify.testing.certificates import Issued
from teeverify.testing.nitro import NitroPki
from teeverify.testing.opengradient import OpenGradientSession
from teeverify.testing.opengradient_answers import keccak_256
from teeverify.testing.opengradient_chain import ChainNode
from teeverify.testing.recording import compact
from teeverify.testing.rsa import rsa_key
from teeverify.testing.simulation.fault import EVIDENCE, INCONCLUSIVE, REJECTED, VERIFIED
from teeverify.testing.simulation.opengradient.fault import ATTESTED, EVERY_LEVEL, LOWER, OpenGradientFault

__all__ = ["chain_faults"]

_ENTRY = "registry.entry"
_HOUR = 3600


def chain_faults() -> tuple[OpenGradientFault, ...]:
    """All of them."""
    return (*_answers(), *_disagreements(), *_entries(), *_keys())


def _answers() -> tuple[OpenGradientFault, ...]:
    """Answers that are none, which never pass for an empty list."""

    def listed(result: Callable[[bytes], bytes]) -> Callable[[OpenGradientSession], None]:
        def spoil(session: OpenGradientSession) -> None:
            for node in session.nodes:
                data = result(_encoded(node))
                node.answers["getActiveTEEs"] = _result(f"0x{data.hex()}")

        return spoil

    def told(**members: Any) -> Callable[[OpenGradientSession], None]:
        def spoil(session: OpenGradientSession) -> None:
            for node in session.nodes:
                node.answers["getActiveTEEs"] = compact({"jsonrpc": "2.0", "id": 4, **members})

        return spoil

    lost: dict[str, Any] = {"outcomes": (INCONCLUSIVE,), "levels": EVERY_LEVEL}
    return (
        _fault("no-contract", "Nodes answer 0x, as they do where there is no contract.", told(result="0x"), **lost),
        _fault(
            "node-error", "Nodes answer with an error.", told(error={"code": -32000, "message": "overloaded"}), **lost
        ),
        _fault("node-other-id", "Nodes answer another call than the one made.", told(id=99, result="0x"), **lost),
        _fault("list-empty", "The contract lists nobody.", _each(lambda node: node.records.clear()), **lost),
        _fault("list-offset-wild", "An offset in the list points beyond it.", listed(_with_word(2, 1 << 40)), **lost),
        _fault("list-length-huge", "The list claims to have 2^200 entries.", listed(_with_word(1, 1 << 200)), **lost),
        _fault("list-bool-two", "A record says 2 where only 0 and 1 are.", listed(_with_word(10, 2)), **lost),
        _fault("list-type-wide", "A record's kind does not fit its type.", listed(_with_word(9, 300)), **lost),
        _fault("list-cut-off", "The list ends in the middle.", listed(lambda data: data[:-32]), **lost),
        _fault("list-other-layout", "Records have a layout that nobody knows.", listed(_with_word(5, 0x180)), **lost),
        _fault(
            "legacy-record",
            "The contract is the one before encryption: its records hold no key.",
            _record(ohttp=None),
            outcomes=(INCONCLUSIVE,),
            checks=("enclave.ohttp_key",),
            levels=LOWER,
        ),
        _fault(
            "entry-differs",
            "The contract tells another entry by the enclave's id than in its list.",
            _each(lambda node: node.answers.update(getTEE=_other_entry(node))),
            levels=LOWER,
        ),
    )


def _disagreements() -> tuple[OpenGradientFault, ...]:
    """Nodes that do not say the same, and a chain that is not the one."""

    def second(change: Callable[[ChainNode], Any]) -> Callable[[OpenGradientSession], None]:
        return lambda session: (change(session.nodes[1]), None)[1]

    apart: dict[str, Any] = {"outcomes": (INCONCLUSIVE,), "levels": EVERY_LEVEL, "nodes": 2}
    return (
        _fault(
            "node-disagrees",
            "The second node tells another key for encryption.",
            lambda session: session.nodes[1].records.__setitem__(
                0, evolve(session.record, ohttp=_other_ohttp(session))
            ),
            **apart,
        ),
        _fault("node-behind", "The second node does not know the block yet.", second(_unknown_block), **apart),
        _fault("node-other-hash", "The second node is on another fork.", second(_other_fork), **apart),
        _fault("node-lists-nobody", "The second node's list is empty.", second(lambda n: n.records.clear()), **apart),
        _fault("node-other-chain", "The second node is of another chain.", second(_other_chain), **apart),
        _fault("other-chain", "All nodes are of another chain.", _each(_other_chain), levels=EVERY_LEVEL),
    )


def _entries() -> tuple[OpenGradientFault, ...]:
    """Entries that must not count."""

    def blocks(seconds: int) -> Callable[[OpenGradientSession], None]:
        def spoil(session: OpenGradientSession) -> None:
            session.record.last_heartbeat_at += seconds
            for node in session.nodes:
                node.block_time += seconds

        return spoil

    def beats(seconds: int) -> Callable[[OpenGradientSession], None]:
        return lambda session: _record(last_heartbeat_at=session.record.last_heartbeat_at + seconds)(session)

    every: dict[str, Any] = {"levels": EVERY_LEVEL}
    return (
        _fault("disabled", "The contract has the enclave disabled.", _record(enabled=0), **every),
        _fault("validator", "The enclave is registered for another purpose.", _listed_validator, **every),
        _fault("heartbeat-stale", "The enclave gave no sign of life for an hour.", beats(-_HOUR), **every),
        _fault("heartbeat-ahead", "The enclave's sign of life lies ahead of the block.", beats(_HOUR), **every),
        _fault("block-stale", "The block is an hour old, so old entries seem alive.", blocks(-_HOUR), **every),
        _fault("block-ahead", "The block lies an hour ahead.", blocks(_HOUR), **every),
        _fault("record-debug-image", "The registered image is one in debug mode.", _debug_image, **every),
        _fault(
            "record-other-image",
            "The registered image is none that is pinned.",
            _record(pcr_hash=b"\x5a" * 32),
            levels=("attested", "registry+pcr"),
        ),
        _fault("root-replaced", "The contract judges registrations by another root than AWS's.", _other_root, **every),
        _fault("root-unknown", "The contract does not say by which root it judges.", _no_root, outcomes=(VERIFIED,)),
    )


def _keys() -> tuple[OpenGradientFault, ...]:
    """Keys in the record that are not the enclave's."""
    return (
        _fault("record-other-key", "The record holds a stranger's signing key.", _stranger),
        _fault(
            "record-other-certificate",
            "The record holds another TLS certificate.",
            _other_certificate,
            checks=("nitro.user_data",),
        ),
        _fault(
            "record-other-ohttp-key",
            "The record holds another key for encryption.",
            lambda session: _record(ohttp=_other_ohttp(session))(session),
            checks=("enclave.ohttp_key",),
        ),
        _fault(
            "record-ohttp-inconsistent",
            "The record's key for encryption is not the one in its key configuration.",
            _inconsistent,
            checks=("evidence.wellformed",),
            levels=LOWER,
        ),
        _fault(
            "record-weak-key",
            "The record's signing key has 1024 bits.",
            _weak,
            checks=("evidence.wellformed",),
            levels=LOWER,
        ),
    )


def _fault(
    name: str,
    description: str,
    spoil: Callable[[OpenGradientSession], None],
    *,
    outcomes: tuple[str, ...] = (REJECTED,),
    checks: tuple[str, ...] = (_ENTRY,),
    levels: tuple[str, ...] = ATTESTED,
    nodes: int = 1,
) -> OpenGradientFault:
    return OpenGradientFault(
        name=name,
        area=EVIDENCE,
        description=description,
        outcomes=outcomes,
        checks=frozenset(() if outcomes == (VERIFIED,) else checks),
        levels=levels,
        nodes=nodes,
        spoil=spoil,
    )


def _each(change: Callable[[ChainNode], Any]) -> Callable[[OpenGradientSession], None]:
    def spoil(session: OpenGradientSession) -> None:
        for node in session.nodes:
            change(node)

    return spoil


def _record(**changes: Any) -> Callable[[OpenGradientSession], None]:
    """All nodes tell of a record with these members changed."""

    def spoil(session: OpenGradientSession) -> None:
        session.record = evolve(session.record, **changes)
        for node in session.nodes:
            node.records = [session.record]

    return spoil


def _result(value: Any) -> bytes:
    return compact({"jsonrpc": "2.0", "id": 4, "result": value})


def _encoded(node: ChainNode) -> bytes:
    """What the contract returns when it is asked for its list."""
    call = {"to": f"0x{node.contract}", "data": f"0x4b6014da{bytes(32).hex()}"}
    body = compact({"jsonrpc": "2.0", "id": 4, "method": "eth_call", "params": [call, "latest"]})
    return bytes.fromhex(json.loads(node.answer(body))["result"][2:])


def _with_word(index: int, number: int) -> Callable[[bytes], bytes]:
    """One word of the list replaced. Word 0 is its offset, 1 its length, 2 the offset of the record at word 3."""
    return lambda data: data[: 32 * index] + word(number) + data[32 * index + 32 :]


def _other_entry(node: ChainNode) -> bytes:
    changed = evolve(node.records[0], last_heartbeat_at=node.records[0].last_heartbeat_at - 1)
    other = evolve(node, records=[changed], answers={})
    call = {"to": f"0x{node.contract}", "data": f"0x418b207d{changed.tee_id.hex()}"}
    body = compact({"jsonrpc": "2.0", "id": 6, "method": "eth_call", "params": [call, "latest"]})
    return compact(json.loads(other.answer(body)))


def _unknown_block(node: ChainNode) -> None:
    node.answers["eth_getBlockByNumber"] = compact({"jsonrpc": "2.0", "id": 3, "result": None})


def _other_fork(node: ChainNode) -> None:
    node.block_hash = b"\xb2" * 32


def _other_chain(node: ChainNode) -> None:
    node.chain_id = 1


def _listed_validator(session: OpenGradientSession) -> None:
    """The contract lists it among the routers all the same."""
    data = _with_word(9, 1)(_encoded(session.nodes[0]))
    for node in session.nodes:
        node.answers["getActiveTEEs"] = _result(f"0x{data.hex()}")
    single = data[96:]  # without offset, length and the record's own offset
    for node in session.nodes:
        told = compact({"jsonrpc": "2.0", "id": 6, "result": f"0x{word(32).hex()}{single.hex()}"})
        node.answers["getTEE"] = told


def _debug_image(session: OpenGradientSession) -> None:
    _record(pcr_hash=keccak_256(bytes(144)))(session)


def _other_root(session: OpenGradientSession) -> None:
    root: Issued = NitroPki(session.keys).authority("stranger", NitroPki(session.keys).root, session.at)
    for node in session.nodes:
        node.aws_root = root.pem.encode()


def _no_root(session: OpenGradientSession) -> None:
    for node in session.nodes:
        node.aws_root = None


def _stranger(session: OpenGradientSession) -> None:
    key = rsa_key(session.keys, "opengradient/attacker")
    _record(signing_key=key.spki, tee_id=keccak_256(key.spki))(session)


def _other_certificate(session: OpenGradientSession) -> None:
    _record(tls_certificate=NitroPki(session.keys).root.der)(session)


def _other_ohttp(session: OpenGradientSession) -> tuple[int, int, int, int, bytes, bytes, int]:
    """Members of OhttpConfig with a stranger's key."""
    other = evolve(session.ohttp, private=session.keys.material("ohttp/attacker", 32))
    return (other.key_id, 0x20, 1, 3, other.public, other.key_config, int(session.at.timestamp()))


def _inconsistent(session: OpenGradientSession) -> None:
    key_id, kem, kdf, aead, _, config, registered = session.record.ohttp or (1, 0x20, 1, 3, b"", b"", 0)
    _record(ohttp=(key_id, kem, kdf, aead, _other_ohttp(session)[4], config, registered))(session)


def _weak(session: OpenGradientSession) -> None:
    key = rsa_key(session.keys, "opengradient/weak", bits=1024)
    _record(signing_key=key.spki, tee_id=keccak_256(key.spki))(session)
