"""Verifiers of report endpoints: what RedPill, NanoGPT, Venice and a vllm-proxy of one's own have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Final

from ..claims.problem import Problem, ProblemKind
from ..claims.subject import Subject
from ..errors import ConfigurationError, FormatError
from ..flow import Flow, run
from ..policy import Policy
from ..roots import TrustRoots
from ..saved import SavedReport
from ..signed_exchange import SignaturePlace, SignedExchangeVerifier
from ..transport import ReplayTransport
from ..verdict import AttestationVerdict, SubjectVerdict
from ..verifier import Derive, Verifier
from .aci_boundary import ACI_GAPS, aci_in_words
from .chutes import INSTANCE_CHECKS, INSTANCE_GAPS, instances_in_words
from .front_session import FrontSession, derive_subjects, session_flow, unusable_session
from .front_wire import Front, FrontAsked, base_url, origin_of
from .near_boundary import boundary_in_words
from .report_checks import GPU_CHECKS, RECORD_CHECKS, SIGNING_CHECKS

__all__ = ["DSTACK_GAPS", "FRONT_CHECKS", "FrontVerifier", "SigningFrontVerifier"]

_MACHINES: Final = ("gateway", "model", "compose_manager")
FRONT_CHECKS: Final[Mapping[str, tuple[str, ...]]] = {
    **INSTANCE_CHECKS,
    **{check: (*_MACHINES, *INSTANCE_CHECKS.get(check, ())) for check in RECORD_CHECKS},
    **{check: ("gateway", "model", *INSTANCE_CHECKS.get(check, ())) for check in SIGNING_CHECKS},
    **{check: ("model", *INSTANCE_CHECKS.get(check, ())) for check in GPU_CHECKS},
    "binding.same_td": ("compose_manager",),
    "policy.shape": (*_MACHINES, "instance"),
}
"""Of every shape that a front shows; which shape it may be is the policy's decision."""
DSTACK_GAPS: Final = (
    "GPU and CPU evidence share a nonce, not a machine: a relay to another host's genuine GPUs would pass.",
    "Model weights are not measured, and nothing in a quote names the model: the signing key stands for it only as far "
    "as you pin it.",
    "Images that a compose document names without a digest are whatever the registry served at boot.",
    "Values of environment variables (allowed_envs) and the host's user_config are not measured.",
    "A hardware key extracted from some machine of Intel or NVIDIA forges everything here.",
)
_FRONT_GAP: Final = (
    "The front that passes the report on is outside of any TEE: it sees every prompt that is not encrypted to the "
    "machine behind it."
)
_EXCHANGE: Final = (
    "exchange.request_digest",
    "exchange.response_digest",
    "exchange.signature",
    "exchange.signer_attested",
    "exchange.first_seen",
    "exchange.channel",
)
_EXCHANGE_GAPS: Final = (
    "The signed text names no model.",
    "Whoever stands between may name the request's digest for the proxy to sign (X-Request-Hash): a match shows that "
    "our digest was named, not what the model read.",
    "The proxy signs a plain answer in another spelling of its JSON than it sends: the same values, other bytes.",
)


class FrontVerifier(Verifier):
    """The shared body; see the classes of the single fronts."""

    front: ClassVar[Front]
    applicable = FRONT_CHECKS

    def __init__(
        self,
        policy: Policy,
        *,
        url: str | None = None,
        algorithm: str = "ecdsa",
        tls_bound: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(policy, **options)
        if algorithm not in ("ecdsa", "ed25519") or (algorithm != "ecdsa" and not self.front.names_algorithm):
            raise ConfigurationError(f"algorithm {algorithm[:40]!r} is none that {self.provider} can be asked for")
        if tls_bound and not self.front.tls_form:
            raise ConfigurationError(f"{self.provider} cannot be asked for the TLS-bound form: leave tls_bound out")
        if url is not None and self.front.base is not None:
            raise ConfigurationError(f"{self.provider} has one address of its own: leave url out")
        self._base = self.front.base if url is None else base_url(url)
        self._algorithm, self._tls_bound = algorithm, tls_bound
        self.origin = "" if self._base is None else origin_of(self._base)
        self.asked_form = f"{self._base} {algorithm}{', TLS-bound' if tls_bound else ''}"

    @property
    def base_url(self) -> str:
        """The URL that OpenAI clients are given, such as ``https://my-cvm.example/v1``.

        Raises:
            ConfigurationError: it is not known.
        """
        if self._base is None:
            raise ConfigurationError("the base URL of the proxy is not known: pass url")
        return self._base

    def session_flow(self, model: str, nonce: bytes) -> Flow[Derive]:
        """See `Verifier.session_flow`."""
        url = self.front.url(
            self.base_url, model=model, nonce=nonce, algorithm=self._algorithm, tls_bound=self._tls_bound
        )
        session = yield from session_flow(
            self.front.asked(url),
            front=self.front,
            nonce=nonce,
            model=model,
            with_nras=self.policy.gpu.nras != "ignore",
            headers=self._authorization(self._base),
        )
        return lambda at: derive_subjects(session, roots=self.roots, at=at, recorded_at=None, wall_clock=at)

    def _recorded_base(self, report: SavedReport) -> str | None:
        asked = _recorded_request(self.front, report)
        return asked.url.partition("?")[0].removesuffix(self.front.path) if isinstance(asked, FrontAsked) else None

    @classmethod
    def subjects_of_saved(
        cls, report: SavedReport, *, roots: TrustRoots, at: datetime, wall_clock: datetime, with_nras: bool = True
    ) -> tuple[Subject, ...]:
        """The machines or instances of a saved session."""
        session = _replayed(cls.front, report, with_nras=with_nras)
        return derive_subjects(session, roots=roots, at=at, recorded_at=report.recorded_at, wall_clock=wall_clock)

    def _authorization(self, base: str | None) -> dict[str, str]:
        """The API key, for the endpoint that the caller named (or the front's own) and for no other."""
        if self._api_key is None or base != self._base:
            return {}
        return {"Authorization": f"Bearer {self._api_key}"}

    def _boundary(self, judged: Sequence[SubjectVerdict]) -> tuple[str, tuple[str, ...]]:
        front = () if self.front.tls_form else (_FRONT_GAP,)
        if any(verdict.role == "instance" for verdict in judged):
            words = f"{instances_in_words(judged)}, by the report of a gateway that nothing attests."
            return words, (*front, *INSTANCE_GAPS)
        if judged and all(verdict.role == "gateway" for verdict in judged):
            return aci_in_words(judged), ACI_GAPS
        return boundary_in_words(judged), (*front, *DSTACK_GAPS)


class SigningFrontVerifier(FrontVerifier, SignedExchangeVerifier):
    """A front whose signature endpoint is known."""

    exchange_checks = _EXCHANGE
    respelled_json = True

    def _signature_place(self, evidence: SavedReport) -> SignaturePlace:
        asked = _recorded_request(self.front, evidence)
        known = not isinstance(asked, Problem) and not isinstance(asked.algorithm, Problem)
        base = self._recorded_base(evidence)
        return SignaturePlace(
            base=base or "https://unknown.invalid",
            algorithm=str(asked.algorithm) if known and isinstance(asked, FrontAsked) else "ecdsa",
            model=evidence.model,
            headers=self._authorization(base),
        )

    def _exchange_gaps(self, signed_by: str | None, attestation: AttestationVerdict) -> tuple[str, ...]:
        del signed_by, attestation
        return _EXCHANGE_GAPS


def _replayed(front: Front, report: SavedReport, *, with_nras: bool) -> FrontSession:
    nonce, model = report.nonce, report.model
    asked = _recorded_request(front, report)
    if isinstance(asked, Problem):
        return unusable_session(
            asked, _asked_by_default(front, report), provider=front.provider, nonce=nonce, model=model
        )
    flow = session_flow(asked, front=front, nonce=nonce, model=model, with_nras=with_nras, headers={})
    return run(flow, ReplayTransport(report))


def _recorded_request(front: Front, report: SavedReport) -> FrontAsked | Problem:
    """The report request of a saved session; several, or several good answers, leave open which one counts."""
    urls = {e.request.url for e in report.exchanges if e.request.method == "GET" and front.asks(e.request.url)}
    if len(urls) != 1 or len(report.good_answers(front.asks)) > 1:
        detail = f"the saved report holds {len(urls)} requests for a report, exactly one with one answer was expected"
        kind = ProblemKind.MALFORMED if urls else ProblemKind.UNAVAILABLE
        return Problem(kind=kind, code="report_ambiguous", detail=detail, where="request")
    try:
        return front.asked(urls.pop())
    except FormatError as error:
        return Problem(kind=ProblemKind.MALFORMED, code=error.code, detail=str(error), where="request")


def _asked_by_default(front: Front, report: SavedReport) -> FrontAsked:
    base = front.base or "https://unknown.invalid"
    return front.asked(
        front.url(base, model=report.model or "-", nonce=report.nonce, algorithm="ecdsa", tls_bound=False)
    )
