"""Chats, the bytes that they are made of, and the signatures over exactly these bytes."""

from __future__ import annotations

import hashlib
import http.client
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from teeverify.crypto.signatures import recover_personal_signer, verify_ed25519
from teeverify.errors import ConfigurationError
from teeverify.formats.chat_body import chat_id_of, is_finished, is_stream
from teeverify.testing import NearSession, SimulatedTee
from teeverify.testing.keys import KeyRing
from teeverify.testing.signing import SigningKey
from teeverify.testing.simulation.near.chat import ANSWER, ChatDesk
from teeverify.testing.simulation.near.hosts import CLOUD_HOST, DIRECT_HOST
from teeverify.testing.simulation.near.signatures import sign_text

from .raw_client import Got, RawClient

pytestmark = pytest.mark.loopback

CHAT = "/v1/chat/completions"


def asked(tee: SimulatedTee, **more: Any) -> bytes:
    body = {"model": tee.model, "messages": [{"role": "user", "content": "Who is there?"}], **more}
    return json.dumps(body, indent=1).encode()  # unusual bytes, so that nobody can have written them again


def signature(client: RawClient, answer: Got, algorithm: str, more: str = "") -> dict[str, str]:
    got = client.get(f"/v1/signature/{chat_id_of(answer.body)}?signing_algo={algorithm}{more}")
    assert got.status == 200
    document: dict[str, str] = got.json()
    return document


def signer_of(document: dict[str, str]) -> bytes:
    """The address, where the signature is good."""
    text, raw = document["text"].encode(), bytes.fromhex(document["signature"].removeprefix("0x"))
    address = bytes.fromhex(document["signing_address"].removeprefix("0x"))
    if document["signing_algo"] == "ed25519":
        assert verify_ed25519(address, raw, text)
    else:
        assert document["signature"].startswith("0x")
        assert raw[64] in (27, 28)
        assert recover_personal_signer(text, raw) == address
    return address


def test_a_whole_answer(quiet_tee: SimulatedTee) -> None:
    with RawClient(quiet_tee, CLOUD_HOST) as client:
        first, second = (client.ask("POST", CHAT, asked(quiet_tee)) for _ in range(2))
    document = first.json()
    assert first.headers["content-length"] == str(len(first.body))
    assert document["object"] == "chat.completion"
    assert document["choices"][0]["message"] == {"role": "assistant", "content": ANSWER}
    assert document["choices"][0]["finish_reason"] == "stop"
    assert document["usage"]["total_tokens"] == document["usage"]["prompt_tokens"] + 15
    assert document["id"].startswith("chatcmpl-")
    assert document["id"] != second.json()["id"]


@pytest.mark.parametrize("usage", [False, True])
def test_a_stream(quiet_tee: SimulatedTee, usage: bool) -> None:
    with RawClient(quiet_tee, CLOUD_HOST) as client:
        got = client.ask("POST", CHAT, asked(quiet_tee, stream=True, stream_options={"include_usage": usage}))
    assert got.headers["transfer-encoding"] == "chunked"
    assert got.headers["content-type"].startswith("text/event-stream")
    assert is_stream(got.body)
    assert is_finished(got.body)
    events = got.body.split(b"\n\n")
    assert events[-2:] == [b"data: [DONE]", b""]
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in events[:-2]]
    assert {chunk["id"] for chunk in chunks} == {chat_id_of(got.body)}
    deltas = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if chunk["choices"]]
    assert "".join(deltas) == ANSWER
    assert any("usage" in chunk for chunk in chunks) is usage


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", ["provider_tee", "gateway", None])
def test_signatures_are_over_the_exact_bytes(kind: str | None, stream: bool) -> None:
    with SimulatedTee.near(gpus=1, signature_kind=kind) as tee, RawClient(tee, CLOUD_HOST) as client:
        body = asked(tee, stream=stream)
        answer = client.ask("POST", CHAT, body)
        documents = {one: signature(client, answer, one, f"&model={tee.model}") for one in ("ed25519", "ecdsa")}
    digests = f"{hashlib.sha256(body).hexdigest()}:{hashlib.sha256(answer.body).hexdigest()}"
    for algorithm, document in documents.items():
        assert document["text"] == (f"{tee.model}:{digests}" if kind == "provider_tee" else digests)
        assert document.get("signature_kind") == kind
        assert document["signing_algo"] == algorithm
        session = NearSession.cloud(gpus=1, algorithm=algorithm)
        signer = session.front if kind == "gateway" else session.model
        assert signer_of(document) == signer.signing.address


def test_a_model_host_never_signs_as_the_gateway() -> None:
    with SimulatedTee.near(gpus=1, signature_kind="gateway") as tee, RawClient(tee, DIRECT_HOST) as client:
        document = signature(client, client.ask("POST", CHAT, asked(tee)), "ed25519")
    assert document["signature_kind"] == "provider_tee"
    assert signer_of(document) == NearSession.cloud().model.signing.address
    with pytest.raises(ConfigurationError, match="signature_kind"):
        SimulatedTee.near(cloud=False, signature_kind="gateway")


def test_requests_in_chunks_are_signed_without_the_coding(quiet_tee: SimulatedTee) -> None:
    body = asked(quiet_tee)
    with RawClient(quiet_tee, CLOUD_HOST) as client:
        connection = http.client.HTTPSConnection(CLOUD_HOST)
        connection.sock = client.socket
        key = {"Authorization": f"Bearer {quiet_tee.api_key}", "Transfer-Encoding": "chunked"}
        connection.request("POST", CHAT, body=iter([body[:7], body[7:]]), headers=key, encode_chunked=True)
        answer = connection.getresponse()
        got = Got(answer.status, {}, answer.read(), b"")
        document = signature(client, got, "ed25519")
    assert hashlib.sha256(body).hexdigest() in document["text"]


def test_an_ordinary_client_on_this_machine(quiet_tee: SimulatedTee) -> None:
    assert quiet_tee.base_url == f"https://127.0.0.1:{quiet_tee.port}/v1"
    with RawClient(quiet_tee, "127.0.0.1") as client:
        named = {"Host": f"127.0.0.1:{quiet_tee.port}"}
        assert [entry["id"] for entry in client.get("/v1/models", **named).json()["data"]] == [quiet_tee.model]
        answer = client.ask("POST", CHAT, asked(quiet_tee), **named)
        assert answer.json()["choices"][0]["message"]["content"] == ANSWER


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b'{"model": "teeverify-test/model-1b"}', 400),
        (b'{"model": "teeverify-test/model-1b", "messages": []}', 400),
        (b'{"model": "a", "model": "teeverify-test/model-1b", "messages": [{}]}', 400),
        (b'{"model": "other", "messages": [{"role": "user", "content": "x"}]}', 404),
    ],
)
def test_requests_that_are_refused(quiet_tee: SimulatedTee, body: bytes, status: int) -> None:
    with RawClient(quiet_tee, CLOUD_HOST) as client:
        got = client.ask("POST", CHAT, body)
        assert got.status == status
        assert got.json()["error"]["message"]
        assert client.get(CHAT).status == 405


def test_encrypted_requests_are_not_answered_in_the_clear(quiet_tee: SimulatedTee) -> None:
    with RawClient(quiet_tee, CLOUD_HOST) as client:
        got = client.ask("POST", CHAT, asked(quiet_tee), X_Client_Pub_Key="ab" * 32)
    assert got.status == 400
    assert ANSWER.encode() not in got.body


def test_signatures_that_are_not_there(quiet_tee: SimulatedTee) -> None:
    with RawClient(quiet_tee, CLOUD_HOST) as client:
        chat_id = client.ask("POST", CHAT, asked(quiet_tee)).json()["id"]
        assert client.get("/v1/signature/chatcmpl-unknown?signing_algo=ecdsa").status == 404
        assert client.get(f"/v1/signature/{chat_id}?signing_algo=rsa").status == 400
        assert client.get(f"/v1/signature/{chat_id}?model=other").status == 404
        assert client.get(f"/v1/signature/{chat_id}").json()["signing_algo"] == "ecdsa"


def test_a_stream_that_was_not_read_to_its_end_is_not_signed() -> None:
    session = NearSession.direct(gpus=1)
    desk = ChatDesk(KeyRing(), model_name="m", model=session.model.signing, gateway=None, now=lambda: 0)
    body = b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": true}'
    parts = iter(desk.complete(body, {}, kind=None, fault=None).parts or ())
    chat_id = str(chat_id_of(next(parts)))

    def asked_again() -> Any:
        return json.loads(desk.signature(chat_id, algorithm="ed25519", model=None, fault=None).body)

    assert asked_again()["error_code"] == "STREAM_DISCONNECTED"
    list(parts)
    assert "signature" in asked_again()


KNOWN = {
    "ecdsa": (
        "0x5cbdd86a2fa8dc4bddd8a8f69dba48572eec07fb",
        "466f83d7e53bdd8480010bbb7ced02eb17b03531acd335b9d5ccaef5aa630c4f"
        "7ad53ad357dc7b554227a9be0db2572a0d5af9957dc49292cd93be4f0e2a3dfc1c",
    ),
    "ed25519": (
        "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8",
        "e938769c2e92658fc7756146f7514678e8e21e2904ae939bf381d8ade3678496"
        "d368c87da09e92cc73b17599fb4306e600b50fd26769d577bf2eb8c899a9e202",
    ),
}
"""Signatures over the text of model m, request req and response resp, computed elsewhere."""


@pytest.mark.parametrize("algorithm", list(KNOWN))
def test_known_answers_of_signatures(algorithm: str) -> None:
    key = SigningKey(
        algorithm="ed25519",
        ed25519=ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32))),
        secp256k1=ec.derive_private_key(int("33" * 32, 16), ec.SECP256K1()),
    )
    digests = (hashlib.sha256(text).hexdigest() for text in (b"req", b"resp"))
    address, signed = sign_text(":".join(["m", *digests]), key, algorithm)
    assert (address, signed.hex()) == KNOWN[algorithm]
