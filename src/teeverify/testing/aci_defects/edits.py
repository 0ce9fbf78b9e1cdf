"""Reports that were edited on the way, and reports of another kind."""

from __future__ import annotations

import json
from typing import Any, Final

from .model import AciDefect, ReportEdit

__all__ = ["edit_defects"]

_MALFORMED: Final = {("evidence.wellformed", "malformed")}
_MISSING: Final = {("evidence.complete", "missing")}


def _attestation(**members: Any) -> ReportEdit:
    return lambda report: report["attestation"].update(members)


def _evidence(**members: Any) -> ReportEdit:
    return lambda report: report["attestation"]["evidence"].update(members)


def _without(name: str, *path: str) -> ReportEdit:
    def edit(report: dict[str, Any]) -> None:
        for part in path:
            report = report[part]
        del report[name]

    return edit


def _instead(document: dict[str, Any]) -> ReportEdit:
    def edit(report: dict[str, Any]) -> None:
        report.clear()
        report.update(document)

    return edit


def _key(report: dict[str, Any]) -> None:
    report["attestation"]["workload_keyset"]["receipt_signing_keys"][0].update(public_key="11" * 32)


_INSIDE: Final = ("attestation", "evidence")
_Row = tuple[int, str, str, ReportEdit, set[tuple[str, str]]]
_ROWS: Final[tuple[_Row, ...]] = (
    (48, "digest-stated", "The report states another digest of its keyset.",
     lambda report: report.update(workload_keyset_digest="sha256:" + "00" * 32), {("aci.keyset", "other_digest")}),
    (48, "swapped-key", "The report shows the attacker's receipt key beside the genuine quote.", _key,
     {("aci.keyset", "other_digest"), ("aci.custody", "stranger")}),
    (49, "report-data-stated", "The report states another REPORTDATA.", _attestation(report_data="00" * 32),
     {("aci.keyset", "stated_report_data")}),
    (49, "quote-report-data-stated", "The evidence states another REPORTDATA.",
     _evidence(quote_report_data="00" * 64), {("binding.report_data", "stated_copy")}),
    (55, "version-missing", "The report names no version.", _without("api_version"), _MALFORMED),
    (55, "version-other", "The report is of another version.", lambda report: report.update(api_version="aci/2"),
     _MALFORMED),
    (55, "keyset-endorsed", "The report is of the older revision.", _attestation(keyset_endorsement={}), _MALFORMED),
    (55, "tee-type-other", "The report is of another kind of TEE.", _attestation(tee_type="sev_snp"), _MALFORMED),
    (55, "tee-type-missing", "The report names no kind of TEE.", _without("tee_type", "attestation"), _MALFORMED),
    (55, "answers-in-shape-chutes", "The report has the shape of Chutes.",
     _instead({"attestation_type": "chutes", "nonce": "00", "all_attestations": []}), _MALFORMED),
    (55, "answers-in-shape-dstack", "The report has the shape of a vllm-proxy's.",
     _instead({"intel_quote": "00", "signing_address": "0x00"}), _MALFORMED),
    (55, "answers-in-shape-near", "The report has the shape of NEAR's.",
     _instead({"gateway_attestation": {}, "model_attestations": []}), _MALFORMED),
    (55, "answers-in-shape-tinfoil", "The report has the shape of Tinfoil's.",
     _instead({"format": "https://tinfoil.example/v2", "body": ""}), _MALFORMED),
    (55, "answers-in-no-shape", "The report is an empty object.", _instead({}), _MALFORMED),
    (0, "compose-exchanged", "The report shows another compose document.", _evidence(app_compose="{}"),
     {("dstack.compose_event", "other_compose"), ("dstack.mr_config_id", "other_config")}),
    (0, "compose-missing", "There is no compose document.", _without("app_compose", *_INSIDE), _MISSING),
    (0, "log-missing", "There is no event log.", _without("event_log", *_INSIDE), _MISSING),
    (0, "quote-missing", "There is no quote.", _without("quote", *_INSIDE), _MISSING),
    (0, "keyset-missing", "There is no keyset.", _without("workload_keyset", "attestation"), _MISSING),
    (0, "evidence-list", "The evidence is a list.", _attestation(evidence=[]), _MALFORMED),
    (0, "os-image-claimed", "The configuration names another OS image.",
     _evidence(vm_config=json.dumps({"os_image_hash": "00" * 32})), {("dstack.reported_info", "differs")}),
)  # fmt: skip


def edit_defects() -> tuple[AciDefect, ...]:
    """All of them."""
    return tuple(
        AciDefect(name=name, number=number, description=description, edit=edit, findings=frozenset(findings))
        for number, name, description, edit, findings in _ROWS
    )
