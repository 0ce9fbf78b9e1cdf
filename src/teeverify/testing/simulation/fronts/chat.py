"""Chats as a vllm-proxy answers and signs them: what goes out and what is hashed are two spellings of one answer."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import evolve

from teeverify.testing.recording import compact
from teeverify.testing.signing import SigningKey
from teeverify.testing.simulation.near.chat import ANSWER, ChatDesk
from teeverify.testing.simulation.near.signatures import SignedChat, sign_text

from .evidence import RENEWED

__all__ = ["FRONT_ANSWER", "FrontChat"]

FRONT_ANSWER: Final = f"{ANSWER} Café."
"""What every chat is answered with; its two spellings differ."""
_DIGEST: Final = re.compile(r"[0-9a-f]{64}\Z")
_TEXTS: Final[Mapping[str | None, Callable[[str], str]]] = {
    "text-trailing-colon": lambda text: f"{text}:",
    "text-two-colons": lambda text: text.replace(":", "::"),
    "text-upper-case": str.upper,
}
"""What becomes of the signed text, by fault."""
_SIGNERS: Final[Mapping[str | None, str]] = {"served-by-another-machine": "second machine", "key-renewed": RENEWED}
"""Labels of the keys that sign, by fault."""


class FrontChat(ChatDesk):
    """See `ChatDesk`. A whole answer goes out as compact UTF-8 JSON, and its digest is that of Python's spelling."""

    answer = FRONT_ANSWER
    unknown_chat = "not_found"

    def _request_digest(self, body: bytes, headers: Mapping[str, str], fault: str | None) -> str:
        """A digest that the caller names is signed unchecked, as the real proxy does."""
        named = headers.get("x-request-hash", "")
        return named if _DIGEST.match(named) else super()._request_digest(body, headers, fault)

    def _hashed(self, parts: tuple[bytes, ...], streamed: bool) -> bytes:
        whole = b"".join(parts)
        return whole if streamed else json.dumps(json.loads(whole)).encode()

    def _sent(self, parts: tuple[bytes, ...], streamed: bool, fault: str | None) -> tuple[bytes, ...]:
        if streamed and fault == "dropped-chunk":
            return (*parts[:1], *parts[2:])
        if streamed and fault == "reordered-chunks":
            return (parts[0], parts[2], parts[1], *parts[3:])
        if streamed and fault == "tidied-stream":
            return tuple(part.replace(b"\n\n\n", b"\n\n") for part in parts)
        if not streamed and fault == "answer-sorted":
            return (json.dumps(json.loads(b"".join(parts)), sort_keys=True).encode(),)
        if not streamed and fault == "answer-spelled-out":
            return (json.dumps(json.loads(b"".join(parts))).encode(),)
        return super()._sent(parts, streamed, fault)

    def _event(self, value: Mapping[str, Any]) -> bytes:
        """The proxy's own blank line and that of the server behind it make three newlines."""
        return b"data: " + json.dumps(value).encode() + b"\n\n\n"

    def _document(self, chat: SignedChat, algorithm: str, fault: str | None) -> dict[str, Any]:
        if fault == "signature-of-other-chat":
            chat = evolve(chat, response_digest=hashlib.sha256(compact({"id": "another chat"})).hexdigest())
        document = super()._document(chat, algorithm, fault)
        key = self._model
        if fault in _SIGNERS:
            key = SigningKey.derive(self._keys, _SIGNERS[fault], algorithm)
        if fault in _TEXTS or fault in _SIGNERS:
            text = _TEXTS[fault](chat.text) if fault in _TEXTS else chat.text
            return _signed_text(text, key, algorithm)
        if fault == "other-recovery-id" and algorithm == "ecdsa":
            raw = bytes.fromhex(document["signature"][2:])
            document["signature"] = f"0x{(raw[:64] + bytes([55 - raw[64]])).hex()}"
        return document


def _signed_text(text: str, key: SigningKey, algorithm: str) -> dict[str, Any]:
    """The answer of the signature endpoint."""
    address, signature = sign_text(text, key, algorithm)
    shown = signature.hex() if algorithm == "ed25519" else f"0x{signature.hex()}"
    return {"text": text, "signature": shown, "signing_address": address, "signing_algo": algorithm}
