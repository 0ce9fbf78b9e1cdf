"""ACI services (attested confidential inference, ``aci/1``): a gateway in a TD of its own, with receipts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from ..claims.problem import Problem, ProblemKind
from ..claims.subject import Subject
from ..endorsements.answers import good_answer
from ..errors import ConfigurationError, FormatError
from ..exchange import Exchange
from ..flow import Flow, Request, run
from ..limits import MAX_REPORT_BODY
from ..policy import Policy
from ..roots import TrustRoots
from ..saved import SavedReport
from ..signed_exchange import SignedClaims, SignedExchangeVerifier
from ..transport import ReplayTransport
from ..verdict import AttestationVerdict, SubjectVerdict
from ..verifier import Derive
from .aci_boundary import ACI_GAPS, aci_in_words
from .aci_claims import AciReport, aci_collected, aci_uncollected, derive_aci_subjects
from .aci_receipts import ReceiptPlace, ReceiptStatement, claims_of_statement, statement_flow
from .aci_wire import aci_asked, aci_base, asks_for_aci, attestation_url, base_of
from .front_wire import origin_of
from .report_checks import RECORD_CHECKS
from .report_records import ReportAsked, read_report

__all__ = ["ACI_CHECKS", "AciVerifier"]

ACI_CHECKS: Final = (
    *RECORD_CHECKS,
    "gpu.present",  # no GPU shows evidence in an ACI report: a policy that demands some must not be met by silence
    "policy.shape",
    "aci.keyset",
    "aci.expiry",
    "aci.roles",
    "aci.custody",
    "aci.channel",
)
"""Of a gateway that shows an ACI report."""
_EXCHANGE_GAPS: Final = (
    "A receipt is the word of the gateway's measured code; the time in it is the gateway's own.",
    "The receipt covers the bytes of request and response, not the address, the headers or the model that answered.",
)
_EXCHANGE: Final = (
    "exchange.request_digest",
    "exchange.response_digest",
    "exchange.signature",
    "exchange.signer_attested",
    "exchange.model",
    "exchange.window",
    "exchange.first_seen",
    "exchange.channel",
    "exchange.upstream",
    "exchange.rewrite",
)


class AciVerifier(SignedExchangeVerifier):
    """Judges an ACI service, the role gateway, and the receipts of its exchanges.

    Args:
        policy: what the caller demands. No GPU is shown, so it must say ``[gpu] require = false``; receipts are signed
            by the gateway, so it must say ``[exchange] signed_by = "gateway"`` to accept them.
        url: the service's URL, such as ``https://gateway.example/v1`` (``/v1`` may be left out); needed for live use
            only.
        **options: see `SignedExchangeVerifier` and `Verifier`.

    Raises:
        ConfigurationError: an argument is not one of these, or the policy is for another provider.
    """

    provider = "aci"
    applicable: Mapping[str, tuple[str, ...]] = dict.fromkeys(ACI_CHECKS, ("gateway",))
    exchange_checks = _EXCHANGE

    def __init__(self, policy: Policy, *, url: str | None = None, **options: Any) -> None:
        super().__init__(policy, **options)
        self._base = None if url is None else aci_base(url)
        self.origin = "" if self._base is None else origin_of(self._base)
        self.asked_form = "" if self._base is None else urlsplit(self._base).path

    def session_flow(self, model: str, nonce: bytes) -> Flow[Derive]:
        """See `Verifier.session_flow`."""
        if self._base is None:
            raise ConfigurationError("the service's URL is not known: pass url")
        asked = aci_asked(attestation_url(self._base, nonce))
        report = yield from _session_flow(asked, nonce=nonce, model=model, headers=self._authorization(self._base))
        return lambda at: derive_aci_subjects(report, roots=self.roots, at=at, recorded_at=None, wall_clock=at)

    def _recorded_base(self, report: SavedReport) -> str | None:
        asked = _recorded_request(report)
        return None if isinstance(asked, Problem) else base_of(asked.url)

    @classmethod
    def subjects_of_saved(
        cls, report: SavedReport, *, roots: TrustRoots, at: datetime, wall_clock: datetime, with_nras: bool = True
    ) -> tuple[Subject, ...]:
        """The gateway of a saved session."""
        del with_nras
        nonce, model = report.nonce, report.model
        asked = _recorded_request(report)
        if isinstance(asked, Problem):
            unknown = aci_asked(attestation_url("https://unknown.invalid/v1", nonce))
            session = aci_uncollected(asked, unknown, provider=cls.provider, nonce=nonce, model=model)
        else:
            session = run(_session_flow(asked, nonce=nonce, model=model, headers={}), ReplayTransport(report))
        return derive_aci_subjects(session, roots=roots, at=at, recorded_at=report.recorded_at, wall_clock=wall_clock)

    def _authorization(self, base: str) -> dict[str, str]:
        """The API key, for the service that the caller named and for no other."""
        if self._api_key is None or base != self._base:
            return {}
        return {"Authorization": f"Bearer {self._api_key}"}

    def _signature_place(self, evidence: SavedReport) -> ReceiptPlace:
        asked = _recorded_request(evidence)
        base = self._base or "https://unknown.invalid/v1"
        if not isinstance(asked, Problem):
            base = base_of(asked.url)
        return ReceiptPlace(base=base, headers=self._authorization(base))

    def _statement_flow(self, place: ReceiptPlace, exchange: Exchange) -> Flow[ReceiptStatement]:
        return statement_flow(place, exchange)

    def _claims(
        self, statement: ReceiptStatement, exchange: Exchange, attestation: AttestationVerdict, *, replayed: bool
    ) -> SignedClaims:
        return claims_of_statement(statement, exchange, attestation, replayed=replayed)

    def _exchange_gaps(self, signed_by: str | None, attestation: AttestationVerdict) -> tuple[str, ...]:
        del signed_by, attestation
        return _EXCHANGE_GAPS

    def _boundary(self, judged: Sequence[SubjectVerdict]) -> tuple[str, tuple[str, ...]]:
        return aci_in_words(judged), ACI_GAPS


def _recorded_request(report: SavedReport) -> ReportAsked | Problem:
    """The report request of a saved session; none, another one's or several that could be meant are a Problem."""
    urls = {e.request.url for e in report.exchanges if e.request.method == "GET" and asks_for_aci(e.request.url)}
    if len(urls) != 1 or len(report.good_answers(asks_for_aci)) > 1:
        detail = f"the saved report holds {len(urls)} ACI report requests, exactly one with one answer was expected"
        kind = ProblemKind.MALFORMED if urls else ProblemKind.UNAVAILABLE
        return Problem(kind=kind, code="report_ambiguous", detail=detail, where="request")
    try:
        return aci_asked(urls.pop())
    except FormatError as error:
        return Problem(kind=ProblemKind.MALFORMED, code=error.code, detail=str(error), where="request")


def _session_flow(asked: ReportAsked, *, nonce: bytes, model: str, headers: Mapping[str, str]) -> Flow[AciReport]:
    request = Request(
        method="GET",
        url=asked.url,
        headers={"Accept": "application/json", "Accept-Encoding": "identity", **headers},
        limit=MAX_REPORT_BODY,
    )
    (answer,) = yield (request,)
    report = good_answer(answer, what="the ACI report", where="report")
    document = report if isinstance(report, Problem) else read_report(report.body)
    return (yield from aci_collected(document, report, asked, provider="aci", nonce=nonce, model=model))
