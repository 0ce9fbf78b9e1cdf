"""Each fault of chats and signatures, as a client of the standard library finds it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from attrs import frozen

from teeverify.crypto.signatures import recover_personal_signer, verify_ed25519
from teeverify.formats.chat_body import chat_id_of, is_finished
from teeverify.testing import NearSession, SimulatedTee
from teeverify.testing.simulation import FAULTS
from teeverify.testing.simulation.near.chat import ANSWER
from teeverify.testing.simulation.near.hosts import CLOUD_HOST

from .raw_client import Got, RawClient

pytestmark = pytest.mark.loopback

ALGORITHMS = ["ed25519", "ecdsa"]


@frozen
class Seen:
    """One exchange as the client saw it."""

    request: bytes
    answer: bytes
    signature: dict[str, Any]

    @property
    def fits(self) -> tuple[bool, bool]:
        """Whether the signed digests are those of request and answer."""
        parts = self.signature["text"].split(":")[-2:]
        mine = [hashlib.sha256(data).hexdigest() for data in (self.request, self.answer)]
        return parts[0] == mine[0], parts[1] == mine[1]

    @property
    def address(self) -> bytes:
        """The signer that the answer names."""
        return bytes.fromhex(self.signature["signing_address"].removeprefix("0x"))

    @property
    def raw(self) -> bytes:
        """The signature's bytes."""
        return bytes.fromhex(self.signature["signature"].removeprefix("0x"))

    @property
    def valid(self) -> bool:
        """Whether the named signer signed."""
        text = self.signature["text"].encode()
        if self.signature["signing_algo"] == "ed25519":
            return verify_ed25519(self.address, self.raw, text)
        return recover_personal_signer(text, self.raw) == self.address


def requested(tee: SimulatedTee, content: str = "hello", **more: Any) -> bytes:
    return json.dumps({"model": tee.model, "messages": [{"role": "user", "content": content}], **more}).encode()


def asked_signature(client: RawClient, answer: bytes, algorithm: str) -> Got:
    return client.get(f"/v1/signature/{chat_id_of(answer)}?signing_algo={algorithm}")


def seen(tee: SimulatedTee, fault: str | None, algorithm: str = "ed25519", **more: Any) -> Seen:
    if tee.fault != fault:
        tee.set_fault(fault)
    with RawClient(tee, CLOUD_HOST) as client:
        request = requested(tee, **more)
        answer = client.ask("POST", "/v1/chat/completions", request).body
        return Seen(request, answer, asked_signature(client, answer, algorithm).json())


def attested(algorithm: str) -> tuple[bytes, bytes]:
    """Addresses of the model and of the gateway."""
    session = NearSession.cloud(algorithm=algorithm, gpus=1)
    return session.model.signing.address, session.front.signing.address


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "request_fits", "answer_fits"),
    [(None, True, True), ("altered-response-byte", True, False), ("altered-request", False, True)],
)
def test_altered_bytes(
    tee_cloud: SimulatedTee, fault: str | None, request_fits: bool, answer_fits: bool, stream: bool
) -> None:
    got = seen(tee_cloud, fault, stream=stream)
    assert got.fits == (request_fits, answer_fits)
    assert got.valid
    assert got.address == attested("ed25519")[0]


def test_one_byte_is_altered(tee_cloud: SimulatedTee) -> None:
    content = json.loads(seen(tee_cloud, "altered-response-byte").answer)["choices"][0]["message"]["content"]
    assert len(content) == len(ANSWER)
    assert sum(mine != own for mine, own in zip(content, ANSWER, strict=True)) == 1


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_strangers(tee_cloud: SimulatedTee, algorithm: str) -> None:
    model, gateway = attested(algorithm)
    stranger = seen(tee_cloud, "wrong-signer", algorithm)
    assert stranger.valid
    assert stranger.address not in (model, gateway)
    forged = seen(tee_cloud, "forged-signature", algorithm)
    assert not forged.valid
    assert forged.address == model
    posing = seen(tee_cloud, "gateway-signature-as-model", algorithm)
    assert posing.valid
    assert posing.address == gateway
    assert posing.signature["signature_kind"] == "provider_tee"
    assert posing.signature["text"].startswith(f"{tee_cloud.model}:")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_encodings(tee_cloud: SimulatedTee, algorithm: str) -> None:
    good = seen(tee_cloud, None, algorithm)
    other = seen(tee_cloud, "malleable-signature", algorithm)
    assert good.valid
    assert not other.valid
    assert len(other.raw) == len(good.raw)
    short = seen(tee_cloud, "short-signature", algorithm)
    assert len(short.raw) == len(good.raw) - 1


def test_the_other_encoding_is_one() -> None:
    """Libraries that allow it recover the very same signer, else the fault would show nothing."""
    from eth_keys.datatypes import Signature

    from teeverify.testing.simulation.near.signatures import SignedChat, signature_document

    chat = SignedChat(model="m", request_digest="00" * 32, response_digest="11" * 32, kind="provider_tee")
    session = NearSession.direct(gpus=1, algorithm="ecdsa")
    documents = [
        signature_document(
            chat, keys=session.keys, model=session.model.signing, gateway=None, algorithm="ecdsa", fault=fault
        )
        for fault in (None, "malleable-signature")
    ]
    from Crypto.Hash import keccak

    text = chat.text.encode()
    prefixed = b"\x19Ethereum Signed Message:\n" + str(len(text)).encode() + text
    digest = keccak.new(digest_bits=256, data=prefixed).digest()
    recovered = []
    for document in documents:
        raw = bytes.fromhex(document["signature"][2:])
        signature = Signature(raw[:64] + bytes([raw[64] - 27]))
        recovered.append(signature.recover_public_key_from_msg_hash(digest).to_canonical_address())
    assert recovered[0] == recovered[1] == session.model.signing.address


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_other_algorithm(tee_cloud: SimulatedTee, algorithm: str) -> None:
    got = seen(tee_cloud, "other-algorithm", algorithm)
    assert got.signature["signing_algo"] != algorithm
    assert got.valid


def test_streams_without_an_end(tee_cloud: SimulatedTee) -> None:
    got = seen(tee_cloud, "missing-done", stream=True)
    assert not is_finished(got.answer)
    assert got.fits == (True, True), "the signature is good, so only the missing end tells"
    assert got.valid
    assert FAULTS["missing-done"].streamed
    assert seen(tee_cloud, "missing-done").fits == (True, True)


def test_another_model_in_the_text(tee_cloud: SimulatedTee) -> None:
    got = seen(tee_cloud, "text-names-other-model")
    assert got.signature["text"].startswith("teeverify-test/other-model:")
    assert got.valid


def test_signatures_that_come_late_or_never(tee_cloud: SimulatedTee) -> None:
    tee_cloud.set_fault("signature-404-then-found")
    with RawClient(tee_cloud, CLOUD_HOST) as client:
        for _ in range(2):
            answer = client.ask("POST", "/v1/chat/completions", requested(tee_cloud)).body
            assert [asked_signature(client, answer, "ed25519").status for _ in range(3)] == [404, 200, 200]
    tee_cloud.set_fault("signature-never")
    with RawClient(tee_cloud, CLOUD_HOST) as client:
        answer = client.ask("POST", "/v1/chat/completions", requested(tee_cloud)).body
        assert [asked_signature(client, answer, "ed25519").status for _ in range(3)] == [404, 404, 404]


def test_an_error_with_status_200(tee_cloud: SimulatedTee) -> None:
    assert seen(tee_cloud, "signature-error-code").signature["error_code"] == "SIGNATURE_UNSUPPORTED"


@pytest.mark.parametrize("stream", [False, True])
def test_old_answers(tee_cloud: SimulatedTee, stream: bool) -> None:
    first = seen(tee_cloud, "replayed-chat", stream=stream)
    again = seen(tee_cloud, "replayed-chat", stream=stream)
    assert (again.answer, again.signature) == (first.answer, first.signature)
    assert again.fits == (True, True), "only its age tells"
    other = seen(tee_cloud, "replayed-chat", stream=stream, content="something else")
    assert other.answer == first.answer
    assert other.fits == (False, True)


def test_every_exchange_fault_is_looked_at_here() -> None:
    with open(__file__, encoding="utf-8") as file:
        text = file.read()
    missing = [name for name, fault in FAULTS.items() if fault.area == "exchange" and f'"{name}"' not in text]
    assert missing == []
