"""NEAR AI: the checks of which one must refuse a change at each place of a saved session.

Places are written as in `near_rules`, which holds the fields that no check depends on.
"""

from __future__ import annotations

from typing import Final

__all__ = ["EVENT_LOG", "NEAR_GUARDS", "REPEATED"]

EVENT_LOG: Final = r"(?:event_log|info\.tcb_info\.event_log)(?:\.<json>)?"
"""Where an event log stands inside a record."""
REPEATED: Final = (
    r"\w+\.info\.(app_id|instance_id|device_id|mr_aggregated|os_image_hash|compose_hash|key_provider_info)"
    r"|\w+\.info\.tcb_info\.(mrtd|rtmr[0-3]|os_image_hash|compose_hash|device_id)"
    r"|\w+\.info\.vm_config\.<json>\.os_image_hash"
)
"""Values of ``info`` that repeat what was measured."""


def _ids(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FORM: Final = "evidence.wellformed evidence.complete"
_TOKEN: Final = _ids("gpu.nras_token gpu.nras_result")
_COLLATERAL: Final = _ids("tcb.collateral_current")

NEAR_GUARDS: Final[tuple[tuple[str, frozenset[str]], ...]] = (
    # the file and what was asked
    (r"session\.nonce", _ids("freshness.nonce_bound")),
    (r"session\.replay", _ids("freshness.nonce_bound")),
    (r"session\.model", _ids("evidence.complete")),
    (r"session\.recorded_at", _ids("saved.recorded_at")),
    (r"request\.url\.nonce", _ids("freshness.nonce_bound")),
    (r"request\.url\.signing_algo", _ids("binding.signing_key binding.report_data evidence.wellformed")),
    (r"request\.url\.include_tls_fingerprint", _ids("binding.report_data")),
    (r"request\.url\.model", _ids("evidence.complete")),
    (r"request\.(method|url\.(host|scheme|path))", _ids(f"{_FORM} binding.report_data")),
    (r"answer\.peer_spki", _ids("channel.tls_spki")),
    (r"answer\.(status|text|header\..*)|answer", _ids(_FORM)),
    # records
    (r"record\.\w+", _ids(_FORM)),
    (r"\w+\.model_name", _ids("evidence.complete")),
    (r"\w+\.signing_address", _ids("binding.report_data evidence.wellformed")),
    (r"\w+\.signing_algo", _ids("binding.signing_key")),
    (r"\w+\.signing_public_key", _ids("binding.signing_key")),
    (r"\w+\.request_nonce|compose_manager\.nonce(_source)?", _ids("freshness.nonce_bound")),
    (r"\w+\.tls_cert_fingerprint", _ids("binding.report_data binding.tls_spki")),
    (r"\w+\.report_data", _ids("binding.report_data")),
    (r"model\.all_attestations(\..*)?", _ids(f"{_FORM} binding.report_data binding.signing_key")),
    (
        r"\w+\.ohttp_attestation(\.(signing_algo|signing_key|key_config|signature))?",
        _ids("binding.e2ee_key evidence.wellformed"),
    ),
    (r"\w+\.ohttp_key_config", _ids("binding.e2ee_key")),
    (r"compose_manager\.actions(_hash|\.#.*)?", _ids("binding.report_data")),
    # quotes
    (r"\w+\.(intel_quote|quote)", _ids("evidence.complete evidence.wellformed")),
    (r"\w+\.(intel_quote|quote):foreign", _ids("binding.report_data binding.same_td")),
    (
        r"\w+\.(intel_quote|quote)@(header / (?!user data).*|certification data / .*|certificate chain / type)",
        _ids("tdx.quote_kind evidence.wellformed"),
    ),
    (
        r"\w+\.(intel_quote|quote)@(padding|.* length|.* / length)",
        _ids("evidence.wellformed tdx.quote_kind tdx.quote_signature"),
    ),
    (r"\w+\.(intel_quote|quote)@QE report / REPORTDATA", _ids("tdx.quote_signature tdx.quote_kind")),
    (r"\w+\.(intel_quote|quote)@.*certificate.*", _ids("tdx.quote_signature evidence.wellformed")),
    (r"\w+\.(intel_quote|quote)@.*", _ids("tdx.quote_signature")),
    # the guest
    (
        rf"\w+\.{EVENT_LOG}(\.#|:only)?",
        _ids("dstack.event_digests dstack.rtmr_replay evidence.wellformed evidence.complete"),
    ),
    (
        rf"\w+\.{EVENT_LOG}\.#\.(digest|event|event_payload|event_type|imr|version|preimage)(:\w+)?",
        _ids("dstack.event_digests dstack.rtmr_replay evidence.wellformed"),
    ),
    (r"\w+\.info(\.tcb_info|\.vm_config)?", _ids(_FORM)),
    (r"\w+\.info(\.tcb_info)?\.compose_hash", _ids("dstack.compose_event")),
    (
        r"\w+\.info\.tcb_info\.app_compose(\.<json>\..*)?",
        _ids("dstack.compose_event dstack.mr_config_id evidence.wellformed"),
    ),
    (r"\w+\.info\.tcb_info\.rtmr[0-3]", _ids("dstack.rtmr_replay")),
    (r"\w+\.info\.(key_provider_info(\.<json>\.\w+)?|app_cert(@.*)?)", _ids("dstack.key_provider")),
    (REPEATED, _ids("dstack.reported_info")),
    # GPUs
    (r"model\.nvidia_payload", _ids("gpu.present evidence.wellformed")),
    (r"model\.nvidia_payload\.<json>(\.evidence_list\.#)?\.arch", _ids("gpu.present")),
    (r"model\.nvidia_payload\.<json>(\.evidence_list\.#)?\.nonce", _ids("gpu.nonce_bound")),
    (
        r"model\.nvidia_payload\.<json>\.evidence_list(\.#)?",
        _ids("gpu.present gpu.distinct_devices gpu.nras_token gpu.nras_result evidence.wellformed"),
    ),
    (
        r"model\.nvidia_payload\.<json>\.evidence_list\.#\.certificate(@.*)?",
        _ids("gpu.cert_chain gpu.distinct_devices evidence.wellformed"),
    ),
    (
        r"model\.nvidia_payload\.<json>\.evidence_list\.#\.evidence(@.*)?",
        _ids("gpu.evidence_signature gpu.cert_chain gpu.nonce_bound evidence.wellformed"),
    ),
    # endorsers
    (r"intel\.(tcb_info|qe_identity|pck_crl|root_crl)([.@].*)?", _COLLATERAL),
    (r"nvidia\.(answer|keys)([.@].*)?", _TOKEN),
)
"""Regular expression for a place, and the ids; the first match counts."""
