"""A dstack app of any kind, judged by its files: quote, event log, app-compose, and what was demanded of the quote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import attrs

from ..claims.binding import BindingClaims
from ..claims.problem import Problem, ProblemKind
from ..claims.subject import Subject
from ..endorsements.answers import good_answer
from ..errors import ConfigurationError
from ..flow import Flow, Request, Response, Transport, run
from ..limits import MAX_REPORT_BODY
from ..policy import Policy
from ..roots import TrustRoots
from ..saved import SavedReport
from ..transport import ReplayTransport
from ..verdict import AttestationVerdict, SubjectVerdict
from ..verifier import Derive, Verifier
from .dstack_wire import ORIGIN, DstackAsked, DstackEvidence, asked_from_url, is_request, read_record
from .report_checks import RECORD_CHECKS
from .report_claims import ReportSession, derive_subjects
from .report_flow import collected, uncollected

__all__ = ["DstackEvidence", "DstackVerifier"]

_ROLE: Final = "enclave"
_APPLICABLE: Final[Mapping[str, tuple[str, ...]]] = dict.fromkeys(RECORD_CHECKS, (_ROLE,))
_SOFTWARE: Final = ("tdx.quote_signature", "policy.pinned", "pin.base_image", "pin.compose", "dstack.compose_event")
_GAPS: Final = (
    "No key is attested: what the app put into REPORTDATA has the meaning that its own code gives it.",
    "GPUs are not judged.",
    "Values of environment variables (allowed_envs) and the host's user_config are not measured.",
    "Images that a compose document names without a digest are whatever the registry served at boot.",
    "A hardware key extracted from some machine of Intel forges everything here.",
)


class DstackVerifier(Verifier):
    """Judges the files of a dstack app: one subject of the role ``enclave``.

    `verify_evidence` judges files against Intel's current answers; `verify_saved` judges a saved report of them.

    Args:
        policy: what the caller demands; its pins for the role ``enclave`` count.
        evidence: the files, for callers who drive the flow themselves.
        **options: see `Verifier`.

    Raises:
        ConfigurationError: the policy is for another provider.
    """

    provider = "dstack"
    applicable = _APPLICABLE
    origin = ORIGIN

    def __init__(self, policy: Policy, *, evidence: DstackEvidence | None = None, **options: Any) -> None:
        super().__init__(policy, **options)
        self._evidence = evidence

    def verify_evidence(
        self, evidence: DstackEvidence, *, name: str = "dstack app", now: datetime | None = None
    ) -> AttestationVerdict:
        """Judge files. Intel's answers are fetched through this verifier's transport.

        The verdict's ``evidence`` is the saved report of the files and of Intel's answers. Its ``nonce`` is
        ``evidence.challenge``, or means nothing where nothing was demanded.

        Args:
            evidence: the files, and what was demanded of the quote.
            name: what the verdict calls the app.
            now: the aware time to judge for; the clock's when omitted.

        Raises:
            ConfigurationError: an argument is not what it should be.
        """
        verifier = DstackVerifier(
            self.policy, evidence=evidence, roots=self.roots, transport=_WithFiles(evidence, self.transport),
            cache=self.cache, endorsements=self.endorsements, clock=self._clock,
        )  # fmt: skip
        challenge = evidence.challenge if any(evidence.challenge) else None  # else some nonce that nobody asked with
        flow = verifier.attestation_flow(name, nonce=challenge, now=now)
        return run(flow, verifier.transport)

    def session_flow(self, model: str, nonce: bytes) -> Flow[Derive]:
        """See `Verifier.session_flow`."""
        if self._evidence is None:
            raise ConfigurationError("a dstack app is not asked but judged by its files: call verify_evidence")
        asked = asked_from_url(self._evidence.exchange().request.url)
        session = yield from _session(asked, nonce=nonce, model=model)
        return lambda at: _subjects(session, asked, roots=self.roots, at=at, recorded_at=None, wall_clock=at)

    @classmethod
    def subjects_of_saved(
        cls, report: SavedReport, *, roots: TrustRoots, at: datetime, wall_clock: datetime, with_nras: bool = True
    ) -> tuple[Subject, ...]:
        """The one TD of a saved report."""
        del with_nras
        asked = _recorded_request(report)
        if isinstance(asked, Problem):
            shown, problem = asked_from_url(ORIGIN), asked
            records = (read_record(problem),)
            session = uncollected(
                problem, shown, records, provider=cls.provider, nonce=report.nonce, model=report.model
            )
            return _subjects(session, shown, roots=roots, at=at, recorded_at=report.recorded_at, wall_clock=wall_clock)
        session = run(_session(asked, nonce=report.nonce, model=report.model), ReplayTransport(report))
        return _subjects(session, asked, roots=roots, at=at, recorded_at=report.recorded_at, wall_clock=wall_clock)

    def _boundary(self, judged: Sequence[SubjectVerdict]) -> tuple[str, tuple[str, ...]]:
        if not judged:
            return "Nothing was judged.", _GAPS
        (verdict,) = judged
        words = "What software the machine runs is not enforced"
        if verdict.holds(*_SOFTWARE):
            words = "The machine (Intel TDX) runs the pinned guest image and compose document"
        if verdict.holds("binding.report_data", "freshness.nonce_bound"):
            return f"{words}, and its quote holds the REPORTDATA that was demanded.", _GAPS
        if verdict.holds("freshness.nonce_bound"):
            return f"{words}, and its quote answers the nonce; nothing was demanded of the first half.", _GAPS
        return f"{words}, and nothing shows when the quote was made.", _GAPS


class _WithFiles:
    """A transport that answers the request for the files, and passes the others on."""

    def __init__(self, evidence: DstackEvidence, transport: Transport) -> None:
        self._files, self._transport = evidence.exchange(), transport
        self.concurrent = getattr(transport, "concurrent", False) is True

    def send(self, request: Request) -> Response:
        if request.url == self._files.request.url:
            return self._files.response
        return self._transport.send(request)


def _session(asked: DstackAsked, *, nonce: bytes, model: str) -> Flow[ReportSession]:
    (answer,) = yield (Request(method="GET", url=asked.url, limit=MAX_REPORT_BODY),)
    report = good_answer(answer, what="the files of the dstack app", where="report")
    record = read_record(report if isinstance(report, Problem) else report.body)
    return (
        yield from collected(asked, report, (record,), provider="dstack", nonce=nonce, model=model, with_nras=False)
    )


def _subjects(
    session: ReportSession,
    asked: DstackAsked,
    *,
    roots: TrustRoots,
    at: datetime,
    recorded_at: datetime | None,
    wall_clock: datetime,
) -> tuple[Subject, ...]:
    plain = derive_subjects(session, roots=roots, at=at, recorded_at=recorded_at, wall_clock=wall_clock)
    return tuple(attrs.evolve(subject, binding=_binding(subject, asked)) for subject in plain)


def _binding(subject: Subject, asked: DstackAsked) -> BindingClaims:
    """What was demanded, in place of the layout that a vllm-proxy's record has."""
    demanded = asked.report_data
    shared: dict[str, Any] = {
        "nonce": subject.binding.nonce,
        "asked_nonce": asked.nonce,
        "report_data": subject.binding.report_data,
    }
    if demanded is None:
        return BindingClaims(first_half=None, **shared)
    return BindingClaims(
        first_half=demanded[:32],
        layout="one that was demanded",
        fresh_first_half=demanded[:32],
        fresh_layout="the one that was demanded",
        second_half=demanded[32:],
        second_layout="one that was demanded",
        **shared,
    )


def _recorded_request(report: SavedReport) -> DstackAsked | Problem:
    """The request of a saved report; several, or several good answers, leave open which one counts."""
    urls = {e.request.url for e in report.exchanges if e.request.method == "GET" and is_request(e.request.url)}
    if len(urls) != 1 or len(report.good_answers(is_request)) > 1:
        detail = f"the saved report holds {len(urls)} sets of files, exactly one was expected"
        kind = ProblemKind.MALFORMED if urls else ProblemKind.UNAVAILABLE
        return Problem(kind=kind, code="report_ambiguous", detail=detail, where="request")
    return asked_from_url(urls.pop())
