"""Whole sessions with RedPill, NanoGPT, Venice or a vllm-proxy of one's own, as saved reports.

A front passes on the report of whoever serves the model. What stands behind it is a `NearSession` (one machine, or a
gateway with a machine) or a `ChutesSession` whose knobs make it lie; the front's own knobs are here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from attrs import define, evolve

from . import chutes_report, front_report, near_report
from .chutes import ChutesSession
from .chutes_policy import chutes_policy
from .keys import DEFAULT_SEED, KeyRing, spki
from .near import NearSession
from .near_policy import PolicyText, near_policy
from .near_world import MODEL, RECORDED_AT
from .recording import Answer, Document, compact, exchange, http_date

__all__ = ["FRONT_URLS", "FrontSession", "front_policy"]

FRONT_URLS: Final[Mapping[str, str]] = {
    "phala": "https://api.redpill.ai/v1/attestation/report",
    "vllm-proxy": "https://vllm-proxy.test.invalid/v1/attestation/report",
    "nanogpt": "https://nano-gpt.com/api/v1/tee/attestation",
    "venice": "https://api.venice.ai/api/v1/tee/attestation",
}
"""Where the report of each provider is asked for; the proxy's host does not exist."""
_NAMES_ALGORITHM: Final = ("phala", "vllm-proxy")


@define(kw_only=True)
class FrontSession:
    """One session with a front, truthful as built. Build it with `build`.

    Attributes:
        provider: "phala", "vllm-proxy", "nanogpt" or "venice".
        shape: of the report: "dstack", "near" or "chutes".
        model_name: the name that the client asked with; Venice and NEAR's shape have another one behind it.
        behind: the machines or instances that the report is about.
        copies: whether a dstack report repeats itself in ``all_attestations``.
        stripped: whether the outer event log lacks what the inner one has, as newer guests leave it out.
        prefixed_keys: whether ecdsa keys carry SEC 1's prefix 04.
        peer_spki: the key at the end of the client's connection; the machine's own for a vllm-proxy.
    """

    provider: str
    shape: str
    model_name: str
    behind: NearSession | ChutesSession
    copies: bool
    stripped: bool
    prefixed_keys: bool
    peer_spki: bytes

    @classmethod
    def build(
        cls,
        provider: str,
        shape: str = "dstack",
        *,
        algorithm: str = "ecdsa",
        tls_bound: bool = False,
        nonce: bytes | None = None,
        server_nonce: bytes | None = None,
        gpus: int = 1,
        instances: int = 2,
        prefixed_keys: bool | None = None,
        model: str = MODEL,
        at: datetime = RECORDED_AT,
        seed: str = DEFAULT_SEED,
    ) -> FrontSession:
        """Set up a truthful session.

        Args:
            provider: whose front it is.
            shape: of the report.
            algorithm: of the signing key, "ecdsa" or "ed25519".
            tls_bound: ask for the form of REPORTDATA that binds the TLS key (vllm-proxy).
            nonce: the client's 32 bytes.
            server_nonce: what the front asked with in its place; an honest one passes the client's nonce on.
            gpus: how many GPUs each machine has.
            instances: how many instances there are, in the shape of Chutes.
            prefixed_keys: whether ecdsa keys carry the prefix 04, as Venice's do; by default where it is Venice.
            model: the name that the client asks with.
            at: when the session took place.
            seed: of all keys; the shipped roots belong to the default.
        """
        nonce = nonce or KeyRing(seed).material(f"nonce/{provider}", 32)
        behind: NearSession | ChutesSession
        if shape == "chutes":
            behind = ChutesSession.build(
                instances=instances, gpus=gpus, nonce=nonce, at=at, seed=seed, model=model, gateway=True,
                inner_nonce=server_nonce or nonce,
            )  # fmt: skip
            peer = spki(behind.keys.p256(f"tls/{provider}"))
        else:
            behind = NearSession.build(
                cloud=shape == "near", nonce=nonce, algorithm=algorithm, tls_bound=tls_bound, gpus=gpus, copies=False,
                at=at, seed=seed,
            )  # fmt: skip
            behind.attested_nonce = server_nonce or nonce
            own = provider == "vllm-proxy"
            peer = behind.model.tls_spki if own else spki(behind.keys.p256(f"tls/{provider}"))
        return cls(
            provider=provider,
            shape=shape,
            model_name=model,
            behind=behind,
            copies=provider != "venice",
            stripped=True,
            prefixed_keys=provider == "venice" if prefixed_keys is None else prefixed_keys,
            peer_spki=peer,
        )

    @property
    def nonce(self) -> bytes:
        """What the client asked with."""
        return self.behind.nonce

    @property
    def machines(self) -> NearSession:
        """The machines behind the front, in the shapes of dstack and NEAR."""
        assert isinstance(self.behind, NearSession)
        return self.behind

    @property
    def instances(self) -> ChutesSession:
        """The instances behind the front, in the shape of Chutes."""
        assert isinstance(self.behind, ChutesSession)
        return self.behind

    @property
    def report_url(self) -> str:
        """The URL that the client asked."""
        url = f"{FRONT_URLS[self.provider]}?model={quote(self.model_name, safe='')}&nonce={self.nonce.hex()}"
        if self.provider in _NAMES_ALGORITHM:
            algorithm = "ecdsa" if self.shape == "chutes" else self.machines.algorithm
            url += f"&signing_algo={algorithm}"
        return f"{url}&version=2" if self.shape != "chutes" and self.machines.tls_bound else url

    def report(self) -> dict[str, Any]:
        """The front's JSON document; `teeverify.testing.front_report` has its parts."""
        if self.shape == "chutes":
            return chutes_report.gateway_report(self.instances)
        if self.shape == "near":
            return near_report.report(self.machines)
        return front_report.venice(self) if self.provider == "venice" else front_report.proxy(self)

    def answer(self, report: Mapping[str, Any] | bytes | None = None) -> Answer:
        """The HTTP answer that carries a report, or the truthful one."""
        report = self.report() if report is None else report
        body = report if isinstance(report, bytes) else compact(report)
        return Answer(200, {"Content-Type": "application/json", "Date": http_date(self.behind.at)}, body)

    def saved(self, report: Mapping[str, Any] | bytes | None = None) -> Document:
        """The saved report; ``report`` is an edited document, or body bytes that need not be JSON at all."""
        # Its report is none of ours, and making it takes half of the time.
        document = self.behind.saved(b"") if isinstance(self.behind, NearSession) else self.behind.saved()
        asked = exchange("GET", self.report_url, self.answer(report), peer_spki=self.peer_spki)
        document["exchanges"][0] = asked  # in every session the first one is the report, the others endorse it
        return {**document, "provider": self.provider, "model": self.model_name}


def front_policy(session: FrontSession, *, nras: str = "required", text: PolicyText | None = None) -> str:
    """The policy of a session, in the form of a policy file: it pins the roles of the session's own shape.

    Args:
        session: what to pin.
        nras: what is asked of NVIDIA's answer: "required", "when_present" or "ignore".
        text: what else varies, for the shapes of dstack and NEAR; ``nras`` and ``provider`` in it do not count.
    """
    name = f"{session.provider}-test"
    if session.shape == "chutes":
        policy = chutes_policy(session.instances, name=name, nras=nras)
        return policy.replace(f'provider = "{session.instances.provider}"', f'provider = "{session.provider}"', 1)
    machines = session.machines
    unbound = session.provider == "vllm-proxy" and not machines.tls_bound
    given = text or PolicyText(name=name, min_count=len(machines.gpus))
    changes: dict[str, Any] = {
        "nras": nras,
        "provider": session.provider,
        "compose_manager": session.shape == "near" or session.provider == "venice",
        "waive": given.waive or ([("channel.tls_spki", "model")] if unbound else ()),
    }
    return near_policy(machines, evolve(given, **changes))
