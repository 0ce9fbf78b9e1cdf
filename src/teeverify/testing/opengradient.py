"""Whole sessions with OpenGradient: nodes that tell of the registry, an enclave, its signed answers, and the relay.

Build a truthful one with `OpenGradientSession.build`, turn the knobs that make it lie, and ask it: for a saved report
(`saved`), for the answer to any single request (`answer`), or through `OpenGradientTransport`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from attrs import define, evolve, field

from .certificates import Issued, basic_constraints, issue, key_usage, name
from .keys import DEFAULT_SEED, KeyRing
from .near_world import RECORDED_AT
from .nitro import NitroEnclave
from .ohttp import OhttpServer
from .opengradient_answers import keccak_256, signed_body, signed_frames
from .opengradient_chain import ChainNode, RegistryRecord, session_calls
from .recording import Answer, Document, compact, exchange, saved_report, timestamp
from .rsa import RsaTestKey, rsa_key

__all__ = ["ENCLAVE_URL", "GATEWAY_MODEL", "NODE_URLS", "RELAY_URL", "OpenGradientSession"]

ENCLAVE_URL: Final = "https://192.0.2.7"
"""An address that no machine has (RFC 5737)."""
NODE_URLS: Final = tuple(f"https://rpc-{number}.opengradient.test/" for number in (1, 2, 3, 4))
RELAY_URL: Final = "https://chat-api.opengradient.ai/api/v1/chat/ohttp"
GATEWAY_MODEL: Final = "gpt-4.1"
"""A model's name; no model stands behind it."""
_CONFIG_DOMAIN: Final = b"OPENGRADIENT_TEE_OHTTP_CONFIG_V1"
_JSON: Final = {"Content-Type": "application/json"}
_FROM: Final = timedelta(days=10)


@define(kw_only=True)
class OpenGradientSession:
    """One deployment and one session with it, truthful as built.

    Attributes:
        keys: of the test world.
        at: when the session took place, aware.
        nonce: the caller's challenge, 32 bytes; the enclave is asked with the first 20.
        model_name: what the caller asked for.
        url: base URL of the enclave.
        signing: the key that signs answers.
        ohttp: the key that requests are encrypted to.
        tls: the enclave's own certificate.
        enclave: makes the documents; its knobs are `NitroEnclave`'s. The nonce in it is replaced by that of a request,
            unless ``attested_nonce`` is given.
        record: what the contract holds of the enclave; all nodes tell of this very object unless told otherwise.
        nodes: the nodes that are asked.
        attested_nonce: the nonce of every document, whatever was asked.
        key_changes: members of the answer about the signing key that are added, replaced, or (...) taken out.
        hpke_changes: the same for its member ``hpke``; they are not signed.
        hpke_signer: another key that signs the key configuration.
        chat_changes: options of `signed_body` and `signed_frames` for every chat.
        billing: what stands in front of the final chunk of a stream.
    """

    keys: KeyRing
    at: datetime
    nonce: bytes
    model_name: str
    url: str
    signing: RsaTestKey
    ohttp: OhttpServer
    tls: Issued
    enclave: NitroEnclave
    record: RegistryRecord
    nodes: list[ChainNode]
    attested_nonce: bytes | None = None
    key_changes: dict[str, Any] = field(factory=dict)
    hpke_changes: dict[str, Any] = field(factory=dict)
    hpke_signer: RsaTestKey | None = None
    chat_changes: dict[str, Any] = field(factory=dict)
    billing: bytes = b""

    @classmethod
    def build(
        cls,
        *,
        nodes: int = 2,
        nonce: bytes | None = None,
        at: datetime = RECORDED_AT,
        seed: str = DEFAULT_SEED,
        model: str = GATEWAY_MODEL,
        url: str = ENCLAVE_URL,
        boot: str = "signing",
    ) -> OpenGradientSession:
        """Set up a truthful session.

        Args:
            nodes: how many nodes there are, up to four.
            nonce: the challenge, 32 bytes.
            at: when the session takes place.
            seed: of all keys; the shipped roots belong to the default.
            model: what the caller asks for.
            url: base URL of the enclave.
            boot: names the keys of this start of the enclave; every start has new ones ("signing", "other", ...).
        """
        keys = KeyRing(seed)
        signing, ohttp = rsa_key(keys, f"opengradient/{boot}"), OhttpServer(private=keys.material(f"ohttp/{boot}", 32))
        tls = _own_certificate(keys, at)
        enclave = NitroEnclave(keys=keys, at=at, nonce=None, tls_certificate=tls.der, signing_key=signing.spki)
        seconds = int(at.timestamp())
        record = RegistryRecord(
            tee_id=keccak_256(signing.spki),
            endpoint=url.encode(),
            signing_key=signing.spki,
            tls_certificate=tls.der,
            pcr_hash=keccak_256(b"".join(enclave.pcrs[index] for index in (0, 1, 2))),
            registered_at=seconds - 86400,
            last_heartbeat_at=seconds - 600,
            ohttp=(ohttp.key_id, 0x20, 1, 3, ohttp.public, ohttp.key_config, seconds - 86399),
        )
        return cls(
            keys=keys,
            at=at,
            nonce=nonce or keys.material("opengradient/nonce", 32),
            model_name=model,
            url=url,
            signing=signing,
            ohttp=ohttp,
            tls=tls,
            enclave=enclave,
            record=record,
            nodes=[ChainNode(url=place, block_time=seconds - 3, records=[record]) for place in NODE_URLS[:nodes]],
        )

    @property
    def tee_id(self) -> bytes:
        """The enclave's id, 32 bytes."""
        return keccak_256(self.signing.spki)

    @property
    def node_urls(self) -> tuple[str, ...]:
        """What a verifier is given as ``nodes``."""
        return tuple(node.url for node in self.nodes)

    # --- the enclave --------------------------------------------------------------------------------------------------

    def document(self, nonce: bytes | None = None) -> bytes:
        """The body of an attestation answer for 20 bytes, those of this session by default."""
        asked = self.nonce[:20] if nonce is None else nonce
        return evolve(self.enclave, nonce=self.attested_nonce or asked).served()

    def config_hash(self) -> bytes:
        """What is signed so that the key which requests are encrypted to counts."""
        numbers = b"".join(number.to_bytes(32, "big") for number in (self.ohttp.key_id, 0x20, 1, 3))
        return keccak_256(
            keccak_256(_CONFIG_DOMAIN)
            + self.tee_id
            + numbers
            + keccak_256(self.ohttp.public)
            + keccak_256(self.ohttp.key_config)
        )

    def hpke(self) -> dict[str, Any]:
        """The signed key configuration, as ``/v1/ohttp/config`` and ``/signing-key`` show it."""
        signed = self.config_hash()
        truthful = {
            "key_id": self.ohttp.key_id,
            "kem_id": 0x20,
            "kdf_id": 1,
            "aead_id": 3,
            "public_key": self.ohttp.public.hex(),
            "key_config": base64.b64encode(self.ohttp.key_config).decode(),
            "tee_id": f"0x{self.tee_id.hex()}",
            "signature": base64.b64encode((self.hpke_signer or self.signing).sign(signed)).decode(),
            "signature_hash": f"0x{signed.hex()}",
        }
        return _changed(truthful, self.hpke_changes)

    def signing_key(self) -> bytes:
        """The body of ``GET /signing-key``."""
        truthful = {
            "public_key": self.signing.pem,
            "tee_id": f"0x{self.tee_id.hex()}",
            "wallet_address": f"0x{'33' * 20}",
            "hpke": self.hpke(),
            "timestamp": timestamp(self.at),
            "enclave_info": {"platform": "aws-nitro", "instance_type": "tee-enabled", "version": "1.0.0"},
            "measurements": None,
        }
        return compact(_changed(truthful, self.key_changes))

    def chat(self, wire: bytes, **options: Any) -> bytes:
        """The signed plaintext that answers a wire request: a body, or the events of a stream.

        ``options`` are those of `signed_body` and `signed_frames`.
        """
        given = {**self.chat_changes, **options}
        key, at = given.pop("key", self.signing), given.pop("at", int(self.at.timestamp()))
        if json.loads(wire).get("stream") is True:
            given.pop("chat_id", None)
            return b"".join(signed_frames(wire, key, at, **given))
        return signed_body(wire, key, at, **given)

    def relayed(self, sealed: bytes, **options: Any) -> Answer:
        """What the relay hands back for a sealed request; ``options`` as in `chat`.

        Raises:
            ValueError, cryptography.exceptions.InvalidTag: it is not sealed to the enclave's key.
        """
        opened = self.ohttp.open(sealed)
        answer = self.chat(opened.plaintext, **options)
        if json.loads(opened.plaintext).get("stream") is not True:
            return Answer(200, {"Content-Type": "message/ohttp-res"}, opened.seal(answer))
        events = [event + b"\n\n" for event in answer.split(b"\n\n") if event]
        body = opened.seal_chunks(events, billing=self.billing)
        return Answer(200, {"Content-Type": "message/ohttp-chunked-res"}, body)

    # --- every request ------------------------------------------------------------------------------------------------

    def answer(self, method: str, url: str, body: bytes | None = None) -> Answer:
        """The answer to any request of a session or chat; status 404 where nobody would answer."""
        parts = urlsplit(url)
        for node in self.nodes:
            if (method, url) == ("POST", node.url):
                return Answer(200, _JSON, node.answer(body or b""))
        if (method, url) == ("POST", RELAY_URL):
            return self.relayed(body or b"")
        if method == "GET" and f"{parts.scheme}://{parts.netloc}" == self.url:
            if parts.path == "/enclave/attestation":
                nonce = bytes.fromhex(parse_qs(parts.query)["nonce"][0])
                return Answer(200, {"Content-Type": "text/plain"}, self.document(nonce))
            if parts.path == "/signing-key":
                return Answer(200, _JSON, self.signing_key())
            if parts.path == "/v1/ohttp/config":
                return Answer(200, _JSON, compact(self.hpke()))
        return Answer(404, _JSON, b'{"detail":"Not Found"}')

    def saved(
        self, level: str = "attested", *, nodes: bool = True, chat: tuple[bytes, bytes] | None = None
    ) -> Document:
        """The saved report of a session at a level ("attested", "registry+pcr" or "registry").

        Args:
            level: what the session was to reach; only "attested" asks the enclave itself.
            nodes: whether the nodes were asked, which at level "attested" they need not be.
            chat: request and response in plaintext, to be judged along with the session.
        """
        single = None if level == "attested" else self.record.tee_id
        calls = session_calls(self.nodes, single) if nodes or single is not None else []
        asked: list[tuple[str, str, bytes | None]] = [("POST", url, body) for url, body in calls]
        if level == "attested":
            asked += [
                ("GET", f"{self.url}/enclave/attestation?nonce={self.nonce[:20].hex()}", None),
                ("GET", f"{self.url}/signing-key", None),
            ]
        document = saved_report(
            provider="opengradient",
            model=self.model_name,
            nonce=self.nonce,
            recorded_at=self.at,
            exchanges=[
                exchange(method, url, self.answer(method, url, body), request_body=body) for method, url, body in asked
            ],
        )
        if chat is not None:
            document["exchange"] = {
                "request_body": base64.b64encode(chat[0]).decode(),
                "response_body": base64.b64encode(chat[1]).decode(),
            }
        return document


def _changed(members: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {member: value for member, value in {**members, **changes}.items() if value is not ...}


def _own_certificate(keys: KeyRing, at: datetime) -> Issued:
    """What nitriding makes for itself: nobody vouches for it, and it names no address."""
    return issue(
        subject=name(("O", "AWS Nitro enclave application")),
        issuer=None,
        key=keys.p256("opengradient/tls"),
        serial=keys.serial("opengradient/tls"),
        not_before=at - _FROM,
        not_after=at - _FROM + timedelta(days=356),
        extensions=[basic_constraints(False), key_usage(sign=True)],
    )
