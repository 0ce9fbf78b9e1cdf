"""Which checks apply to machines that show a quote, and to the records of dstack reports."""

from __future__ import annotations

from typing import Final

__all__ = ["GPU_CHECKS", "QUOTE_CHECKS", "RECORD_CHECKS", "SIGNING_CHECKS"]

QUOTE_CHECKS: Final = (
    "evidence.wellformed",
    "evidence.complete",
    "freshness.nonce_bound",
    "tdx.quote_signature",
    "tdx.quote_kind",
    "tdx.debug_off",
    "tdx.attributes",
    "tdx.module",
    "tcb.collateral_current",
    "tcb.not_revoked",
    "tcb.status",
    "tcb.advisories",
    "tcb.eval_number",
    "binding.report_data",
    "pin.base_image",
    "pin.reference_current",
    "policy.pinned",
    "saved.recorded_at",
)
"""Of every machine that shows a quote."""
RECORD_CHECKS: Final = (
    *QUOTE_CHECKS,
    "dstack.event_digests",
    "dstack.rtmr_replay",
    "dstack.event_order",
    "dstack.compose_event",
    "dstack.mr_config_id",
    "dstack.key_provider",
    "dstack.reported_info",
    "pin.app_id",
    "pin.compose",
    "pin.kms_root",
    "pin.os_image",
    "pin.images_by_digest",
    "pin.compose_flags",
)
"""Of every dstack guest that shows a quote."""
SIGNING_CHECKS: Final = ("binding.signing_key", "pin.signing_key")
"""Of machines whose quote names a signing key."""
GPU_CHECKS: Final = (
    "gpu.present",
    "gpu.evidence_signature",
    "gpu.cert_chain",
    "gpu.nonce_bound",
    "gpu.distinct_devices",
    "gpu.same_fabric",
    "gpu.nras_token",
    "gpu.nras_result",
    "gpu.cpu_binding",
)
"""Of machines that serve a model."""
