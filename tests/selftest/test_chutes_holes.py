"""Chutes: a check that has stopped working is noticed, also where another instance makes the report VERIFIED."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import pytest

from teeverify import appraisal
from teeverify.checks import catalogue
from teeverify.checks.catalogue import Finding, all_checks, passed
from teeverify.claims.subject import Subject
from teeverify.policy import Policy
from teeverify.selftest import Alteration, Category, SelftestResult
from teeverify.verdict import Outcome

from .sessions import chutes

HOLES = {
    "evidence.wellformed": {
        ("instance id", "listed as failed too"),
        ("entry of its key", "repeated"),
        ("instance id, in both answers", "in capitals"),
        ("quote", "removed"),
    },
    "freshness.nonce_bound": {("request for evidence / URL / nonce", "in capitals")},
    "saved.recorded_at": {("recorded_at", "moved back")},
    "binding.report_data": {("certificate", "that of another"), ("certificate / public key", "changed")},
    "binding.distinct_instances": {("evidence", "repeated under another id")},
    "gpu.present": {("gpu_evidence[0].arch", "changed")},
    "gpu.nras_token": {
        ("answer 1 / overall token / claim jti", "changed"),
        ("answer 2 / overall token / signature", "changed"),
        ("key set / signing key / x", "changed"),
    },
}
"""Check and alterations that it refuses."""
SEEN_BY_ANOTHER = {("quote", "removed"), ("entry of its key", "repeated")}
"""Those among them that another check refuses too, so that a blind one does no harm; it alone guards all others."""


def chosen(check_id: str) -> tuple[Alteration, ...]:
    """The alterations of a hole, of the instance on which NVIDIA's answer is the file's first."""
    first = next(subject for subject in (each.subject for each in _all()) if "449a169b" in subject)
    wanted = HOLES[check_id]
    return tuple(
        each
        for each in _all()
        if (each.field, each.kind) in wanted and (each.subject == first or not each.subject.startswith("instance:"))
    )


def _all() -> tuple[Alteration, ...]:
    return chutes().altered(lambda each: True)


def _blind(subject: Subject, policy: Policy) -> Finding:
    del subject, policy
    return passed("this check looks at nothing")


def _forget_order() -> None:
    all_checks.cache_clear()
    appraisal._prerequisites_first.cache_clear()


@pytest.fixture
def hole(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """One check of the catalogue made blind."""
    check_id: str = request.param
    entry = next(check for check in all_checks() if check.id == check_id)
    monkeypatch.setitem(catalogue._REGISTRY, check_id, attrs.evolve(entry, judge=_blind))
    _forget_order()
    yield check_id
    monkeypatch.undo()
    _forget_order()


def pairs(result: SelftestResult, category: Category) -> set[tuple[str, str]]:
    return {(row.field, row.kind) for row in result.rows if row.category is category}


@pytest.mark.parametrize("check_id", HOLES)
def test_the_field_is_refused_by_the_check_that_is_there(check_id: str) -> None:
    result = chutes().judged(chosen(check_id))
    refused = pairs(result, Category.REFUSED) | pairs(result, Category.NOT_EVALUATED)
    assert refused == HOLES[check_id]
    assert any(check_id in row.checks for row in result.rows)
    assert not result.accepted


@pytest.mark.parametrize("hole", HOLES, indirect=True)
def test_a_blind_check_is_noticed(hole: str) -> None:
    result = chutes().judged(chosen(hole))
    assert pairs(result, Category.ACCEPTED) == HOLES[hole] - SEEN_BY_ANOTHER
    for row in result.accepted:
        assert row.outcome is Outcome.VERIFIED
        assert hole in row.checks


@pytest.mark.parametrize("hole", ["evidence.complete"], indirect=True)
def test_what_a_second_check_sees_too_stays_refused(hole: str) -> None:
    """A session that contradicts itself is not even collected, so nothing in it can be VERIFIED."""
    wanted = {("model", "changed"), ("list of models / this model / chute_id", "changed"), ("certificate", "removed")}
    result = chutes().judged(tuple(each for each in _all() if (each.field, each.kind) in wanted))
    assert pairs(result, Category.REFUSED) | pairs(result, Category.NOT_EVALUATED) == wanted
    assert not [row for row in result.rows if hole in row.checks]


@pytest.mark.parametrize("hole", ["binding.report_data"], indirect=True)
def test_a_key_that_was_not_attested_before_is_never_right(hole: str) -> None:
    """With freshness blind as well, a strange key would be vouched for: the table cannot excuse that."""
    (changed,) = (
        each
        for each in _all()
        if (each.field, each.kind) == ("list of keys / e2e_pubkey / seed", "changed") and "449a169b" in each.subject
    )
    free = attrs.evolve(changed, unmeasured="somebody put this field into the wrong table")
    (row,) = chutes().judged((free,)).rows
    assert row.category is Category.REFUSED, "freshness.nonce_bound sees it too"
    with pytest.MonkeyPatch.context() as patch:
        for check_id in ("freshness.nonce_bound", "gpu.nonce_bound", "gpu.nras_token", "gpu.nras_result"):
            entry = next(check for check in all_checks() if check.id == check_id)
            patch.setitem(catalogue._REGISTRY, check_id, attrs.evolve(entry, judge=_blind))
        _forget_order()
        (row,) = chutes().judged((free,)).rows
    _forget_order()
    assert hole
    assert (row.category, row.reason) == (Category.ACCEPTED, "other_attested_key")
