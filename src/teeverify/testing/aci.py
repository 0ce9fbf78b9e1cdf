"""Whole ACI sessions (attested confidential inference) as saved reports: a gateway in a TD, with receipts.

An `AciSession` is truthful as built; turn its knobs, or edit the report, to make it lie. The documents follow the
public ACI specification, ``aci/1``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from attrs import define, field

from . import near_world
from .aci_custody import CustodyChain, app_public_hex
from .aci_exchange import canonical, digest_text
from .enclave import Enclave
from .intel import IntelPki
from .keys import DEFAULT_SEED, KeyRing, spki
from .near_world import RECORDED_AT
from .pcs import PcsService
from .recording import Answer, Document, compact, exchange, http_date, saved_report

__all__ = ["ACI_HOST", "ACI_MODEL", "AciSession", "aci_policy"]

ACI_HOST: Final = "aci.teeverify.example"
ACI_MODEL: Final = "teeverify-test/model-1b"


@define(kw_only=True)
class AciSession:
    """One ACI attestation session. Build it with `build`.

    Attributes:
        nonce: what the client asked with.
        attested_nonce: what the statement was made for, None for the form without a nonce.
        gateway: the TD of the service.
        serving: ``direct`` or ``aggregator``, as the report says.
        keyset_changes: members of the keyset in place of the truthful ones.
        attested_keyset: the keyset that the statement was made for, if another than the one shown.
        custody: who vouches for the receipt key.
        report_data: the 64 bytes of REPORTDATA, if others than the statement gives.
        top_level: members that the report has beside those of ACI.
        host: the host that the client asked.
        peer_spki: the TLS key of the client's connection, the gateway's by default.
    """

    keys: KeyRing
    at: datetime
    nonce: bytes
    attested_nonce: bytes | None
    model_name: str
    serving: str
    intel: IntelPki
    pcs: PcsService
    gateway: Enclave
    custody: CustodyChain
    host: str = ACI_HOST
    keyset_changes: dict[str, Any] = field(factory=dict)
    attested_keyset: Mapping[str, Any] | None = None
    report_data: bytes | None = None
    top_level: dict[str, Any] = field(factory=dict)
    peer_spki: bytes | None = None

    @classmethod
    def build(
        cls,
        *,
        nonce: bytes | None = None,
        serving: str = "direct",
        model_name: str = ACI_MODEL,
        at: datetime = RECORDED_AT,
        seed: str = DEFAULT_SEED,
    ) -> AciSession:
        """Set up a truthful session.

        Args:
            nonce: the client's 32 bytes.
            serving: ``direct``, or ``aggregator`` for a gateway with upstreams.
            model_name: the model that the client means; the report names none.
            at: when the session took place.
            seed: of all keys; the shipped roots belong to the default.
        """
        keys = KeyRing(seed)
        intel = IntelPki(keys)
        nonce = nonce or keys.material("nonce/aci", 32)
        gateway = near_world.gateway_enclave(keys, intel, "ed25519")
        return cls(
            keys=keys,
            at=at,
            nonce=nonce,
            attested_nonce=nonce,
            model_name=model_name,
            serving=serving,
            intel=intel,
            pcs=PcsService(pki=intel, issued=at - timedelta(minutes=30)),
            gateway=gateway,
            custody=CustodyChain(keys=keys, app_id=gateway.boot.app_id, public_key=gateway.signing.ed25519_public),
        )

    def keyset(self) -> dict[str, Any]:
        """The workload keyset."""
        listed = {
            "subject": None,
            "not_after": int((self.at + timedelta(days=30)).timestamp()),
            "receipt_signing_keys": [
                {
                    "key_id": "receipt-1",
                    "algo": "ed25519",
                    "public_key": self.gateway.signing.ed25519_public.hex(),
                }
            ],
            "e2ee_public_keys": [
                {
                    "key_id": "e2ee-1",
                    "algo": "x25519-aes-256-gcm-hkdf-sha256",
                    "public_key": self.keys.material("aci/e2ee", 31).hex() + "00",
                },
                {
                    "key_id": "e2ee-2",
                    "algo": "secp256k1-aes-256-gcm-hkdf-sha256",
                    "public_key": app_public_hex(self.keys, "aci/e2ee"),
                },
            ],
            "tls_public_keys": [
                {"spki_sha256": self.gateway.fingerprint.hex(), "domain": ACI_HOST},
                {"spki_sha256": self.keys.material("aci/other-spki", 32).hex(), "domain": f"other.{ACI_HOST}"},
            ],
        }
        return {**listed, **self.keyset_changes}

    def keyset_digest(self) -> str:
        """The digest of the keyset that is shown."""
        return digest_text(canonical(self.keyset()))

    def statement(self) -> bytes:
        """What the first half of REPORTDATA is the hash of."""
        listed = self.keyset() if self.attested_keyset is None else self.attested_keyset
        return canonical(
            {
                "purpose": "aci.report_data.v1",
                "nonce": None if self.attested_nonce is None else self.attested_nonce.hex(),
                "keyset_digest": digest_text(canonical(listed)),
            }
        )

    def report(self) -> dict[str, Any]:
        """The service's JSON document."""
        half = hashlib.sha256(self.statement()).digest()
        data = half + bytes(32) if self.report_data is None else self.report_data
        boot = self.gateway.boot
        return {
            "api_version": "aci/1",
            "workload_keyset_digest": self.keyset_digest(),
            "attestation": {
                "tee_type": "tdx",
                "workload_keyset": self.keyset(),
                "report_data": half.hex(),
                "source_provenance": {
                    "repo_url": "https://git.example/gateway",
                    "repo_commit": self.keys.material("commit", 20).hex(),
                    "image_digest": None,
                    "image_provenance": None,
                },
                "evidence": {
                    "quote": self.gateway.quote(data).hex(),
                    "quote_report_data": data.hex(),
                    "event_log": compact(boot.log_rows(sorted_keys=False)).decode(),
                    "app_compose": boot.app_compose,
                    "vm_config": boot.vm_config(),
                    "key_custody": self.custody.document(),
                    "downstream_tls_binding": {"domain": ACI_HOST, "spki_sha256": self.gateway.fingerprint.hex()},
                },
            },
            "service_capabilities": {"supported_e2ee_versions": ["2"], "serving": self.serving},
            **self.top_level,
        }

    @property
    def report_url(self) -> str:
        """The URL that the client asked."""
        return f"https://{self.host}/v1/aci/attestation?nonce={self.nonce.hex()}"

    def report_answer(self, report: Mapping[str, Any] | bytes) -> Answer:
        """The HTTP answer that carries a report."""
        body = report if isinstance(report, bytes) else compact(report)
        headers = {
            "Content-Type": "application/json",
            "Date": http_date(self.at - timedelta(seconds=7)),
            "X-ACI-Version": "aci/1",
            "X-ACI-Keyset-Digest": self.keyset_digest(),
        }
        return Answer(200, headers, body)

    def saved(self, report: Mapping[str, Any] | bytes | None = None, *, more: Sequence[Document] = ()) -> Document:
        """The saved report; ``report`` is an edited document or body, ``more`` further recorded exchanges."""
        answer = self.report_answer(self.report() if report is None else report)
        intel_key = spki(self.keys.p256("tls/intel"))
        own = self.gateway.tls_spki if self.peer_spki is None else self.peer_spki
        exchanges = [exchange("GET", self.report_url, answer, peer_spki=own)]
        for url, intel_answer in self.pcs.answers(self.gateway.platform.fmspc.hex()):
            exchanges.append(exchange("GET", url, intel_answer, peer_spki=intel_key))
        return saved_report(
            provider="aci",
            model=self.model_name,
            nonce=self.nonce,
            recorded_at=self.at,
            exchanges=[*exchanges, *more],
        )


def aci_policy(session: AciSession, *, more: str = "", pins: str = "", custody: bool = True) -> str:
    """The strict policy that pins exactly what a session shows, as TOML text.

    Args:
        session: what to pin.
        more: tables behind everything else, such as waivers.
        pins: lines behind the pins of the gateway.
        custody: whether the root that vouches for the receipt key is pinned.
    """
    boot = session.gateway.boot
    rtmr0, rtmr1, rtmr2, _ = boot.registers()
    registers = {"mrtd": boot.image.mr_td, "rtmr0": rtmr0, "rtmr1": rtmr1, "rtmr2": rtmr2}
    image = ", ".join(f'{register} = "{value.hex()}"' for register, value in registers.items())
    lines = [
        "# Pins what the simulated session shows. TEST ONLY: it describes no machine that exists.",
        'name = "aci-test"',
        'provider = "aci"',
        "valid_until = 2036-01-01",
        "",
        "[tcb]",
        "min_eval_number = 19",
        "",
        "[gpu]",
        "require = false",
        "",
        "[exchange]",
        'signed_by = "gateway"',
        "",
        "[pins.gateway]",
        f'base_images = [{{label = "aci gateway", {image}}}]',
        f'mr_seam = ["{boot.image.mr_seam.hex()}"]',
        f'app_ids = ["{boot.app_id.hex()}"]',
        f'compose = ["{boot.compose_hash.hex()}"]',
        f'kms_roots = ["{boot.kms.spki.hex()}"]',
        f'os_images = ["{boot.image.os_image_hash.hex()}"]',
    ]
    if custody:
        lines.append(f'custody_roots = ["{session.custody.root_public}"]')
    return "\n".join([*lines, pins, more]) + "\n"
