"""NEAR AI: model machines reached directly, and through the gateway ``cloud-api.near.ai``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

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
from ..verifier import Derive
from .near_boundary import boundary_in_words
from .near_directory import MODELS_HOST, Directory, backends_flow, is_model_host
from .near_flow import attestation_flow, session_without_report
from .near_wire import CLOUD_HOST, NearAsked, asked_from_url, near_url
from .report_checks import GPU_CHECKS, RECORD_CHECKS, SIGNING_CHECKS
from .report_claims import derive_subjects

__all__ = ["NearVerifier"]

_ALL: Final = ("gateway", "model", "compose_manager")
_KEYS: Final = ("gateway", "model")
_GPU: Final = ("model",)

_APPLICABLE: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(RECORD_CHECKS, _ALL),
    **dict.fromkeys(SIGNING_CHECKS, _KEYS),
    "binding.tls_spki": _KEYS,
    "binding.e2ee_key": _KEYS,
    "binding.same_td": ("compose_manager",),
    "pin.tls_spki": _KEYS,
    "channel.tls_spki": _KEYS,
    **dict.fromkeys(GPU_CHECKS, _GPU),
}

_GAPS: Final = (
    "GPU and CPU evidence share a nonce, not a machine: a relay to another host's genuine GPUs would pass.",
    "NVSwitches present no evidence, so only what GPUs say of their switches shows that they are in one machine.",
    "Model weights are not measured.",
    "The containers that see prompts are deployed by the compose-manager after boot: its log is its own word, not a "
    "measurement.",
    "Nothing in a quote names the model: the signing key stands for it only as far as you pin it.",
    "Values of environment variables (allowed_envs) are not measured.",
    "A hardware key extracted from some machine of Intel or NVIDIA forges everything here.",
)
_EXCHANGE: Final = (
    "exchange.request_digest",
    "exchange.response_digest",
    "exchange.signature",
    "exchange.signer_attested",
    "exchange.model",
    "exchange.first_seen",
    "exchange.channel",
)
_EXCHANGE_GAP: Final = (
    "Through the gateway, the model's machine takes the digest of the request from the gateway's word (X-Request-Hash)."
)
_CLOUD_GAP: Final = "The gateway commits to no particular model machine: prompts may go to another one of the same app."


class NearVerifier(SignedExchangeVerifier):
    """Judges NEAR AI endpoints: the subjects gateway, model and compose_manager.

    Args:
        policy: what the caller demands.
        route: ``cloud`` (through the gateway) or ``direct`` (the model's own host); by default the gateway where the
            policy pins one.
        algorithm: of the signing keys that the report is to bind, ``ed25519`` or ``ecdsa``.
        tls_bound: ask for the form of REPORTDATA that binds the TLS key. Without it channel.tls_spki and
            binding.tls_spki cannot pass, so the policy has to waive them.
        host: a host of near.ai to ask in place of the one that NEAR's directory names, for a direct route.
        **options: see `Verifier`.

    Raises:
        ConfigurationError: an argument is not one of these, or the policy is for another provider.
    """

    provider = "near"
    applicable = _APPLICABLE
    exchange_checks = _EXCHANGE

    def __init__(
        self,
        policy: Policy,
        *,
        route: str | None = None,
        algorithm: str = "ed25519",
        tls_bound: bool = True,
        host: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(policy, **options)
        self.route = ("cloud" if policy.pins_for("gateway") is not None else "direct") if route is None else route
        if self.route not in ("cloud", "direct") or algorithm not in ("ed25519", "ecdsa"):
            raise ConfigurationError(
                f"route {route!r} with algorithm {algorithm!r} is not known: route is cloud or direct, algorithm is "
                "ed25519 or ecdsa"
            )
        if host is not None and (self.route == "cloud" or not is_model_host(host)):
            raise ConfigurationError(f"host {host[:100]!r} is not a model host of near.ai, which a direct route needs")
        self.algorithm = algorithm
        self._by_directory = self.route == "direct" and host is None
        self.asked_form = (
            f"{algorithm}{'' if tls_bound else ', padded'}{', by directory' if self._by_directory else ''}"
        )
        self.origin = f"https://{CLOUD_HOST if self.route == 'cloud' else host or MODELS_HOST}"
        self._tls_bound, self._host = tls_bound, host
        self._directory = Directory()

    def session_flow(self, model: str, nonce: bytes) -> Flow[Derive]:
        """See `Verifier.session_flow`."""
        host: str | Problem = CLOUD_HOST
        if self.route == "direct":
            host = self._host or (yield from self._directory.host_of(model))
        url = near_url(
            MODELS_HOST if isinstance(host, Problem) else host,
            model=model,
            nonce=nonce,
            algorithm=self.algorithm,
            tls_bound=self._tls_bound,
        )
        asked = asked_from_url(url)
        if isinstance(host, Problem):
            session = session_without_report(host, asked, nonce=nonce, model=model)
        else:
            session = yield from attestation_flow(
                asked,
                nonce=nonce,
                model=model,
                with_nras=self.policy.gpu.nras != "ignore",
                headers=self._authorization(asked),
            )
        return lambda at: derive_subjects(session, roots=self.roots, at=at, recorded_at=None, wall_clock=at)

    def backends(self, model: str) -> tuple[str, ...]:
        """The hosts of the single machines behind a model's host, as NEAR's load balancer names them.

        Each can be judged for itself: ``NearVerifier(policy, route="direct", host=...)``. Empty when NEAR does not say.

        Raises:
            ConfigurationError: the route is not direct.
        """
        if self.route != "direct":
            raise ConfigurationError("the machines behind the gateway have no names: choose route='direct'")
        return run(backends_flow(self._directory, model, self._host), self.transport)

    def at_host(self, host: str) -> NearVerifier:
        """A verifier like this one for a single host, with the same caches and transport.

        Raises:
            ConfigurationError: it is not a model host of near.ai, or the route is not direct.
        """
        return NearVerifier(
            self.policy,
            route=self.route,
            algorithm=self.algorithm,
            tls_bound=self._tls_bound,
            host=host,
            accepted_chats=self.accepted_chats,
            roots=self.roots,
            transport=self.transport,
            api_key=self._api_key,
            cache=self.cache,
            endorsements=self.endorsements,
            clock=self._clock,
        )

    @classmethod
    def subjects_of_saved(
        cls, report: SavedReport, *, roots: TrustRoots, at: datetime, wall_clock: datetime, with_nras: bool = True
    ) -> tuple[Subject, ...]:
        """The gateway (cloud shape), the model machines and their compose-managers of a saved session."""
        asked = _recorded_request(report)
        nonce, model = report.nonce, report.model
        if isinstance(asked, Problem):
            session = session_without_report(asked, _asked_by_default(report), nonce=nonce, model=model)
        else:
            flow = attestation_flow(asked, nonce=nonce, model=model, with_nras=with_nras)
            session = run(flow, ReplayTransport(report))
        return derive_subjects(session, roots=roots, at=at, recorded_at=report.recorded_at, wall_clock=wall_clock)

    def _authorization(self, asked: NearAsked) -> dict[str, str]:
        """The API key, for the host that the caller chose or NEAR's directory named: a saved report may name any."""
        chosen = asked.origin == self.origin or (self._by_directory and self._directory.has_named(asked.host))
        return {"Authorization": f"Bearer {self._api_key}"} if chosen and self._api_key is not None else {}

    def _signature_place(self, evidence: SavedReport) -> SignaturePlace:
        asked = _recorded_request(evidence)
        if isinstance(asked, Problem) or isinstance(asked.algorithm, Problem):
            asked = _asked_by_default(evidence)
        return SignaturePlace(
            base=f"{asked.origin}/v1",
            algorithm=str(asked.algorithm),
            model=evidence.model if asked.cloud else None,
            headers=self._authorization(asked),
        )

    def _exchange_gaps(self, signed_by: str | None, attestation: AttestationVerdict) -> tuple[str, ...]:
        del signed_by
        return (_EXCHANGE_GAP,) if any(subject.role == "gateway" for subject in attestation.subjects) else ()

    def _boundary(self, judged: Sequence[SubjectVerdict]) -> tuple[str, tuple[str, ...]]:
        cloud = any(verdict.role == "gateway" for verdict in judged)
        return boundary_in_words(judged), (_CLOUD_GAP, *_GAPS) if cloud else _GAPS


def _recorded_request(report: SavedReport) -> NearAsked | Problem:
    """The report request of a saved session; what it asked for is read from its URL.

    Where the file holds none, the flow asks as it would live, and the replay answers that nothing was recorded. A
    request to a host that is not NEAR's, or several that could be meant, are a MALFORMED `Problem`.
    """
    asked: dict[str, NearAsked] = {}
    for exchange in report.exchanges:
        url = exchange.request.url
        if exchange.request.method != "GET" or not _path_of(url).endswith("/attestation/report"):
            continue
        try:
            asked[url] = asked_from_url(url)
        except FormatError as error:
            return Problem(kind=ProblemKind.MALFORMED, code=error.code, detail=str(error), where="request")
    if not asked:
        return _asked_by_default(report)
    ours = [one for one in asked.values() if one.nonce == report.nonce] or list(asked.values())
    if len(ours) == 1 and len(report.good_answers(lambda url: url == ours[0].url)) <= 1:
        return ours[0]
    detail = "the saved report holds several NEAR reports that could be meant, exactly one was expected"
    return Problem(kind=ProblemKind.MALFORMED, code="report_ambiguous", detail=detail, where="request")


def _asked_by_default(report: SavedReport) -> NearAsked:
    return asked_from_url(near_url(MODELS_HOST, model=report.model, nonce=report.nonce))


def _path_of(url: str) -> str:
    """Path of a URL; empty when it cannot be read."""
    try:
        return urlsplit(url).path
    except ValueError:
        return ""
