"""Whole Chutes attestation sessions, direct and behind a gateway, as saved reports.

The shapes follow what the public services and the source of chutesai/chutes-api and chutesai/sek8s produce. A
`ChutesSession` is truthful as built; turn its knobs or those of an instance, or edit the report, to make it lie.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from attrs import define, field

from . import chutes_report, chutes_world
from .chutes_instance import ChutesInstance
from .chutes_world import API_HOST, GATEWAY_HOST, LLM_HOST, MODEL, RECORDED_AT, World
from .intel import IntelPki
from .keys import DEFAULT_SEED, KeyRing, spki
from .nras import JWKS_URL, NRAS_URL, NrasService
from .nvidia import NvidiaPki
from .pcs import PcsService
from .recording import Answer, Document, compact, exchange, http_date, saved_report

__all__ = ["ChutesSession"]


@define(kw_only=True)
class ChutesSession:
    """One attestation session. Build it with `build`.

    Attributes:
        nonce: what the client asked with.
        model_name: the model's name.
        chute_id: the chute that serves it.
        instances: the instances in the order of their keys; the evidence has them in reverse.
        failed_instance_ids: the instances that the service says it could not reach.
        nras: NVIDIA's service that shows the key set.
        models_recorded: whether the saved report holds the list of models.
        gateway: whether a gateway asked in the client's place, and wraps the evidence.
        envelope_nonce: the nonce at the top of a gateway's document, what the gateway asked with unless it lies.
    """

    keys: KeyRing
    at: datetime
    nonce: bytes
    model_name: str
    chute_id: str
    intel: IntelPki
    nvidia: NvidiaPki
    pcs: PcsService
    nras: NrasService
    instances: list[ChutesInstance]
    gateway: bool
    envelope_nonce: bytes
    failed_instance_ids: list[str] = field(factory=list)
    models_recorded: bool = True

    @classmethod
    def build(
        cls,
        *,
        instances: int = 2,
        gpus: int = 2,
        nonce: bytes | None = None,
        at: datetime = RECORDED_AT,
        seed: str = DEFAULT_SEED,
        model: str = MODEL,
        gateway: bool = False,
        inner_nonce: bytes | None = None,
        models_recorded: bool = True,
        world: World | None = None,
    ) -> ChutesSession:
        """Set up a session whose evidence is genuine; behind a gateway it answers the gateway's own nonce.

        Args:
            instances: how many instances the chute has.
            gpus: how many GPUs each of them has.
            nonce: the client's 32 bytes.
            at: when the session took place.
            seed: of all keys; the shipped roots belong to the default.
            model: the model's name.
            gateway: whether the evidence comes wrapped by a gateway.
            inner_nonce: what the gateway asked with, the client's nonce for an honest one; its own unless given.
            models_recorded: whether the saved report holds the list of models.
            world: keys, Intel and NVIDIA of an earlier session of that seed; new ones unless given.
        """
        world = world or World.of(seed)
        keys, intel, nvidia = world.keys, world.intel, world.nvidia
        nonce = nonce or keys.material("nonce/chutes", 32)
        attested_nonce = (inner_nonce or keys.material("nonce/chutes-gateway", 32)) if gateway else nonce

        def instance(index: int) -> ChutesInstance:
            label = f"chutes-{index}"
            first = index * gpus
            return ChutesInstance(
                instance_id=keys.uuid(f"instance/{label}"),
                guest=chutes_world.sek8s_guest(keys, intel, index, gpus),
                key=chutes_world.ml_kem_key_text(keys, label),
                certificate=chutes_world.attestation_certificate(keys, label),
                invocation_nonces=chutes_world.invocation_nonces(keys, label),
                gpus=[nvidia.device(first + number, host=label, fabric=gpus > 1) for number in range(gpus)],
                nras=NrasService(keys=keys, issued=at - timedelta(seconds=5 + instances - index)),
                attested_nonce=attested_nonce,
            )

        return cls(
            keys=keys,
            at=at,
            nonce=nonce,
            model_name=model,
            chute_id=keys.uuid(f"chute/{model}"),
            intel=intel,
            nvidia=nvidia,
            pcs=PcsService(pki=intel, issued=at - timedelta(minutes=30)),
            nras=NrasService(keys=keys, issued=at - timedelta(seconds=5)),
            instances=[instance(index) for index in range(instances)],
            gateway=gateway,
            envelope_nonce=attested_nonce,
            models_recorded=models_recorded,
        )

    @property
    def provider(self) -> str:
        """The provider whose session it is, which behind a gateway is the gateway's."""
        return "phala" if self.gateway else "chutes"

    @property
    def models_url(self) -> str:
        """The URL of the list of models."""
        return f"https://{LLM_HOST}/v1/models"

    @property
    def instances_url(self) -> str:
        """The URL of the instances and their keys."""
        return f"https://{API_HOST}/e2e/instances/{self.chute_id}"

    @property
    def evidence_url(self) -> str:
        """The URL of the evidence."""
        return f"https://{API_HOST}/chutes/{self.chute_id}/evidence?{urlencode({'nonce': self.nonce.hex()})}"

    @property
    def gateway_url(self) -> str:
        """The URL of the gateway's report."""
        query = {"model": self.model_name, "nonce": self.nonce.hex()}
        return f"https://{GATEWAY_HOST}/v1/attestation/report?{urlencode(query)}"

    def documents(self) -> Iterator[tuple[str, dict[str, Any], int]]:
        """URL, JSON document and age in seconds of what the provider answers, in the order of the requests."""
        if self.gateway:
            yield self.gateway_url, chutes_report.gateway_report(self), 7
            return
        if self.models_recorded:
            yield self.models_url, chutes_report.models(self), 16
        yield self.instances_url, chutes_report.instances(self), chutes_report.KEYS_AGE
        yield self.evidence_url, chutes_report.evidence(self), 7

    def answer(self, document: Mapping[str, Any] | bytes, age: int) -> Answer:
        """The HTTP answer that carries a document, given ``age`` seconds before the recording ended."""
        body = document if isinstance(document, bytes) else compact(document)
        headers = {
            "Alt-Svc": "clear",
            "Content-Type": "application/json",
            "Date": http_date(self.at - timedelta(seconds=age)),
            "Server": "nginx",
            "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
            "Vary": "Accept-Encoding",
            "Via": "1.1 google",
        }
        return Answer(200, headers, body)

    def saved(self) -> Document:
        """The saved report; edit it with the functions of `teeverify.testing.recording`."""
        exchanges = [
            exchange("GET", url, self.answer(document, age), peer_spki=self._peer(url))
            for url, document, age in self.documents()
        ]
        asked = [instance for instance in self._in_order() if instance.evidence_entries]
        families = dict.fromkeys(instance.guest.platform.fmspc.hex() for instance in asked)
        intel = {url: answer for fmspc in families for url, answer in self.pcs.answers(fmspc)}
        exchanges += [exchange("GET", url, answer, peer_spki=self._peer(url)) for url, answer in intel.items()]
        exchanges += [
            exchange(
                "POST",
                NRAS_URL,
                instance.nras_answer(),
                request_body=instance.nras_request(),
                peer_spki=self._peer(NRAS_URL),
            )
            for instance in asked
            if instance.nras_recorded
        ]
        key_set = self.nras.answer(chutes_report.key_set(self))
        exchanges.append(exchange("GET", JWKS_URL, key_set, peer_spki=self._peer(JWKS_URL)))
        return saved_report(
            provider=self.provider,
            model=self.model_name,
            nonce=self.nonce,
            recorded_at=self.at,
            exchanges=exchanges,
        )

    def _in_order(self) -> list[ChutesInstance]:
        """The instances as the answer with their evidence has them."""
        return list(self.instances) if self.gateway else list(reversed(self.instances))

    def _peer(self, url: str) -> bytes:
        """The key at the end of a connection; nothing attests it."""
        return spki(self.keys.p256(f"tls/{url.split('/')[2]}"))
