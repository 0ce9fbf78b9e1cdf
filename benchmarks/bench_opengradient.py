"""What a signed answer of OpenGradient costs to judge, over one RSA verification and its hashes; and Oblivious HTTP."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from teeverify import Exchange, OpenGradientVerifier, Policy
from teeverify.crypto.digests import keccak256
from teeverify.e2ee.ohttp import OhttpRequest, seal
from teeverify.formats.ohttp_config import parse_key_config
from teeverify.formats.opengradient_request import chat_request
from teeverify.providers.opengradient_exchange import read_answer
from teeverify.signed_exchange import AcceptedChats
from teeverify.testing import OpenGradientSession, OpenGradientTransport, opengradient_policy, trust_roots
from teeverify.verdict import Outcome

SIZES = (1 << 10, 64 << 10, 1 << 20)
"""Bytes of the answers' text."""
CALLS = 5
"""Calls that are timed together."""

Call = Callable[[], object]


def request_of(*, stream: bool) -> bytes:
    """A short chat request as it is sent."""
    asked = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "Hello!"}], "temperature": 0.0}
    return json.dumps({**asked, "stream": True} if stream else asked).encode()


def judging(session: OpenGradientSession, size: int, *, stream: bool) -> Call:
    """One exchange judged under a held attestation; nothing is asked of anybody."""
    policy = Policy.from_toml(opengradient_policy(session))
    transport = OpenGradientTransport(session)
    verifier = OpenGradientVerifier(
        policy, nodes=session.node_urls, transport=transport, roots=trust_roots(), clock=lambda: session.at
    )
    attestation = verifier.verify_attestation("gpt-4.1")
    request = request_of(stream=stream)
    pieces = {"pieces": max(1, size // 20)} if stream else {}
    response = session.chat(request, text="abcdefg " * (size // 8), **pieces)

    def call() -> None:
        verifier.accepted_chats = AcceptedChats()
        exchange = Exchange(model="gpt-4.1", request_body=request, response_body=response)
        judged = verifier.verify_exchange(exchange, attestation=attestation)
        assert judged.outcome is Outcome.VERIFIED, judged.conclusion

    return call


def floor(session: OpenGradientSession, size: int) -> Call:
    """One RSASSA-PSS verification, Keccak-256 of canonical request and text, and the hash that joins them."""
    request = request_of(stream=False)
    exchange = Exchange(
        model="gpt-4.1", request_body=request, response_body=session.chat(request, text="abcdefg " * (size // 8))
    )
    answer, shaped = read_answer(exchange), chat_request(request)
    text, joined = answer.signed_output.encode(), bytes(96)
    message = answer.message_hash(shaped.request_hash)
    key = serialization.load_der_public_key(session.signing.spki)
    assert isinstance(key, rsa.RSAPublicKey)
    scheme = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)

    def call() -> None:
        keccak256(shaped.canonical)
        keccak256(text)
        keccak256(joined)
        key.verify(answer.fields.signature, message, scheme, hashes.SHA256())

    return call


def sealed_calls(session: OpenGradientSession, size: int) -> dict[str, Call]:
    """Sealing a request, opening a whole response, and opening one of chunks of 100 bytes."""
    key = parse_key_config(session.ohttp.key_config, what="the key")
    plaintext = bytes(size)
    sealed = seal(key, plaintext[: 256 << 10])
    opened = session.ohttp.open(sealed.body)
    whole = opened.seal(plaintext)
    chunks = opened.seal_chunks([plaintext[place : place + 100] for place in range(0, size, 100)])
    calls: dict[str, Call] = {
        "open": lambda: _same(sealed, whole, plaintext),
        "open chunks": lambda: sealed.open_chunked(chunks),
    }
    if size <= 256 << 10:  # requests are no longer than that
        calls = {"seal": lambda: seal(key, plaintext), **calls}
    return calls


def _same(sealed: OhttpRequest, response: bytes, plaintext: bytes) -> None:
    assert sealed.open(response) == plaintext


def timed(call: Call) -> float:
    """Seconds of processor time of one call, from some."""
    began = time.process_time()
    for _ in range(CALLS):
        call()
    return (time.process_time() - began) / CALLS


def main() -> None:
    """Measure all calls, interleaved, so that a busy moment of the machine hits all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds")
    rounds = 5 if parser.parse_args().quick else 30
    session = OpenGradientSession.build()
    calls: dict[str, Call] = {}
    for size in SIZES:
        calls[f"floor, {size >> 10} KiB"] = floor(session, size)
        calls[f"answer, {size >> 10} KiB"] = judging(session, size, stream=False)
        calls[f"stream, {size >> 10} KiB"] = judging(session, size, stream=True)
        calls |= {f"{name}, {size >> 10} KiB": call for name, call in sealed_calls(session, size).items()}
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            found[name].append(timed(call))
    for name, times in found.items():
        median = statistics.median(times)
        kind, _, size_text = name.partition(", ")
        shown = f"{median * 1e3:9.3f} ms"
        if kind in ("answer", "stream"):
            shown += f": {median / statistics.median(found[f'floor, {size_text}']):5.1f} x floor"
        elif kind != "floor":
            shown += f": {median * 1e6 / int(size_text.split(' ')[0]):7.1f} us for each KiB"
        print(f"{name:22}{shown}")


if __name__ == "__main__":
    main()
