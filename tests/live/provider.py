"""A provider without sockets: answers a verifier's requests out of a simulated session, made for the asked nonce."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from eth_keys.datatypes import PrivateKey

from teeverify.errors import TransportError
from teeverify.exchange import Exchange
from teeverify.flow import Request, Response
from teeverify.policy import Policy
from teeverify.providers.near import NearVerifier
from teeverify.saved import SavedReport
from teeverify.testing import DIRECT_HOST, MODEL, NearSession, PolicyText, near_policy, trust_roots
from teeverify.testing.signing import SigningKey
from teeverify.transport import ReplayTransport

__all__ = ["AT", "MODEL", "Provider", "exchange_of", "live_verifier", "policy", "sign"]

AT: Final = datetime(2026, 6, 15, 12, 0, 0, tzinfo=timezone.utc)
REQUEST: Final = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "hello"}]}).encode()
STREAM_REQUEST: Final = json.dumps({"model": MODEL, "stream": True, "messages": []}).encode()


def policy(*, cloud: bool, text: dict[str, Any] | None = None, more: str = "") -> Policy:
    session = NearSession.build(cloud=cloud, gpus=1, copies=False)
    written = near_policy(session, PolicyText(**{"name": "live", "min_count": 1, **(text or {})}))
    return Policy.from_toml(written + more)


class Provider:
    """Answers like NEAR, Intel and NVIDIA. ``spoil`` may change a session before its report is made.

    ``answers`` overrides single answers by a part of the URL: a Response, an exception, or a function of the request.
    """

    concurrent = True

    def __init__(self, *, cloud: bool = False, algorithm: str = "ed25519", at: datetime = AT) -> None:
        self.cloud, self.algorithm, self.at = cloud, algorithm, at
        self.spoil: Callable[[NearSession], None] = lambda session: None
        self.answers: dict[str, Any] = {}
        self.asked: list[Request] = []
        self.signatures: dict[str, bytes] = {}
        self._replay: ReplayTransport | None = None
        self._lock = threading.Lock()

    @property
    def reports(self) -> int:
        return sum("/attestation/report" in request.url for request in self.asked)

    def urls(self, part: str = "") -> list[str]:
        return [request.url for request in self.asked if part in request.url]

    def send(self, request: Request) -> Response:
        with self._lock:
            self.asked.append(request)
        for part, answer in self.answers.items():
            if part in request.url:
                if isinstance(answer, Exception):
                    raise answer
                found = answer if isinstance(answer, Response) else answer(request)
                if found is not None:
                    assert isinstance(found, Response)
                    return found
        return self._answer(request)

    def _answer(self, request: Request) -> Response:
        parts = urlsplit(request.url)
        if parts.path == "/endpoints":
            return _json({"endpoints": [{"domain": DIRECT_HOST, "models": [MODEL]}]})
        if parts.path == "/v1/attestation/report":
            self._new_session(bytes.fromhex(parse_qs(parts.query)["nonce"][0]))
        if parts.path.startswith("/v1/signature/"):
            chat_id = parts.path.rpartition("/")[2]
            found = self.signatures.get(chat_id)
            return Response(status=200, headers={}, body=found) if found else _json({"error": "no"}, 404)
        with self._lock:
            replay = self._replay
        if replay is None:
            raise TransportError("nothing is there yet")
        return replay.send(request)

    def _new_session(self, nonce: bytes) -> None:
        session = self.session(nonce)
        self.spoil(session)
        report = SavedReport.from_bytes(json.dumps(session.saved()).encode())
        with self._lock:
            self._replay = ReplayTransport(report)

    def session(self, nonce: bytes | None = None) -> NearSession:
        return NearSession.build(
            cloud=self.cloud, algorithm=self.algorithm, nonce=nonce, gpus=1, copies=False, at=self.at
        )

    def key(self, role: str = "model") -> SigningKey:
        session = self.session()
        return session.model.signing if role == "model" or session.gateway is None else session.gateway.signing

    def chat(
        self,
        chat_id: str = "chatcmpl-1",
        *,
        stream: bool = False,
        role: str = "model",
        kind: str | None = "provider_tee",
        named: str | None = MODEL,
        **changes: Any,
    ) -> Exchange:
        """Have a chat answered and signed; ``changes`` replace members of the signature's answer."""
        exchange = exchange_of(chat_id, stream=stream)
        text = f"{exchange.request_digest.hex()}:{exchange.response_digest.hex()}"
        text = text if named is None else f"{named}:{text}"
        document = sign(self.key(role), text, self.algorithm)
        if kind is not None:
            document["signature_kind"] = kind
        document |= changes
        self.signatures[chat_id] = json.dumps({k: v for k, v in document.items() if v is not ...}).encode()
        return exchange


def exchange_of(chat_id: str, *, stream: bool = False) -> Exchange:
    if not stream:
        body = json.dumps({"id": chat_id, "choices": [{"message": {"content": "hi"}}]}).encode()
        return Exchange(model=MODEL, request_body=REQUEST, response_body=body)
    chunks = [{"id": chat_id, "choices": [{"delta": {"content": part}}]} for part in ("h", "i")]
    lines = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)
    return Exchange(model=MODEL, request_body=STREAM_REQUEST, response_body=lines + b"data: [DONE]\n\n")


def sign(key: SigningKey, text: str, algorithm: str) -> dict[str, Any]:
    if algorithm == "ed25519":
        signature, address = key.ed25519.sign(text.encode()).hex(), key.ed25519_public.hex()
    else:
        secret = PrivateKey(key.secp256k1.private_numbers().private_value.to_bytes(32, "big"))
        message = text.encode()
        prefixed = b"\x19Ethereum Signed Message:\n" + str(len(message)).encode() + message
        raw = bytearray(secret.sign_msg(prefixed).to_bytes())
        raw[64] += 27
        signature, address = "0x" + raw.hex(), key.address_text
    return {"text": text, "signature": signature, "signing_address": address, "signing_algo": algorithm}


def live_verifier(
    provider: Provider, *, more: str = "", text: dict[str, Any] | None = None, **options: Any
) -> NearVerifier:
    return NearVerifier(
        options.pop("policy", None) or policy(cloud=provider.cloud, text=text, more=more),
        roots=trust_roots(),
        transport=provider,
        algorithm=provider.algorithm,
        clock=options.pop("clock", lambda: AT),
        **options,
    )


def _json(value: Any, status: int = 200) -> Response:
    return Response(status=status, headers={}, body=json.dumps(value).encode())
