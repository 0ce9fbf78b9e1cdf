"""Whole NEAR AI attestation sessions, direct and through the cloud gateway, as saved reports.

The shapes follow what the public services and the source of nearai/inference-proxy, nearai/compose-manager and
nearai/cloud-api produce. A `NearSession` is truthful as built; turn its knobs, or edit the report, to make it lie.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from attrs import define, field

from . import near_report, near_world
from .enclave import Enclave
from .intel import IntelPki
from .keys import DEFAULT_SEED, KeyRing, spki
from .near_world import CLOUD_HOST, DIRECT_HOST, MODEL, RECORDED_AT
from .nras import JWKS_URL, NRAS_URL, NrasService
from .nvidia import Device, Evidence, NvidiaPki
from .pcs import PcsService
from .recording import Answer, Document, compact, exchange, http_date, saved_report

__all__ = ["CLOUD_HOST", "DIRECT_HOST", "MODEL", "RECORDED_AT", "NearSession"]


@define(kw_only=True)
class NearSession:
    """One attestation session. Build it with `direct` or `cloud`.

    Attributes:
        nonce: what the client asked with.
        attested_nonce: what the evidence was made for.
        tls_bound: whether the client asked for the form of REPORTDATA that binds the TLS key.
        attested_tls_bound: whether the evidence has that form.
        gateway: the cloud gateway, None in a direct session.
        compose_manager: the TD whose quote stands in the compose manager's attestation.
        compose_manager_nonce: the nonce of that quote, if another.
        copies: whether the report repeats itself in ``all_attestations``.
        april_shape: no OHTTP attestation, no inner GPU nonces, and actions hashed in struct order.
        evidence: one GPU's report in place of the truthful one, by position.
        gpu_nonce: the nonce of the GPU evidence, if another.
        nras_devices: the GPUs that NVIDIA's answer is about, if others.
        model_report_data: the 64 bytes of the model's quote, verbatim.
        request_bodies: whether the saved report holds the body of the request to NVIDIA, which nothing depends on.
    """

    keys: KeyRing
    at: datetime
    nonce: bytes
    attested_nonce: bytes
    model_name: str
    algorithm: str
    tls_bound: bool
    attested_tls_bound: bool
    intel: IntelPki
    nvidia: NvidiaPki
    pcs: PcsService
    nras: NrasService
    model: Enclave
    compose_manager: Enclave
    gateway: Enclave | None
    gpus: list[Device]
    actions: list[dict[str, Any]]
    copies: bool
    april_shape: bool = False
    evidence: dict[int, Evidence] = field(factory=dict)
    gpu_nonce: bytes | None = None
    compose_manager_nonce: bytes | None = None
    model_report_data: bytes | None = None
    request_bodies: bool = True
    nras_devices: list[Device] | None = None

    @classmethod
    def direct(cls, **options: Any) -> NearSession:
        """A session with a model's own host; see `build` for the options."""
        return cls.build(cloud=False, **options)

    @classmethod
    def cloud(cls, **options: Any) -> NearSession:
        """A session through the gateway; see `build` for the options."""
        return cls.build(cloud=True, **options)

    @classmethod
    def build(
        cls,
        *,
        cloud: bool,
        nonce: bytes | None = None,
        algorithm: str = "ed25519",
        tls_bound: bool = True,
        gpus: int = 2,
        copies: bool = True,
        model_name: str = MODEL,
        at: datetime = RECORDED_AT,
        seed: str = DEFAULT_SEED,
    ) -> NearSession:
        """Set up a truthful session.

        Args:
            cloud: through the gateway, or with the model's own host.
            nonce: the client's 32 bytes.
            algorithm: "ed25519" or "ecdsa".
            tls_bound: ask for the form of REPORTDATA that binds the TLS key, or for the padded one.
            gpus: how many GPUs the model's host has.
            copies: whether a direct report repeats itself in ``all_attestations``, as the real ones do.
            model_name: the model's canonical name.
            at: when the session took place.
            seed: of all keys; the shipped roots belong to the default.
        """
        keys = KeyRing(seed)
        intel, nvidia = IntelPki(keys), NvidiaPki(keys)
        nonce = nonce or keys.material(f"nonce/{'cloud' if cloud else 'direct'}", 32)
        model = near_world.model_enclave(keys, intel, algorithm, gpus)
        return cls(
            keys=keys,
            at=at,
            nonce=nonce,
            attested_nonce=nonce,
            model_name=model_name,
            algorithm=algorithm,
            tls_bound=tls_bound,
            attested_tls_bound=tls_bound,
            intel=intel,
            nvidia=nvidia,
            pcs=PcsService(pki=intel, issued=at - timedelta(minutes=30)),
            nras=NrasService(keys=keys, issued=at - timedelta(seconds=5)),
            model=model,
            compose_manager=model,
            gateway=near_world.gateway_enclave(keys, intel, algorithm) if cloud else None,
            gpus=[nvidia.device(index, fabric=gpus > 1) for index in range(gpus)],
            actions=near_world.actions(keys),
            copies=copies and not cloud,
        )

    @property
    def front(self) -> Enclave:
        """The TD at the end of the client's connection: the gateway, or the model itself."""
        return self.gateway or self.model

    def report(self) -> dict[str, Any]:
        """The provider's JSON document; `teeverify.testing.near_report` has its parts."""
        return near_report.report(self)

    @property
    def report_url(self) -> str:
        """The URL that the client asked."""
        query = {"nonce": self.nonce.hex(), "signing_algo": self.algorithm}
        if self.tls_bound:
            query["include_tls_fingerprint"] = "true"
        if self.gateway is not None:
            query["model"] = self.model_name
        host = DIRECT_HOST if self.gateway is None else CLOUD_HOST
        return f"https://{host}/v1/attestation/report?{urlencode(sorted(query.items()))}"

    def report_answer(self, report: Mapping[str, Any] | bytes) -> Answer:
        """The HTTP answer that carries a report."""
        body = report if isinstance(report, bytes) else compact(report)
        headers = {
            "Connection": "keep-alive",
            "Content-Length": str(len(body)),
            "Content-Type": "application/json",
            "Date": http_date(self.at - timedelta(seconds=7)),
            "Server": "nginx/1.29.5",
            "X-Request-Id": self.keys.uuid("request"),
        }
        return Answer(200, headers, body)

    def saved(self, report: Mapping[str, Any] | bytes | None = None) -> Document:
        """The saved report; ``report`` is an edited document, or body bytes that need not be JSON at all."""
        answer = self.report_answer(self.report() if report is None else report)
        intel_key, nvidia_key = spki(self.keys.p256("tls/intel")), spki(self.keys.p256("tls/nvidia"))
        exchanges = [exchange("GET", self.report_url, answer, peer_spki=self.front.tls_spki)]

        def ask_intel(enclave: Enclave) -> None:
            for url, intel_answer in self.pcs.answers(enclave.platform.fmspc.hex()):
                exchanges.append(exchange("GET", url, intel_answer, peer_spki=intel_key))

        ask_intel(self.model)
        devices = self.gpus if self.nras_devices is None else self.nras_devices
        bundle = self.nras.bundle(devices, self.nonce)
        exchanges.append(
            exchange(
                "POST",
                NRAS_URL,
                self.nras.answer(bundle),
                request_body=compact(near_report.payload(self)) if self.request_bodies else None,
                peer_spki=nvidia_key,
            )
        )
        exchanges.append(exchange("GET", JWKS_URL, self.nras.key_set_answer(), peer_spki=nvidia_key))
        if self.gateway is not None:
            ask_intel(self.gateway)
        return saved_report(
            provider="near", model=self.model_name, nonce=self.nonce, recorded_at=self.at, exchanges=exchanges
        )
