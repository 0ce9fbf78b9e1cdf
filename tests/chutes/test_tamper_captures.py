"""The tamper matrix over the captured Chutes sessions: each place, altered in each way, is refused by its guards.

Places, guards and what may stay VERIFIED are those of `teeverify.selftest`; the judging here is its own. The policies
take any instance, so what counts is the altered instance: it must not be VERIFIED, and nothing may vouch for its key.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final

import pytest

from teeverify.saved import SavedReport
from teeverify.selftest import Alteration, Category, alterations
from teeverify.selftest.alteration import UNLISTED
from teeverify.selftest.judging import judge_alterations
from teeverify.verdict import AttestationVerdict, Outcome

from .captured import JUNE, MAY, alone, endorsed, keys_of, lenient_of, report_of, verifier_of

FORM = {"evidence.wellformed", "evidence.complete"}
REPORTS: Final[dict[str, tuple[str, Callable[[], SavedReport], int]]] = {
    "June, one instance": (JUNE, lambda: alone(JUNE, "3ff90a0d"), 1),
    "June": (JUNE, lambda: report_of(JUNE), 16),
    "May": (MAY, lambda: report_of(MAY), 9),
}
"""Name of the capture, the report, and of its different places every which one is altered: a verdict on a whole capture
takes two to four times as long as one on a single instance."""


@functools.cache
def untouched(which: str) -> AttestationVerdict:
    name, report, _ = REPORTS[which]
    return verifier_of(name, relaxed=True).verify_saved(report()).require()


@functools.cache
def made(which: str) -> tuple[Alteration, ...]:
    name, report, _ = REPORTS[which]
    return tuple(alterations(report(), verifier_of(name, relaxed=True)))


def verified(verdict: AttestationVerdict) -> set[str]:
    return {subject.id for subject in verdict.subjects if subject.verified}


def one_of_each(which: str) -> list[Alteration]:
    """The first alteration of each place and kind that touches a VERIFIED instance, or the whole session."""
    good, chosen = verified(untouched(which)), dict[tuple[str, str], Alteration]()
    for alteration in made(which):
        if good & set(alteration.concerns):
            chosen.setdefault((alteration.place, alteration.kind), alteration)
    return list(chosen.values())


def fault(alteration: Alteration, verdict: AttestationVerdict, before: AttestationVerdict) -> str:
    """What is wrong with the verdict on an altered report; empty where nothing is."""
    old, new = keys_of(before), keys_of(verdict)
    vouched = {key for keys in new.values() for key in keys}
    if not vouched <= {key for keys in old.values() for key in keys}:
        return "vouches for a strange key"
    if alteration.unmeasured:
        return ""
    touched = verified(before) & set(alteration.concerns)
    if verdict.verified and (touched & verified(verdict) or vouched & {key for one in touched for key in old[one]}):
        return "stays VERIFIED"
    known = {subject.id for subject in before.subjects}
    failing = {
        check.id
        for subject in verdict.subjects
        if subject.id in touched or subject.id not in known
        for check in subject.checks
        if check.decides is not None
    }
    allowed = alteration.guards | (FORM if alteration.kind != "changed" else set())
    return "" if failing & allowed else f"refused by {sorted(failing)}"


def test_every_place_is_in_a_table() -> None:
    for which, least in (("June", 480), ("May", 800)):
        assert len(made(which)) >= least
        assert not [each.place for each in made(which) if each.unmeasured == UNLISTED]
        assert not [each.place for each in made(which) if not (each.unmeasured or each.guards)]


@pytest.mark.parametrize("which", REPORTS)
def test_one_of_each_kind_of_place(which: str) -> None:
    name, _, every = REPORTS[which]
    places = one_of_each(which)
    assert len(places) > 200
    found = [
        (each, fault(each, verifier_of(name, relaxed=True).verify_saved(each.make()), untouched(which)))
        for each in places[::every]
    ]
    assert [f"{each.name} ({each.kind}): {words}" for each, words in found if words] == []


@pytest.mark.parametrize("name", [JUNE, MAY])
def test_instances_against_each_other_where_all_of_them_are_verified(name: str) -> None:
    """With Intel's statement on the other platform family, under a policy that demands every instance."""
    report, judging = endorsed(name), lenient_of(name)
    before = judging.verify_saved(report).require()
    own = before.subjects[-1].id
    between = [
        each
        for each in alterations(report, judging)
        if each.subject == own and (each.place.startswith("instances.") or "that of" in each.kind)
    ]
    assert len(between) >= 18
    for each in between[:: 2 if name == MAY else 1]:
        verdict = judging.verify_saved(each.make())
        assert not fault(each, verdict, before), each.name
        assert (verdict.outcome is Outcome.VERIFIED) == bool(each.unmeasured), each.name
    assert {each.place for each in between if each.unmeasured} == {
        "instances.renamed",
        "instances.relabelled",
        "instances.left_out",
    }


@pytest.mark.parametrize("which", ["June", "May"])
def test_an_instance_that_is_not_verified_stays_so(which: str) -> None:
    good, old = verified(untouched(which)), {key for keys in keys_of(untouched(which)).values() for key in keys}
    name, _, every = REPORTS[which]
    others = [each for each in made(which) if not good & set(each.concerns)]
    assert len(others) > 150
    for each in others[:: 3 * every]:
        verdict = verifier_of(name, relaxed=True).verify_saved(each.make())
        assert not set(each.concerns) & verified(verdict), each.name
        assert {key for keys in keys_of(verdict).values() for key in keys} <= old, each.name


def test_the_selftest_comes_to_the_same() -> None:
    chosen = one_of_each("June")[3::17]
    judging = verifier_of(JUNE, relaxed=True)
    result = judge_alterations(report_of(JUNE), lambda: chosen, judging, at=None, now=None, on_result=None)
    assert len(result.rows) == len(chosen)
    for each, row in zip(chosen, result.rows, strict=True):
        assert row.category not in (Category.ACCEPTED, Category.WAIVED), each.name
        assert each.unmeasured or row.category is not Category.UNMEASURED, each.name
