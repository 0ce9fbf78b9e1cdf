"""Chutes: what policies, instances that are not VERIFIED and a pinned chute make of the same alterations."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest

from teeverify.errors import FormatError, InconclusiveError
from teeverify.providers.chutes import ChutesVerifier
from teeverify.saved import SavedReport
from teeverify.selftest import Category, Row, selftest
from teeverify.selftest.rendering import to_json, to_text
from teeverify.testing import ChutesSession
from teeverify.testing.recording import edit_json
from teeverify.verdict import Outcome

from .sessions import Session, chutes, made_chutes


def row_of(session: Session, field: str, kind: str, *, whose: str = "") -> Row:
    """The row of the first subject that has this alteration, or of the one whose id contains ``whose``."""
    found = session.altered(lambda each: (each.field, each.kind) == (field, kind) and whose in each.subject)
    (row,) = session.judged(found[:1]).rows
    return row


def test_any_instance_and_all_instances_say_the_same_of_the_altered_one() -> None:
    for field, kind in (
        ("quote / TD report / RTMR2", "changed"),
        ("list of keys / e2e_pubkey / seed", "changed"),
        ("the whole evidence", "removed"),
        ("instance id, in both answers", "in capitals"),
    ):
        one, every = (row_of(chutes(mode=mode), field, kind) for mode in ("any", "all"))
        assert (one.category, one.checks, one.reason) == (every.category, every.checks, every.reason)
        assert one.category is Category.REFUSED


def test_what_another_instance_does_not_show() -> None:
    """Under any, one that could not be asked is no fault; under all it is."""
    for field, kind in (
        ("evidence / failed_instance_ids", "stranger added"),
        ("entry of its key", "repeated under another id"),
    ):
        assert row_of(chutes(mode="any"), field, kind).category is Category.UNMEASURED
        row = row_of(chutes(mode="all"), field, kind)
        assert row.category is Category.REFUSED
        assert "evidence.complete" in row.checks


def test_an_instance_that_stays_verified_is_accepted_though_the_report_rests_on_the_other_too() -> None:
    """Whoever changes a field of one instance must lose that instance, not merely have another one beside it."""
    session = chutes()
    free, _ = session.altered(lambda each: each.field == "opinions of the server")
    (row,) = session.judged((attrs.evolve(free, unmeasured=""),)).rows
    assert (row.category, row.outcome) == (Category.ACCEPTED, Outcome.VERIFIED)


def test_a_key_that_stays_under_another_id_is_accepted() -> None:
    session = chutes()
    renamed, _ = session.altered(lambda each: each.place == "instances.renamed")
    assert renamed.concerns
    (row,) = session.judged((attrs.evolve(renamed, unmeasured=""),)).rows
    assert row.category is Category.ACCEPTED


def _third_unmeasured(mode: str) -> Session:
    """Three instances, of which the last one runs something that is not pinned."""
    truthful = ChutesSession.build(gpus=1, instances=3)
    session = made_chutes(truthful, mode=mode)
    truthful.instances[2].guest.td_changes["rtmr2"] = bytes(48)
    report = SavedReport.from_bytes(json.dumps(truthful.saved()).encode())
    return attrs.evolve(session, report=report)


def test_an_instance_that_is_not_verified_is_left_out() -> None:
    session = _third_unmeasured("any")
    third = session.verifier.verify_saved(session.report).subjects[0]  # the evidence comes in reverse
    assert third.outcome is Outcome.REJECTED
    few = session.altered(lambda each: each.kind == "that of another" or each.field == "model")
    assert any(each.subject == third.id for each in few)
    result = session.judged(few)
    assert result.left_out == (third.id,)
    assert len(result.rows) == len([each for each in few if each.subject != third.id])
    assert not result.accepted
    assert f"Not altered, since they are not VERIFIED as they are: {third.id}" in to_text(result, width=200)
    assert json.loads(to_json(result))["left_out"] == [third.id]
    assert "left_out" not in json.loads(to_json(chutes().judged(chutes().altered(lambda e: e.field == "nonce"))))


def test_an_altered_instance_that_was_not_verified_never_becomes_so() -> None:
    session = _third_unmeasured("any")
    before = session.verifier.verify_saved(session.report)
    third = before.subjects[0].id
    keys = {key.public_key for subject in before.subjects for key in subject.attested_keys}
    for alteration in session.altered(lambda each: each.concerns == (third,))[::9]:
        verdict = session.verifier.verify_saved(alteration.make())
        assert third not in {subject.id for subject in verdict.subjects if subject.verified}
        assert {key.public_key for subject in verdict.subjects for key in subject.attested_keys} <= keys


def test_a_verifier_for_one_chute_refuses_to_judge_another() -> None:
    session = chutes()
    assert isinstance(session.verifier, ChutesVerifier)
    chute = ChutesSession.build(gpus=1).chute_id
    pinned = ChutesVerifier(session.verifier.policy, chute=chute, roots=session.verifier.roots)
    row = row_of(attrs.evolve(session, verifier=pinned), "chute, in every place", "changed")
    assert (row.category, row.checks, row.reason) == (Category.REFUSED, (), "not_judged")
    assert row_of(session, "chute, in every place", "changed").category is Category.UNMEASURED


@pytest.mark.parametrize("models_recorded", [True, False])
def test_the_model_is_held_against_a_recorded_list_only(models_recorded: bool) -> None:
    session = made_chutes(ChutesSession.build(gpus=1, instances=1, models_recorded=models_recorded))
    expected = Category.REFUSED if models_recorded else Category.UNMEASURED
    assert row_of(session, "model", "changed").category is expected
    assert row_of(session, "model, in every place", "changed").category is Category.UNMEASURED


def test_gpus_and_nvidias_opinion() -> None:
    two = ChutesSession.build(gpus=2)
    strict, ignored = made_chutes(two), made_chutes(two, nras="ignore", min_count=1)
    for field, kind in (("gpu_evidence", "reordered"), ("gpu_evidence[1]", "removed")):
        assert row_of(strict, field, kind).category in (Category.REFUSED, Category.NOT_EVALUATED)
        assert row_of(ignored, field, kind).category is Category.UNMEASURED
    assert not ignored.altered(lambda each: each.subject == "NVIDIA")
    demanded = made_chutes(two, nras="ignore")
    assert row_of(demanded, "gpu_evidence[1]", "removed").category is Category.REFUSED
    lenient = made_chutes(two, nras="when_present")
    assert "when_present" in row_of(lenient, "answer 2", "removed").why
    assert row_of(lenient, "answer 2 / overall token / signature", "changed").category is Category.REFUSED


def test_gpus_that_are_not_required() -> None:
    one = ChutesSession.build(gpus=1)
    session = made_chutes(one, lambda text: text.replace("require = true", "require = false"), nras="ignore")
    for field, kind in (("gpu_evidence", "removed"), ("gpu_evidence", "emptied"), ("gpu_evidence[0]", "removed")):
        assert row_of(session, field, kind).category is Category.UNMEASURED
    assert row_of(session, "gpu_evidence[0].evidence / signature", "changed").category is Category.REFUSED


def test_a_waived_check() -> None:
    waiver = '\n[[waive]]\ncheck = "{}"\nreason = "r"\nexpires = 2030-01-01\n'
    session = made_chutes(ChutesSession.build(gpus=1), lambda text: text + waiver.format("saved.recorded_at"))
    row = row_of(session, "recorded_at", "moved back")
    assert (row.category, row.checks) == (Category.WAIVED, ("saved.recorded_at",))


def test_a_list_of_losses_that_contradicts_the_evidence_is_not_taken_away() -> None:
    """Without it an instance could become VERIFIED, which would be no fault of teeverify's."""
    truthful = ChutesSession.build(gpus=1)
    session = made_chutes(truthful, mode="any")
    truthful.failed_instance_ids.append(truthful.instances[1].instance_id)
    report = SavedReport.from_bytes(json.dumps(truthful.saved()).encode())
    session = attrs.evolve(session, report=report)
    assert {each.kind for each in session.altered(lambda each: each.field.endswith("failed_instance_ids"))} == set()


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("quote", None),
        ("quote", "AAAA"),
        ("certificate", "AAAA"),
        ("gpu_evidence", "x"),
        ("gpu_evidence", [{"certificate": "AAAA", "evidence": "AAAA"}]),
        ("gpu_evidence", [1]),
        ("instance_id", []),
        ("instance_id", "x"),
    ],
)
def test_an_instance_that_has_not_its_form_is_left_alone(member: str, value: Any) -> None:
    session = chutes()
    document = edit_json(
        json.loads(session.report.to_bytes()), "/evidence?", lambda body: body["evidence"][0].update({member: value})
    )
    session = attrs.evolve(session, report=SavedReport.from_bytes(json.dumps(document).encode()))
    every = session.altered(lambda each: True)
    assert len({each.subject for each in every if each.subject.startswith("instance:")}) == 1
    result = session.judged(every[::40])
    assert len(result.left_out) in (1, 2)
    assert not result.accepted


def test_a_report_without_a_session_is_none() -> None:
    session = chutes()
    empty = attrs.evolve(session.report, exchanges=())
    with pytest.raises(FormatError):
        list(attrs.evolve(session, report=empty).altered(lambda each: True))
    with pytest.raises(InconclusiveError):
        selftest(empty, session.verifier)
