"""Defects of receipts, and of the sessions behind an aggregator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from teeverify.testing.aci_exchange import digest_text

from .model import ReceiptDefect, ReceiptEdit

__all__ = ["FAILED_UPSTREAM", "receipt_defects"]

_UNSIGNED: Final = {"exchange.signature": "invalid"}
_MALFORMED: Final = {"exchange.signature": "malformed"}
_STRANGER: Final = {"exchange.signer_attested": "unknown_signer"}
FAILED_UPSTREAM: Final[Mapping[str, Any]] = {"result": "failed", "session_id": None, "reason": "stale"}
"""Members of an attempt that failed."""


def _event(place: int, **members: Any) -> ReceiptEdit:
    return lambda receipt: receipt["event_log"][place].update(members)


def _members(**members: Any) -> ReceiptEdit:
    return lambda receipt: receipt.update(members)


def _hash(place: int) -> ReceiptEdit:
    return _event(place, body_hash=digest_text(b"other"))


def _again(**members: Any) -> ReceiptEdit:
    return lambda receipt: receipt["event_log"].insert(2, {**receipt["event_log"][1], **members})


def _later(receipt: dict[str, Any]) -> None:
    receipt["served_at"] += 1


def _repeated(receipt: dict[str, Any]) -> None:
    receipt["event_log"].insert(0, receipt["event_log"][0])


_Row = tuple[int, str, str, ReceiptEdit, Mapping[str, str]]
_UNSIGNED_ROWS: Final[tuple[_Row, ...]] = (
    (52, "receipt-event-altered", "An event was altered after signing.", _event(2, note="added"), _UNSIGNED),
    (52, "receipt-event-added", "An event was added after signing.",
     lambda receipt: receipt["event_log"].insert(1, {"type": "x"}), _UNSIGNED),
    (52, "receipt-member-added", "A member was added after signing.", _members(extra=1), _UNSIGNED),
    (52, "receipt-other-time", "The time was altered after signing.", _later, _UNSIGNED),
    (52, "receipt-signature-zero", "The signature is zeros.", _members(signature="00" * 64), _UNSIGNED),
    (52, "receipt-signature-short", "The signature lacks a byte.", _members(signature="00" * 63), _MALFORMED),
)  # fmt: skip
_SIGNED_ROWS: Final[tuple[_Row, ...]] = (
    (52, "receipt-unknown-key", "The receipt names a key that is not in the keyset.", _members(key_id="receipt-2"),
     _STRANGER),
    (52, "receipt-key-of-other-role", "The receipt names a key that does not sign receipts.",
     _members(key_id="e2ee-1"), _STRANGER),
    (52, "receipt-other-keyset", "The receipt is of another keyset.",
     _members(workload_keyset_digest="sha256:" + "00" * 32), _STRANGER),
    (52, "receipt-first-event", "The first event is not the request's.",
     lambda receipt: receipt["event_log"].reverse(), _MALFORMED),
    (52, "receipt-event-twice", "The request's event stands in the receipt two times.", _repeated, _MALFORMED),
    (52, "receipt-version-other", "The receipt is of another version.", _members(api_version="aci/2"), _MALFORMED),
    (52, "receipt-of-other-chat", "The receipt is of another chat.", _members(receipt_id="a", chat_id="b"),
     _MALFORMED),
    (52, "receipt-other-request", "The receipt is over another request.", _hash(0),
     {"exchange.request_digest": "other_request", "exchange.rewrite": "rewritten"}),
    (52, "receipt-other-response", "The receipt is over another response.", _hash(-1),
     {"exchange.response_digest": "other_response"}),
    (52, "receipt-rewritten", "The gateway forwarded another request than it received.", _hash(-2),
     {"exchange.rewrite": "rewritten"}),
    (52, "receipt-other-model", "The receipt names another model.", _members(model="other/model"),
     {"exchange.model": "other_model"}),
)  # fmt: skip
_UPSTREAM_ROWS: Final[tuple[tuple[int, str, str, ReceiptEdit, str], ...]] = (
    (52, "upstream-not-required", "The verification of the upstream was not required.", _event(1, required=False),
     "not_required"),
    (52, "upstream-failed", "The verification of the upstream failed.", _event(1, **FAILED_UPSTREAM), "not_verified"),
    (52, "upstream-failed-not-required", "It failed, and was not required.",
     _event(1, **{**FAILED_UPSTREAM, "required": False}), "not_required"),
    (52, "upstream-failed-later", "It failed after it had come out well.", _again(**FAILED_UPSTREAM), "not_verified"),
    (52, "upstream-unrequired-later", "Another one that was not required follows.", _again(required=False),
     "not_required"),
    (52, "upstream-twice", "Two upstreams are said to be verified.", _again(), "several"),
    (52, "upstream-missing", "The receipt of an aggregator names no upstream.",
     lambda receipt: receipt["event_log"].pop(1), "no_upstream"),
)  # fmt: skip
_SESSION_ROWS: Final = (
    (53, "session-evidence-digest", "The session's evidence has another digest than it says.",
     lambda _: {"evidence": {"digest": "sha256:" + "00" * 32, "data": "data:;base64,AA=="}}, "session_malformed"),
    (53, "session-too-late", "The session was established after the chat.",
     lambda at: {"established_at": at + 600}, "outside_window"),
    (53, "session-expired", "The session had expired when the chat was served.",
     lambda at: {"expires_at": at - 600}, "outside_window"),
    (53, "session-version-other", "The session is of another version.", lambda _: {"api_version": "aci/2"},
     "session_malformed"),
    (53, "session-float", "A number in the session is not whole.", lambda _: {"claims": {"extra": {"load": 0.5}}},
     "session_malformed"),
)  # fmt: skip


def receipt_defects() -> tuple[ReceiptDefect, ...]:
    """All of them."""
    plain = [
        ReceiptDefect(name=name, number=number, description=words, edit=edit, findings=findings, signed=signed)
        for rows, signed in ((_UNSIGNED_ROWS, False), (_SIGNED_ROWS, True))
        for number, name, words, edit, findings in rows
    ]
    upstream = [
        ReceiptDefect(name=name, number=number, description=words, edit=edit, aggregator=True,
                      findings={"exchange.upstream": reason})
        for number, name, words, edit, reason in _UPSTREAM_ROWS
    ]  # fmt: skip
    sessions = [
        ReceiptDefect(name=name, number=number, description=words, session=make, aggregator=True,
                      findings={"exchange.upstream": reason})
        for number, name, words, make, reason in _SESSION_ROWS
    ]  # fmt: skip
    stranger = ReceiptDefect(
        name="session-other", number=53, description="Another session than the cited one is shown.", stranger=True,
        aggregator=True, findings={"exchange.upstream": "other_session"},
    )  # fmt: skip
    return (*plain, *upstream, *sessions, stranger)
