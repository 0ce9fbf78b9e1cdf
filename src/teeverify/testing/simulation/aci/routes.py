"""An ACI service's endpoints: reports, chats, receipts and sessions."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from teeverify.testing.simulation.fault import EXCHANGE
from teeverify.testing.simulation.fronts.routes import authorized
from teeverify.testing.simulation.messages import HttpRequest, Reply, error_reply

from .chat import AciChat
from .evidence import AciDesk, AciShape
from .fault import AciFault

__all__ = ["AciRoutes"]

_NONCE: Final = re.compile(r"[0-9a-f]{64}\Z")
_CHAT: Final = "/v1/chat/completions"
_REPORTS: Final = {
    "aci": ("/v1/aci/attestation",),
    "phala": ("/v1/aci/attestation", "/v1/attestation/report"),
}
_RECEIPTS: Final = "/v1/aci/receipts/"
_SESSIONS: Final = "/v1/aci/sessions/"


class AciRoutes:
    """Answers requests to an ACI service; ``fault`` says what shows now."""

    def __init__(
        self,
        *,
        shape: AciShape,
        desk: AciDesk,
        chat: AciChat,
        api_key: str,
        fault: Callable[[], AciFault | None],
    ) -> None:
        self._shape, self._desk, self._chat, self._api_key, self._fault = shape, desk, chat, api_key, fault

    def answer(self, request: HttpRequest) -> Reply:
        """Answer one request."""
        path = request.path
        wanted = "POST" if path == _CHAT else "GET"
        if request.method != wanted:
            reply = error_reply(405, f"the method is not {wanted}")
            return Reply(status=405, headers=(*reply.headers, ("Allow", wanted)), body=reply.body)
        open_to_all = self._shape.provider == "aci"
        if path in _REPORTS[self._shape.provider] and (open_to_all or authorized(request, self._api_key)):
            return self._report(request)
        if path == "/v1/models":
            return self._chat.models()
        if not authorized(request, self._api_key):
            return error_reply(401, "the API key is missing or unknown", "unauthorized")
        if path == _CHAT:
            fault = self._fault()
            name = fault.name if fault is not None and fault.area == EXCHANGE else None
            return self._chat.complete(request.body, request.headers, kind=None, fault=name)
        if path.startswith(_RECEIPTS):
            return self._chat.receipt(path.removeprefix(_RECEIPTS))
        if path.startswith(_SESSIONS):
            return self._chat.session(path.removeprefix(_SESSIONS))
        return error_reply(404, "there is nothing here", "not_found")

    def _report(self, request: HttpRequest) -> Reply:
        """The report, for which RedPill alone wants a key; in the form of older clients it names a model."""
        query = request.query
        nonce = query.get("nonce")
        if nonce is not None and not _NONCE.match(nonce):
            return error_reply(400, "nonce is not 64 hex digits in lower case", "invalid_nonce", param="nonce")
        if query.get("model", self._shape.model_name) != self._shape.model_name:
            return error_reply(404, "the model does not exist", param="model", code="model_not_found")
        return Reply.of(self._desk.report(None if nonce is None else bytes.fromhex(nonce)))
