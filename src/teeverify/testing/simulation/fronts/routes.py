"""A front's endpoints: the report, chats, and the signatures of chats."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from teeverify.testing.front import FRONT_URLS
from teeverify.testing.keys import KeyRing
from teeverify.testing.simulation.fault import EXCHANGE
from teeverify.testing.simulation.messages import HttpRequest, Reply, error_reply

from .chat import FrontChat
from .evidence import Ask, FrontDesk, FrontShape
from .fault import FrontFault

__all__ = ["FrontRoutes", "authorized"]

_NONCE: Final = re.compile(r"[0-9a-fA-F]{64}\Z")
_ALGORITHMS: Final = ("ecdsa", "ed25519")


class FrontRoutes:
    """Answers requests to a front; ``signs`` says whether chats are signed, ``fault`` says what shows now."""

    def __init__(
        self,
        *,
        shape: FrontShape,
        desk: FrontDesk,
        chat: FrontChat,
        signs: bool,
        api_key: str,
        fault: Callable[[], FrontFault | None],
    ) -> None:
        self._shape, self._desk, self._chat, self._signs = shape, desk, chat, signs
        self._api_key, self._fault = api_key, fault
        self._report = urlsplit(FRONT_URLS[shape.provider]).path
        self._base = self._report.removesuffix("/tee/attestation").removesuffix("/attestation/report")

    def answer(self, request: HttpRequest) -> Reply:
        """Answer one request."""
        path = request.path.removeprefix(self._base)
        wanted = "POST" if path == "/chat/completions" else "GET"
        if request.method != wanted:
            reply = error_reply(405, f"the method is not {wanted}")
            return Reply(status=405, headers=(*reply.headers, ("Allow", wanted)), body=reply.body)
        if path == "/models":  # which the proxy tells everybody
            return self._chat.models()
        if not authorized(request, self._api_key):
            return error_reply(401, "the token is missing or unknown", "unauthorized")
        if request.path == self._report:
            return self._attestation(request)
        if path == "/chat/completions":
            return self._chat.complete(request.body, request.headers, kind=None, fault=self._exchange_fault())
        if path.startswith("/signature/") and self._signs:
            return self._signature(request, path.removeprefix("/signature/"))
        return error_reply(404, "there is nothing here", "not_found")

    def _exchange_fault(self) -> str | None:
        fault = self._fault()
        return fault.name if fault is not None and fault.area == EXCHANGE else None

    def _signature(self, request: HttpRequest, chat_id: str) -> Reply:
        algorithm = request.query.get("signing_algo", "ecdsa")
        if algorithm not in _ALGORITHMS:
            return _bad_algorithm()
        model = None if self._shape.provider == "vllm-proxy" else request.query.get("model")
        return self._chat.signature(chat_id, algorithm=algorithm, model=model, fault=self._exchange_fault())

    def _attestation(self, request: HttpRequest) -> Reply:
        query, shape = request.query, self._shape
        nonce, algorithm = query.get("nonce"), query.get("signing_algo", "ecdsa")
        if nonce is not None and not _NONCE.match(nonce):
            return error_reply(400, "nonce is not 32 bytes in hex", "invalid_nonce", param="nonce")
        if algorithm not in _ALGORITHMS:
            return _bad_algorithm()
        if shape.provider != "vllm-proxy" and query.get("model") != shape.model_name:
            return error_reply(404, "the model does not exist", param="model", code="model_not_found")
        tls_bound = query.get("version") == "2" and shape.tls_bound
        fault = self._fault()
        if fault is not None and fault.tls_bound and not tls_bound:
            text = f"the simulated fault {fault.name} shows in reports with version=2 only"
            return error_reply(409, text, "simulated_fault")
        drawn = KeyRing(shape.seed).material("nonce of the server", 32) if nonce is None else bytes.fromhex(nonce)
        return Reply.of(self._desk.report(Ask(nonce=drawn, algorithm=algorithm, tls_bound=tls_bound)))


def authorized(request: HttpRequest, api_key: str) -> bool:
    """Whether a request brings the token."""
    stated = request.headers.get("authorization", "").encode("latin-1")
    return hmac.compare_digest(stated, f"Bearer {api_key}".encode())


def _bad_algorithm() -> Reply:
    return error_reply(400, "signing_algo is neither ecdsa nor ed25519", "invalid_signing_algo", param="signing_algo")
