"""A front, Intel and NVIDIA without sockets: a transport that makes new evidence for each nonce, and answers chats."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from teeverify.errors import NotRecordedError
from teeverify.flow import Request, Response
from teeverify.saved import SavedReport
from teeverify.transport import ReplayTransport

from .chain_report import sign
from .front import FRONT_URLS, FrontSession
from .recording import compact

__all__ = ["FrontTransport"]

_ANSWER: Final = "This is a simulated answer. No model was asked, and no hardware vouches for it: café."


class FrontTransport:
    """Answers like a front that tells the truth, for tests and examples.

    Reports are made for the nonce of each request. ``POST .../chat/completions`` is answered, plain or as a stream, and
    signed by the machine behind the front as vllm-proxy does it: a plain answer goes out as compact UTF-8 JSON, and its
    digest is that of Python's ``json.dumps``.

    Attributes:
        signatures: answers of the signature endpoint (bytes) by chat id.
        asked: all requests so far.
    """

    concurrent: Final = False

    def __init__(self, provider: str, shape: str = "dstack", **options: Any) -> None:
        """Take the arguments of `FrontSession.build`."""
        self.provider, self.shape, self.options = provider, shape, options
        self.signatures: dict[str, bytes] = {}
        self.asked: list[Request] = []
        self._replay: ReplayTransport | None = None

    def session(self, nonce: bytes | None = None) -> FrontSession:
        """The session for one nonce (32 bytes)."""
        return FrontSession.build(self.provider, self.shape, **{**self.options, "nonce": nonce})

    def send(self, request: Request) -> Response:
        """Answer one request.

        Raises:
            NotRecordedError: nobody here answers such a request, or no report was asked for yet.
        """
        self.asked.append(request)
        parts = urlsplit(request.url)
        if request.url.startswith(f"{FRONT_URLS[self.provider]}?"):
            self._replay = self._made(bytes.fromhex(parse_qs(parts.query)["nonce"][0]))
        if parts.path.endswith("/chat/completions"):
            return self._chat(request.body or b"{}")
        if "/signature/" in parts.path:
            found = self.signatures.get(parts.path.rpartition("/")[2])
            body = b'{"error":"not_found"}' if found is None else found
            return Response(status=404 if found is None else 200, headers={}, body=body)
        if self._replay is None:
            raise NotRecordedError("no report was asked for yet, so there is nothing to endorse")
        return self._replay.send(request)

    def _made(self, nonce: bytes) -> ReplayTransport:
        document = json.dumps(self.session(nonce).saved()).encode()
        return ReplayTransport(SavedReport.from_bytes(document))

    def _chat(self, request: bytes) -> Response:
        chat_id = f"chatcmpl-{len(self.signatures) + 1}"
        session = self.session()
        if json.loads(request).get("stream") is True:
            chunks = [{"id": chat_id, "choices": [{"delta": {"content": word}}]} for word in _ANSWER.split(" ")]
            body = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n\n" for chunk in chunks)
            body = signed = body + b"data: [DONE]\n\n"
        else:
            answer = {"id": chat_id, "choices": [{"message": {"role": "assistant", "content": _ANSWER}}]}
            body, signed = compact(answer), json.dumps(answer).encode()
        text = f"{hashlib.sha256(request).hexdigest()}:{hashlib.sha256(signed).hexdigest()}"
        key = session.machines.model.signing
        self.signatures[chat_id] = compact(
            {
                "text": text,
                "signature": sign(text.encode(), key, key.algorithm),
                "signing_address": key.address_text,
                "signing_algo": key.algorithm,
            }
        )
        return Response(status=200, headers={}, body=body, peer_spki=session.peer_spki)
