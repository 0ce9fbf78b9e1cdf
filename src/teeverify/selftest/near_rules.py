"""NEAR AI: which fields of a saved session no check depends on and why, and which checks guard all others.

A place is ``role.member.member`` inside a record, with ``#`` for indices and ``<json>`` for a step into JSON text, and
``@`` before a field of a binary document (``model.intel_quote@TD report / MRTD``). Places outside of the records begin
with ``session``, ``request``, ``answer``, ``intel`` or ``nvidia``. This is the one table; docs/selftest.md repeats it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .alteration import Rules, Unmeasured
from .near_traffic import NearTraffic

__all__ = ["NEAR_RULES", "facts_of"]

_LOG: Final = r"(?:event_log|info\.tcb_info\.event_log)(?:\.<json>)?"
_GONE: Final = "removed|null"
_ANY: Final = ".*"
_REPEATED: Final = (
    r"\w+\.info\.(app_id|instance_id|device_id|mr_aggregated|os_image_hash|compose_hash|key_provider_info)"
    r"|\w+\.info\.tcb_info\.(mrtd|rtmr[0-3]|os_image_hash|compose_hash|device_id)"
    r"|\w+\.info\.vm_config\.<json>\.os_image_hash"
)

_UNMEASURED: Final = (
    Unmeasured(
        r"\w+\.tls_certificate",
        _ANY,
        "a convenience copy: the key of the connection itself counts, never a certificate inside the report",
    ),
    Unmeasured(
        r"\w+\.(ohttp_key_config|ohttp_attestation)",
        _GONE,
        "without a signed key configuration no Oblivious HTTP key is offered as attested",
    ),
    Unmeasured(
        r"\w+\.ohttp_key_config:unsigned",
        _ANY,
        "nothing signs this key configuration, so it is never offered as attested",
    ),
    Unmeasured(r"gateway\.vpc(\..*)?", _ANY, "routing inside the provider's network, which nothing attests or reads"),
    Unmeasured(r"\w+\.info\.app_name", _ANY, "a label: the measured name stands inside app_compose"),
    Unmeasured(
        _REPEATED,
        _GONE,
        "it repeats a measured value: what is not stated cannot mislead, what is stated must be right",
    ),
    Unmeasured(
        r"\w+\.info\.vm_config\.<json>\.(?!os_image_hash).*|compose_manager\.vm_config(\..*)?",
        _ANY,
        "how the host built the machine: what it built is measured into RTMR0, which is pinned",
    ),
    Unmeasured(
        r"\w+\.info\.vm_config",
        _GONE,
        "how the host built the machine: only an os_image_hash that is stated there is held against the measured one",
    ),
    Unmeasured(
        r"\w+\.info\.app_cert",
        _GONE,
        "not demanded: the measured key provider stands for itself, and pin.kms_root decides which one is good",
    ),
    Unmeasured(
        rf"\w+\.{_LOG}",
        _GONE,
        "one of two copies of the event log: the other one still replays to the registers",
    ),
    Unmeasured(r"\w+\.report_data", _GONE, "a copy of the quote's own REPORTDATA, which is what counts"),
    Unmeasured(
        rf"\w+\.{_LOG}\.#\.(event|event_payload|event_type):boot",
        "changed",
        "name, payload and type of a firmware event are not measured and not read: only its digest is",
    ),
    Unmeasured(r"\w+\.(intel_quote|quote)@padding", "removed", "zero bytes behind the signature, which nothing signs"),
    Unmeasured(
        r"model\.nvidia_payload\.<json>(\.evidence_list\.#)?\.(nonce|arch)",
        _GONE,
        "a label of the sender: absent it claims nothing, present it must agree with the evidence",
    ),
    Unmeasured(
        r"model\.all_attestations",
        f"{_GONE}|emptied",
        "copies of the record, which are judged only where they differ from it",
    ),
    Unmeasured(
        r"answer\.headers",
        _ANY,
        "response headers that no check reads: nothing signs them",
    ),
    Unmeasured(
        r"(intel|nvidia)\.\w+\.peer_spki",
        _ANY,
        "answers of Intel and NVIDIA are signed, so it does not matter which connection brought them",
    ),
    Unmeasured(
        r"intel\.\w+\.header\.pck_crl_chain",
        _ANY,
        "the revocation list must be signed by the CA of the quote's own chain, whatever chain came with it",
    ),
    Unmeasured(
        r"nvidia\.answer\.request_body",
        _ANY,
        "the answer signs the nonce and names the devices itself, so what was asked need not be recorded",
    ),
    Unmeasured(
        r"nvidia\.answer",
        "removed",
        'the policy says nras = "when_present": a missing answer of NVIDIA is no failure',
        given="nras_may_be_missing",
    ),
    Unmeasured(
        r"nvidia\.keys@other key",
        _ANY,
        "a key of NVIDIA's set that did not sign this answer",
    ),
    Unmeasured(
        r"nvidia\.keys@issuing CA / signature",
        _ANY,
        "the issuing CA is pinned by its public key: the root above it is published nowhere",
    ),
    Unmeasured(
        r"session\.unused",
        _ANY,
        "an exchange that this provider's verification does not ask for, so nothing in it is read",
    ),
    Unmeasured(
        r"session\.recorded_at",
        "moved by a second",
        "the file's own claim, held only against the dates that Intel and NVIDIA signed",
    ),
    Unmeasured(
        r"session\.model:everywhere",
        _ANY,
        "a known gap: nothing in a quote names the model, its signing key stands for it as far as you pin it",
    ),
    Unmeasured(
        r"request\.url\.host:sibling",
        _ANY,
        "which of the provider's hosts was asked is no evidence: the key at which the connection ended is",
    ),
    Unmeasured(
        r"request\.url\.model",
        "removed",
        "the record states its model itself, and must state the one that is judged",
    ),
    Unmeasured(
        r"request\.url\.signing_algo",
        "removed",
        "ecdsa is what a model's host answers with where no algorithm was asked for",
        given="ecdsa_by_default",
    ),
    Unmeasured(
        r"model\.nvidia_payload",
        _GONE,
        "the policy does not require GPUs",
        given="gpus_not_required",
    ),
    Unmeasured(
        r"model\.nvidia_payload\.<json>\.evidence_list\.#",
        "removed",
        "the policy demands fewer GPUs than the report shows, and one that is not shown is not counted",
        given="spare_gpus",
    ),
    Unmeasured(
        r"record\.compose_manager",
        _GONE,
        "the policy pins no compose_manager, so none is demanded",
        given="compose_manager_not_pinned",
    ),
    Unmeasured(
        r"\w+\.tls_cert_fingerprint",
        _ANY,
        "the report was asked for without the TLS key, so no check reads the fingerprint",
        given="tls_not_asked",
    ),
)


def _ids(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FORM: Final = "evidence.wellformed evidence.complete"
_TOKEN: Final = _ids("gpu.nras_token gpu.nras_result")
_COLLATERAL: Final = _ids("tcb.collateral_current")

_GUARDS: Final[tuple[tuple[str, frozenset[str]], ...]] = (
    # the file and what was asked
    (r"session\.nonce", _ids("freshness.nonce_bound")),
    (r"session\.replay", _ids("freshness.nonce_bound")),
    (r"session\.model", _ids("evidence.complete")),
    (r"session\.recorded_at", _ids("saved.recorded_at")),
    (r"request\.url\.nonce", _ids("freshness.nonce_bound")),
    (r"request\.url\.signing_algo", _ids("binding.signing_key binding.report_data evidence.wellformed")),
    (r"request\.url\.include_tls_fingerprint", _ids("binding.report_data")),
    (r"request\.url\.model", _ids("evidence.complete")),
    (r"request\.(method|url\.\w+)", _ids(f"{_FORM} binding.report_data")),
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
    (r"model\.all_attestations(\..*)?", _ids(f"{_FORM} binding.signing_key")),
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
        rf"\w+\.{_LOG}(\.#|:only)?",
        _ids("dstack.event_digests dstack.rtmr_replay evidence.wellformed evidence.complete"),
    ),
    (
        rf"\w+\.{_LOG}\.#\.(digest|event|event_payload|event_type|imr|version|preimage)(:\w+)?",
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
    (_REPEATED, _ids("dstack.reported_info")),
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

NEAR_RULES: Final = Rules(unmeasured=_UNMEASURED, guards=_GUARDS)


def facts_of(traffic: NearTraffic, gpus: int) -> frozenset[str]:
    """The facts that some entries of the table depend on; ``gpus`` is how many GPUs the first model record shows."""
    return frozenset(_facts(traffic, gpus))


def _facts(traffic: NearTraffic, gpus: int) -> Iterator[str]:
    policy, asked = traffic.policy, traffic.asked
    if policy.gpu.nras == "when_present":
        yield "nras_may_be_missing"
    if not policy.gpu.require:
        yield "gpus_not_required"
    if policy.gpu.min_count < gpus and not traffic.places("/v3/attest/gpu"):
        yield "spare_gpus"
    if policy.pins_for("compose_manager") is None:
        yield "compose_manager_not_pinned"
    if not asked.tls_bound:
        yield "tls_not_asked"
    if asked.algorithm == "ecdsa" and not asked.cloud:
        yield "ecdsa_by_default"
