"""Several nodes: what agrees counts, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attrs import evolve

from teeverify.errors import ConfigurationError
from teeverify.testing import OpenGradientSession
from teeverify.testing.recording import compact

from .world import World, findings, outcome_of

NO_QUORUM = {"registry.entry": ("unevaluated", "no_quorum")}


def _disagree(session: OpenGradientSession) -> None:
    session.nodes[1].records = [evolve(session.record, last_heartbeat_at=session.record.last_heartbeat_at - 1)]


def _lag(session: OpenGradientSession) -> None:
    body = compact({"jsonrpc": "2.0", "id": 3, "result": None})
    session.nodes[1].answers["eth_getBlockByNumber"] = body


def _fork(session: OpenGradientSession) -> None:
    session.nodes[1].block_hash = b"\x99" * 32


def _other_chain(session: OpenGradientSession) -> None:
    session.nodes[1].chain_id = 1


def _other_root(session: OpenGradientSession) -> None:
    session.nodes[1].aws_root = b"-----BEGIN CERTIFICATE-----"


def _list_nothing(session: OpenGradientSession) -> None:
    session.nodes[1].records = []


def _no_contract(session: OpenGradientSession) -> None:
    session.nodes[1].answers["getActiveTEEs"] = compact({"jsonrpc": "2.0", "id": 4, "result": "0x"})


@pytest.mark.parametrize("level", ["attested", "registry"])
@pytest.mark.parametrize(
    "spoil", [_disagree, _lag, _fork, _other_chain, _other_root, _list_nothing, _no_contract], ids=lambda f: f.__name__
)
def test_a_second_node_that_says_something_else(spoil: Callable[[OpenGradientSession], None], level: str) -> None:
    session = OpenGradientSession.build(nodes=2)
    spoil(session)
    world = World(session, assurance=level, quorum=2)
    verdict = world.attest()
    assert (outcome_of(verdict), findings(verdict)) == ("INCONCLUSIVE", NO_QUORUM)
    assert outcome_of(World(session, assurance=level, quorum=1).attest()) == "VERIFIED"


def test_two_of_three() -> None:
    session = OpenGradientSession.build(nodes=3)
    _disagree(session)
    verdict = World(session, quorum=2).attest()
    assert outcome_of(verdict) == "VERIFIED"
    (subject,) = verdict.subjects
    entry = next(check for check in subject.checks if check.id == "registry.entry")
    assert "2 of 3 nodes" in entry.summary


def test_the_majority_does_not_speak_for_a_first_node_that_lies() -> None:
    session = OpenGradientSession.build(nodes=3)
    session.nodes[0].records = [evolve(session.record, pcr_hash=b"\x55" * 32)]
    assert findings(World(session, quorum=2).attest()) == NO_QUORUM
    assert findings(World(session, quorum=1).attest())["registry.entry"] == ("fail", "image_not_pinned")


@pytest.mark.parametrize("dead", [0, 1])
def test_dead_nodes(dead: int) -> None:
    session = OpenGradientSession.build(nodes=2)
    world = World(session, quorum=2)
    world.transport.dead.add(session.nodes[dead].url)
    assert outcome_of(world.attest()) == "INCONCLUSIVE"
    alone = World(session, quorum=1)
    alone.transport.dead.add(session.nodes[dead].url)
    assert outcome_of(alone.attest()) == ("INCONCLUSIVE" if dead == 0 else "VERIFIED")  # the first one names the block


def test_one_node_by_several_urls_is_one_node() -> None:
    session = OpenGradientSession.build(nodes=1)
    url = session.nodes[0].url
    for copies in ((url, url), (url, url[:-1])):
        world = World(session, quorum=2, nodes=copies)
        assert findings(world.attest()) == NO_QUORUM
        assert {request.url for request in world.transport.asked if request.method == "POST"} == {url}
    session.nodes.append(evolve(session.nodes[0], url=f"{url}v3/other-key"))
    world = World(session, quorum=2)
    assert len(world.session.node_urls) == 2
    assert findings(world.attest()) == NO_QUORUM


@pytest.mark.parametrize(
    "url", ["http://node.test/", "node.test", "https://", "https://u:p@node.test/", "https://n:x/"]
)
def test_what_is_no_node(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        World(OpenGradientSession.build(), nodes=[url])
    assert "u:p" not in str(caught.value)


def test_the_block_is_chosen_once_and_asked_of_all() -> None:
    session = OpenGradientSession.build(nodes=3)
    session.nodes[1].block_number += 5
    world = World(session)
    assert outcome_of(world.attest()) == "VERIFIED"
    bodies = [request.body or b"" for request in world.transport.asked]
    tag = hex(session.nodes[0].block_number).encode()
    assert all(tag in body for body in bodies if b"eth_call" in body or b"getBlockByNumber" in body)


def test_a_restarted_enclave_has_two_entries_for_half_an_hour() -> None:
    old, session = OpenGradientSession.build(boot="other"), OpenGradientSession.build()
    for node in session.nodes:
        node.records = [old.record, session.record]
    live = World(session).attest()
    assert outcome_of(live) == "VERIFIED"
    assert live.evidence is not None
    assert outcome_of(World(session).verifier.verify_saved(live.evidence)) == "VERIFIED"
    assert outcome_of(World(session, enclave=session.url).attest()) == "VERIFIED"
    assert outcome_of(World(session, tee_id=session.tee_id).attest()) == "VERIFIED"
    assert outcome_of(World(session, tee_id=old.tee_id).attest()) == "REJECTED"
