"""Edits that several defects share: on a report before it is recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from teeverify.testing.recording import compact

__all__ = ["edit_logs", "edit_payload", "event_named", "model_record"]

Rows = list[dict[str, Any]]


def model_record(report: dict[str, Any]) -> dict[str, Any]:
    """The (first) model's record of a direct or cloud report."""
    if "model_attestations" in report:
        record: dict[str, Any] = report["model_attestations"][0]
        return record
    return report


def edit_logs(report: dict[str, Any], edit: Callable[[Rows], Rows | None]) -> dict[str, Any]:
    """Apply one change to every copy of the model's event log; ``edit`` changes rows in place or returns others."""
    record = model_record(report)

    def edited(rows: Rows) -> Rows:
        rows = json.loads(json.dumps(rows))
        result = edit(rows)
        return rows if result is None else result

    record["event_log"] = edited(record["event_log"])
    record["info"]["tcb_info"]["event_log"] = edited(record["info"]["tcb_info"]["event_log"])
    manager = record["compose_manager_attestation"]
    manager["event_log"] = compact(edited(json.loads(manager["event_log"]))).decode()
    return report


def event_named(rows: Rows, event: str) -> dict[str, Any]:
    """The first row of that name."""
    return next(row for row in rows if row["event"] == event)


def edit_payload(report: dict[str, Any], edit: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """Change the GPU payload, which is JSON text inside the report; a returned text replaces it."""
    record = model_record(report)
    payload = json.loads(record["nvidia_payload"])
    result = edit(payload)
    record["nvidia_payload"] = result if isinstance(result, str) else compact(payload).decode()
    return report
