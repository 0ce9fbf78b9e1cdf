"""Chats through a front: what the caller sent and received, and what the machine behind it signed."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from live.provider import sign
from teeverify.exchange import Exchange
from teeverify.providers.fronts import SigningFrontVerifier
from teeverify.testing.signing import SigningKey

from .world import Front

__all__ = [
    "ANSWER",
    "CHAT",
    "REQUEST",
    "STREAM",
    "STREAMED",
    "chat",
    "compact_utf8",
    "digest",
    "signing_verifier",
    "spelled_by_python",
    "verdict_on",
]

CHAT: Final = "chatcmpl-1"
REQUEST: Final = json.dumps({"model": "m", "messages": [{"role": "user", "content": "grüß dich"}]}).encode()
STREAM: Final = json.dumps({"model": "m", "stream": True, "messages": []}).encode()
ANSWER: Final[dict[str, Any]] = {
    "id": CHAT,
    "object": "chat.completion",
    "created": 1781000000,
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": 'Schöne Grüße, 世界 🙂 \\ " \u2028 \n', "tool_calls": []},
            "logprobs": {"content": [{"token": "é", "logprob": -0.000123456789, "top": [1.0, 1e-07, 1e22, -0.0]}]},
            "finish_reason": None,
        }
    ],
    "usage": {"prompt_tokens": 7, "ratio": 0.1, "big": 12345678901234567890, "nested": {"a": [[], {}, True, False]}},
}
"""Text beyond ASCII, floats of every spelling, nesting: all that two spellings of JSON could differ in."""
STREAMED: Final = (
    b"".join(
        b"data: " + json.dumps({"id": CHAT, "choices": [{"delta": {"content": part}}]}).encode() + b"\n\n\n"
        for part in ("h", "ü")
    )
    + b"data: [DONE]\n\n"
)
"""As vllm-proxy emits it: its own blank line and that of the server behind it make three newlines."""


def compact_utf8(value: Any) -> bytes:
    """What goes over the wire (FastAPI's JSONResponse)."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def spelled_by_python(value: Any) -> bytes:
    """What vllm-proxy hashes."""
    return json.dumps(value).encode()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def signing_verifier(front: Front) -> SigningFrontVerifier:
    found = front.verifier(api_key="secret-key")
    assert isinstance(found, SigningFrontVerifier)
    return found


def chat(
    front: Front,
    *,
    sent: bytes = REQUEST,
    received: bytes | None = None,
    signed: bytes | None = None,
    signed_request: bytes | None = None,
    named: str | None = None,
    chat_id: str = CHAT,
    key: SigningKey | None = None,
    peer_spki: bytes | None = None,
    **changes: Any,
) -> Exchange:
    """Have a chat answered and signed; by default a plain answer, signed in Python's spelling.

    ``signed`` and ``signed_request`` are what the digests are taken of; ``changes`` replace members of the signature's
    answer, and ... leaves one out.
    """
    session = front.session()
    wire = compact_utf8({**ANSWER, "id": chat_id}) if received is None else received
    hashed = (spelled_by_python(json.loads(wire)) if received is None else wire) if signed is None else signed
    text = f"{digest(sent if signed_request is None else signed_request)}:{digest(hashed)}"
    text = text if named is None else f"{named}:{text}"
    algorithm = session.machines.algorithm if session.shape != "chutes" else "ecdsa"
    signer = key or (
        session.machines.model.signing
        if session.shape != "chutes"
        else SigningKey.derive(session.behind.keys, "x", "ecdsa")
    )
    document = sign(signer, text, algorithm) | changes
    front.signatures[chat_id] = json.dumps({k: v for k, v in document.items() if v is not ...}).encode()
    return Exchange(model=session.model_name, request_body=sent, response_body=wire, peer_spki=peer_spki)


def verdict_on(judged: Any) -> tuple[str, dict[str, str]]:
    """The outcome and, of the checks that force it, the reasons."""
    found = {
        check.id: check.reason
        for check in judged.checks
        if check.decides is judged.outcome and not check.reason.startswith("prerequisite_")
    }
    return judged.outcome.value, found
