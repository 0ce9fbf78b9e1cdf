"""NEAR's services: discovery, model hosts and the cloud gateway."""

from __future__ import annotations

import hmac
import json
import re
import threading
from collections.abc import Callable
from typing import Final

from teeverify.testing.keys import KeyRing
from teeverify.testing.recording import compact
from teeverify.testing.simulation.fault import EXCHANGE
from teeverify.testing.simulation.hosts import LOCAL_NAMES
from teeverify.testing.simulation.messages import HttpRequest, Reply, error_reply, json_reply
from teeverify.testing.simulation.server import Connection

from .chat import ChatDesk
from .evidence import Ask, EvidenceDesk, Shape
from .fault import NearFault
from .hosts import CLOUD_HOST, DIRECT_HOST, DISCOVERY_HOST, backend_of
from .signatures import GATEWAY, PROVIDER_TEE

__all__ = ["NearRoutes"]

_NONCE: Final = re.compile(r"[0-9a-fA-F]{64}\Z")
_ALGORITHMS: Final = ("ecdsa", "ed25519")
_REPORT: Final = "/v1/attestation/report"
_SIGNATURE: Final = "/v1/signature/"


class NearRoutes:
    """Answers requests to hosts of near.ai.

    ``fault`` says what the fault of the moment is; ``signature_kind`` is what signatures of the front call themselves.
    """

    def __init__(
        self,
        *,
        shape: Shape,
        keys: KeyRing,
        desk: EvidenceDesk,
        chat: ChatDesk,
        api_key: str,
        signature_kind: str | None,
        fault: Callable[[], NearFault | None],
    ) -> None:
        self._shape, self._keys, self._desk, self._chat = shape, keys, desk, chat
        self._api_key, self._kind, self._fault = api_key, signature_kind, fault
        self._lock = threading.Lock()
        self._old: dict[Ask, Reply] = {}

    def answer(self, request: HttpRequest, connection: Connection) -> Reply:
        """Answer one request."""
        if request.host == DISCOVERY_HOST or request.path in ("/endpoints", "/backends/count"):
            return self._discovery(request)
        if not self._authorized(request):
            return error_reply(401, "the API key is missing or unknown", "authentication_error")
        if request.path == "/v1/chat/completions":
            if request.method != "POST":
                return _wrong_method("POST")
            kind, fault = self._signature_kind(request), self._exchange_fault()
            return self._chat.complete(request.body, request.headers, kind=kind, fault=fault)
        if request.method != "GET":
            return _wrong_method("GET")
        if request.path == "/v1/models":
            return self._chat.models()
        if request.path == _REPORT:
            return self._report(request, connection)
        if request.path.startswith(_SIGNATURE):
            return self._signature(request)
        return _not_found()

    def _discovery(self, request: HttpRequest) -> Reply:
        if request.method != "GET":
            return _wrong_method("GET")
        if request.path == "/endpoints":
            return json_reply({"endpoints": [{"domain": DIRECT_HOST, "models": [self._shape.model_name]}]})
        if request.path == "/backends/count" and request.query.get("domain") == DIRECT_HOST:
            return json_reply({"healthy": self._shape.backends, "total": self._shape.backends})
        return _not_found()

    def _authorized(self, request: HttpRequest) -> bool:
        stated = request.headers.get("authorization", "").encode("latin-1")
        return hmac.compare_digest(stated, f"Bearer {self._api_key}".encode())

    def _exchange_fault(self) -> str | None:
        fault = self._fault()
        return fault.name if fault is not None and fault.area == EXCHANGE else None

    def _signature_kind(self, request: HttpRequest) -> str | None:
        """A model's own host never signs as the gateway."""
        return PROVIDER_TEE if self._kind == GATEWAY and not self._is_cloud(request) else self._kind

    def _is_cloud(self, request: HttpRequest) -> bool:
        return request.host == CLOUD_HOST or (self._shape.cloud and request.host in LOCAL_NAMES)

    # --- signature -------------------------------------------------------------------------------------------------

    def _signature(self, request: HttpRequest) -> Reply:
        algorithm = request.query.get("signing_algo", "ecdsa")
        if algorithm not in _ALGORITHMS:
            return _bad("signing_algo", "signing_algo is neither ecdsa nor ed25519")
        model = request.query.get("model") if self._is_cloud(request) else None
        chat_id = request.path.removeprefix(_SIGNATURE)
        return self._chat.signature(chat_id, algorithm=algorithm, model=model, fault=self._exchange_fault())

    # --- report ----------------------------------------------------------------------------------------------------

    def _report(self, request: HttpRequest, connection: Connection) -> Reply:
        cloud, query = self._is_cloud(request), request.query
        nonce = query.get("nonce")
        if nonce is not None and not _NONCE.match(nonce):
            return _bad("nonce", "nonce is not 64 hex characters")
        algorithm = query.get("signing_algo", "ed25519" if cloud else "ecdsa")
        if algorithm not in _ALGORITHMS:
            return _bad("signing_algo", "signing_algo is neither ecdsa nor ed25519")
        if cloud and query.get("model", self._shape.model_name) != self._shape.model_name:
            return error_reply(503, "no provider serves this model", "provider_error")
        if cloud and query.get("provider", "near") != "near":
            return error_reply(503, "that provider serves no model here", "provider_error")
        tls_bound = query.get("include_tls_fingerprint") == "true"
        fault = self._fault()
        reason = fault.unfit_question(algorithm=algorithm, tls_bound=tls_bound) if fault is not None else None
        if fault is not None and reason is not None:
            return error_reply(409, f"the simulated fault {fault.name} cannot be shown: {reason}", "simulated_fault")
        backend = backend_of(request.host)
        ask = Ask(
            nonce=self._keys.material("nonce of the server", 32) if nonce is None else bytes.fromhex(nonce),
            cloud=cloud,
            algorithm=algorithm,
            tls_bound=tls_bound,
            backend=connection.backend if backend is None else backend,
        )
        reply = self._cached(ask) if nonce is None else Reply.of(self._desk.report(ask))
        if cloud and "model" not in query:
            reply = _without_models(reply)
        if "signing_address" in query and not _signed_by(reply, query["signing_address"]):
            return error_reply(404, "no signer of this address is here", "not_found_error", param="signing_address")
        return reply

    def _cached(self, ask: Ask) -> Reply:
        """What one gets without a nonce: a report that was made once, over a nonce that the server chose."""
        with self._lock:
            if ask not in self._old:
                self._old[ask] = Reply.of(self._desk.report(ask))
            return self._old[ask]

    def forget(self) -> None:
        """Drop cached reports, as a change of the fault demands."""
        with self._lock:
            self._old.clear()


def _without_models(reply: Reply) -> Reply:
    """The gateway alone, as it answers when no model is named."""
    try:
        document = json.loads(reply.body)
    except (ValueError, RecursionError):
        return reply
    if not isinstance(document, dict):
        return reply
    return Reply(status=reply.status, headers=reply.headers, body=compact({**document, "model_attestations": []}))


def _signed_by(reply: Reply, address: str) -> bool:
    wanted = address.lower().removeprefix("0x")
    try:
        document = json.loads(reply.body)
        records = [document, *document.get("model_attestations", [])]
        return any(str(record.get("signing_address", "")).lower().removeprefix("0x") == wanted for record in records)
    except (ValueError, RecursionError, AttributeError, TypeError):
        return False


def _bad(parameter: str, message: str) -> Reply:
    return error_reply(400, message, param=parameter)


def _not_found() -> Reply:
    return error_reply(404, "there is nothing here", "not_found_error")


def _wrong_method(allowed: str) -> Reply:
    reply = error_reply(405, f"the method is not {allowed}")
    return Reply(status=405, headers=(*reply.headers, ("Allow", allowed)), body=reply.body)
