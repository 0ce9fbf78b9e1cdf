"""One simulated Chutes instance: its guest, key, certificate and GPUs, and what it says about them."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from attrs import define, field

from .certificates import Issued
from .chutes_world import Sek8sGuest
from .nras import NrasService
from .nvidia import Device, Evidence
from .recording import Answer, compact

__all__ = ["ChutesInstance"]


@define(kw_only=True)
class ChutesInstance:
    """One instance, truthful as built; attributes are knobs that tests turn before they ask for a report.

    Attributes:
        instance_id: a UUID in lower case.
        guest: the TD, with ``td_changes`` and ``quote_changes`` of its own.
        key: the ML-KEM key that the quote binds, as base64 text.
        certificate: the certificate whose key the quote binds.
        invocation_nonces: the tokens beside the key.
        gpus: the devices, in order.
        nras: NVIDIA's service at the time of this instance's request; its changes touch no other instance.
        attested_nonce: the 32 bytes that the evidence is made for.
        shown_nonce: the nonce that a gateway says the evidence is for, if another.
        shown_key: the key's text in the list of instances, if another than ``key``.
        shown_certificate: the DER bytes in the evidence, if others than those of ``certificate``.
        shows_certificate: False leaves the certificate out of the evidence.
        evidence_id: the instance id in the evidence, if another.
        report_data: the 64 bytes of the quote, verbatim.
        gpu_nonce: the nonce of the GPU evidence, if another than the binding.
        gpu_evidence: one GPU's report in place of the truthful one, by position.
        nras_nonce: the nonce of the request to NVIDIA, if another than the binding.
        nras_devices: the GPUs that NVIDIA's answer is about, if others.
        nras_bundle: NVIDIA's answer verbatim.
        nras_recorded: whether NVIDIA was asked about this instance.
        key_entries: how often it stands in the list of instances; 0 leaves it out.
        evidence_entries: how often it stands in the evidence; 0 leaves it out.
    """

    instance_id: str
    guest: Sek8sGuest
    key: str
    certificate: Issued
    invocation_nonces: list[str] = field(repr=False)
    gpus: list[Device]
    nras: NrasService
    attested_nonce: bytes
    shown_nonce: bytes | None = None
    shown_key: str | None = None
    shown_certificate: bytes | None = None
    shows_certificate: bool = True
    evidence_id: str | None = None
    report_data: bytes | None = None
    gpu_nonce: bytes | None = None
    gpu_evidence: dict[int, Evidence] = field(factory=dict)
    nras_nonce: bytes | None = None
    nras_devices: list[Device] | None = None
    nras_bundle: list[Any] | None = None
    nras_recorded: bool = True
    key_entries: int = 1
    evidence_entries: int = 1

    @property
    def binding(self) -> bytes:
        """SHA-256 of the nonce's hex text followed by the key's base64 text."""
        return hashlib.sha256(self.attested_nonce.hex().encode() + self.key.encode()).digest()

    def quote(self) -> bytes:
        """The quote over the binding and the hash of the certificate's key."""
        data = self.binding + hashlib.sha256(self.certificate.spki).digest()
        return self.guest.quote(data if self.report_data is None else self.report_data)

    def key_entry(self) -> dict[str, Any]:
        """The element of ``instances``."""
        key = self.key if self.shown_key is None else self.shown_key
        return {"instance_id": self.instance_id, "e2e_pubkey": key, "nonces": list(self.invocation_nonces)}

    def gpu_entries(self) -> list[dict[str, str]]:
        """``gpu_evidence``, whose members come in this order."""
        nonce = self.gpu_nonce or self.binding
        rows = [
            device.entry(nonce, self.gpu_evidence.get(position), with_nonce=False)
            for position, device in enumerate(self.gpus)
        ]
        return [{member: row[member] for member in ("certificate", "evidence", "arch")} for row in rows]

    def evidence_entry(self) -> dict[str, Any]:
        """The element of ``evidence``."""
        entry: dict[str, Any] = {
            "quote": base64.b64encode(self.quote()).decode(),
            "gpu_evidence": self.gpu_entries(),
            "instance_id": self.evidence_id or self.instance_id,
        }
        if self.shows_certificate:
            der = self.certificate.der if self.shown_certificate is None else self.shown_certificate
            entry["certificate"] = base64.b64encode(der).decode()
        return entry

    def gateway_entry(self) -> dict[str, Any]:
        """The element of ``all_attestations`` behind a gateway, which drops the certificate."""
        nonce = self.attested_nonce if self.shown_nonce is None else self.shown_nonce
        return {
            "instance_id": self.evidence_id or self.instance_id,
            "nonce": nonce.hex(),
            "e2e_pubkey": self.key_entry()["e2e_pubkey"] if self.key_entries else None,
            "intel_quote": base64.b64encode(self.quote()).decode(),
            "gpu_evidence": self.gpu_entries(),
        }

    def nras_request(self) -> bytes:
        """The body of the request to NVIDIA: the binding as nonce, and the evidence as it was shown."""
        nonce, arch = self.nras_nonce or self.binding, self.gpus[0].arch if self.gpus else "HOPPER"
        return compact({"nonce": nonce.hex(), "evidence_list": self.gpu_entries(), "arch": arch})

    def nras_answer(self) -> Answer:
        """NVIDIA's answer to that request."""
        bundle = self.nras_bundle
        if bundle is None:
            devices = self.gpus if self.nras_devices is None else self.nras_devices
            bundle = self.nras.bundle(devices, self.nras_nonce or self.binding)
        return self.nras.answer(bundle)
