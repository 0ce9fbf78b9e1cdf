"""The protocol's own vectors (V1 to V4) through the whole verifier: a simulated enclave that shows their key."""

from __future__ import annotations

import base64
import json
import textwrap
from datetime import datetime, timezone
from typing import Final

import pytest

from teeverify.formats.opengradient_request import chat_request
from teeverify.formats.pcr_hash import DEBUG_PCR_HASH, pcr_hash
from teeverify.testing import OpenGradientSession
from teeverify.testing.opengradient_answers import canonical_request, keccak_256

from .test_ohttp import RECEIVER
from .vectors import EDGE_BODY, HELLO, SIGNING_KEY, VECTORS, answer_body
from .world import World, findings, outcome_of

AT: Final = datetime.fromtimestamp(1770918970, timezone.utc)


class _PublicOnly:
    """The vectors' key, whose private half nobody has."""

    spki = SIGNING_KEY
    pem = "\n".join(
        ("-----BEGIN PUBLIC KEY-----", *textwrap.wrap(VECTORS["signing_key"], 64), "-----END PUBLIC KEY-----", "")
    )

    def sign(self, message: bytes) -> bytes:
        """V4 is the one signature that is known."""
        known = {bytes.fromhex(VECTORS["ohttp_config"]["config_hash"]): VECTORS["ohttp_config"]["sig"]}
        return base64.b64decode(known[message])


@pytest.fixture(scope="module")
def world() -> World:
    session = OpenGradientSession.build(nodes=0, at=AT)
    session.signing = _PublicOnly()  # type: ignore[assignment]
    session.enclave.signing_key = SIGNING_KEY
    session.ohttp.private = RECEIVER
    return World(session, contract=False, enclave=session.url)


def test_v4_and_the_id(world: World) -> None:
    verdict = world.attest()
    assert outcome_of(verdict) == "VERIFIED"
    (subject,) = verdict.subjects
    signing, ohttp = subject.attested_keys
    assert f"0x{signing.address}" == VECTORS["tee_id"]
    assert ohttp.public_key == VECTORS["key_config"]
    assert world.session.config_hash().hex() == VECTORS["ohttp_config"]["config_hash"]
    world.session.enclave.nonce = bytes(20)
    user_data = world.session.enclave.document()
    assert bytes.fromhex(VECTORS["sha256_of_key"]) in user_data


def test_v1(world: World) -> None:
    judged = world.judge(answer_body("text"), request=HELLO)
    assert (outcome_of(judged), f"0x{judged.signer}") == ("VERIFIED", VECTORS["tee_id"])
    assert judged.request_digest == VECTORS["text"]["request_hash"]
    assert judged.response_digest == VECTORS["text"]["output_hash"]


def test_v2_needs_the_tools_on_offer(world: World) -> None:
    assert outcome_of(world.judge(answer_body("tool_calls"), request=HELLO)) == "REJECTED"
    calls = VECTORS["tool_calls"]["tool_calls"]
    assert json.dumps(calls, sort_keys=True) == VECTORS["tool_calls"]["signed_output"]
    as_text = {"role": "assistant", "content": VECTORS["tool_calls"]["signed_output"]}
    body = answer_body(
        "tool_calls", id="chatcmpl-2", choices=[{"index": 0, "message": as_text, "finish_reason": "stop"}]
    )
    judged = world.judge(body, request=HELLO)  # S-9: the signature cannot tell
    assert outcome_of(judged) == "VERIFIED"
    assert any("one signature" in gap for gap in judged.gaps)


def test_signatures_of_one_vector_under_the_other(world: World) -> None:
    for case, other in (("text", "tool_calls"), ("tool_calls", "text")):
        judged = world.judge(answer_body(case, tee_signature=VECTORS[other]["sig"]), request=HELLO)
        assert outcome_of(judged) == "REJECTED"
    assert outcome_of(world.judge(answer_body("text", tee_timestamp=1770918963), request=HELLO)) == "REJECTED"
    late = World(world.session, contract=False, enclave=world.session.url, clock=lambda: AT)
    assert "exchange.window" not in findings(late.judge(answer_body("text"), request=HELLO))


def test_v3() -> None:
    shaped = chat_request(EDGE_BODY)
    assert shaped.canonical.decode() == VECTORS["canonical"]["canonical"]
    assert shaped.request_hash.hex() == VECTORS["canonical"]["hash"]
    assert canonical_request(shaped.wire) == shaped.canonical  # the simulated gateway agrees


def test_hashes_of_images() -> None:
    same = bytes.fromhex(
        "4b4d5b3661b3efc12920900c80e126e4ce783c522de6c02a2a5bf7af3a2b9327b86776f188e4be1c1c404a129dbda493"
    )
    first = bytes.fromhex(
        "8c7b728e1a8e034aa1cc6c82521adeacec05118b766d5203c80aaf84322b73d095e05672d98fba613ba2b3aaa0e6a482"
    )
    last = bytes.fromhex(
        "74787f27d0c4bbead44d7a61a02df3b8297b0ab1faffb8ebd113a34b434147acb7cd21504b82eeea34100034ccaaed94"
    )
    published = "77786f3515030fe50a260c26d229eff15d2db0e211008f1581dc3e91bfd25703"
    assert pcr_hash(first, same, last).hex() == published
    assert pcr_hash(bytes(48), bytes(48), bytes(48)) == DEBUG_PCR_HASH
    session = OpenGradientSession.build()
    assert session.record.pcr_hash == pcr_hash(*(session.enclave.pcrs[index] for index in (0, 1, 2)))
    assert session.tee_id == keccak_256(session.record.signing_key)
