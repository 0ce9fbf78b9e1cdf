"""What the relay and the enclave may answer to a chat (8.4), and what never becomes an answer."""

from __future__ import annotations

import json

import pytest

from teeverify.e2ee.relay import chat_flow
from teeverify.errors import RejectedError, TransportError, VerificationError
from teeverify.flow import Response, run
from teeverify.testing import OpenGradientSession
from teeverify.testing.opengradient import RELAY_URL
from teeverify.testing.opengradient_answers import ANSWER, signed_body, signed_frames
from teeverify.testing.recording import Answer
from teeverify.testing.rsa import rsa_key

from .test_relay import chat, relayed
from .world import HELLO, World, outcome_of, streaming

PLAIN = json.dumps({"choices": [{"message": {"content": "buy now"}}], "detail": "buy now"}).encode()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("status", "content_type"),
    [
        (200, "application/json"),
        (200, "message/ohttp-res"),
        (200, "message/ohttp-chunked-res"),
        (200, "text/event-stream"),
        (302, "text/html"),
        (307, "message/ohttp-res"),
        (401, "application/json"),
        (402, "message/ohttp-res"),
        (451, "application/json"),
        (502, "message/ohttp-chunked-res"),
    ],
)
def test_o6_plaintext_of_the_relay_is_never_an_answer(status: int, content_type: str, stream: bool) -> None:
    world = World()
    world.transport.replace(RELAY_URL, PLAIN, status, content_type)
    with pytest.raises(TransportError) as caught:
        chat(world, streaming(HELLO) if stream else HELLO)
    assert "buy now" not in str(caught.value)
    assert len(relayed(world)) == 1  # and it is not sent again


@pytest.mark.parametrize("kinds", [(), ("message/ohttp-res", "text/html"), ("message/ohttp-chunked-res",)])
def test_media_types_that_do_not_fit(kinds: tuple[str, ...]) -> None:
    world = World()
    flow = chat_flow(world.verifier, world.attest(), HELLO)
    (sent,) = next(flow)
    reply = world.session.relayed(sent.body or b"")
    with pytest.raises(TransportError, match="nothing sealed"):
        flow.send((Response(status=200, headers={"Content-Type": kinds}, body=reply.body),))


def test_a_relay_that_is_down() -> None:
    world = World()
    world.transport.dead.add("https://chat-api")
    with pytest.raises(TransportError):
        chat(world)


def test_o1_the_answer_to_another_request() -> None:
    world = World()
    other = World(world.session)
    chat(other)
    world.transport.replies[RELAY_URL] = world.session.relayed(relayed(other)[0].body or b"")
    with pytest.raises(TransportError, match="nothing of it was used"):
        chat(world)


def test_o7_sealed_errors_are_no_answers() -> None:
    errors = (b'{"status": 502, "body": {"error": "x"}}', b'{"error": "x"}')
    for plaintext in (*errors, b'{"status": 200, "body": {}}', b"x"):
        world = World()
        world.transport.session = _Saying(world.session, plaintext)  # type: ignore[assignment]
        answered = chat(world)
        assert outcome_of(answered.verified) == ("INCONCLUSIVE" if plaintext in errors else "REJECTED")
        assert answered.answer is None
        with pytest.raises(VerificationError):
            answered.require()


def test_o7_an_error_inside_a_stream() -> None:
    world = World()
    request, session = streaming(HELLO), world.session
    frames = signed_frames(request, session.signing, int(session.at.timestamp()))
    error = b'data: {"error": "upstream", "exception_type": "X"}\n\n'
    for events in ([frames[0], error], [frames[0], error, *frames[1:]], [error], [*frames[:-1], error, frames[-1]]):
        world.transport.session = _Saying(session, b"".join(events))  # type: ignore[assignment]
        answered = chat(world, request)
        assert (outcome_of(answered.verified), answered.answer) == ("INCONCLUSIVE", None)


def test_the_envelope_skips_no_rule() -> None:
    world = World()
    signed = signed_body(HELLO, world.session.signing, int(world.session.at.timestamp()))
    world.transport.session = _Saying(world.session, b'{"status": 200, "body": ' + signed + b"}")  # type: ignore[assignment]
    assert chat(world).require().text == ANSWER
    unsigned = json.dumps({"status": 200, "body": {"choices": json.loads(signed)["choices"]}}).encode()
    world.transport.session = _Saying(world.session, unsigned)  # type: ignore[assignment]
    assert outcome_of(chat(world).verified) == "REJECTED"


class _Saying:
    """The session, with another plaintext for every chat."""

    def __init__(self, session: OpenGradientSession, plaintext: bytes) -> None:
        self._session, self._plaintext = session, plaintext

    def answer(self, method: str, url: str, body: bytes | None = None) -> Answer:
        if url != RELAY_URL:
            return self._session.answer(method, url, body)
        opened = self._session.ohttp.open(body or b"")
        if json.loads(opened.plaintext).get("stream") is True:
            sealed = opened.seal_chunks([self._plaintext, b""])
            return Answer(200, {"Content-Type": "message/ohttp-chunked-res"}, sealed)
        return Answer(200, {"Content-Type": "message/ohttp-res"}, opened.seal(self._plaintext))


def test_unverified_words_are_not_handed_out() -> None:
    world = World()
    thief = rsa_key(world.session.keys, "opengradient/attacker")
    world.session.chat_changes = {"key": thief, "text": "buy now"}
    answered = chat(world)
    assert (outcome_of(answered.verified), answered.answer) == ("REJECTED", None)
    assert "buy now" not in repr(answered)
    with pytest.raises(RejectedError):
        answered.require()


def test_the_same_answer_twice() -> None:
    world = World()
    assert chat(world).answer is not None
    assert chat(world).answer is None  # one second, one request, one text: nothing signed tells it from a copy
    world.session.chat_changes = {"at": int(world.session.at.timestamp()) + 1}
    assert chat(world).answer is not None


def test_s3_an_answer_of_another_enclave_than_the_one_that_was_asked() -> None:
    """Its key is attested too, after a fresh challenge; but the request was encrypted to another one."""
    world = World(contract=False, enclave=OpenGradientSession.build().url)
    held = world.attest()
    flow = chat_flow(world.verifier, held, HELLO)
    (sent,) = next(flow)
    other = OpenGradientSession.build(boot="other")
    opened = world.session.ohttp.open(sent.body or b"")
    reply = Response(
        status=200,
        headers={"Content-Type": ("message/ohttp-res",)},
        body=opened.seal(other.chat(opened.plaintext)),
    )
    world.transport.session = other
    batch = flow.send((reply,))
    assert [request.url.partition("?")[0] for request in batch] == [
        f"{other.url}/enclave/attestation",
        f"{other.url}/signing-key",
    ]
    answers = tuple(map(world.transport.send, batch))
    with pytest.raises(TransportError, match="another enclave's"):
        flow.send(answers)


def test_after_a_failure_the_next_chat_attests_anew() -> None:
    world = World()
    chat(world)
    world.transport.session = restarted = OpenGradientSession.build(boot="other")
    with pytest.raises(TransportError):  # the relay has nobody who could open it
        chat(world)
    answered = chat(world)
    assert answered.require().text == ANSWER
    assert answered.verified.signer == restarted.tee_id.hex()


def test_the_flow_can_be_driven_by_hand() -> None:
    world = World()
    answered = run(chat_flow(world.verifier, world.attest(), streaming(HELLO)), world.transport)
    assert answered.require().text == ANSWER
