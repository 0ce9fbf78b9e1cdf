"""One exchange verified under a held attestation, as a ratio to the floor of its hashes and its one signature."""

from __future__ import annotations

import argparse
import cProfile
import hashlib
import json
import pstats
import statistics
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Final

from attrs import frozen

from teeverify.crypto.digests import keccak256
from teeverify.exchange import Exchange
from teeverify.flow import Request, Response
from teeverify.policy import Policy
from teeverify.providers.near import NearVerifier
from teeverify.saved import SavedReport
from teeverify.signed_exchange import AcceptedChats
from teeverify.testing import MODEL, NearSession, near_policy, trust_roots
from teeverify.testing.signing import SigningKey
from teeverify.transport import MockTransport
from teeverify.verdict import Outcome

SIZES: Final = {"1 KiB": 1 << 10, "64 KiB": 64 << 10, "4 MiB": 4 << 20}
CHAT_ID: Final = "chatcmpl-6f1d2c3b4a5968778695a4b3c2d1e0f0"
TOKEN: Final = " word, "
"""About what one event of a stream carries."""

Work = Callable[[], object]


@frozen
class Bench:
    """One attested endpoint, with the key that signs its chats."""

    verifier: NearVerifier
    key: SigningKey
    algorithm: str
    answers: dict[str, bytes]

    @classmethod
    def start(cls, algorithm: str) -> Bench:
        """Attest an endpoint; ``algorithm`` is ecdsa or ed25519. Signatures are answered from memory."""
        session = NearSession.direct(gpus=1, algorithm=algorithm, at=datetime.now(timezone.utc))
        answers: dict[str, bytes] = {}

        def answer(request: Request) -> Response:
            return Response(status=200, headers={}, body=answers[request.url.partition("?")[0].rpartition("/")[2]])

        policy, transport = Policy.from_toml(near_policy(session)), MockTransport(answer)
        verifier = NearVerifier(policy, roots=trust_roots(), transport=transport, algorithm=algorithm)
        verdict = verifier.verify_saved(SavedReport.from_bytes(json.dumps(session.saved()).encode()))
        assert verdict.outcome is Outcome.VERIFIED, verdict.conclusion
        verifier.hold(verdict)
        return cls(verifier, session.model.signing, algorithm, answers)

    def work(self, request: bytes, response: bytes) -> tuple[Work, Work]:
        """Verification of one exchange from its bytes, and its floor."""
        digests = f"{hashlib.sha256(request).hexdigest()}:{hashlib.sha256(response).hexdigest()}"
        text = f"{MODEL}:{digests}".encode()
        document, signature = self._signed(text)
        self.answers[CHAT_ID] = json.dumps({"text": text.decode(), **document}).encode()

        def verify() -> None:
            exchange = Exchange(model=MODEL, request_body=request, response_body=response)
            judged = self.verifier.verify_exchange(exchange)
            assert judged.outcome is Outcome.VERIFIED, judged.conclusion

        def least() -> None:
            hashlib.sha256(request).digest()
            hashlib.sha256(response).digest()
            signature()

        return verify, least

    def fresh(self) -> None:
        """Forget which chats were accepted, so that the same one can be verified again."""
        self.verifier.accepted_chats = AcceptedChats()

    def _signed(self, text: bytes) -> tuple[dict[str, str], Work]:
        """What the endpoint answers about a text, and the bare verification of its signature."""
        named = {"signing_algo": self.algorithm, "signing_address": self.key.address_text}
        named["signature_kind"] = "provider_tee"
        if self.algorithm == "ed25519":
            made, public = self.key.ed25519.sign(text), self.key.ed25519.public_key()
            return {**named, "signature": made.hex()}, lambda: public.verify(made, text)
        from eth_keys.datatypes import PrivateKey

        secret = PrivateKey(self.key.secp256k1.private_numbers().private_value.to_bytes(32, "big"))
        digest = keccak256(b"\x19Ethereum Signed Message:\n" + str(len(text)).encode() + text)
        signature = secret.sign_msg_hash(digest)
        raw = signature.to_bytes()
        return (
            {**named, "signature": f"0x{raw[:64].hex()}{27 + raw[64]:02x}"},
            lambda: signature.recover_public_key_from_msg_hash(digest),
        )


def bodies(size: int, *, streamed: bool) -> tuple[bytes, bytes]:
    """A request and a response of about ``size`` bytes."""
    asked = {"model": MODEL, "stream": streamed, "messages": [{"role": "user", "content": TOKEN * 100}]}
    head = {"id": CHAT_ID, "object": "chat.completion", "created": 1780000000, "model": MODEL}
    if not streamed:
        message = {"role": "assistant", "content": TOKEN * max(1, (size - 300) // len(TOKEN))}
        return json.dumps(asked).encode(), json.dumps({**head, "choices": [{"index": 0, "message": message}]}).encode()
    head["object"] = "chat.completion.chunk"
    event = {**head, "choices": [{"index": 0, "delta": {"content": TOKEN}, "finish_reason": None}]}
    line = b"data: " + json.dumps(event).encode() + b"\n\n"
    return json.dumps(asked).encode(), line * max(1, size // len(line)) + b"data: [DONE]\n\n"


def timed(work: Work) -> float:
    """Seconds of processor time of one run."""
    began = time.process_time()
    work()
    return time.process_time() - began


def measure(bench: Bench, name: str, size: int, *, streamed: bool, seconds: float) -> None:
    """Interleave verification and floor for so many seconds of processor time, and print the ratio of the medians."""
    verify, least = bench.work(*bodies(size, streamed=streamed))
    judged: list[float] = []
    floor: list[float] = []
    while sum(judged) + sum(floor) < seconds or len(judged) < 11:
        bench.fresh()
        floor.append(timed(least))
        judged.append(timed(verify))
    took, bare = statistics.median(judged[1:]), statistics.median(floor[1:])
    form = "streamed" if streamed else "plain"
    times = f"verified {took * 1e6:8.0f} us, floor {bare * 1e6:8.0f} us"
    ratios = f"{took / bare:6.2f} x floor; best {min(judged) / min(floor):6.2f}"
    print(f"{bench.algorithm:8} {name:>6} {form:8}  {times}: {ratios}; {(took - bare) * 1e6:6.0f} us above it")


def profile(bench: Bench, size: int, *, streamed: bool) -> None:
    """Print where the time of verification goes, by the functions' own time."""
    verify, _ = bench.work(*bodies(size, streamed=streamed))
    profiler = cProfile.Profile()
    for _ in range(200 if size < 1 << 20 else 10):
        bench.fresh()
        profiler.runcall(verify)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


def backend() -> str:
    """Which library recovers secp256k1 signers here."""
    from eth_keys.backends import get_backend

    return type(get_backend()).__name__


def main() -> None:
    """Measure all algorithms, sizes and forms."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short runs")
    parser.add_argument("--profile", action="store_true", help="profile in place of measuring")
    args = parser.parse_args()
    print(f"secp256k1 by eth_keys with {backend()}")
    for algorithm in ("ecdsa", "ed25519"):
        bench = Bench.start(algorithm)
        for name, size in SIZES.items():
            for streamed in (False, True):
                if args.profile:
                    print(f"--- {algorithm}, {name}, {'streamed' if streamed else 'plain'}")
                    profile(bench, size, streamed=streamed)
                else:
                    measure(bench, name, size, streamed=streamed, seconds=0.3 if args.quick else 1.0)


if __name__ == "__main__":
    main()
