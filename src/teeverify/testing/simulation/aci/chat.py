"""Chats of an ACI service, with receipts in the place of signatures."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import frozen

from teeverify.testing.aci_exchange import receipt_of, sign_receipt, upstream_session
from teeverify.testing.keys import KeyRing
from teeverify.testing.simulation.messages import Reply, error_reply, json_reply
from teeverify.testing.simulation.near.chat import ChatDesk, KeptChat

from .evidence import AciDesk
from .fault import AciFault

__all__ = ["AciChat"]

_MAX_KEPT: Final = 10_000
_SLOT: Final = 1800
"""Seconds after which a gateway verifies its upstream anew."""


@frozen(kw_only=True)
class _Papers:
    """The receipt of one chat and, behind an aggregator, id and document of the session that it cites."""

    receipt: dict[str, Any]
    session: tuple[str, dict[str, Any]] | None


class AciChat(ChatDesk):
    """Answers chats and hands out receipts; safe under threads.

    Args:
        keys: where chat ids come from.
        model_name: the only model that answers.
        desk: the service.
        fault: says what shows now.
    """

    def __init__(self, keys: KeyRing, *, model_name: str, desk: AciDesk, fault: Callable[[], AciFault | None]) -> None:
        super().__init__(
            keys,
            model_name=model_name,
            model=desk.session().gateway.signing,
            gateway=None,
            now=lambda: int(desk.now().timestamp()),
        )
        self._desk, self._fault = desk, fault
        self._filing = threading.Lock()
        self._papers: OrderedDict[str, _Papers] = OrderedDict()
        self._asked: set[str] = set()
        self._own = threading.local()

    def complete(self, body: bytes, headers: Mapping[str, str], *, kind: str | None, fault: str | None) -> Reply:
        """See `ChatDesk.complete`; the name of the receipt comes in a header."""
        pinned, (session_id, _) = _pinned(body), self._upstream() or ("", {})
        if pinned is not None and session_id not in pinned:
            return error_reply(412, "none of the sessions that are accepted is there", "session_not_accepted")
        self._own.chat_id = None
        reply = super().complete(body, headers, kind=kind, fault=fault)
        if self._own.chat_id is None:
            return reply
        named = (
            ("X-ACI-Version", "aci/1"),
            ("X-ACI-Keyset-Digest", self._desk.session().keyset_digest()),
            ("X-Receipt-Id", f"rcpt-{self._own.chat_id}"),
        )
        return Reply(status=reply.status, headers=(*reply.headers, *named), body=reply.body, parts=reply.parts)

    def receipt(self, name: str) -> Reply:
        """``GET /v1/aci/receipts/{name}``; the name is the receipt's or the chat's."""
        fault = self._fault()
        with self._filing:
            papers = self._papers.get(name.removeprefix("rcpt-"))
            late = fault is not None and fault.name == "receipt-404-then-found" and name not in self._asked
            self._asked.add(name)
        if papers is None or late or (fault is not None and fault.name == "receipt-never"):
            return error_reply(404, "there is no such receipt", "not_found")
        return json_reply(papers.receipt)

    def session(self, name: str) -> Reply:
        """``GET /v1/aci/sessions/{name}``."""
        fault = self._fault()
        with self._filing:
            found = [
                papers.session[1] for papers in self._papers.values() if papers.session and papers.session[0] == name
            ]
        if not found:
            return error_reply(404, "there is no such session", "not_found")
        if fault is not None and fault.receipt is not None and fault.receipt.stranger:
            return json_reply({**found[0], "verifier_id": "other/1"})
        return json_reply(found[0])

    def _keep(self, chat_id: str, kept: KeptChat) -> None:
        super()._keep(chat_id, kept)
        papers = self._made(chat_id, kept)
        self._own.chat_id = chat_id
        with self._filing:
            self._papers[chat_id] = papers
            if len(self._papers) > _MAX_KEPT:
                self._papers.popitem(last=False)

    def _made(self, chat_id: str, kept: KeptChat) -> _Papers:
        fault = self._fault()
        session = self._desk.rotated() if fault is not None and fault.rotates else self._desk.session()
        upstream = self._upstream()
        document = receipt_of(
            session,
            received=f"sha256:{kept.signed.request_digest}",
            returned=f"sha256:{kept.signed.response_digest}",
            chat_id=chat_id,
            session_id=None if upstream is None else upstream[0],
            served_at=int(session.at.timestamp()),
        )
        defect = None if fault is None else fault.receipt
        if defect is not None and defect.edit is not None:
            defect.edit(document)
            document = sign_receipt(session, document) if defect.signed else document
        return _Papers(receipt=document, session=upstream)

    def _upstream(self) -> tuple[str, dict[str, Any]] | None:
        """Id and document of the session behind an aggregator."""
        now = self._desk.session()
        if now.serving != "aggregator":
            return None
        at = int(now.at.timestamp())
        window = {"established_at": at - at % _SLOT - 600, "expires_at": at - at % _SLOT + 2 * _SLOT}
        fault = self._fault()
        make = None if fault is None or fault.receipt is None else fault.receipt.session
        return upstream_session(now, **{**window, **({} if make is None else make(at))})


def _pinned(body: bytes) -> list[Any] | None:
    """The sessions that a request accepts; None where it says nothing of them."""
    try:
        listed = json.loads(body)["provider"]["aci_session_ids"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return listed if isinstance(listed, list) else []
