"""Chutes: every instance of a chute is a machine of its own, with GPUs and a key that prompts are encrypted to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from ..claims.problem import Problem, ProblemKind
from ..claims.subject import Subject
from ..errors import ConfigurationError
from ..flow import Flow, run
from ..policy import Policy
from ..roots import TrustRoots
from ..saved import SavedReport
from ..transport import ReplayTransport
from ..verdict import AttestationVerdict, SubjectVerdict
from ..verifier import Derive, Verifier
from .chutes_claims import derive_subjects
from .chutes_flow import attestation_flow, chute_flow, unusable_session
from .chutes_wire import (
    API,
    LLM,
    ChutesAsked,
    asked_from_urls,
    asks_for_evidence,
    asks_for_keys,
    chute_of_model,
    is_chute_id,
)
from .report_checks import GPU_CHECKS, QUOTE_CHECKS

__all__ = ["INSTANCE_CHECKS", "INSTANCE_GAPS", "ChutesVerifier", "instances_in_words"]

_INSTANCE: Final = ("instance",)
INSTANCE_CHECKS: Final[Mapping[str, tuple[str, ...]]] = dict.fromkeys(
    (*QUOTE_CHECKS, "binding.e2ee_key", "binding.distinct_instances", *GPU_CHECKS), _INSTANCE
)
INSTANCE_GAPS: Final = (
    "Nothing attested names the model, its weights or the container: the same registers serve different models.",
    "Which chute serves the model is the control plane's word.",
    "The machine puts whatever it is asked for into the first half of REPORTDATA, and Chutes' validator and other "
    "workloads in it can ask: that the key was made inside rests on them.",
    "GPU and CPU evidence name one value, not one machine: a relay to another host's genuine GPUs would pass.",
    "No signature covers a response. Its confidentiality and authenticity rest on encryption to the attested key.",
    "The relay can drop or reorder whole frames of an encrypted stream unnoticed.",
    "A hardware key extracted from some machine of Intel or NVIDIA forges everything here.",
)


class ChutesVerifier(Verifier):
    """Judges the instances of a chute, each a subject of role instance; the policy says whether all must hold, or any.

    Args:
        policy: what the caller demands.
        chute: the chute's id (a UUID in lower case); asked for by the model's name when omitted.
        **options: see `Verifier`.

    Raises:
        ConfigurationError: the chute is no id, or the policy is for another provider.
    """

    provider = "chutes"
    applicable = INSTANCE_CHECKS
    origin = API

    def __init__(self, policy: Policy, *, chute: str | None = None, **options: Any) -> None:
        super().__init__(policy, **options)
        if chute is not None and not is_chute_id(chute):
            raise ConfigurationError(f"chute {chute[:64]!r} is no id, a UUID in lower case was expected")
        self._chute = chute
        self.asked_form = "by model" if chute is None else chute

    def session_flow(self, model: str, nonce: bytes) -> Flow[Derive]:
        """See `Verifier.session_flow`."""
        headers = {} if self._api_key is None else {"Authorization": f"Bearer {self._api_key}"}
        if self._chute is not None and is_chute_id(model) and model != self._chute:
            raise ConfigurationError("the model is another chute than the one that this verifier is for")
        chute: str | Problem = self._chute or (model if is_chute_id(model) else "")
        if chute == "":
            chute = yield from chute_flow(model, headers)
        if isinstance(chute, Problem):
            session = unusable_session(chute, nonce=nonce, model=model)
        else:
            session = yield from attestation_flow(
                ChutesAsked(chute=chute, nonce=nonce),
                nonce=nonce,
                model=model,
                with_nras=self.policy.gpu.nras != "ignore",
                headers=headers,
            )
        return lambda at: derive_subjects(session, roots=self.roots, at=at, recorded_at=None, wall_clock=at)

    def verify_saved(
        self, report: SavedReport, *, at: datetime | None = None, now: datetime | None = None
    ) -> AttestationVerdict:
        """See `Verifier.verify_saved`.

        Raises:
            ConfigurationError: also when the report is about another chute than this verifier's.
        """
        asked = asked_from_urls(_asked_urls(report))
        if self._chute is not None and isinstance(asked, ChutesAsked) and asked.chute != self._chute:
            raise ConfigurationError("the saved report is about another chute than the one that this verifier is for")
        return super().verify_saved(report, at=at, now=now)

    @classmethod
    def subjects_of_saved(
        cls, report: SavedReport, *, roots: TrustRoots, at: datetime, wall_clock: datetime, with_nras: bool = True
    ) -> tuple[Subject, ...]:
        """The instances of a saved session."""
        asked = asked_from_urls(_asked_urls(report))
        nonce, model = report.nonce, report.model
        problem = None if isinstance(asked, Problem) else _contradiction(report, asked)
        if isinstance(asked, Problem):
            session = unusable_session(asked, nonce=nonce, model=model)
        elif problem is not None:
            session = unusable_session(problem, nonce=nonce, model=model)
        else:
            flow = attestation_flow(asked, nonce=nonce, model=model, with_nras=with_nras)
            session = run(flow, ReplayTransport(report))
        return derive_subjects(session, roots=roots, at=at, recorded_at=report.recorded_at, wall_clock=wall_clock)

    def _boundary(self, judged: Sequence[SubjectVerdict]) -> tuple[str, tuple[str, ...]]:
        words = f"{instances_in_words(judged)}. Chutes' gateway sees every prompt that is not encrypted to such a key."
        return words, INSTANCE_GAPS


def instances_in_words(judged: Sequence[SubjectVerdict]) -> str:
    """What the enforced checks of the VERIFIED instances come to."""
    good = [verdict for verdict in judged if verdict.verified]
    pinned = good and all(verdict.holds("tdx.quote_signature", "policy.pinned", "pin.base_image") for verdict in good)
    what = "run a pinned guest" if pinned else "run software that is not enforced"
    words = f"{len(good)} of {len(judged)} instances are Intel TDX machines that {what}"
    if good and all(verdict.holds("binding.e2ee_key", "binding.report_data") for verdict in good):
        words += ", and their quotes name the keys that prompts may be encrypted to"
    if good and all(verdict.holds("gpu.cert_chain", "gpu.nonce_bound") for verdict in good):
        words += "; genuine NVIDIA GPUs answered with the same value"
    return words


def _asked_urls(report: SavedReport) -> list[str]:
    return [exchange.request.url for exchange in report.exchanges if exchange.request.method == "GET"]


def _contradiction(report: SavedReport, asked: ChutesAsked) -> Problem | None:
    """Whether answers contradict each other, or the model's name or a recorded list of models the chute that was asked.

    Without such a list the pair is Chutes' word.
    """
    if any(len(report.good_answers(asks)) > 1 for asks in (asks_for_keys, asks_for_evidence)):
        detail = "the saved report holds several answers that could be meant, exactly one was expected"
        return Problem(kind=ProblemKind.MALFORMED, code="report_ambiguous", detail=detail, where="report")
    if is_chute_id(report.model) and report.model != asked.chute:
        detail = "the session asked for another chute than the one that the report names as its model"
        return Problem(kind=ProblemKind.INVALID, code="other_model", detail=detail, where="report")
    for exchange in report.exchanges:
        if exchange.request.url == f"{LLM}/v1/models" and exchange.response.status == 200:
            chute = chute_of_model(exchange.response.body, report.model)
            if isinstance(chute, Problem) or chute != asked.chute:
                detail = "the recorded list of models names another chute for the model, or none"
                return Problem(kind=ProblemKind.INVALID, code="other_model", detail=detail, where="report")
    return None
