"""An OpenAI-compatible chat with canned answers, and the digests by which its exchanges are signed."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from attrs import evolve, field, frozen

from teeverify.errors import FormatError
from teeverify.formats.strict_json import loads
from teeverify.testing.keys import KeyRing
from teeverify.testing.recording import compact
from teeverify.testing.signing import SigningKey
from teeverify.testing.simulation.messages import Reply, error_reply, json_reply

from .signatures import SignedChat, signature_document

__all__ = ["ANSWER", "ChatDesk", "KeptChat"]

ANSWER: Final = "This is a simulated answer. No model was asked, and no hardware vouches for it."
"""What every chat is answered with."""

_MAX_KEPT: Final = 10_000
_MAX_BODY: Final = 64 << 20
_SEALED: Final = ("x-client-pub-key", "x-encryption-version")


@frozen(kw_only=True)
class KeptChat:
    """One chat: what was signed, and the reply for a liar who serves it again."""

    signed: SignedChat
    parts: tuple[bytes, ...] = field(repr=False)
    streamed: bool
    finished: bool = True
    asked: int = 0


class ChatDesk:
    """Answers chats and signs them; safe under threads.

    Args:
        keys: where chat ids and an intruder's key come from.
        model_name: the only model that answers.
        model: the model's signing keys.
        gateway: the gateway's, if there is one.
        now: says the time in Unix seconds.
    """

    answer: str = ANSWER
    unknown_chat: str = "not_found_error"
    """What the error calls itself when a signature is asked for that is not there."""

    def __init__(
        self,
        keys: KeyRing,
        *,
        model_name: str,
        model: SigningKey,
        gateway: SigningKey | None,
        now: Callable[[], int],
    ) -> None:
        self._keys, self._model_name, self._now = keys, model_name, now
        self._model, self._gateway = model, gateway
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._kept: OrderedDict[str, KeptChat] = OrderedDict()

    def models(self) -> Reply:
        """``GET /v1/models``."""
        entry = {"id": self._model_name, "object": "model", "created": 0, "owned_by": "teeverify-simulation"}
        return json_reply({"object": "list", "data": [entry]})

    def complete(self, body: bytes, headers: Mapping[str, str], *, kind: str | None, fault: str | None) -> Reply:
        """``POST /v1/chat/completions``; ``kind`` is what its signature will call itself."""
        asked = self._read(body, headers)
        if isinstance(asked, Reply):
            return asked
        streamed = asked.get("stream") is True
        digest = self._request_digest(body, headers, fault)
        old = self._old(digest, streamed) if fault == "replayed-chat" else None
        if old is not None:
            return _reply(old, streamed)
        chat_id = f"chatcmpl-{self._keys.material(f'chat/{next(self._numbers)}/{digest}', 16).hex()}"
        parts = tuple(self._stream(chat_id, asked) if streamed else [self._whole(chat_id, asked)])
        if fault == "missing-done" and streamed:
            parts = parts[:-1]
        signed = SignedChat(
            model=self._model_name,
            request_digest=digest,
            response_digest=hashlib.sha256(self._hashed(parts, streamed)).hexdigest(),
            kind=kind,
        )
        self._keep(chat_id, KeptChat(signed=signed, parts=parts, streamed=streamed, finished=not streamed))
        return _reply(self._sent(parts, streamed, fault), streamed, lambda: self._finish(chat_id))

    # --- what differs between providers ----------------------------------------------------------------------------

    def _request_digest(self, body: bytes, headers: Mapping[str, str], fault: str | None) -> str:
        """What is signed of the request."""
        del headers
        return hashlib.sha256(body + b" " if fault == "altered-request" else body).hexdigest()

    def _hashed(self, parts: tuple[bytes, ...], streamed: bool) -> bytes:
        """The bytes of the answer that are signed."""
        del streamed
        return b"".join(parts)

    def _sent(self, parts: tuple[bytes, ...], streamed: bool, fault: str | None) -> tuple[bytes, ...]:
        """What goes out in place of what was signed."""
        del streamed
        if fault != "altered-response-byte":
            return parts
        return tuple(part.replace(b"simulated", b"Simulated") for part in parts)

    def _event(self, value: Mapping[str, Any]) -> bytes:
        """One server-sent event."""
        return b"data: " + compact(value) + b"\n\n"

    def _document(self, chat: SignedChat, algorithm: str, fault: str | None) -> dict[str, Any]:
        """The answer to a question for a signature."""
        return signature_document(
            chat, keys=self._keys, model=self._model, gateway=self._gateway, algorithm=algorithm, fault=fault
        )

    # --- signatures ------------------------------------------------------------------------------------------------

    def signature(self, chat_id: str, *, algorithm: str, model: str | None, fault: str | None) -> Reply:
        """``GET /v1/signature/{chat_id}``."""
        with self._lock:
            kept = self._kept.get(chat_id)
            if kept is not None:
                self._kept[chat_id] = kept = evolve(kept, asked=kept.asked + 1)
        late = fault == "signature-404-then-found" and kept is not None and kept.asked == 1
        if kept is None or late or fault == "signature-never" or model not in (None, kept.signed.model):
            return error_reply(404, "no signature is known for this chat", self.unknown_chat)
        if fault == "signature-error-code":
            return json_reply({"error_code": "SIGNATURE_UNSUPPORTED", "message": "this chat cannot be signed"})
        if not kept.finished:
            return json_reply({"error_code": "STREAM_DISCONNECTED", "message": "the stream was not read to its end"})
        return json_reply(self._document(kept.signed, algorithm, fault))

    def _read(self, body: bytes, headers: Mapping[str, str]) -> dict[str, Any] | Reply:
        """The request, or the refusal of one that cannot be answered."""
        if any(name in headers for name in _SEALED):
            return error_reply(400, "the simulation does not decrypt: leave the encryption headers out")
        try:
            asked = loads(body, what="the request", limit=_MAX_BODY)
        except FormatError as error:
            return error_reply(400, str(error))
        if not isinstance(asked, dict) or not isinstance(asked.get("messages"), list) or not asked["messages"]:
            return error_reply(400, "the request is no object with a list of messages", param="messages")
        if asked.get("model") != self._model_name:
            return error_reply(404, "the model does not exist", param="model", code="model_not_found")
        return asked

    def _whole(self, chat_id: str, asked: Mapping[str, Any]) -> bytes:
        message = {"role": "assistant", "content": self.answer}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        head = self._head(chat_id, "chat.completion")
        return compact({**head, "choices": [choice], "usage": _usage(asked)})

    def _stream(self, chat_id: str, asked: Mapping[str, Any]) -> Iterator[bytes]:
        head = self._head(chat_id, "chat.completion.chunk")
        first, *words = self.answer.split(" ")
        for delta in ({"role": "assistant", "content": first}, *({"content": f" {word}"} for word in words)):
            yield self._event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
        yield self._event({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        options = asked.get("stream_options")
        if isinstance(options, dict) and options.get("include_usage") is True:
            yield self._event({**head, "choices": [], "usage": _usage(asked)})
        yield b"data: [DONE]\n\n"

    def _head(self, chat_id: str, kind: str) -> dict[str, Any]:
        return {"id": chat_id, "object": kind, "created": self._now(), "model": self._model_name}

    def _keep(self, chat_id: str, kept: KeptChat) -> None:
        with self._lock:
            self._kept[chat_id] = kept
            if len(self._kept) > _MAX_KEPT:
                self._kept.popitem(last=False)

    def _finish(self, chat_id: str) -> None:
        with self._lock:
            if chat_id in self._kept:
                self._kept[chat_id] = evolve(self._kept[chat_id], finished=True)

    def _old(self, digest: str, streamed: bool) -> tuple[bytes, ...] | None:
        """An earlier answer of the same form, to the same request where there is one."""
        with self._lock:
            old = [kept for kept in self._kept.values() if kept.streamed == streamed and kept.finished]
        same = [kept for kept in old if kept.signed.request_digest == digest]
        return (same or old)[0].parts if old else None


def _reply(parts: tuple[bytes, ...], streamed: bool, finish: Callable[[], None] | None = None) -> Reply:
    if not streamed:
        return Reply(headers=(("Content-Type", "application/json"),), body=b"".join(parts))

    def sent() -> Iterator[bytes]:
        yield from parts[:-1]
        if finish is not None:
            finish()  # before the last part is out, so that whoever has read it finds the signature
        yield parts[-1]

    headers = (("Content-Type", "text/event-stream; charset=utf-8"), ("Cache-Control", "no-cache"))
    return Reply(headers=headers, parts=sent())


def _usage(asked: Mapping[str, Any]) -> dict[str, int]:
    """Words in place of tokens."""
    texts = (str(entry.get("content", "")) for entry in asked["messages"] if isinstance(entry, dict))
    prompt, answer = sum(len(text.split()) for text in texts), len(ANSWER.split())
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}
