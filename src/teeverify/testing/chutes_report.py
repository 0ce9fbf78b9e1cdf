"""The documents of a Chutes session: the list of models, the keys, the evidence, and a gateway's wrapping of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from attrs import evolve

if TYPE_CHECKING:
    from .chutes import ChutesSession

__all__ = ["KEYS_AGE", "evidence", "gateway_report", "instances", "key_set", "measurements", "models"]

KEYS_AGE: Final = 14
"""Seconds from the answer with the keys to the end of the recording."""


def models(session: ChutesSession) -> dict[str, Any]:
    """``/v1/models``: the session's model between two others, one of which has a name that begins alike."""
    created = int(session.at.timestamp()) - 86400
    rows = [
        ("other-org/model-7b-TEE", session.keys.uuid("chute/other"), True),
        (session.model_name, session.chute_id, True),
        (f"{session.model_name}-long", session.keys.uuid("chute/long"), False),
    ]
    data = [
        {
            "id": model,
            "object": "model",
            "created": created,
            "owned_by": "sglang",
            "root": model,
            "parent": None,
            "max_model_len": 131072,
            "chute_id": chute,
            "confidential_compute": confidential,
        }
        for model, chute, confidential in rows
    ]
    return {"object": "list", "data": data}


def instances(session: ChutesSession) -> dict[str, Any]:
    """``/e2e/instances/{chute_id}``: the keys, and single-use tokens that live for a minute."""
    return {
        "instances": [instance.key_entry() for instance in session.instances for _ in range(instance.key_entries)],
        "nonce_expires_in": 60,
        "nonce_expires_at": int(session.at.timestamp()) - KEYS_AGE + 60,
    }


def evidence(session: ChutesSession) -> dict[str, Any]:
    """``/chutes/{chute_id}/evidence``: the instances in reverse, since the two lists do not share their order."""
    return {
        "evidence": [
            entry
            for instance in reversed(session.instances)
            for entry in [instance.evidence_entry()] * instance.evidence_entries
        ],
        "failed_instance_ids": list(session.failed_instance_ids),
    }


def gateway_report(session: ChutesSession) -> dict[str, Any]:
    """The gateway's document: its own nonce around the instances that it asked."""
    return {
        "attestation_type": "chutes",
        "nonce": session.envelope_nonce.hex(),
        "all_attestations": [
            entry for instance in session.instances for entry in [instance.gateway_entry()] * instance.evidence_entries
        ],
    }


def measurements(session: ChutesSession) -> list[dict[str, Any]]:
    """``/servers/tee/measurements``: what the operator accepts, a row for each kind of machine; nobody signed it.

    At boot RTMR3 is still zero; it is extended before the guest runs anything.
    """
    rows: dict[tuple[bytes, ...], dict[str, Any]] = {}
    for instance in session.instances:
        boot, count = instance.guest.boot, len(instance.gpus)
        registers = {f"RTMR{number}": value.hex() for number, value in enumerate(boot.registers())}
        rows[(boot.mr_td, *boot.registers())] = {
            "version": boot.release,
            "name": f"{count}xh200 [{boot.release}]",
            "mrtd": boot.mr_td.hex(),
            "boot_rtmrs": {**registers, "RTMR3": bytes(48).hex()},
            "runtime_rtmrs": registers,
            "expected_gpus": ["h200"],
            "gpu_count": count,
        }
    return list(rows.values())


def key_set(session: ChutesSession) -> dict[str, Any]:
    """NVIDIA's keys, of every day on which it signed one of the answers."""
    moments = {moment.date(): moment for moment in (instance.nras.issued for instance in session.instances)}
    moments[session.nras.issued.date()] = session.nras.issued
    rows = [
        row for _, moment in sorted(moments.items()) for row in evolve(session.nras, issued=moment).key_set()["keys"]
    ]
    return {"keys": rows}
