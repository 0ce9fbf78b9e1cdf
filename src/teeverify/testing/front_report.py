"""The report of one machine as a vllm-proxy writes it, and as Venice passes NEAR's on with its opinion beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from . import near_report
from .event_log import RUNTIME_EVENT, Event
from .recording import compact, timestamp

if TYPE_CHECKING:
    from .front import FrontSession

__all__ = ["praised", "proxy", "venice"]


def proxy(session: FrontSession) -> dict[str, Any]:
    """A vllm-proxy's report: the quote twice, the outer event log stripped, a copy of it all in a list."""
    machines = session.machines
    model = machines.model
    record = near_report.model_record(machines)
    del record["model_name"]
    events = model.boot.events()
    rows = _stripped(events) if session.stripped else [event.row(sorted_keys=False) for event in events]
    record |= {
        "signing_public_key": _public_key(session),
        "info": model.info(sorted_keys=False),
        "quote": record["intel_quote"],
        "event_log": compact(rows).decode(),
        "vm_config": model.boot.vm_config(),
    }
    return {**record, "all_attestations": [dict(record)]} if session.copies else record


def venice(session: FrontSession) -> dict[str, Any]:
    """NEAR's report of a machine, with Venice's own names for things and its judgement."""
    machines = session.machines
    report = near_report.report(machines)
    report["signing_public_key"] = report["signing_key"] = _public_key(session)
    return praised(session, report)


def praised(session: FrontSession, report: Mapping[str, Any]) -> dict[str, Any]:
    """A report of NEAR's machine with what Venice says of it, which is the same of a false one."""
    machines = session.machines
    return {
        **report,
        "verified": True,
        "model": session.model_name,
        "nonce": machines.attested_nonce.hex(),
        "nonce_source": "client",
        "tee_provider": "near-ai",
        "tee_hardware": "intel-tdx",
        "upstream_model": machines.model_name,
        "server_verification": {
            "tdx": {"valid": True, "signatureValid": True, "certificateChainValid": True, "rootCaPinned": True},
            "nvidia": {"valid": True, "signatureVerified": True},
            "signingAddressBinding": {"bound": True, "reportDataAddress": report.get("signing_address")},
            "nonceBinding": {"bound": True, "method": "raw"},
            "verifiedAt": timestamp(machines.at),
        },
        "candidates_evaluated": 1,
        "candidates_available": 1,
    }


def _public_key(session: FrontSession) -> str:
    signing = session.machines.model.signing
    prefix = "04" if session.prefixed_keys and signing.algorithm == "ecdsa" else ""
    return prefix + signing.public.hex()


def _stripped(events: Iterable[Event]) -> list[dict[str, Any]]:
    """Boot events keep their digests only, the guest's own events their payloads only (dstack 0.5.6 and later)."""
    return [
        {**event.row(sorted_keys=False), ("digest" if event.event_type == RUNTIME_EVENT else "event_payload"): ""}
        for event in events
    ]
