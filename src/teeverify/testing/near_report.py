"""The parts of NEAR's attestation report, as the model's proxy, its compose manager and the gateway write them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from . import near_world
from .enclave import Enclave, report_data
from .nvidia import nvidia_payload, payload_text
from .recording import compact

if TYPE_CHECKING:
    from .near import NearSession

__all__ = [
    "actions_hash",
    "compose_manager_record",
    "gateway_record",
    "model_record",
    "ohttp_parts",
    "payload",
    "report",
]

_STRUCT_ORDER = ("timestamp", "action", "tag", "commit", "file", "file_sha256", "services", "container", "image")


def quote_data(session: NearSession, enclave: Enclave) -> bytes:
    """REPORTDATA of a model or gateway quote, in the form that the evidence has."""
    fingerprint = enclave.fingerprint if session.attested_tls_bound else None
    return report_data(enclave.signing.address, fingerprint, session.attested_nonce)


def payload(session: NearSession) -> Mapping[str, Any]:
    """The GPU evidence of the model's host."""
    nonce = session.gpu_nonce or session.attested_nonce
    entries = [
        device.entry(nonce, session.evidence.get(index), with_nonce=not session.april_shape)
        for index, device in enumerate(session.gpus)
    ]
    return nvidia_payload(entries, nonce)


def actions_hash(session: NearSession) -> bytes:
    """SHA-256 of the compose manager's actions, with sorted keys, or in struct order as in April."""
    if session.april_shape:
        rows = [{key: row[key] for key in _STRUCT_ORDER if key in row} for row in session.actions]
    else:
        rows = [dict(sorted(row.items())) for row in session.actions]
    return hashlib.sha256(compact(rows)).digest()


def compose_manager_record(session: NearSession) -> dict[str, Any]:
    """``compose_manager_attestation``: a second quote of the model's TD over the deployment log."""
    digest, enclave = actions_hash(session), session.compose_manager
    nonce = session.compose_manager_nonce or session.attested_nonce
    return {
        "actions": session.actions,
        "actions_hash": digest.hex(),
        "nonce": nonce.hex(),
        "nonce_source": "client",
        "quote": enclave.quote(digest + nonce).hex(),
        "event_log": compact(enclave.boot.log_rows(sorted_keys=False)).decode(),
        "report_data": (digest + nonce).hex(),
        "vm_config": enclave.boot.vm_config(),
    }


def model_record(session: NearSession) -> dict[str, Any]:
    """The model's own record, without its compose manager and OHTTP parts."""
    model = session.model
    data = session.model_report_data or quote_data(session, model)
    record: dict[str, Any] = {
        "model_name": session.model_name,
        "signing_address": model.signing.address_text,
        "signing_algo": model.signing.algorithm,
        "signing_public_key": model.signing.public.hex(),
        "request_nonce": session.attested_nonce.hex(),
        "intel_quote": model.quote(data).hex(),
        "nvidia_payload": payload_text(payload(session)),
        "event_log": model.boot.log_rows(sorted_keys=True),
        "info": model.info(sorted_keys=True),
    }
    if session.attested_tls_bound:
        record["tls_cert_fingerprint"] = model.fingerprint.hex()
    return record


def gateway_record(session: NearSession) -> dict[str, Any]:
    """``gateway_attestation``."""
    gateway = session.front
    data = quote_data(session, gateway)
    record: dict[str, Any] = {
        "signing_address": gateway.signing.address_text,
        "signing_algo": gateway.signing.algorithm,
        "intel_quote": gateway.quote(data).hex(),
        "event_log": compact(gateway.boot.log_rows(sorted_keys=False)).decode(),
        "report_data": data.hex(),
        "request_nonce": session.attested_nonce.hex(),
        "info": gateway.info(sorted_keys=False),
        "vpc": {
            "vpc_server_app_id": session.keys.material("vpc", 20).hex(),
            "vpc_hostname": "cloud-api-test.dstack.internal",
        },
    }
    if session.attested_tls_bound:
        record["tls_cert_fingerprint"] = gateway.fingerprint.hex()
    return record


def ohttp_parts(session: NearSession, enclave: Enclave) -> dict[str, Any]:
    """``ohttp_key_config`` and, since June 2026, ``ohttp_attestation``."""
    parts: dict[str, Any] = {"ohttp_key_config": enclave.ohttp.key_config.hex()}
    if not session.april_shape:
        parts["ohttp_attestation"] = enclave.ohttp.attestation(enclave.signing)
    return parts


def report(session: NearSession) -> dict[str, Any]:
    """The whole document, direct or through the gateway."""
    record = model_record(session)
    copies = {"all_attestations": [dict(record)]} if session.copies else {}
    record = {
        **record,
        **copies,
        "compose_manager_attestation": compose_manager_record(session),
        **ohttp_parts(session, session.model),
    }
    if session.gateway is None:
        return record
    document: dict[str, Any] = {"gateway_attestation": gateway_record(session), "model_attestations": [record]}
    if session.attested_tls_bound:
        document["tls_certificate"] = near_world.tls_chain(session.keys, session.gateway)
    return {**document, **ohttp_parts(session, session.gateway)}
