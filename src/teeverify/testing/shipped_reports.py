"""The saved reports and policies that `fixtures/` ships of fronts, of proxies before Chutes, and of ACI services.

Each provider has a truthful report for each shape and a few false ones, small: one GPU, one instance, no copies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

from attrs import frozen

from .aci import AciSession, aci_policy
from .chain import ChainSession
from .chain_policy import chain_policy
from .defects.model import INCONCLUSIVE, REJECTED, VERIFIED
from .front import FrontSession, front_policy
from .keys import spki
from .recording import Document

__all__ = ["ShippedReport", "shipped_policies", "shipped_reports"]

_REDPILL: Final = "api.redpill.ai"


@frozen(kw_only=True)
class ShippedReport:
    """One row of the manifest.

    Attributes:
        provider: whose report it is, which is also the directory of its files.
        name: of the report's file, without suffix.
        policy: of the policy's file, without suffix.
        document: the saved report.
        expected: the outcome.
        checks: of these at least one must decide; none where the outcome is VERIFIED.
        description: one line.
    """

    provider: str
    name: str
    policy: str
    document: Document
    expected: str
    checks: tuple[str, ...]
    description: str


def shipped_policies() -> dict[str, str]:
    """TOML texts by ``provider/name``; each pins what the truthful report of that name shows."""
    return {
        "vllm-proxy/good": front_policy(_front("vllm-proxy", tls_bound=True)),
        "phala/dstack": front_policy(_front("phala")),
        "phala/aci": aci_policy(_redpills_gateway()).replace('provider = "aci"', 'provider = "phala"', 1),
        "nanogpt/good": front_policy(_front("nanogpt")),
        "venice/good": front_policy(_front("venice")),
        "chutes-chain/passthrough": chain_policy(_chain("passthrough")),
        "chutes-chain/receipt": chain_policy(_chain("proxy")),
        "aci/good": aci_policy(AciSession.build()),
    }


def shipped_reports() -> Iterator[ShippedReport]:
    """All rows, provider by provider; a report that stands in several rows is judged under several policies."""
    yield from _proxies()
    yield from _redpill()
    yield from _passed_on()
    yield from _chains()
    yield from _services()


def _proxies() -> Iterator[ShippedReport]:
    row = partial(_row, "vllm-proxy", "good")
    session = _front("vllm-proxy", tls_bound=True)
    yield row("good", session.saved(), "A proxy that was asked for the form with its TLS key.")
    padded = _front("vllm-proxy").report()
    text = "It was asked for the form with its TLS key, and answers in the other one."
    yield row("form-downgraded", session.saved(padded), text, "evidence.complete", "binding.report_data")
    session.peer_spki = spki(session.machines.keys.p256("tls/stranger"))
    text = "A genuine report that came over somebody else's connection."
    yield row("connection-of-a-stranger", session.saved(), text, "channel.tls_spki")


def _redpill() -> Iterator[ShippedReport]:
    dstack, aci = partial(_row, "phala", "dstack"), partial(_row, "phala", "aci")
    good = _front("phala").saved()
    yield dstack("dstack", good, "One machine of Phala's, with one GPU.")
    text = "A genuine machine in the place of the gateway that the policy pins."
    yield aci("dstack", good, text, "policy.shape", "policy.pinned")
    session = _front("phala")
    model = session.machines.model
    model.reboot(image=model.boot.image.with_other_command_line())
    text = "A development image: other RTMR2, all else the same."
    yield dstack("development-image", session.saved(), text, "pin.base_image")
    service = _redpills_gateway()
    yield aci("aci", _at_redpill(service), "RedPill's own gateway, with the keys that its quote binds.")
    service.attested_keyset = {**service.keyset(), "e2ee_public_keys": []}
    text = "A key for prompts that the quote does not bind."
    yield aci("aci-other-keyset", _at_redpill(service), text, "aci.keyset", "binding.report_data")


def _passed_on() -> Iterator[ShippedReport]:
    row = partial(_row, "nanogpt", "good")
    yield row("good", _front("nanogpt").saved(), "One machine behind NanoGPT, with one GPU.")
    stale = _front("nanogpt", server_nonce=bytes(range(1, 33)))
    text = "The front asked with a nonce of its own, as NanoGPT did until March 2026."
    yield row("nonce-of-the-server", stale.saved(), text, "freshness.nonce_bound")
    row = partial(_row, "venice", "good")
    yield row("good", _front("venice").saved(), "One machine of NEAR's behind Venice, with its compose-manager.")
    forged = _front("venice")
    forged.machines.model.quote_changes.update(signature=bytes(range(1, 65)))
    text = "A forged quote, which the front says it has verified."
    yield row("forged-and-praised", forged.saved(), text, "tdx.quote_signature")


def _chains() -> Iterator[ShippedReport]:
    both, receipt = partial(_row, "chutes-chain", "passthrough"), partial(_row, "chutes-chain", "receipt")
    session = _chain("passthrough")
    yield both("passthrough", _plain(session), "A proxy, and the instance behind it with its own evidence.")
    session.signer = session.proxy.signing.derive(session.keys, "signing/stranger", session.algorithm)
    text = "Somebody else's key says that the instance is the one behind the proxy."
    yield both("signed-by-a-stranger", _plain(session), text, "receipt.signature")
    claimed = _plain(_chain("proxy"))
    yield receipt("receipt", claimed, "A proxy's word that it verified the instance, which the policy takes.")
    text = "The same word under a policy that wants the evidence itself."
    yield both("receipt", claimed, text, "receipt.delegation", expected=INCONCLUSIVE)


def _services() -> Iterator[ShippedReport]:
    row = partial(_row, "aci", "good")
    yield row("good", AciSession.build().saved(), "A gateway that serves confidential inference by itself.")
    session = AciSession.build()
    session.attested_nonce = None
    text = "The form without a nonce: it may be of any age."
    yield row("no-nonce", session.saved(), text, "freshness.nonce_bound", "binding.report_data")
    session = AciSession.build()
    session.custody.root_label = "kms/stranger"
    text = "A key service that is not pinned vouches for the key of the receipts."
    yield row("custody-of-a-stranger", session.saved(), text, "aci.custody")


def _row(
    provider: str, policy: str, name: str, document: Document, description: str, *checks: str, expected: str = ""
) -> ShippedReport:
    return ShippedReport(
        provider=provider,
        name=name,
        policy=policy,
        document=document,
        expected=expected or (REJECTED if checks else VERIFIED),
        checks=checks,
        description=description,
    )


def _front(provider: str, **options: Any) -> FrontSession:
    session = FrontSession.build(provider, **options)
    session.copies = False
    session.machines.request_bodies = False
    session.machines.nras.spare_keys = 0
    return session


def _chain(mode: str) -> ChainSession:
    session = ChainSession.build(mode=mode, instances=1, proxy_gpus=0)
    session.nras.spare_keys = session.behind.nras.spare_keys = 0
    return session


def _plain(session: ChainSession) -> Document:
    """The saved report without the proxy's copy of itself."""
    document = session.document()
    del document["proxy"]["attestation"]["all_attestations"]
    return session.saved(document)


def _redpills_gateway() -> AciSession:
    service = AciSession.build()
    key = {"spki_sha256": service.gateway.fingerprint.hex(), "domain": _REDPILL}
    service.keyset_changes["tls_public_keys"] = [key]
    return service


def _at_redpill(service: AciSession) -> Document:
    """An ACI report as RedPill serves it, asked for as every other report of RedPill's."""
    front = FrontSession.build("phala", nonce=service.nonce)
    document = service.saved()
    asked: Mapping[str, Any] = document["exchanges"][0]
    request = {**asked["request"], "url": front.report_url}
    exchanges = [{**asked, "request": request}, *document["exchanges"][1:]]
    return {**document, "provider": "phala", "model": front.model_name, "exchanges": exchanges}
