"""What must refuse a change at each place of a NEAR report, and which changes may stay VERIFIED, each with its reason.

Places are written relative to the record of the subject (gateway, model, compose_manager), or to the whole body for the
members beside the records, and indices of list entries as ``#``.
"""

from __future__ import annotations

import re
from typing import Final

from attrs import frozen

__all__ = ["NEUTRAL", "REFUSED_BY", "Neutral", "find_neutral", "refusing_checks"]

_FORM: Final = frozenset({"evidence.wellformed", "evidence.complete"})


@frozen
class Neutral:
    """Changes that may stay VERIFIED: ``places`` and ``changes`` are regular expressions for the whole text."""

    places: str
    changes: str
    why: str

    def covers(self, place: str, change: str) -> bool:
        """True when a change at a place is one of these."""
        return bool(re.fullmatch(self.places, place) and re.fullmatch(self.changes, change))


_LOG: Final = r"(?:event_log|info\.tcb_info\.event_log)(?:\.<json>)?"
_NOT_STATED: Final = "removed|null|empty"
_FREE: Final = ".*"

NEUTRAL: Final = (
    Neutral("tls_certificate", _FREE, "a convenience copy; only the connection's own key counts, never this text"),
    Neutral(
        r"(model\.)?(ohttp_key_config|ohttp_attestation)",
        "removed|null",
        "without a signed key configuration no OHTTP key is offered as attested",
    ),
    Neutral(r"(model\.)?ohttp_key_config", "unsigned: .*", "the same: nothing signs it, so it is never offered"),
    Neutral(r"gateway\.vpc(\..*)?", _FREE, "routing inside the provider's network, attested by nothing and not read"),
    Neutral(r"\w+\.info\.app_name", _FREE, "a label; the measured name is inside app_compose"),
    Neutral(
        r"(gateway|model)\.info\.(app_id|instance_id|device_id|mr_aggregated|os_image_hash|compose_hash)"
        r"|(gateway|model)\.info\.tcb_info\.(mrtd|rtmr[0-3]|os_image_hash|compose_hash|device_id)"
        r"|(gateway|model)\.info\.vm_config\.<json>\.os_image_hash"
        r"|(gateway|model)\.info\.key_provider_info",
        _NOT_STATED,
        "a repetition of a measured value: what is not stated cannot mislead, what is stated must be right",
    ),
    Neutral(
        r"(gateway|model)\.info\.vm_config\.<json>\.(?!os_image_hash).*",
        _FREE,
        "how the host built the VM: inputs of RTMR0, which is pinned itself",
    ),
    Neutral(
        r"(gateway|model)\.info\.vm_config",
        f"{_NOT_STATED}|object",
        "as its members: only a stated os_image_hash is held against the measured one",
    ),
    Neutral(
        r"compose_manager\.vm_config",
        f"{_NOT_STATED}|object|list|true|number|changed|nested",
        "the compose-manager's copy of the host's settings: its TD's registers are pinned and equal to the model's",
    ),
    Neutral(r"compose_manager\.vm_config\.<json>\..*", _FREE, "as above"),
    Neutral(
        r"(gateway|model)\.info\.app_cert",
        _NOT_STATED,
        "not demanded: the measured key provider stands for itself, and pin.kms_root decides",
    ),
    Neutral(
        rf"(gateway|model)\.(event_log|{_LOG})",
        _NOT_STATED,
        "one of two copies; the other one replays to the registers",
    ),
    Neutral(
        r"(gateway|compose_manager)\.report_data", "removed|null", "a copy of the quote's own REPORTDATA, which is read"
    ),
    Neutral(
        rf"\w+\.{_LOG}\.#\.digest",
        "empty",
        "runtime events only: newer guests strip the digest, which is always recomputed",
    ),
    Neutral(
        rf"\w+\.{_LOG}\.#\.event_payload",
        r"boot: .*",
        "payloads of firmware events in RTMR0-2 have no defined relation to their digest and are not read",
    ),
    Neutral(rf"\w+\.{_LOG}\.#\.event", r"boot: .*", "names of firmware events in RTMR0-2 are not measured or read"),
    Neutral(
        rf"\w+\.{_LOG}\.#\.event_type",
        r"boot: changed",
        "TCG types of firmware events in RTMR0-2 are not measured; a runtime type there is refused",
    ),
    Neutral(
        r"\w+\.(intel_quote|quote)",
        "short|long",
        "one zero byte of padding less or more after the signature data, which nothing signs",
    ),
    Neutral(
        r"model\.nvidia_payload\.<json>(\.evidence_list\.#)?\.(nonce|arch)",
        "removed",
        "labels of the sender: absent they claim nothing, present they must agree with the evidence",
    ),
    Neutral(
        r"model_attestations",
        "first repeated|last repeated",
        "the same good record twice: both copies are judged, both must be VERIFIED",
    ),
)

REFUSED_BY: Final[tuple[tuple[str, frozenset[str]], ...]] = (
    (r"gateway_attestation|model_attestations|model_attestations\.#", _FORM),
    (r"compose_manager_attestation|model\.compose_manager_attestation|compose_manager", _FORM),
    (r"model\.model_name", frozenset({"evidence.complete"})),
    (r"\w+\.signing_address", frozenset({"binding.report_data", "evidence.wellformed"})),
    (r"(gateway|model)\.signing_algo", frozenset({"binding.signing_key"})),
    (r"model\.signing_public_key", frozenset({"binding.signing_key"})),
    (r"(gateway|model)\.request_nonce|compose_manager\.nonce(_source)?", frozenset({"freshness.nonce_bound"})),
    (r"\w+\.tls_cert_fingerprint", frozenset({"binding.report_data", "binding.tls_spki"})),
    (r"\w+\.report_data", frozenset({"binding.report_data"})),
    (r"\w+\.(intel_quote|quote)", frozenset({"tdx.quote_kind", "tdx.quote_signature", "evidence.wellformed"})),
    (
        rf"\w+\.(event_log|{_LOG})(\.<json>)?(\.#(\.\w+)?)?",
        frozenset({"dstack.event_digests", "dstack.rtmr_replay", "evidence.wellformed"}),
    ),
    (r"\w+\.info(\.tcb_info)?", _FORM),
    (
        r"\w+\.info\.(app_id|instance_id|device_id|mr_aggregated|os_image_hash)"
        r"|\w+\.info\.tcb_info\.(mrtd|os_image_hash|device_id)|\w+\.info\.vm_config\.<json>\.os_image_hash",
        frozenset({"dstack.reported_info"}),
    ),
    (r"\w+\.info\.vm_config", _FORM),
    (r"\w+\.info(\.tcb_info)?\.compose_hash", frozenset({"dstack.compose_event"})),
    (r"\w+\.info\.tcb_info\.app_compose", frozenset({"dstack.compose_event", "dstack.mr_config_id"})),
    (r"\w+\.info\.tcb_info\.rtmr[0-3]", frozenset({"dstack.rtmr_replay"})),
    (r"\w+\.info\.key_provider_info(\.<json>\.\w+)?", frozenset({"dstack.key_provider"})),
    (r"\w+\.info\.app_cert", frozenset({"dstack.key_provider"})),
    (r"model\.nvidia_payload", frozenset({"gpu.present", "evidence.wellformed"})),
    (r"model\.nvidia_payload\.<json>\.arch", frozenset({"gpu.present"})),
    (
        r"model\.nvidia_payload\.<json>\.evidence_list",
        frozenset({"gpu.present", "gpu.distinct_devices", "gpu.nras_token", "gpu.nras_result"}),
    ),
    (r"model\.nvidia_payload\.<json>(\.evidence_list\.#)?\.nonce", frozenset({"gpu.nonce_bound"})),
    (r"model\.nvidia_payload\.<json>\.evidence_list\.#", frozenset({"evidence.wellformed", "gpu.present"})),
    (r"model\.nvidia_payload\.<json>\.evidence_list\.#\.arch", frozenset({"gpu.present"})),
    (r"model\.nvidia_payload\.<json>\.evidence_list\.#\.certificate", frozenset({"gpu.cert_chain"})),
    (r"model\.nvidia_payload\.<json>\.evidence_list\.#\.evidence", frozenset({"gpu.evidence_signature"})),
    (
        r"(model\.)?ohttp_attestation(\.\w+)?|(model\.)?ohttp_key_config",
        frozenset({"binding.e2ee_key", "evidence.wellformed"}),
    ),
    (r"compose_manager\.actions(_hash|\.#.*)?", frozenset({"binding.report_data"})),
)
"""Checks of which at least one must decide when a value at that place is changed; the first match counts."""


def refusing_checks(place: str, change: str) -> frozenset[str]:
    """The checks of which one must decide; the form of the evidence counts where more than a value was changed."""
    for pattern, ids in REFUSED_BY:
        if re.fullmatch(pattern, place):
            return ids if change == "changed" else ids | _FORM
    raise AssertionError(f"nobody said which check refuses a change of {place}")


def find_neutral(place: str, change: str) -> Neutral | None:
    """The entry that lets a change at a place stay VERIFIED, or None."""
    return next((entry for entry in NEUTRAL if entry.covers(place, change)), None)
