"""One TDX machine under a synthetic Intel, with every part open to change, and the judging of what it shows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime, timedelta, timezone
from typing import Any, Final

import dcap_qvl
from attrs import define, evolve, field

from teeverify.appraisal import appraise
from teeverify.check_ids import KNOWN
from teeverify.checks.catalogue import get_check
from teeverify.claims.binding import BindingClaims
from teeverify.claims.problem import Problem, ProblemKind
from teeverify.claims.subject import Subject
from teeverify.claims.tdx import TdxClaims
from teeverify.derivation.tdx import TdxDerivation, read_hex_quote
from teeverify.endorsements.intel_pcs import QE_IDENTITY, ROOT_CRL, pck_crl_name, tcb_info_name
from teeverify.flow import Answer, Response
from teeverify.formats.intel_collateral import parse_qe_identity, parse_tcb_info
from teeverify.policy import Policy, ReferenceValues, TcbPolicy
from teeverify.roots import TrustRoots
from teeverify.testing.certificates import Issued
from teeverify.testing.intel import IntelPki, Platform
from teeverify.testing.keys import KeyRing
from teeverify.testing.pcs import PcsService
from teeverify.testing.recording import Answer as Recorded
from teeverify.testing.recording import timestamp
from teeverify.testing.roots import trust_roots
from teeverify.testing.tdx import QeFields, QuoteFormat, TdFields, build_quote
from teeverify.verdict import CheckResult, Status

NOW: Final = datetime(2026, 7, 1, 12, 0, tzinfo=timezone.utc)
ROOTS: Final = trust_roots()
TDX_CHECKS: Final = tuple(check_id for check_id in KNOWN if check_id.startswith(("tdx.", "tcb.")))
NOTHING: Final = Problem(kind=ProblemKind.ABSENT, code="not_here", detail="this test has no such part")


def response(answer: Recorded) -> Response:
    """A recorded answer as the flow hands it on."""
    headers = {name.lower(): (value,) for name, value in answer.headers.items()}
    return Response(status=answer.status, headers=headers, body=answer.body)


def policy_of(tcb: TcbPolicy | None = None, **pins: Any) -> Policy:
    """A policy for the role ``model``; ``pins`` are fields of its reference values."""
    values = ReferenceValues(**(pins or {"compose": (bytes(32),)}))
    return Policy(
        name="test",
        provider="near",
        valid_until=date(2027, 1, 1),
        tcb=tcb or TcbPolicy(),
        pins={"model": values},
    )


def subject_of(claims: TdxClaims, at: datetime = NOW) -> Subject:
    """A subject that has a TDX section and nothing else."""
    binding = BindingClaims(
        nonce=bytes(32), asked_nonce=NOTHING, first_half=NOTHING, layout="none", report_data=NOTHING
    )
    return Subject(
        id="model",
        role="model",
        provider="near",
        evaluated_at=at,
        recorded_at=None,
        wall_clock=at,
        binding=binding,
        tdx=claims,
        test_roots=True,
    )


@define(kw_only=True)
class World:
    """A TD, its platform, and what Intel answers about it; attributes are knobs that tests turn."""

    pki: IntelPki = field(factory=lambda: IntelPki(KeyRing()))
    platform: Platform = field(factory=Platform)
    td: TdFields = field(factory=TdFields)
    qe: QeFields = field(factory=QeFields)
    layout: QuoteFormat = field(factory=QuoteFormat)
    quote_changes: dict[str, Any] = field(factory=dict)
    spoil: dict[str, Answer | None] = field(factory=dict)
    """Answers by name in place of the service's; None takes one away."""
    roots: TrustRoots = ROOTS
    pcs: PcsService = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.pcs = PcsService(pki=self.pki, issued=NOW - timedelta(hours=1))

    @property
    def fmspc(self) -> str:
        return self.platform.fmspc.hex()

    @property
    def leaf(self) -> Issued:
        return self.pki.pck(self.platform)

    def with_td(self, **changes: Any) -> World:
        self.td = evolve(self.td, **changes)
        return self

    def quote(self) -> bytes:
        arguments: dict[str, Any] = {
            "pck": self.leaf,
            "attestation_key": self.pki.attestation_key(self.platform),
            "chain": (self.pki.pck_ca, self.pki.root),
            "qe": self.qe,
            "layout": self.layout,
            **self.quote_changes,
        }
        return build_quote(self.td, **arguments)

    def answers(self) -> dict[str, Answer]:
        """Intel's answers by the names of the request plan."""
        recorded = [answer for _, answer in self.pcs.answers(self.fmspc)]
        names = (tcb_info_name(self.platform.fmspc), QE_IDENTITY, pck_crl_name("platform"), ROOT_CRL)
        answers: dict[str, Answer | None] = {
            **{name: response(answer) for name, answer in zip(names, recorded, strict=True)},
            **self.spoil,
        }
        return {name: answer for name, answer in answers.items() if answer is not None}

    def derivation(self, at: datetime = NOW, answers: Mapping[str, Answer] | None = None) -> TdxDerivation:
        return TdxDerivation(endorsements=self.answers() if answers is None else answers, roots=self.roots, at=at)

    def claims(self, at: datetime = NOW) -> TdxClaims:
        return self.derivation(at).derive(read_hex_quote(self.quote().hex(), what="the quote"))

    def judge(self, policy: Policy | None = None, at: datetime = NOW) -> dict[str, CheckResult]:
        """All tdx.* and tcb.* checks with their prerequisites."""
        return judge(self.claims(at), policy, at)

    def arguments(self) -> dict[str, Any]:
        """Intel's answers as dcap-qvl takes them, whatever the quote is."""
        answers = self.answers()
        tcb, qe, pck_crl, root_crl = (
            answers[name]
            for name in (tcb_info_name(self.platform.fmspc), QE_IDENTITY, pck_crl_name("platform"), ROOT_CRL)
        )
        assert isinstance(tcb, Response)
        assert isinstance(qe, Response)
        assert isinstance(pck_crl, Response)
        assert isinstance(root_crl, Response)
        tcb_info, identity = parse_tcb_info(tcb.body, tcb.headers).signed, parse_qe_identity(qe.body, qe.headers).signed
        return {
            "pck_crl_issuer_chain": "",
            "root_ca_crl": root_crl.body,
            "pck_crl": pck_crl.body,
            "tcb_info_issuer_chain": tcb_info.issuer_chain.decode(),
            "tcb_info": tcb_info.text,
            "tcb_info_signature": tcb_info.signature,
            "qe_identity_issuer_chain": identity.issuer_chain.decode(),
            "qe_identity": identity.text,
            "qe_identity_signature": identity.signature,
        }

    def dcap(self, at: datetime = NOW, quote: bytes | None = None, beside: str | None = None) -> str:
        """What dcap-qvl alone says: the status, or ``refused: `` and its text.

        ``beside`` is a PCK chain that comes with the collateral.
        """
        collateral = dcap_qvl.QuoteCollateralV3(**self.arguments())
        if beside is not None:
            document = {**json.loads(collateral.to_json()), "pck_certificate_chain": beside}
            collateral = dcap_qvl.QuoteCollateralV3.from_json(json.dumps(document))
        return self._verified(quote or self.quote(), collateral, at)

    def _verified(self, quote: bytes, collateral: Any, at: datetime) -> str:
        now = int(at.timestamp())
        policy = dcap_qvl.QuotePolicy.claims_only(now)
        verifier = dcap_qvl.QuoteVerifier(self.pki.root.der)
        try:
            claims = json.loads(verifier.verify_with_policy(quote, collateral, now, policy).to_json())
        except ValueError as error:
            return f"refused: {error}"
        return str(claims["tcb"]["status"])


def judge(claims: TdxClaims, policy: Policy | None = None, at: datetime = NOW) -> dict[str, CheckResult]:
    """All tdx.* and tcb.* checks on claims, with their prerequisites; every reason must be a documented one."""
    results = appraise(subject_of(claims, at), policy or policy_of(), dict.fromkeys(TDX_CHECKS, ("model",)))
    for result in results:
        if result.status is Status.FAIL:
            assert result.reason in get_check(result.id).reasons, (result.id, result.reason)
    return {result.id: result for result in results}


def passes(results: Mapping[str, CheckResult]) -> set[str]:
    return {check_id for check_id, result in results.items() if result.status is Status.PASS}


def failures(results: Mapping[str, CheckResult]) -> dict[str, str]:
    """Reason by id of the checks that failed."""
    return {check_id: result.reason for check_id, result in results.items() if result.status is Status.FAIL}


def unevaluated(results: Mapping[str, CheckResult]) -> dict[str, str]:
    """Reason by id of the checks that could not be evaluated."""
    return {check_id: result.reason for check_id, result in results.items() if result.status is Status.UNEVALUATED}


def dates(since: timedelta, until: timedelta, at: datetime = NOW) -> dict[str, str]:
    """Members of signed JSON that hold from ``at + since`` to ``at + until``."""
    return {"issueDate": timestamp(at + since), "nextUpdate": timestamp(at + until)}
