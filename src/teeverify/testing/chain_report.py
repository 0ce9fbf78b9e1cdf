"""The parts of a chain document: the proxy's record, the evidence that it hands on, and what it signs."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import evolve
from Crypto.Hash import keccak

from . import chutes_report
from .chutes_instance import ChutesInstance
from .enclave import report_data
from .nvidia import payload_text
from .recording import compact
from .signing import SigningKey

if TYPE_CHECKING:
    from .chain import ChainSession

__all__ = ["canonical", "digest_of", "document", "proxy_record", "sign", "statement", "upstream_attestation"]

_CHUTES = "https://api.chutes.ai"


def canonical(value: Any) -> bytes:
    """What the proxy signs and hashes: Python's JSON with sorted keys, without spaces, in ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def digest_of(attestation: Mapping[str, Any]) -> str:
    """``attestation_sha256``."""
    return hashlib.sha256(canonical(attestation)).hexdigest()


def sign(message: bytes, key: SigningKey, algorithm: str) -> str:
    """A signature as the proxy writes it: hex, with 0x in front of r, s and v (27 or 28) of personal_sign."""
    if algorithm == "ed25519":
        return key.ed25519.sign(message).hex()
    from eth_keys.datatypes import PrivateKey

    prefixed = b"\x19Ethereum Signed Message:\n" + str(len(message)).encode() + message
    secret = key.secp256k1.private_numbers().private_value.to_bytes(32, "big")
    signature = PrivateKey(secret).sign_msg_hash(keccak.new(digest_bits=256, data=prefixed).digest()).to_bytes()
    return "0x" + (signature[:64] + bytes([27 + signature[64]])).hex()


def document(session: ChainSession) -> dict[str, Any]:
    """The whole document, in the mode that was asked for."""
    mode = session.answered_mode or session.mode
    record = proxy_record(session)
    shown: dict[str, Any] = {
        "version": "1",
        "verify_mode": mode,
        "proxy": {"attestation": record, "signing_public_key": record["signing_public_key"]},
    }
    attestation = upstream_attestation(session)
    if mode == "proxy":
        return {**shown, "verification_receipt": statement(session, _receipt(session, attestation))}
    upstream = {
        "provider": "chutes",
        "base_url": _CHUTES,
        "model": session.model_name,
        "attestation": attestation,
        "attestation_sha256": digest_of(attestation),
    }
    return {**shown, "upstream": upstream, "binding_proof": statement(session, _binding(session, attestation))}


def proxy_record(session: ChainSession) -> dict[str, Any]:
    """``proxy.attestation``: an ordinary report of vllm-proxy, with one copy of itself."""
    proxy = session.proxy
    quote = proxy.quote(report_data(proxy.signing.address, None, session.attested_nonce)).hex()
    record: dict[str, Any] = {
        "signing_address": proxy.signing.address_text,
        "signing_algo": proxy.signing.algorithm,
        "request_nonce": session.attested_nonce.hex(),
        "intel_quote": quote,
        "nvidia_payload": payload_text(session.payload()) if session.gpus else "",
        "info": proxy.info(sorted_keys=False),
        "quote": quote,
        "event_log": compact(proxy.boot.log_rows(sorted_keys=False)).decode(),
        "vm_config": proxy.boot.vm_config(),
        "signing_public_key": proxy.signing.public.hex(),
    }
    return {**record, "all_attestations": [dict(record)]}


def upstream_attestation(session: ChainSession) -> dict[str, Any]:
    """The evidence of the instances, as the proxy hands it on."""
    behind = session.behind
    wrapped = chutes_report.gateway_report(behind)
    by_id = {instance.evidence_id or instance.instance_id: instance for instance in behind.instances}
    entries = [{**entry, **_handed_on(by_id[entry["instance_id"]])} for entry in wrapped["all_attestations"]]
    return {**wrapped, "chute_id": behind.chute_id, "all_attestations": entries}


def _handed_on(instance: ChutesInstance) -> dict[str, Any]:
    """What this proxy shows beyond what other gateways show; the first two are its own and mean nothing to a client."""
    shown: dict[str, Any] = {"gpu_tokens": None, "tdx_verification": None, "certificate": None}
    if instance.shows_certificate:
        der = instance.certificate.der if instance.shown_certificate is None else instance.shown_certificate
        shown["certificate"] = base64.b64encode(der).decode()
    return shown


def statement(session: ChainSession, payload: Mapping[str, Any]) -> dict[str, Any]:
    """A payload with the signature over it, after the session's changes."""
    signed = _changed(payload, session.payload_changes)
    signer = evolve(session.signer, algorithm=session.algorithm)
    return {
        "payload": signed,
        "signature": sign(canonical(signed), signer, session.algorithm),
        "signing_algo": session.algorithm,
        "signing_address": signer.address_text,
    }


def _binding(session: ChainSession, attestation: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "nonce": session.nonce.hex(),
        "timestamp": int(session.signed_at.timestamp()),
        "provider": "chutes",
        "upstream_base_url": _CHUTES,
        "model": session.model_name,
        "upstream_attestation_sha256": digest_of(attestation),
    }


def _receipt(session: ChainSession, attestation: Mapping[str, Any]) -> dict[str, Any]:
    signer = evolve(session.signer, algorithm=session.algorithm)
    nonce, model = session.nonce.hex(), session.model_name
    payload: dict[str, Any] = {
        "nonce": nonce,
        "model": model,
        "request_hash": hashlib.sha256(f"{model}:{nonce}".encode()).hexdigest(),
        "provider": "chutes",
        "verify_mode": "proxy",
        "verification_policy": "chutes-v1",
        "verification_policy_version": "1",
        "upstream_attestation_sha256": digest_of(attestation),
        "binding_signature": sign(canonical(_binding(session, attestation)), signer, session.algorithm),
        "binding_signing_algo": session.algorithm,
        "binding_signing_address": signer.address_text,
        "verified_at": int(session.signed_at.timestamp()),
        "result": "pass",
    }
    if session.detailed:
        results = [_result(instance) for instance in session.behind.instances]
        results[:1] = [_changed(result, session.result_changes) for result in results[:1]]
        counted = ("total_instances", "tdx_uptodate_instances", "binding_verified_instances")
        payload["verification_summary"] = dict.fromkeys(counted, len(results))
        payload["instance_results"] = results
    return payload


def _result(instance: ChutesInstance) -> dict[str, Any]:
    return {
        "instance_id": instance.instance_id,
        "tdx_status": "UpToDate",
        "tdx_error_present": False,
        "debug_mode_disabled": True,
        "binding_verified": True,
        "gpu_token_checked": True,
        "gpu_verified": True,
        "expected_report_data": instance.binding.hex(),
        "actual_report_data": instance.binding.hex(),
        "errors": [],
    }


def _changed(members: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**members, **changes}.items() if value is not ...}
