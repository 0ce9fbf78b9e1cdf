"""The ids of all checks: stable names that policies, verdicts and documents use.

The list is only ever extended; an id is never renamed or re-used. `teeverify.checks` holds the checks themselves.
"""

from __future__ import annotations

from typing import Final

__all__ = ["KNOWN", "MANDATORY"]

KNOWN: Final[tuple[str, ...]] = (
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
    "binding.signing_key",
    "binding.tls_spki",
    "binding.e2ee_key",
    "binding.same_td",
    "binding.distinct_instances",
    "dstack.event_digests",
    "dstack.rtmr_replay",
    "dstack.event_order",
    "dstack.compose_event",
    "dstack.mr_config_id",
    "dstack.key_provider",
    "dstack.reported_info",
    "pin.base_image",
    "pin.app_id",
    "pin.compose",
    "pin.kms_root",
    "pin.os_image",
    "pin.signing_key",
    "pin.tls_spki",
    "pin.reference_current",
    "gpu.present",
    "gpu.evidence_signature",
    "gpu.cert_chain",
    "gpu.nonce_bound",
    "gpu.distinct_devices",
    "gpu.same_fabric",
    "gpu.nras_token",
    "gpu.nras_result",
    "gpu.cpu_binding",
    "nitro.cose_signature",
    "nitro.cert_chain",
    "nitro.not_debug",
    "nitro.pcrs",
    "nitro.user_data",
    "registry.entry",
    "channel.tls_spki",
    "exchange.request_digest",
    "exchange.response_digest",
    "exchange.signature",
    "exchange.signer_attested",
    "exchange.model",
    "exchange.first_seen",
    "exchange.channel",
    "exchange.window",
    "policy.pinned",
    "saved.recorded_at",
)
"""Every id, in the order in which a reader meets the subjects."""

MANDATORY: Final[frozenset[str]] = frozenset(
    {
        "evidence.wellformed",
        "freshness.nonce_bound",
        "tdx.quote_signature",
        "tdx.quote_kind",
        "tdx.debug_off",
        "tcb.not_revoked",
        "binding.report_data",
        "binding.signing_key",
        "dstack.event_digests",
        "dstack.rtmr_replay",
        "dstack.compose_event",
        "nitro.cose_signature",
        "nitro.cert_chain",
        "nitro.not_debug",
        "exchange.request_digest",
        "exchange.response_digest",
        "exchange.signature",
        "exchange.signer_attested",
        "exchange.first_seen",
        "exchange.channel",
    }
)
"""Checks that no policy may waive: without them a verdict would say nothing."""
