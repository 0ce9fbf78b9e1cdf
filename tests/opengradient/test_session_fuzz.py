"""Every answer of a session, leaf by leaf and bit by bit: never an exception, and never VERIFIED unless unread."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator
from typing import Any, Final

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from teeverify.saved import SavedReport
from teeverify.signed_exchange import AcceptedChats
from teeverify.testing import OpenGradientSession
from teeverify.testing.opengradient_answers import CALLS
from teeverify.testing.recording import Document

from .world import HELLO, LEVELS, TOOLS, World, findings, outcome_of, report_of, streaming, verifier_of

SESSION: Final = OpenGradientSession.build()
ODD: Final[tuple[Any, ...]] = (
    None,
    True,
    -1,
    0,
    2**70,
    1.5,
    "",
    "0x",
    "zz",
    "\ud83d\ude00",
    [],
    {},
    [[]],
    {"a": 1},
    "A" * 70000,
)
UNREAD_KEYS: Final = {
    ("wallet_address",), ("timestamp",), ("measurements",), ("enclave_info",), ("enclave_info", "platform"),
    ("enclave_info", "instance_type"), ("enclave_info", "version"),
}  # fmt: skip
"""Members of the answer about the keys that nothing is made of."""
UNREAD_ANSWER: Final = ("id", "object", "created", "model", "usage")
BELOW: Final[dict[str, Any]] = {"signing_keys": [SESSION.tee_id.hex()], "waive": ["saved.recorded_at"]}
"""What makes recorded words of nodes count, so that changes to them can be seen."""


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _leaves(inner, (*path, key))


def _with(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    copy = json.loads(json.dumps(document))
    place = copy
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return copy


def _at(document: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        document = document[key]
    return document


def test_every_member_of_the_answer_about_the_keys() -> None:
    truth = json.loads(SESSION.signing_key())
    for path in _leaves(truth):
        for odd in (*ODD[:4], "", "zz", {}, ...):
            if odd == _at(truth, path) and type(odd) is type(_at(truth, path)):
                continue
            session = _twin()
            world = World(session, contract=False, enclave=session.url)
            world.transport.replace(f"{session.url}/signing-key", json.dumps(_with(truth, path, odd)).encode())
            verdict = world.attest()
            optional = odd in (None, ...) and path == ("hpke", "signature_hash")
            unread = path in UNREAD_KEYS or optional
            assert (outcome_of(verdict) == "VERIFIED") == unread, (path, odd, findings(verdict))


def _twin() -> OpenGradientSession:
    """The session with containers of its own."""
    return evolve(SESSION, key_changes={}, hpke_changes={}, chat_changes={})


def _saved(level: str, document: Document) -> Any:
    return verifier_of(SESSION, assurance=level, **({} if level == "attested" else BELOW)).verify_saved(
        report_of(document)
    )


@pytest.mark.parametrize("level", LEVELS)
def test_the_truth_is_verified(level: str) -> None:
    """So what the fuzzing finds is due to the changes."""
    assert outcome_of(_saved(level, SESSION.saved(level))) == "VERIFIED"


@pytest.mark.parametrize("level", LEVELS)
def test_bits_of_every_answer(level: str) -> None:
    """A change that survives must be one to a part that nothing is made of."""
    truth, random_ = SESSION.saved(level), random.Random(level)
    for index, exchange in enumerate(truth["exchanges"]):
        body = base64.b64decode(exchange["response"]["body"])
        for _ in range(14):
            place, bit = random_.randrange(len(body)), random_.randrange(8)
            flipped = body[:place] + bytes([body[place] ^ 1 << bit]) + body[place + 1 :]
            document = json.loads(json.dumps(truth))
            document["exchanges"][index]["response"]["body"] = base64.b64encode(flipped).decode()
            verdict = _saved(level, document)
            if outcome_of(verdict) == "VERIFIED":
                _is_unread(exchange, body, flipped)


def _is_unread(exchange: Any, body: bytes, flipped: bytes) -> None:
    """What may change: hex digits from small to large, and members that nothing is made of."""
    method, url = exchange["request"]["method"], exchange["request"]["url"]
    read = _keys_read if method == "GET" else _node_read
    assert read(body) == read(flipped), f"a change was not seen: {url}"
    assert not url.partition("?")[0].endswith("/attestation")


def _keys_read(body: bytes) -> Any:
    document = json.loads(body)
    hpke = document["hpke"]
    for members, name in ((document, "tee_id"), (hpke, "tee_id"), (hpke, "public_key"), (hpke, "signature_hash")):
        members[name] = str(members.get(name)).lower()
    return "".join(document["public_key"].split()), document["tee_id"], hpke


def _node_read(body: bytes) -> Any:
    result = json.loads(body)["result"]
    if isinstance(result, str):
        return result.lower()
    return {name: result[name].lower() for name in ("number", "hash", "timestamp")}


@pytest.mark.parametrize("level", LEVELS)
def test_a_recorded_document_without_one_of_its_answers(level: str) -> None:
    truth = SESSION.saved(level)
    for index in range(len(truth["exchanges"])):
        document = json.loads(json.dumps(truth))
        gone = document["exchanges"].pop(index)
        assert outcome_of(_saved(level, document)) == "INCONCLUSIVE", gone["request"]["url"]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(LEVELS), st.data())
def test_whole_answers_of_anything(level: str, data: st.DataObject) -> None:
    document = SESSION.saved(level)
    index = data.draw(st.integers(0, len(document["exchanges"]) - 1))
    body = data.draw(st.binary(max_size=60) | st.sampled_from([b"{}", b"[]", b"null", b'{"jsonrpc":"2.0","id":4}']))
    response = document["exchanges"][index]["response"]
    response["body"] = base64.b64encode(body).decode()
    response["status"] = data.draw(st.sampled_from([200, 204, 301, 404, 500]))
    assert outcome_of(_saved(level, document)) != "VERIFIED"


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(LEVELS), st.data())
def test_recorded_requests_of_anything(level: str, data: st.DataObject) -> None:
    """A file may claim to have asked anything; that is judged, and never raises."""
    document = SESSION.saved(level)
    index = data.draw(st.integers(0, len(document["exchanges"]) - 1))
    request = document["exchanges"][index]["request"]
    urls = [
        "https://x/enclave/attestation?nonce=zz",
        "https://[::1",
        "https://h:99999/signing-key",
        "https://a/?nonce=1",
    ]
    url = data.draw(st.sampled_from([*urls, "https://192.0.2.7/enclave/attestation", request["url"]]))
    request["url"] = url
    calls = [b"", b"{}", b"[]", b'{"params": []}', b'{"params": [{"to": "0x", "data": "0x418b207d"}]}', b"[" * 2000]
    request["body"] = data.draw(st.none() | st.sampled_from(calls).map(lambda raw: base64.b64encode(raw).decode()))
    for policy in LEVELS:
        verifier_of(SESSION, assurance=policy).verify_saved(report_of(document))


@pytest.mark.parametrize("calls", [(), CALLS], ids=["text", "calls"])
def test_every_member_of_an_answer(calls: Any) -> None:
    world = World(_twin())
    attestation = world.attest()
    truth = json.loads(world.session.chat(TOOLS, calls=calls))
    kept = []
    for path in _leaves(truth):
        for odd in (*ODD, ...):
            if odd == _at(truth, path) and type(odd) is type(_at(truth, path)):
                continue
            world.verifier.accepted_chats = AcceptedChats()
            body = json.dumps(_with(truth, path, odd)).encode()
            judged = world.judge(body, request=TOOLS, attestation=attestation)
            if outcome_of(judged) == "VERIFIED":
                kept.append((path, odd))
    for path, odd in kept:
        unsigned = path[0] in UNREAD_ANSWER or path[-1] in ("finish_reason", "role", "index")
        same_text = path[-1] in ("content", "tool_calls") and odd in (None, ..., [], "", {})
        beside = path[-1] == "content" and bool(calls)
        assert unsigned or (same_text and calls == () and path[-1] == "tool_calls") or beside, (path, odd)


def test_bits_of_streams() -> None:
    world = World(_twin())
    attestation = world.attest()
    request = streaming(HELLO)
    truth, random_ = world.session.chat(request), random.Random(7)
    for place in random_.sample(range(len(truth)), 250):
        flipped = truth[:place] + bytes([truth[place] ^ 1 << random_.randrange(8)]) + truth[place + 1 :]
        world.verifier.accepted_chats = AcceptedChats()
        judged = world.judge(flipped, request=request, attestation=attestation)
        if outcome_of(judged) == "VERIFIED":
            _says_the_same(truth, flipped, request)


def _says_the_same(truth: bytes, flipped: bytes, request: bytes) -> None:
    from teeverify import Exchange
    from teeverify.providers.opengradient_exchange import read_answer

    before, after = (
        read_answer(Exchange(model="gpt-4.1", request_body=request, response_body=body)) for body in (truth, flipped)
    )
    assert (before.kind, before.signed_output, before.fields) == (after.kind, after.signed_output, after.fields)


def test_reports_of_nothing() -> None:
    for level in LEVELS:
        document = {**SESSION.saved(level), "exchanges": []}
        verdict = _saved(level, document)
        assert outcome_of(verdict) == "INCONCLUSIVE"
        assert {reason for _, reason in findings(verdict).values()} == {"not_recorded"}
    empty = SavedReport.from_bytes(json.dumps({**SESSION.saved(), "exchanges": []}).encode())
    assert outcome_of(verifier_of(SESSION).verify_saved(empty)) == "INCONCLUSIVE"
