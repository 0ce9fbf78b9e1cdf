"""Sessions with fronts, captured and simulated: judging them, spoiling them, and a front without sockets."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Callable
from typing import Any, Final

import attrs

from captures import capture_path, policy_path
from teeverify.policy import Policy
from teeverify.providers.fronts import FrontVerifier
from teeverify.registry import verifier_for
from teeverify.saved import SavedReport
from teeverify.testing import FrontSession, FrontTransport, front_policy, trust_roots
from teeverify.testing.front import FRONT_URLS
from teeverify.testing.near_world import RECORDED_AT
from teeverify.verdict import AttestationVerdict

__all__ = [
    "AT", "CHUTES", "FORMS", "NANOGPT", "REPORT", "ROOTS", "VENICE", "Front", "altered", "body_of", "capture",
    "deciding", "judge", "judge_capture", "kind_of", "policy", "policy_of", "renamed", "saved", "strip_world",
]  # fmt: skip

AT: Final = RECORDED_AT
ROOTS: Final = trust_roots()
NANOGPT, VENICE, CHUTES = "nanogpt-phala-2026-06-10", "venice-2026-06-10", "redpill-chutes-2026-06-10"
REPORT: Final = "/attestation"
"""In the URL of every front's report, and in no other."""
FORMS: Final[tuple[tuple[str, str, dict[str, Any]], ...]] = (
    ("phala", "dstack", {}),
    ("phala", "dstack", {"algorithm": "ed25519"}),
    ("phala", "near", {}),
    ("phala", "near", {"algorithm": "ed25519"}),
    ("phala", "chutes", {}),
    ("vllm-proxy", "dstack", {}),
    ("vllm-proxy", "dstack", {"prefixed_keys": True}),
    ("vllm-proxy", "dstack", {"algorithm": "ed25519"}),
    ("vllm-proxy", "dstack", {"tls_bound": True}),
    ("vllm-proxy", "dstack", {"tls_bound": True, "algorithm": "ed25519"}),
    ("nanogpt", "dstack", {}),
    ("nanogpt", "near", {}),
    ("nanogpt", "chutes", {}),
    ("venice", "dstack", {}),
    ("venice", "dstack", {"prefixed_keys": False}),
)
"""Provider, shape and options of every truthful session."""


def saved(document: dict[str, Any]) -> SavedReport:
    return SavedReport.from_bytes(json.dumps(document).encode())


def kind_of(provider: str) -> type[FrontVerifier]:
    kind = verifier_for(provider)
    assert issubclass(kind, FrontVerifier)
    return kind


@functools.cache
def _policy(provider: str, shape: str, options: tuple[tuple[str, Any], ...], nras: str) -> Policy:
    return Policy.from_toml(front_policy(FrontSession.build(provider, shape, **dict(options)), nras=nras))


def policy(provider: str, shape: str = "dstack", *, nras: str = "required", **options: Any) -> Policy:
    """The strict policy of a session that nobody spoiled."""
    return _policy(provider, shape, tuple(sorted(options.items())), nras)


def judge(document: dict[str, Any], rules: Policy) -> AttestationVerdict:
    return kind_of(document["provider"])(rules, roots=ROOTS, clock=lambda: AT).verify_saved(saved(document))


def deciding(verdict: AttestationVerdict) -> set[str]:
    """The checks that force the outcome, without those that merely wait for others."""
    return {
        check.id
        for subject in verdict.subjects
        for check in subject.checks
        if check.decides is verdict.outcome and not check.reason.startswith("prerequisite_")
    }


# --- captures ---------------------------------------------------------------------------------------------------------


@functools.cache
def capture(name: str) -> SavedReport:
    """A captured session, without what no verifier asks for."""
    report = SavedReport.load(capture_path(name))
    wanted = (REPORT, "trustedservices.intel.com", "nras.attestation.nvidia.com")
    kept = tuple(each for each in report.exchanges if any(part in each.request.url for part in wanted))
    return attrs.evolve(report, exchanges=kept)


@functools.cache
def policy_of(name: str) -> Policy:
    return Policy.load(policy_path(name))


def judge_capture(report: SavedReport, name: str) -> AttestationVerdict:
    return kind_of(report.provider)(policy_of(name)).verify_saved(report)


@functools.cache
def _body(name: str) -> Any:
    (exchange,) = (each for each in capture(name).exchanges if REPORT in each.request.url)
    return json.loads(exchange.response.body)


def body_of(name: str) -> Any:
    """A copy of the captured report that may be changed."""
    return copy.deepcopy(_body(name))


def altered(name: str, change: Callable[[Any], Any] | bytes, report: SavedReport | None = None) -> SavedReport:
    """A captured session whose report is changed in place, or replaced by what ``change`` returns or is."""
    if isinstance(change, bytes):
        body = change
    else:
        value = body_of(name)
        result = change(value)
        body = json.dumps(value if result is None else result, ensure_ascii=False).encode()
    return _each(
        capture(name) if report is None else report,
        lambda each: attrs.evolve(each, response=attrs.evolve(each.response, body=body)),
    )


def renamed(report: SavedReport, old: str, new: str) -> SavedReport:
    """The session with another text in the URL of its report request."""
    assert any(old in each.request.url for each in report.exchanges if REPORT in each.request.url)
    return _each(
        report,
        lambda each: attrs.evolve(each, request=attrs.evolve(each.request, url=each.request.url.replace(old, new))),
    )


def _each(report: SavedReport, change: Callable[[Any], Any]) -> SavedReport:
    exchanges = tuple(change(each) if REPORT in each.request.url else each for each in report.exchanges)
    return attrs.evolve(report, exchanges=exchanges)


def strip_world(document: dict[str, Any], part: str) -> dict[str, Any]:
    """The document without the exchanges whose URL contains a text."""
    kept = [each for each in document["exchanges"] if part not in each["request"]["url"]]
    return {**document, "exchanges": kept}


# --- live -------------------------------------------------------------------------------------------------------------


class Front(FrontTransport):
    """A front whose sessions ``spoil`` may change before their reports are made."""

    def __init__(
        self,
        provider: str,
        shape: str = "dstack",
        spoil: Callable[[FrontSession], object] = lambda _: None,
        **more: Any,
    ) -> None:
        self.spoil = spoil
        super().__init__(provider, shape, **more)

    def __enter__(self) -> Front:
        return self

    def __exit__(self, *failure: object) -> None:
        """There is nothing to close."""

    def session(self, nonce: bytes | None = None) -> FrontSession:
        session = super().session(nonce)
        self.spoil(session)
        return session

    def verifier(self, rules: Policy | None = None, **options: Any) -> FrontVerifier:
        """A verifier that asks this front as its sessions are built."""
        asked: dict[str, Any] = {
            name: self.options[name] for name in ("algorithm", "tls_bound") if name in self.options
        }
        if self.provider == "vllm-proxy":
            asked["url"] = FRONT_URLS["vllm-proxy"].removesuffix("/attestation/report")
        shown: dict[str, Any] = {
            name: value for name, value in self.options.items() if name not in ("nonce", "server_nonce")
        }
        return kind_of(self.provider)(
            rules or policy(self.provider, self.shape, **shown),
            roots=ROOTS, transport=self, clock=lambda: AT, **{**asked, **options},
        )  # fmt: skip
