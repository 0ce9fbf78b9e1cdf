"""A simulated ACI service without sockets, and the judging of its sessions and exchanges."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from teeverify.exchange import Exchange
from teeverify.flow import Request, Response
from teeverify.policy import Policy
from teeverify.providers.aci import AciVerifier
from teeverify.saved import SavedReport
from teeverify.testing import trust_roots
from teeverify.testing.aci import ACI_HOST, ACI_MODEL, AciSession, aci_policy
from teeverify.testing.aci_exchange import receipt, upstream_session
from teeverify.testing.near_world import RECORDED_AT
from teeverify.transport import ReplayTransport
from teeverify.verdict import AttestationVerdict, Outcome, Status, VerifiedExchange

__all__ = [
    "INCONCLUSIVE", "REJECTED", "REQUEST", "STREAM_REQUEST", "VERIFIED", "Service", "build", "chat", "failing",
    "judge", "load", "policy", "reasons", "verifier",
]  # fmt: skip

VERIFIED, REJECTED, INCONCLUSIVE = Outcome.VERIFIED, Outcome.REJECTED, Outcome.INCONCLUSIVE
REQUEST: Final = json.dumps({"model": ACI_MODEL, "messages": [{"role": "user", "content": "hello"}]}).encode()
STREAM_REQUEST: Final = json.dumps({"model": ACI_MODEL, "stream": True, "messages": []}).encode()
URL: Final = f"https://{ACI_HOST}/v1"


def build(**options: Any) -> AciSession:
    return AciSession.build(**options)


@cache
def policy(*, more: str = "", pins: str = "", custody: bool = True) -> Policy:
    """The strict policy of a session that nobody spoiled."""
    return Policy.from_toml(aci_policy(build(), more=more, pins=pins, custody=custody))


def verifier(rules: Policy | None = None, **options: Any) -> AciVerifier:
    return AciVerifier(rules or policy(), roots=trust_roots(), clock=lambda: RECORDED_AT, **options)


def load(document: dict[str, Any]) -> SavedReport:
    return SavedReport.from_bytes(json.dumps(document).encode())


def judge(document: dict[str, Any] | AciSession, rules: Policy | None = None, **options: Any) -> AttestationVerdict:
    shown = document.saved() if isinstance(document, AciSession) else document
    return verifier(rules).verify_saved(load(shown), **options)


def failing(verdict: AttestationVerdict) -> set[tuple[str, str]]:
    """Check and reason of all that is not a pass, without what waits for other checks."""
    bad = (check for check in verdict.checks if check.status in (Status.FAIL, Status.UNEVALUATED))
    return {(check.id, check.reason) for check in bad if not check.reason.startswith("prerequisite_")}


def reasons(judged: VerifiedExchange) -> dict[str, str]:
    found = {check.id: check.reason for check in judged.checks if check.decides is judged.outcome}
    return {name: reason for name, reason in found.items() if not reason.startswith("prerequisite_")} or found


class Service:
    """Answers like an ACI service and like Intel, out of a session that is made for each nonce.

    ``spoil`` may change the session first. ``answers`` overrides single answers by a part of the URL; ``documents`` are
    the receipts and sessions by path.
    """

    concurrent = False

    def __init__(self, spoil: Callable[[AciSession], object] = lambda session: None, **options: Any) -> None:
        self.spoil, self.options = spoil, options
        self.answers: dict[str, Response | Exception] = {}
        self.documents: dict[str, Any] = {}
        self.asked: list[Request] = []
        self._replay: ReplayTransport | None = None

    def session(self, nonce: bytes | None = None) -> AciSession:
        session = build(nonce=nonce, **self.options)
        self.spoil(session)
        return session

    def urls(self, part: str) -> list[str]:
        return [request.url for request in self.asked if part in request.url]

    def send(self, request: Request) -> Response:
        self.asked.append(request)
        for part, answer in self.answers.items():
            if part in request.url:
                if isinstance(answer, Exception):
                    raise answer
                return answer
        parts = urlsplit(request.url)
        if parts.path.startswith(("/v1/aci/receipts/", "/v1/aci/sessions/")):
            found = self.documents.get(parts.path.removeprefix("/v1/aci/"))
            body = json.dumps({"error": {"type": "not_found"}} if found is None else found).encode()
            return Response(status=404 if found is None else 200, headers={}, body=body)
        if "nonce" in parse_qs(parts.query):
            session = self.session(bytes.fromhex(parse_qs(parts.query)["nonce"][0]))
            self._replay = ReplayTransport(load(session.saved()))
        assert self._replay is not None
        return self._replay.send(request)


def chat(
    service: Service,
    *,
    stream: bool = False,
    request: bytes | None = None,
    name: str = "chatcmpl-1",
    upstream: dict[str, Any] | None = None,
    edit: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda receipt: None,
    **changes: Any,
) -> Exchange:
    """Have a chat answered: a signed receipt and, behind an aggregator, a session with some members changed.

    ``edit`` changes the signed receipt before it is served, ``changes`` replace members before it is signed.
    """
    session = service.session()
    chunk = {"id": name, "choices": [{"delta": {"content": "hi"}}]}
    plain = json.dumps({"id": name, "choices": []}).encode()
    body = b"data: " + json.dumps(chunk).encode() + b"\n\ndata: [DONE]\n\n" if stream else plain
    sent = request or (STREAM_REQUEST if stream else REQUEST)
    session_id = None
    if session.serving == "aggregator":
        session_id, document = upstream_session(session, **(upstream or {}))
        service.documents[f"sessions/{session_id}"] = document
    served = receipt(session, request=sent, response=body, chat_id=name, session_id=session_id, **changes)
    service.documents[f"receipts/{name}"] = edit(served) or served
    return Exchange(model=ACI_MODEL, request_body=sent, response_body=body)
