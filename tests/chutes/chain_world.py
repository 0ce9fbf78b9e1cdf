"""Simulated sessions with a proxy before Chutes: judging them, and a proxy without sockets that answers out of them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from teeverify.flow import Request, Response
from teeverify.policy import Policy
from teeverify.providers.chutes_chain import ChutesChainVerifier
from teeverify.saved import SavedReport
from teeverify.testing import ChainSession, chain_policy, trust_roots
from teeverify.testing.chain import BASE_URL
from teeverify.testing.chain_report import canonical, sign
from teeverify.testing.chutes_world import MODEL, RECORDED_AT
from teeverify.testing.recording import compact
from teeverify.testing.signing import SigningKey
from teeverify.transport import ReplayTransport
from teeverify.verdict import AttestationVerdict, Outcome, Status

__all__ = [
    "BASE_URL", "MALFORMED", "MODEL", "MODES", "OTHER", "RECORDED_AT", "Proxy", "build", "causes", "document_of",
    "holder", "judge", "judge_document", "judge_session", "policy", "refused", "replay", "resigned", "saved_with",
    "stranger", "truthful", "verifier",
]  # fmt: skip

MODES: Final = ("passthrough", "proxy")
OTHER: Final = bytes(range(100, 132))
MALFORMED: Final = ("evidence.wellformed", "malformed")
ROOTS: Final = trust_roots()


def build(**options: Any) -> ChainSession:
    """A session to be spoiled: small and quick, unless told otherwise."""
    return ChainSession.build(**{"instances": 1, "proxy_gpus": 0, "algorithm": "ed25519", **options})


@cache
def truthful(mode: str = "passthrough", algorithm: str = "ed25519", instances: int = 1) -> ChainSession:
    """A session that is shared, and that nobody may spoil."""
    return build(mode=mode, algorithm=algorithm, instances=instances)


@cache
def _texts(mode: str, algorithm: str, instances: int) -> tuple[str, str]:
    """Its document and its saved report, as JSON."""
    session = truthful(mode, algorithm, instances)
    document = session.document()
    return json.dumps(document), json.dumps(session.saved(document))


def document_of(mode: str = "passthrough", algorithm: str = "ed25519", instances: int = 1) -> dict[str, Any]:
    """The truthful document, to be edited."""
    document: dict[str, Any] = json.loads(_texts(mode, algorithm, instances)[0])
    return document


def saved_with(body: Any, mode: str = "passthrough", algorithm: str = "ed25519", instances: int = 1) -> dict[str, Any]:
    """The truthful saved report with another document, or with body bytes, in place of its own."""
    saved: dict[str, Any] = json.loads(_texts(mode, algorithm, instances)[1])
    data = body if isinstance(body, bytes) else compact(body)
    saved["exchanges"][0]["response"]["body"] = base64.b64encode(data).decode()
    return saved


@cache
def policy(mode: str = "all", *, nras: str = "required", instances: int = 2, more: str = "") -> Policy:
    """The strict policy of sessions that nobody spoiled; ``mode`` is that of the instances."""
    return Policy.from_toml(chain_policy(build(instances=instances), mode=mode, nras=nras) + more)


def verifier(rules: Policy, **options: Any) -> ChutesChainVerifier:
    return ChutesChainVerifier(rules, roots=ROOTS, clock=lambda: RECORDED_AT, **options)


def judge(saved: dict[str, Any], rules: Policy | None = None, *, at: datetime | None = None) -> AttestationVerdict:
    """The verdict on a saved report; under the policy that suits the mode that was asked for, unless given."""
    url = saved["exchanges"][0]["request"]["url"] if saved["exchanges"] else ""
    fitting = policy("delegated" if "verify_mode=proxy" in url else "all")
    report = SavedReport.from_bytes(json.dumps(saved).encode())
    return verifier(rules or fitting).verify_saved(report, at=at)


def judge_session(session: ChainSession, rules: Policy | None = None) -> AttestationVerdict:
    return judge(session.saved(), rules)


def judge_document(
    edit: Callable[[Any], Any],
    mode: str = "passthrough",
    algorithm: str = "ed25519",
    instances: int = 1,
    *,
    rules: Policy | None = None,
) -> AttestationVerdict:
    """The verdict on the truthful document after an edit in place."""
    document = document_of(mode, algorithm, instances)
    edit(document)
    return judge(saved_with(document, mode, algorithm, instances), rules)


def holder(document: dict[str, Any]) -> dict[str, Any]:
    """The statement of a document, whichever it is."""
    found = document.get("verification_receipt") or document["binding_proof"]
    assert isinstance(found, dict)
    return found


def stranger(session: ChainSession) -> SigningKey:
    """A key that no quote names."""
    return SigningKey.derive(session.keys, "stranger", session.algorithm)


def refused(verdict: AttestationVerdict, *expected: tuple[str, str]) -> None:
    """REJECTED, by at least these checks with these reasons, and no key is attested."""
    assert verdict.outcome is Outcome.REJECTED, verdict.conclusion
    assert set(expected) <= causes(verdict), causes(verdict)
    assert not any(one.attested_keys for one in verdict.subjects)


def resigned(document: dict[str, Any], session: ChainSession, **changes: Any) -> None:
    """Change members of the signed payload, and have the proxy sign it again; ... leaves one out."""
    statement = holder(document)
    payload = {name: value for name, value in {**statement["payload"], **changes}.items() if value is not ...}
    statement["payload"] = payload
    statement["signature"] = sign(canonical(payload), session.signer, session.algorithm)


def causes(verdict: AttestationVerdict, subject: str = "") -> set[tuple[str, str]]:
    """Check and reason of all that keeps subjects from being VERIFIED, without what merely waits for other checks."""
    found = {
        (check.id, check.reason)
        for judged in verdict.subjects
        if judged.id.startswith(subject)
        for check in judged.checks
        if check.status in (Status.FAIL, Status.UNEVALUATED)
    }
    return {cause for cause in found if not cause[1].startswith("prerequisite_")}


def replay(session: ChainSession) -> ReplayTransport:
    return ReplayTransport(SavedReport.from_bytes(json.dumps(session.saved()).encode()))


class Proxy:
    """Answers like the proxy, Intel and NVIDIA, out of a new session for each nonce that is asked with.

    ``spoil`` may change the session first. ``answers`` overrides single answers by a part of the URL.
    """

    concurrent = False

    def __init__(self, spoil: Callable[[ChainSession], object] = lambda session: None, **options: Any) -> None:
        self.spoil, self.options = spoil, options
        self.answers: dict[str, Response | Exception] = {}
        self.asked: list[Request] = []
        self._replay: ReplayTransport | None = None

    def send(self, request: Request) -> Response:
        self.asked.append(request)
        for part, answer in self.answers.items():
            if part in request.url:
                if isinstance(answer, Exception):
                    raise answer
                return answer
        parts = urlsplit(request.url)
        if parts.path.endswith("/attestation/chain"):
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            session = ChainSession.build(
                nonce=bytes.fromhex(query["nonce"]),
                mode=query["verify_mode"],
                algorithm=query["signing_algo"],
                model=query["model"],
                **{"instances": 1, **self.options},
            )
            self.spoil(session)
            self._replay = replay(session)
        assert self._replay is not None
        return self._replay.send(request)
