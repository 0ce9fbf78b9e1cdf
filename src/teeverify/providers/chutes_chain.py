"""Chutes behind a vllm-proxy in a TD of its own: the chain API, with the instances' evidence or with a receipt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import attrs
from attrs import frozen

from ..claims.problem import Problem, ProblemKind
from ..claims.receipt import ReceiptClaims
from ..claims.subject import Subject
from ..endorsements.answers import good_answer
from ..errors import ConfigurationError, FormatError
from ..flow import Flow, Request, Response, run, together
from ..formats.strict_json import JsonValue
from ..limits import MAX_REPORT_BODY
from ..policy import Policy
from ..roots import TrustRoots
from ..saved import SavedReport
from ..transport import ReplayTransport
from ..verdict import SubjectVerdict
from ..verifier import Derive, Verifier
from .chutes import INSTANCE_CHECKS, INSTANCE_GAPS, instances_in_words
from .chutes_chain_claims import derive_receipt
from .chutes_chain_wire import (
    ChainAsked,
    asks_for_chain,
    chain_asked,
    chain_base,
    chain_url,
    proxy_records,
    section,
)
from .chutes_claims import ChutesSession
from .chutes_claims import derive_subjects as derive_instances
from .chutes_flow import endorsed
from .chutes_gateway import is_wrapped, read_wrapped
from .chutes_wire import ChutesAsked, ChutesRecord, is_chute_id
from .front_wire import base_url, origin_of
from .report_checks import GPU_CHECKS, RECORD_CHECKS, SIGNING_CHECKS
from .report_claims import ReportSession
from .report_claims import derive_subjects as derive_proxy
from .report_flow import collected, uncollected
from .report_records import read_report

__all__ = ["ChutesChainVerifier"]

_RECEIPT: Final = ("receipt.signature", "receipt.binding", "receipt.consistency", "receipt.delegation")
_GATEWAY: Final = ("gateway",)
_IF_SHOWN: Final = tuple(check for check in GPU_CHECKS if check != "gpu.present")
"""A proxy that only relays needs no GPUs; those that it shows are judged."""
_PROXY: Final = (*RECORD_CHECKS, *SIGNING_CHECKS, *_IF_SHOWN, *_RECEIPT)
_GAPS: Final = (
    "The proxy is attested, the way from it to the instance that will serve a prompt is not: its chat route sends "
    "plaintext to Chutes' gateway.",
    *INSTANCE_GAPS,
)
_RECEIPT_GAPS: Final = (
    "A receipt is a statement by the proxy's code. Nothing about an instance was seen or checked here, and no key of "
    "one is attested.",
    "A known revision of that code reads the TCB status from what Chutes says, and skips GPUs where Chutes shows none.",
    "No known revision compares the instances' registers with anything, or says which instances it left out.",
    *_GAPS,
)


@frozen(kw_only=True)
class _Chain:
    """The two halves of a chain session; ``instances`` is None where a receipt stands for them."""

    proxy: ReportSession
    instances: ChutesSession | None
    receipt: ReceiptClaims | None


class ChutesChainVerifier(Verifier):
    """Judges a vllm-proxy (role gateway) and what it shows of Chutes' instances behind it.

    Args:
        policy: what the caller demands; it pins the proxy as role gateway and, for passthrough, role instance.
        url: the proxy's base URL, such as ``https://my-cvm.example/v1``; needed for live use only.
        mode: ``passthrough`` (the instances' own evidence, judged here) or ``proxy`` (a receipt, which the policy has
            to accept with ``[instances] mode = "delegated"``).
        algorithm: of the proxy's signing key, ``ecdsa`` or ``ed25519``.
        **options: see `Verifier`.

    Raises:
        ConfigurationError: an argument is not one of these, or the policy is for another provider.
    """

    provider = "chutes-chain"
    applicable: Mapping[str, tuple[str, ...]] = {
        **INSTANCE_CHECKS,
        **{check: (*_GATEWAY, *INSTANCE_CHECKS.get(check, ())) for check in _PROXY},
    }

    def __init__(
        self,
        policy: Policy,
        *,
        url: str | None = None,
        mode: str = "passthrough",
        algorithm: str = "ecdsa",
        **options: Any,
    ) -> None:
        super().__init__(policy, **options)
        if mode not in ("passthrough", "proxy") or algorithm not in ("ecdsa", "ed25519"):
            raise ConfigurationError(f"mode {mode[:40]!r} with algorithm {algorithm[:40]!r} is not known")
        self._base = None if url is None else base_url(url)
        self._mode, self._algorithm = mode, algorithm
        self.origin = "" if self._base is None else origin_of(self._base)
        self.asked_form = f"{mode}, {algorithm}, {self._base or ''}"

    def session_flow(self, model: str, nonce: bytes) -> Flow[Derive]:
        """See `Verifier.session_flow`."""
        if self._base is None:
            raise ConfigurationError("the proxy's base URL is not known: pass url")
        asked = chain_asked(chain_url(self._base, model=model, nonce=nonce, algorithm=self._algorithm, mode=self._mode))
        headers = {} if self._api_key is None else {"Authorization": f"Bearer {self._api_key}"}
        chain = yield from _session_flow(
            asked, nonce=nonce, model=model, with_nras=self.policy.gpu.nras != "ignore", headers=headers
        )
        return lambda at: _derive(chain, roots=self.roots, at=at, recorded_at=None, wall_clock=at)

    def _recorded_base(self, report: SavedReport) -> str | None:
        asked = _recorded_request(report)
        return None if isinstance(asked, Problem) else chain_base(asked.url)

    @classmethod
    def subjects_of_saved(
        cls, report: SavedReport, *, roots: TrustRoots, at: datetime, wall_clock: datetime, with_nras: bool = True
    ) -> tuple[Subject, ...]:
        """The proxy and, in passthrough, the instances of a saved session."""
        nonce, model = report.nonce, report.model
        asked = _recorded_request(report)
        if isinstance(asked, Problem):
            chain = _unusable(asked, nonce=nonce, model=model)
        else:
            flow = _session_flow(asked, nonce=nonce, model=model, with_nras=with_nras, headers={})
            chain = run(flow, ReplayTransport(report))
        return _derive(chain, roots=roots, at=at, recorded_at=report.recorded_at, wall_clock=wall_clock)

    def _boundary(self, judged: Sequence[SubjectVerdict]) -> tuple[str, tuple[str, ...]]:
        instances = [verdict for verdict in judged if verdict.role == "instance"]
        proxy = [verdict for verdict in judged if verdict.role != "instance"]
        good = bool(proxy) and all(verdict.verified for verdict in proxy)
        who = "An attested proxy" if good else "A proxy that is not attested"
        if instances:
            return f"{who} handed on the evidence of Chutes' instances. {instances_in_words(instances)}.", _GAPS
        if not any(verdict.holds("receipt.delegation") for verdict in proxy):
            return f"{who} showed no evidence of Chutes' instances.", _GAPS
        words = f"Delegated verification: {who[0].lower()}{who[1:]} says that it verified Chutes' instances."
        return words, _RECEIPT_GAPS


def _recorded_request(report: SavedReport) -> ChainAsked | Problem:
    urls = {e.request.url for e in report.exchanges if e.request.method == "GET" and asks_for_chain(e.request.url)}
    if len(urls) != 1 or len(report.good_answers(asks_for_chain)) > 1:
        detail = f"the saved report holds {len(urls)} chain requests, exactly one with one answer was expected"
        kind = ProblemKind.MALFORMED if urls else ProblemKind.UNAVAILABLE
        return Problem(kind=kind, code="report_ambiguous", detail=detail, where="request")
    try:
        return chain_asked(urls.pop())
    except FormatError as error:
        return Problem(kind=ProblemKind.MALFORMED, code=error.code, detail=str(error), where="request")


def _session_flow(
    asked: ChainAsked, *, nonce: bytes, model: str, with_nras: bool, headers: Mapping[str, str]
) -> Flow[_Chain]:
    request = Request(
        method="GET", url=asked.url, headers={"Accept": "application/json", **headers}, limit=MAX_REPORT_BODY
    )
    (answer,) = yield (request,)
    report = good_answer(answer, what="the chain document", where="report")
    document = report if isinstance(report, Problem) else read_report(report.body)
    proxy = _proxy_flow(asked, report, document, nonce=nonce, model=model, with_nras=with_nras)
    if isinstance(document, Problem):
        return _Chain(proxy=(yield from proxy), instances=None, receipt=None)
    receipt = derive_receipt(document, asked, str(asked.algorithm), model=model)
    if asked.mode == "proxy":
        return _Chain(proxy=(yield from proxy), instances=None, receipt=receipt)
    behind = _instances_flow(asked, document, nonce=nonce, model=model, with_nras=with_nras)
    gateway, instances = yield from together(proxy, behind)
    return _Chain(proxy=gateway, instances=instances, receipt=receipt)


def _proxy_flow(
    asked: ChainAsked,
    report: Response | Problem,
    document: Mapping[str, JsonValue] | Problem,
    *,
    nonce: bytes,
    model: str,
    with_nras: bool,
) -> Flow[ReportSession]:
    records = proxy_records(document, asked, model)
    return collected(asked, report, records, provider="chutes-chain", nonce=nonce, model=model, with_nras=with_nras)


def _instances_flow(
    asked: ChainAsked, document: Mapping[str, JsonValue], *, nonce: bytes, model: str, with_nras: bool
) -> Flow[ChutesSession]:
    evidence = section(document, "upstream", "attestation")
    shown = evidence if isinstance(evidence, dict) else {}
    chute = shown.get("chute_id")
    records = tuple(_with_certificate(record) for record in read_wrapped(shown))
    if shown and not (is_wrapped(shown) and isinstance(chute, str) and is_chute_id(chute)):
        problem = Problem(
            kind=ProblemKind.MALFORMED,
            code="upstream_shape",
            detail="the evidence that was handed on does not name itself as that of one chute",
            where="report",
        )
        records = tuple(attrs.evolve(record, problems=(*record.problems, problem)) for record in records)
    inner = ChutesAsked(chute=chute if isinstance(chute, str) else "", nonce=asked.nonce)
    return endorsed(inner, records, nonce=nonce, model=model, with_nras=with_nras)


def _with_certificate(record: ChutesRecord) -> ChutesRecord:
    """Other gateways drop the certificate; this proxy hands it on, and an entry without it is not whole."""
    if not record.members or record.members.get("certificate") is not None:
        return record
    problem = Problem(
        kind=ProblemKind.ABSENT, code="member_missing", detail="certificate is missing", where="certificate"
    )
    return attrs.evolve(record, problems=(*record.problems, problem))


def _unusable(problem: Problem, *, nonce: bytes, model: str) -> _Chain:
    asked = ChainAsked(
        url="",
        origin="",
        nonce=nonce,
        algorithm="ecdsa",
        tls_bound=False,
        channel_role=None,
        model=model,
        mode="passthrough",
    )
    records = proxy_records(problem, asked, model)
    proxy = uncollected(problem, asked, records, provider="chutes-chain", nonce=nonce, model=model)
    return _Chain(proxy=proxy, instances=None, receipt=None)


def _derive(
    chain: _Chain, *, roots: TrustRoots, at: datetime, recorded_at: datetime | None, wall_clock: datetime
) -> tuple[Subject, ...]:
    proxy = derive_proxy(chain.proxy, roots=roots, at=at, recorded_at=recorded_at, wall_clock=wall_clock)
    first = attrs.evolve(proxy[0], receipt=chain.receipt)
    if chain.instances is None:
        return (first, *proxy[1:])
    instances = derive_instances(chain.instances, roots=roots, at=at, recorded_at=recorded_at, wall_clock=wall_clock)
    return (first, *proxy[1:], *instances)
