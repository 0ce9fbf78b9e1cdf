"""Another verifier that is shown an ACI report hands it over: same checks, and nothing of the legacy members counts."""

from __future__ import annotations

import json

import attrs
import pytest

from teeverify.claims.problem import Problem, ProblemKind
from teeverify.claims.subject import Subject
from teeverify.flow import Response, run
from teeverify.providers.aci_claims import aci_collected, aci_uncollected, derive_aci_subjects
from teeverify.providers.aci_wire import aci_asked
from teeverify.testing import trust_roots
from teeverify.testing.near_world import RECORDED_AT
from teeverify.transport import ReplayTransport

from .world import build, failing, load, verifier


def hand_over(channel_role: str | None, **legacy: object) -> tuple[Subject, ...]:
    session = build()
    document = {**session.report(), **legacy}
    asked = attrs.evolve(aci_asked(session.report_url), channel_role=channel_role)
    answer = Response(status=200, headers={}, body=json.dumps(document).encode(), peer_spki=session.gateway.tls_spki)
    flow = aci_collected(document, answer, asked, provider="aci", nonce=session.nonce, model=session.model_name)
    report = run(flow, ReplayTransport(load(session.saved())))
    return derive_aci_subjects(
        report, roots=trust_roots(), at=RECORDED_AT, recorded_at=RECORDED_AT, wall_clock=RECORDED_AT
    )


@pytest.mark.parametrize("role", ["gateway", None])
def test_a_report_with_legacy_members_is_judged_for_what_is_aci(role: str | None) -> None:
    subjects = hand_over(role, intel_quote="00", nvidia_payload="{}", signing_algo="ecdsa", all_attestations=[{}])
    session = build()
    verdict = verifier().conclude(subjects, model=session.model_name, nonce=session.nonce, at=RECORDED_AT)
    (subject,) = subjects
    assert (subject.id, subject.role, subject.gpu) == ("gateway", "gateway", None)
    assert failing(verdict) == (set() if role else {("aci.channel", "other_hop")})


def test_a_session_without_a_report_has_its_subject() -> None:
    session = build()
    gone = Problem(kind=ProblemKind.UNAVAILABLE, code="not_fetched", detail="no answer", where="report")
    asked = aci_asked(session.report_url)
    report = aci_uncollected(gone, asked, provider="aci", nonce=session.nonce, model=session.model_name)
    subjects = derive_aci_subjects(
        report, roots=trust_roots(), at=RECORDED_AT, recorded_at=None, wall_clock=RECORDED_AT
    )
    verdict = verifier().conclude(subjects, model=session.model_name, nonce=session.nonce, at=RECORDED_AT)
    assert {check.reason for check in verdict.checks} == {"not_fetched"}
