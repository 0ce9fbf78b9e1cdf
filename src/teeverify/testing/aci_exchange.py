"""Receipts and sessions of a simulated ACI service."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

from .recording import Document, compact, exchange

if TYPE_CHECKING:
    from .aci import AciSession

__all__ = ["canonical", "digest_text", "receipt", "receipt_of", "recorded_receipt", "sign_receipt", "upstream_session"]

_EVIDENCE: Final = b"evidence of a simulated upstream"


def canonical(value: Any) -> bytes:
    """RFC 8785 of a document with ASCII names and whole numbers."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest_text(data: bytes) -> str:
    """``sha256:`` and hex."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def upstream_session(session: AciSession, **changes: Any) -> tuple[str, dict[str, Any]]:
    """A session and its id; ``changes`` replace members, and the id follows."""
    unknown = {"status": "unknown"}
    document = {
        "api_version": "aci/1",
        "upstream_name": "simulated",
        "endpoint": "https://upstream.example",
        "verifier_id": "simulated/1",
        "established_at": int(session.at.timestamp()) - 600,
        "expires_at": int(session.at.timestamp()) + 3000,
        "channel_binding": [
            {"type": "tls_spki_sha256", "origin": "https://upstream.example", "spki_sha256": "d1" * 32}
        ],
        "claims": {
            "tee_attested": {"status": "asserted", "source": "hardware_proven", "reason": "simulated"},
            "gpu_attested": {"status": "asserted", "source": "verifier_derived", "reason": "simulated"},
            "tcb_up_to_date": unknown,
            "os_known_good": unknown,
            "serving_software_known_good": unknown,
            "model_weights_provenance": unknown,
        },
        "evidence": {
            "digest": digest_text(_EVIDENCE),
            "data": f"data:application/octet-stream;base64,{base64.b64encode(_EVIDENCE).decode()}",
        },
        **changes,
    }
    return hashlib.sha256(canonical(document)).hexdigest(), document


def receipt(
    session: AciSession, *, request: bytes, response: bytes, chat_id: str, session_id: str | None = None, **changes: Any
) -> dict[str, Any]:
    """A signed receipt; ``changes`` replace members before it is signed.

    With ``session_id`` it is the receipt of an aggregator, else of a service without upstream.
    """
    return receipt_of(
        session, received=digest_text(request), returned=digest_text(response), chat_id=chat_id, session_id=session_id,
        **changes,
    )  # fmt: skip


def receipt_of(
    session: AciSession, *, received: str, returned: str, chat_id: str, session_id: str | None = None, **changes: Any
) -> dict[str, Any]:
    """As `receipt`, for digests of request and response as `digest_text` spells them."""
    events: list[dict[str, Any]] = [
        {"type": "request.received", "body_hash": received},
        {"type": "request.forwarded", "body_hash": received},
        {"type": "response.returned", "body_hash": returned},
    ]
    if session_id is not None:
        verified = {"type": "upstream.verified", "result": "verified", "required": True, "model_id": "upstream-1b"}
        events.insert(1, {**verified, "session_id": session_id})
    document = {
        "api_version": "aci/1",
        "receipt_id": f"rcpt-{chat_id}",
        "chat_id": chat_id,
        "model": session.model_name,
        "workload_keyset_digest": session.keyset_digest(),
        "endpoint": "/v1/chat/completions",
        "method": "POST",
        "served_at": int(session.at.timestamp()) - 2,
        "event_log": events,
        "key_id": "receipt-1",
        **changes,
    }
    return sign_receipt(session, document)


def sign_receipt(session: AciSession, document: dict[str, Any]) -> dict[str, Any]:
    """The document with the gateway's signature over all the rest of it."""
    bare = {name: value for name, value in document.items() if name != "signature"}
    return {**bare, "signature": session.gateway.signing.ed25519.sign(canonical(bare)).hex()}


def recorded_receipt(session: AciSession, kind: str, name: str, document: Any) -> Document:
    """A recorded answer of ``/v1/aci/receipts`` or ``/v1/aci/sessions``."""
    answer = session.report_answer(compact(document))
    url = f"https://{session.host}/v1/aci/{kind}/{name}"
    return exchange("GET", url, answer, peer_spki=session.gateway.tls_spki)
