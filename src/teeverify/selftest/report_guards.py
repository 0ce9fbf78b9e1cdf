"""Dstack reports of any provider: the checks of which one must refuse a change at each place of a saved session.

Places are written as in `report_rules`, which holds the fields that no check depends on.
"""

from __future__ import annotations

from typing import Final

from .endorser_rules import ENDORSER_GUARDS, QUOTE_GUARDS, check_ids

__all__ = ["EVENT_LOG", "FORM", "REPEATED", "REPORT_GUARDS"]

EVENT_LOG: Final = r"(?:event_log|info\.tcb_info\.event_log)(?:\.<json>)?"
"""Where an event log stands inside a record."""
REPEATED: Final = (
    r"\w+\.info\.(app_id|instance_id|device_id|mr_aggregated|os_image_hash|compose_hash|key_provider_info)"
    r"|\w+\.info\.tcb_info\.(mrtd|rtmr[0-3]|mr_aggregated|os_image_hash|compose_hash|device_id)"
    r"|\w+\.info\.vm_config\.<json>\.os_image_hash"
)
"""Values of ``info`` that repeat what was measured."""

FORM: Final = "evidence.wellformed evidence.complete"
"""What refuses anything that has not its form."""

REPORT_GUARDS: Final[tuple[tuple[str, frozenset[str]], ...]] = (
    # the file, what was asked, and the answer as a whole
    (r"session\.nonce", check_ids("freshness.nonce_bound")),
    (r"session\.replay", check_ids("freshness.nonce_bound")),
    (r"session\.model", check_ids("evidence.complete")),
    (r"session\.recorded_at", check_ids("saved.recorded_at")),
    (r"request\.url\.nonce", check_ids("freshness.nonce_bound")),
    (r"request\.url\.signing_algo", check_ids("binding.signing_key binding.report_data evidence.wellformed")),
    (r"answer\.peer_spki", check_ids("channel.tls_spki")),
    (r"answer\.(status|text|header\..*)|answer", check_ids(FORM)),
    # records
    (r"record\.\w+", check_ids(FORM)),
    (r"\w+\.signing_address", check_ids("binding.report_data evidence.wellformed")),
    (r"\w+\.signing_algo", check_ids("binding.signing_key")),
    (r"\w+\.signing_public_key", check_ids("binding.signing_key")),
    (r"\w+\.request_nonce|compose_manager\.nonce(_source)?", check_ids("freshness.nonce_bound")),
    (r"\w+\.tls_cert_fingerprint", check_ids("binding.report_data binding.tls_spki")),
    (r"\w+\.report_data", check_ids("binding.report_data")),
    (r"model\.all_attestations(\..*)?", check_ids(f"{FORM} binding.report_data binding.signing_key")),
    (r"compose_manager\.actions(_hash|\.#.*)?", check_ids("binding.report_data")),
    *QUOTE_GUARDS,
    # the guest
    (
        rf"\w+\.{EVENT_LOG}(\.#|:only)?",
        check_ids("dstack.event_digests dstack.rtmr_replay evidence.wellformed evidence.complete"),
    ),
    (
        rf"\w+\.{EVENT_LOG}\.#\.(digest|event|event_payload|event_type|imr|version|preimage)(:\w+)?",
        check_ids("dstack.event_digests dstack.rtmr_replay evidence.wellformed"),
    ),
    (r"\w+\.info(\.tcb_info|\.vm_config)?", check_ids(FORM)),
    (r"\w+\.info(\.tcb_info)?\.compose_hash", check_ids("dstack.compose_event")),
    (
        r"\w+\.info\.tcb_info\.app_compose(\.<json>\..*)?",
        check_ids("dstack.compose_event dstack.mr_config_id evidence.wellformed"),
    ),
    (r"\w+\.info\.tcb_info\.rtmr[0-3]", check_ids("dstack.rtmr_replay")),
    (r"\w+\.info\.(key_provider_info(\.<json>\.\w+)?|app_cert(@.*)?)", check_ids("dstack.key_provider")),
    (REPEATED, check_ids("dstack.reported_info")),
    (r"model\.(info\.)?vm_config\.<json>\.memory_size", check_ids("evidence.wellformed pin.base_image")),
    # GPUs
    (r"model\.nvidia_payload", check_ids("gpu.present evidence.wellformed")),
    (r"model\.nvidia_payload\.<json>(\.evidence_list\.#)?\.arch", check_ids("gpu.present")),
    (r"model\.nvidia_payload\.<json>\.evidence_list\.#\.nonce", check_ids("gpu.nonce_bound")),
    # the payload is what NVIDIA is asked, and its nonce says which recorded answer is one to that question
    (r"model\.nvidia_payload\.<json>\.nonce", check_ids("gpu.nonce_bound gpu.nras_token gpu.nras_result")),
    (
        r"model\.nvidia_payload\.<json>\.evidence_list(\.#)?",
        check_ids("gpu.present gpu.distinct_devices gpu.nras_token gpu.nras_result evidence.wellformed"),
    ),
    (
        r"model\.nvidia_payload\.<json>\.evidence_list\.#\.certificate(@.*)?",
        check_ids("gpu.cert_chain gpu.distinct_devices evidence.wellformed"),
    ),
    (
        r"model\.nvidia_payload\.<json>\.evidence_list\.#\.evidence(@.*)?",
        check_ids("gpu.evidence_signature gpu.cert_chain gpu.nonce_bound evidence.wellformed"),
    ),
    *ENDORSER_GUARDS,
)
"""Regular expression for a place, and the ids; the first match counts."""
