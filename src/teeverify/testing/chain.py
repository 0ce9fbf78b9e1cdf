"""Whole sessions with a vllm-proxy that has Chutes behind it (its chain API), as saved reports.

A `ChainSession` is truthful as built; turn its knobs or those of its parts, or edit the report, to make it lie. The
shapes follow what is known of the proposed change 9 of Dstack-TEE/vllm-proxy.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from attrs import define, field

from . import chain_report
from .chutes import ChutesSession
from .chutes_world import MODEL, RECORDED_AT
from .dstack import BootImage
from .enclave import Enclave
from .intel import IntelPki, Platform
from .keys import DEFAULT_SEED, KeyRing, spki
from .near_world import app_boot
from .nras import NRAS_URL, NrasService
from .nvidia import Device, nvidia_payload, payload_text
from .recording import Answer, Document, compact, exchange, http_date
from .signing import OhttpKey, SigningKey
from .tdx import QuoteFormat

__all__ = ["BASE_URL", "ChainSession"]

BASE_URL: Final = "https://chain-proxy.test.invalid/v1"
"""Where the simulated proxy lives."""

_SERVICES: Final = (
    "services:\n"
    "  vllm-proxy:\n"
    "    image: teeverify-test/vllm-proxy@sha256:"
    "3333333333333333333333333333333333333333333333333333333333333333\n"
)


@define(kw_only=True)
class ChainSession:
    """One session with a proxy. Build it with `build`.

    Attributes:
        nonce: what the client asked with.
        mode: what the client asked for, "passthrough" or "proxy".
        algorithm: "ecdsa" or "ed25519".
        proxy: the TD of the proxy.
        gpus: the proxy's own devices.
        behind: the instances, as the proxy got them with the client's nonce.
        signer: who signs the statement, the proxy's key unless it lies.
        signed_at: when it was signed.
        answered_mode: the mode of the document, if another than was asked for.
        attested_nonce: the nonce that the proxy's quote and GPUs were made for.
        payload_changes: members of the signed payload that are replaced before it is signed; ... leaves one out.
        result_changes: members of the first instance's result in a receipt, likewise.
        detailed: whether a receipt holds results of single instances, which the older revision lacks.
    """

    keys: KeyRing
    at: datetime
    nonce: bytes
    model_name: str
    mode: str
    algorithm: str
    proxy: Enclave
    gpus: list[Device]
    nras: NrasService
    behind: ChutesSession
    signer: SigningKey
    signed_at: datetime
    attested_nonce: bytes
    answered_mode: str | None = None
    payload_changes: dict[str, Any] = field(factory=dict)
    result_changes: dict[str, Any] = field(factory=dict)
    detailed: bool = True

    @classmethod
    def build(
        cls,
        *,
        mode: str = "passthrough",
        algorithm: str = "ecdsa",
        instances: int = 2,
        gpus: int = 1,
        proxy_gpus: int = 1,
        nonce: bytes | None = None,
        at: datetime = RECORDED_AT,
        seed: str = DEFAULT_SEED,
        model: str = MODEL,
    ) -> ChainSession:
        """Set up a truthful session.

        Args:
            mode: "passthrough" (the instances' own evidence) or "proxy" (a receipt in its place).
            algorithm: of the proxy's signing key, "ecdsa" or "ed25519".
            instances: how many instances are behind the proxy.
            gpus: how many GPUs each of them has.
            proxy_gpus: how many GPUs the proxy's own machine has.
            nonce: the client's 32 bytes.
            at: when the session took place.
            seed: of all keys; the shipped roots belong to the default.
            model: the model's name.
        """
        keys = KeyRing(seed)
        nonce = nonce or keys.material("nonce/chain", 32)
        behind = ChutesSession.build(
            instances=instances, gpus=gpus, nonce=nonce, at=at, seed=seed, model=model, gateway=True, inner_nonce=nonce
        )
        proxy = _proxy(keys, behind.intel, algorithm)
        return cls(
            keys=keys,
            at=at,
            nonce=nonce,
            model_name=model,
            mode=mode,
            algorithm=algorithm,
            proxy=proxy,
            gpus=[behind.nvidia.device(1000 + n, host="chain-proxy", fabric=proxy_gpus > 1) for n in range(proxy_gpus)],
            nras=NrasService(keys=keys, issued=at - timedelta(seconds=4)),
            behind=behind,
            signer=proxy.signing,
            signed_at=at - timedelta(seconds=8),
            attested_nonce=nonce,
        )

    @property
    def url(self) -> str:
        """The URL that the client asked."""
        query = {
            "model": self.model_name,
            "nonce": self.nonce.hex(),
            "signing_algo": self.algorithm,
            "verify_mode": self.mode,
        }
        return f"{BASE_URL}/attestation/chain?{urlencode(query)}"

    def document(self) -> dict[str, Any]:
        """The proxy's JSON document; `teeverify.testing.chain_report` has its parts."""
        return chain_report.document(self)

    def payload(self) -> Mapping[str, Any]:
        """The GPU evidence of the proxy's own machine."""
        return nvidia_payload(
            [device.entry(self.attested_nonce, None, with_nonce=False) for device in self.gpus], self.attested_nonce
        )

    def answer(self, document: Mapping[str, Any] | bytes | None = None) -> Answer:
        """The HTTP answer that carries a document, or the truthful one."""
        document = self.document() if document is None else document
        body = document if isinstance(document, bytes) else compact(document)
        headers = {
            "Content-Type": "application/json",
            "Date": http_date(self.at - timedelta(seconds=7)),
            "Server": "uvicorn",
        }
        return Answer(200, headers, body)

    def saved(self, document: Mapping[str, Any] | bytes | None = None) -> Document:
        """The saved report; ``document`` is an edited document, or body bytes that need not be JSON at all."""
        report = self.behind.saved()  # the endorsements of the instances, and NVIDIA's keys
        endorsed = report["exchanges"][1:] if self.mode == "passthrough" else report["exchanges"][-1:]
        tls = spki(self.keys.p256("tls/chain-proxy"))
        asked = [exchange("GET", self.url, self.answer(document), peer_spki=tls)]
        known = {entry["request"]["url"] for entry in endorsed}
        for url, answer in self.behind.pcs.answers(self.proxy.platform.fmspc.hex()):
            if url not in known:
                asked.append(exchange("GET", url, answer, peer_spki=spki(self.keys.p256("tls/intel"))))
        if self.gpus:
            bundle = self.nras.bundle(self.gpus, self.attested_nonce)
            body = payload_text(self.payload()).encode()
            asked.append(exchange("POST", NRAS_URL, self.nras.answer(bundle), request_body=body))
        return {**report, "provider": "chutes-chain", "exchanges": [*asked, *endorsed]}


def _proxy(keys: KeyRing, pki: IntelPki, algorithm: str) -> Enclave:
    """The TD of the proxy: a dstack guest, whose quote binds the padded address and the nonce."""
    label = "chain-proxy"
    image = BootImage.derive(keys, "dstack-teeverify-test", tee_tcb_svn=bytes([11, 1, 4]))
    platform = Platform(
        label=label,
        ppid=keys.material(f"ppid/{label}", 16),
        platform_instance_id=keys.material(f"platform-instance/{label}", 16),
        fmspc=bytes.fromhex("90c06f000000"),
    )
    return Enclave(
        pki=pki,
        platform=platform,
        boot=app_boot(keys, image, app=label, services=_SERVICES),
        signing=SigningKey.derive(keys, f"signing/{label}", algorithm),
        tls_key=keys.p256(f"tls/{label}"),
        ohttp=OhttpKey(public=keys.material(f"ohttp/{label}", 32)),
        layout=QuoteFormat(qe_id=keys.material(f"qe-id/{label}", 16)),
    )
