"""Chutes' services: the list of models, and the API with keys, evidence and published measurements."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote

from teeverify.testing.chutes_report import measurements
from teeverify.testing.recording import Answer
from teeverify.testing.simulation.messages import HttpRequest, Reply, json_reply

from .evidence import ChutesDesk, ChutesShape
from .hosts import API_HOST

__all__ = ["ChutesRoutes"]

_KEYS: Final = re.compile(r"/e2e/instances/([^/]+)\Z")
_EVIDENCE: Final = re.compile(r"/chutes/([^/]+)/evidence\Z")
_ONE: Final = re.compile(r"/instances/([^/]+)/evidence\Z")
_NONCE: Final = re.compile(r"[0-9a-fA-F]{64}\Z")


class ChutesRoutes:
    """Answers requests to hosts of chutes.ai. Errors are ``{"detail": "..."}``, as the real service has them."""

    def __init__(self, *, shape: ChutesShape, desk: ChutesDesk, api_key: str) -> None:
        self._shape, self._desk, self._api_key = shape, desk, api_key
        truth = desk.session(bytes(32), desk.now())
        self._chutes = (truth.chute_id, shape.model_name)
        self._ids = tuple(instance.instance_id for instance in truth.instances)
        self._measurements = measurements(truth)

    def answer(self, request: HttpRequest) -> Reply:
        """Answer one request."""
        if request.method != "GET":
            reply = _error(405, "Method Not Allowed")
            return Reply(status=405, headers=(*reply.headers, ("Allow", "GET")), body=reply.body)
        if request.host != API_HOST:
            return Reply.of(self._desk.models()) if request.path == "/v1/models" else _not_found()
        if request.path == "/servers/tee/measurements":
            return json_reply(self._measurements)
        answer = self._guarded(request.path)
        if answer is None:
            return _not_found()
        stated = request.headers.get("authorization", "").encode("latin-1")
        if not hmac.compare_digest(stated, f"Bearer {self._api_key}".encode()):
            return _error(401, "this wants the API key as bearer token")
        return answer(request)

    def _guarded(self, path: str) -> Callable[[HttpRequest], Reply] | None:
        """What answers a path that wants the API key."""
        for pattern, answer in ((_KEYS, self._keys), (_EVIDENCE, self._evidence), (_ONE, self._one)):
            matched = pattern.match(path)
            if matched is not None:
                name = unquote(matched[1])
                return lambda request, answer=answer, name=name: answer(name, request)  # type: ignore[misc]
        return None

    def _keys(self, chute: str, _: HttpRequest) -> Reply:
        if chute != self._chutes[0]:
            return _error(404, "there is no such chute")
        return Reply.of(self._desk.keys())

    def _evidence(self, chute: str, request: HttpRequest) -> Reply:
        if chute not in self._chutes:
            return _error(404, "there is no such chute")
        nonce = _nonce(request)
        return nonce if isinstance(nonce, Reply) else Reply.of(self._desk.evidence(nonce))

    def _one(self, instance: str, request: HttpRequest) -> Reply:
        if instance not in self._ids:
            return _error(404, "there is no such instance")
        nonce = _nonce(request)
        return nonce if isinstance(nonce, Reply) else _entry(self._desk.evidence(nonce), instance)


def _nonce(request: HttpRequest) -> bytes | Reply:
    text = request.query.get("nonce", "")
    return bytes.fromhex(text) if _NONCE.match(text) else _error(400, "nonce is not 64 hex characters")


def _entry(evidence: Answer, instance: str) -> Reply:
    """The element of one instance; where the fault left none of that name, there is none."""
    try:
        entries: Any = json.loads(evidence.body)["evidence"]
        found = [entry for entry in entries if entry["instance_id"] == instance]
    except (ValueError, TypeError, KeyError, RecursionError):
        return Reply.of(evidence)
    return json_reply(found[0]) if found else _error(404, "there is no evidence of this instance")


def _not_found() -> Reply:
    return _error(404, "Not Found")


def _error(status: int, detail: str) -> Reply:
    return json_reply({"detail": detail}, status)
