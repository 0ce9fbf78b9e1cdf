"""OpenGradient's services: the chain's nodes, the enclave itself, and the relay before it."""

from __future__ import annotations

import hmac
import itertools
import json
import re
from typing import Any, Final

from attrs import evolve
from cryptography.exceptions import InvalidTag

from teeverify.testing.recording import Answer
from teeverify.testing.simulation.messages import HttpRequest, Reply, json_reply

from .desk import OpenGradientDesk
from .fault import OpenGradientFault
from .hosts import ENCLAVE_HOST, NODE_HOSTS, RELAY_HOST
from .relayed import Relayed

__all__ = ["OpenGradientRoutes"]

_NONCE: Final = re.compile(r"[0-9a-fA-F]{40}\Z")
_BLOCK: Final = re.compile(r"0x[0-9a-f]{1,12}\Z")
_CHAT: Final = "/api/v1/chat/ohttp"


class OpenGradientRoutes:
    """Answers requests to nodes, enclave and relay."""

    def __init__(self, desk: OpenGradientDesk, *, api_key: str) -> None:
        self._desk, self._api_key = desk, api_key
        self._numbers = itertools.count(1)

    def answer(self, request: HttpRequest, fault: OpenGradientFault | None) -> Reply:
        """Answer one request, while a fault shows."""
        if request.host == ENCLAVE_HOST:
            return self._enclave(request, fault)
        if request.method != "POST":
            return _error(405, "Method Not Allowed")
        if request.host == RELAY_HOST:
            return self._relay(request, fault) if request.path == _CHAT else _error(404, "Not Found")
        return self._node(request) if request.path == "/" else _error(404, "Not Found")

    def _node(self, request: HttpRequest) -> Reply:
        """A node tells of the block that it is asked about, or of the newest one."""
        try:
            asked = json.loads(request.body)
            tag = _tag(asked["method"], asked.get("params") or [])
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
            return json_reply({"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "invalid request"}})
        session = self._desk.now()
        if tag is not None:
            if tag > session.nodes[0].block_number:
                return json_reply({"jsonrpc": "2.0", "id": asked.get("id"), "result": None})
            session = self._desk.at_block(tag)
        node = session.nodes[NODE_HOSTS.index(request.host)]
        return Reply.of(Answer(200, {"Content-Type": "application/json"}, node.answer(request.body)))

    def _enclave(self, request: HttpRequest, fault: OpenGradientFault | None) -> Reply:
        if request.method != "GET":
            return _error(405, "Method Not Allowed")
        if request.path == "/enclave/attestation" and not _NONCE.match(request.query.get("nonce", "")):
            return Reply(status=400, headers=(("Content-Type", "text/plain"),), body=b"nonce is not 40 hex digits\n")
        session = self._desk.now()
        answer = session.answer("GET", f"{session.url}{request.target}")
        if fault is not None and fault.enclave is not None and answer.status == 200:
            answer = evolve(answer, body=fault.enclave(request.path, answer.body))
        return Reply.of(answer)

    def _relay(self, request: HttpRequest, fault: OpenGradientFault | None) -> Reply:
        stated = request.headers.get("authorization", "").encode("latin-1")
        if not hmac.compare_digest(stated, f"Bearer {self._api_key}".encode()):
            return _error(401, "this wants the token as bearer token")
        if request.headers.get("content-type") != "message/ohttp-req":
            return _error(415, "this is no sealed request")
        session = self._desk.now()
        if request.headers.get("x-tee-id") != f"0x{session.tee_id.hex()}":
            return _error(404, "there is no such enclave")
        try:
            opened = session.ohttp.open(request.body)
            relayed = Relayed(session=session, opened=opened, number=next(self._numbers), memory=self._desk.memory)
            if fault is not None and fault.reply is not None and fault.stream in (None, relayed.stream):
                return fault.reply(relayed)
            return relayed.truthful()
        except (ValueError, InvalidTag):
            return _error(400, "decapsulation failed")


def _tag(method: str, parameters: list[Any]) -> int | None:
    """The number of the block that a call is about; None for the newest."""
    place = {"eth_getBlockByNumber": 0, "eth_call": 1}.get(method)
    if place is None or not _BLOCK.match(parameters[place]):
        return None
    return int(parameters[place], 16)


def _error(status: int, detail: str) -> Reply:
    return json_reply({"detail": detail}, status)
