"""Attacks 8.1 on whole sessions: the contract, its nodes and its administrator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from teeverify.testing import OpenGradientSession
from teeverify.testing.opengradient_answers import keccak_256
from teeverify.testing.opengradient_chain import ChainNode, RegistryRecord
from teeverify.testing.recording import compact
from teeverify.testing.rsa import rsa_key

from .world import LEVELS, World, findings, outcome_of

BELOW = LEVELS[1:]


def _result(call_id: int, result: Any) -> bytes:
    return compact({"jsonrpc": "2.0", "id": call_id, "result": result})


NONSENSE = {
    "no contract": _result(4, "0x"),
    "an error": compact({"jsonrpc": "2.0", "id": 4, "error": {"code": -32000, "message": "no"}}),
    "a page": b"<html>sign in</html>",
    "another id": _result(5, "0x" + "00" * 32),
    "not hex": _result(4, "0xzz"),
    "no bytes": b"",
    "null": _result(4, None),
    "an empty word": _result(4, "0x" + "00" * 31),
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE.keys())
def test_r1_what_is_no_list_is_no_empty_list(answer: bytes, level: str) -> None:
    session = OpenGradientSession.build()
    for node in session.nodes:
        node.answers["getActiveTEEs"] = answer
    verdict = World(session, assurance=level).attest()
    assert outcome_of(verdict) == "INCONCLUSIVE"
    assert findings(verdict)["registry.entry"][1] != "not_listed"


def _legacy_as_new(session: OpenGradientSession) -> None:
    session.record.ohttp = None


def _attackers_key(session: OpenGradientSession) -> None:
    session.record.signing_key = rsa_key(session.keys, "opengradient/attacker").spki


def _other_image(session: OpenGradientSession) -> None:
    session.record.pcr_hash = b"\x12" * 32


def _debug_image(session: OpenGradientSession) -> None:
    debug = "cd2e66bf0b91eeedc6c648ae9335a78d7c9a4ab0ef33612a824d91cdc68a4f21"
    session.record.pcr_hash = bytes.fromhex(debug)


def _disabled(session: OpenGradientSession) -> None:
    session.record.enabled = 0


def _silent(session: OpenGradientSession) -> None:
    session.record.last_heartbeat_at = session.nodes[0].block_time - 1801


def _heartbeat_ahead(session: OpenGradientSession) -> None:
    session.record.last_heartbeat_at = session.nodes[0].block_time + 1


def _validator(session: OpenGradientSession) -> None:
    session.record.tee_type = 2  # the chain's answer to a question about type 0


def _old_block(session: OpenGradientSession) -> None:
    _each(session, lambda node: setattr(node, "block_time", node.block_time - 118))


def _block_ahead(session: OpenGradientSession) -> None:
    _each(session, lambda node: setattr(node, "block_time", node.block_time + 64))


def _other_chain(session: OpenGradientSession) -> None:
    _each(session, lambda node: setattr(node, "chain_id", 1))


def _root_replaced(session: OpenGradientSession) -> None:
    pem = session.enclave.leaf.pem.encode()
    _each(session, lambda node: setattr(node, "aws_root", pem))


def _each(session: OpenGradientSession, change: Callable[[ChainNode], None]) -> None:
    for node in session.nodes:
        change(node)


FAULTS: dict[str, tuple[Callable[[OpenGradientSession], None], str]] = {
    "R-5 unpinned image": (_other_image, "image_not_pinned"),
    "R-5 debug image": (_debug_image, "debug_image"),
    "R-6 disabled": (_disabled, "disabled"),
    "R-6 stale heartbeat": (_silent, "stale_heartbeat"),
    "R-6 heartbeat ahead": (_heartbeat_ahead, "stale_heartbeat"),
    "R-6 old block": (_old_block, "stale_block"),
    "R-6 block ahead": (_block_ahead, "stale_block"),
    "R-7 validator": (_validator, "disabled"),
    "R-11 other chain": (_other_chain, "other_contract"),
    "R-12 root replaced": (_root_replaced, "root_replaced"),
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", FAULTS)
def test_what_the_contract_may_not_say(name: str, level: str) -> None:
    spoil, reason = FAULTS[name]
    session = OpenGradientSession.build()
    spoil(session)
    verdict = World(session, assurance=level, pcrs=True).attest()
    assert outcome_of(verdict) == "REJECTED"
    assert findings(verdict)["registry.entry"] == ("fail", reason)


def test_the_debug_image_is_refused_where_no_image_is_pinned() -> None:
    session = OpenGradientSession.build()
    _debug_image(session)
    verdict = World(session, assurance="registry").attest()
    assert findings(verdict) == {"registry.entry": ("fail", "debug_image")}


@pytest.mark.parametrize("level", BELOW)
def test_r2_a_record_of_the_old_layout_has_no_key_to_encrypt_to(level: str) -> None:
    session = OpenGradientSession.build()
    _legacy_as_new(session)
    verdict = World(session, assurance=level).attest()
    assert (outcome_of(verdict), findings(verdict)) == (
        "INCONCLUSIVE",
        {"enclave.ohttp_key": ("unevaluated", "no_key")},
    )


def test_r4_the_id_is_made_of_the_key() -> None:
    """The contract's entry under the honest id holds the attacker's key: the id follows the key."""
    session = OpenGradientSession.build()
    _attackers_key(session)
    attested = World(session).attest()
    assert findings(attested)["registry.entry"] == ("fail", "other_keys")
    lower = World(session, assurance="registry").attest()  # getTEE by the key's own id: there is none
    assert outcome_of(lower) == "INCONCLUSIVE"
    session.record.tee_id = rsa_key(session.keys, "opengradient/other").spki[:32]
    pinned = World(session, assurance="registry", signing_keys=[session.tee_id.hex()]).attest()
    assert outcome_of(pinned) != "VERIFIED"


def test_an_enclave_that_is_asked_for_by_its_id_only() -> None:
    session = OpenGradientSession.build()
    verdict = World(session, assurance="registry", tee_id=b"\x01" * 32).attest()
    found = findings(verdict)
    assert found["registry.entry"] == found["enclave.signing_key"] == ("unevaluated", "not_listed")
    assert outcome_of(verdict) == "INCONCLUSIVE"


KEYS: dict[str, Callable[[RegistryRecord], bytes]] = {
    "elliptic curve": lambda record: bytes.fromhex(
        "3059301306072a8648ce3d020106082a8648ce3d030107034200" + "04" + "11" * 64
    ),
    "trailing byte": lambda record: record.signing_key + b"\0",
    "empty": lambda record: b"",
    "RSASSA-PSS": lambda record: record.signing_key.replace(
        bytes.fromhex("2a864886f70d010101"), bytes.fromhex("2a864886f70d01010a")
    ),
}


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("level", BELOW)
def test_r8_signing_keys_that_are_none(kind: str, level: str) -> None:
    session = OpenGradientSession.build()
    session.record.signing_key = KEYS[kind](session.record)
    session.record.tee_id = keccak_256(session.record.signing_key)
    verdict = World(session, assurance=level).attest()
    assert (outcome_of(verdict), findings(verdict)["evidence.wellformed"][0]) == ("REJECTED", "fail")


def test_r8_short_keys() -> None:
    session = OpenGradientSession.build()
    short = rsa_key(session.keys, "short", bits=1024)
    session.record.signing_key, session.record.tee_id = short.spki, keccak_256(short.spki)
    for level in LEVELS:
        assert outcome_of(World(session, assurance=level).attest()) == "REJECTED"


OHTTP: dict[str, tuple[int, Any]] = {
    "another suite": (1, 0x21),
    "another kdf": (2, 2),
    "another aead": (3, 1),
    "another id": (0, 2),
    "31 bytes": (4, b"\x09" * 31),
    "low order": (4, bytes(32)),
    "another key": (4, b"\x09" * 32),
    "another blob": (5, b"\x00" * 41),
    "short blob": (5, b"\x00" * 40),
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", OHTTP)
def test_r10_contradictions_about_the_key_to_encrypt_to(name: str, level: str) -> None:
    place, value = OHTTP[name]
    session = OpenGradientSession.build()
    assert session.record.ohttp is not None
    members = list(session.record.ohttp)
    members[place] = value
    session.record.ohttp = tuple(members)  # type: ignore[assignment]
    verdict = World(session, assurance=level).attest()
    assert outcome_of(verdict) == "REJECTED"
    if level == "attested":
        assert findings(verdict)["enclave.ohttp_key"] == ("fail", "other_config")


def test_r9_the_key_is_swapped_by_the_nodes() -> None:
    """At level registry it is their word; at level attested the enclave's signature shows the swap."""
    session = OpenGradientSession.build()
    thief = OpenGradientSession.build(boot="other")
    session.record.ohttp = thief.record.ohttp
    attested = World(session).attest()
    assert findings(attested)["enclave.ohttp_key"] == ("fail", "other_config")
    lower = World(session, assurance="registry").attest()
    assert outcome_of(lower) == "VERIFIED"
    assert any("are believed" in gap for gap in lower.gaps)


def test_r9_one_node_alone_swaps_the_key() -> None:
    session = OpenGradientSession.build()
    session.nodes[0].records = [evolve(session.record, ohttp=OpenGradientSession.build(boot="other").record.ohttp)]
    verdict = World(session, assurance="registry").attest()
    assert findings(verdict) == {"registry.entry": ("unevaluated", "no_quorum")}


def test_getting_one_entry_says_the_same_as_the_list() -> None:
    session = OpenGradientSession.build()
    other = evolve(session.record, last_heartbeat_at=session.record.last_heartbeat_at + 1)
    twin = OpenGradientSession.build()
    twin.nodes[0].records = [other]
    session.nodes[0].answers["getTEE"] = twin.nodes[0].answer(_asking(session))
    verdict = World(session, assurance="registry").attest()
    assert findings(verdict)["registry.entry"] == ("fail", "contradiction")


def _asking(session: OpenGradientSession) -> bytes:
    call = {"to": f"0x{session.nodes[0].contract}", "data": f"0x418b207d{session.record.tee_id.hex()}"}
    return compact({"jsonrpc": "2.0", "id": 6, "method": "eth_call", "params": [call, "0x1"]})
