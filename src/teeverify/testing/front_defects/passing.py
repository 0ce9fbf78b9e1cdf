"""A lie of NEAR's machines in the words of another front: a spoiled report in the form that the front has."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

from teeverify.testing.event_log import RUNTIME_EVENT
from teeverify.testing.front import FrontSession
from teeverify.testing.front_report import praised
from teeverify.testing.recording import Document, body_of, compact, replace_body

__all__ = ["passed_on"]

_REPORT: Final = "/attestation/report"
_OF_NEAR: Final = (
    "model_name",
    "all_attestations",
    "compose_manager_attestation",
    "ohttp_key_config",
    "ohttp_attestation",
)
"""Members of NEAR's record that a vllm-proxy's does not have."""


def passed_on(session: FrontSession, document: Document) -> Document:
    """A saved report of NEAR's machines as the one that the front's client would have.

    Reports that are no JSON objects, and those in NEAR's own shape, are passed on as they are.
    """
    try:
        report: Any = json.loads(body_of(document, _REPORT))
    except ValueError:
        report = None
    if isinstance(report, dict) and session.shape == "dstack":
        report = praised(session, report) if session.provider == "venice" else _as_proxy(session, report)
        replace_body(document, _REPORT, compact(report))
    for entry in document["exchanges"]:
        if _REPORT in entry["request"]["url"]:
            entry["request"]["url"] = session.report_url
            if session.provider != "vllm-proxy":  # whose connections alone end in the machine
                entry["response"]["peer_spki"] = base64.b64encode(session.peer_spki).decode()
    return {**document, "provider": session.provider, "model": session.model_name}


def _as_proxy(session: FrontSession, report: dict[str, Any]) -> dict[str, Any]:
    """A vllm-proxy's report with what a record of NEAR's machine says, true or not."""
    record = {name: value for name, value in report.items() if name not in _OF_NEAR}
    log = record.get("event_log")
    if isinstance(log, list):
        record["event_log"] = compact([_stripped(row) for row in log] if session.stripped else log).decode()
    if "intel_quote" in record:
        record["quote"] = record["intel_quote"]
    record["vm_config"] = session.machines.model.boot.vm_config()
    return {**record, "all_attestations": [dict(record)]} if session.copies else record


def _stripped(row: Any) -> Any:
    """As newer guests leave out the digests of their own events, and the payloads of all others."""
    if not isinstance(row, dict):
        return row
    return {**row, ("digest" if row.get("event_type") == RUNTIME_EVENT else "event_payload"): ""}
