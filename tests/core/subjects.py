"""Good subjects out of the shipped fixtures, to be changed one claim at a time, and single checks run on them."""

from __future__ import annotations

import functools
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

import attrs

from teeverify.checks.catalogue import Finding, get_check
from teeverify.claims.problem import Problem, ProblemKind, UnjudgeableError
from teeverify.claims.subject import Subject
from teeverify.policy import Policy, ReferenceValues
from teeverify.providers.near import NearVerifier
from teeverify.roots import TrustRoots
from teeverify.saved import SavedReport
from teeverify.verdict import Status

__all__ = ["FIXTURES", "NOW", "change", "find", "policy_of", "problem", "report_of", "roots", "subject_of", "with_pins"]

FIXTURES: Final = Path(__file__).resolve().parents[2] / "fixtures"
NOW: Final = datetime(2026, 6, 15, 12, 0, tzinfo=timezone.utc)


@functools.cache
def roots() -> TrustRoots:
    """The test roots of the fixtures."""
    return TrustRoots.from_directory(FIXTURES / "roots")


@functools.cache
def report_of(shape: str = "direct") -> SavedReport:
    """The good simulated session of a shape, ``direct`` or ``cloud``."""
    return SavedReport.load(FIXTURES / f"near-{shape}.json")


@functools.cache
def policy_of(shape: str = "direct") -> Policy:
    """The strict policy that pins what the session of a shape shows."""
    return Policy.load(FIXTURES / f"near-{shape}.toml")


@functools.cache
def subject_of(role: str = "model", shape: str = "direct") -> Subject:
    """A good subject of that role."""
    subjects = NearVerifier.subjects_of_saved(report_of(shape), roots=roots(), at=NOW, wall_clock=NOW)
    return next(subject for subject in subjects if subject.role == role)


def change(value: Any, path: str, new: Any) -> Any:
    """A copy of nested frozen values with one attribute replaced, given as a dotted path."""
    name, _, rest = path.partition(".")
    return attrs.evolve(value, **{name: change(getattr(value, name), rest, new) if rest else new})


def problem(kind: ProblemKind, code: str = "some_code", where: str = "somewhere") -> Problem:
    """A Problem of a kind."""
    return Problem(kind=kind, code=code, detail="a part is not what it should be", where=where)


def with_pins(role: str = "model", **pins: Any) -> Policy:
    """The good policy with some pins of a role replaced."""
    policy = policy_of()
    changed = attrs.evolve(policy.pins.get(role, ReferenceValues()), **pins)
    return attrs.evolve(policy, pins={**policy.pins, role: changed})


def find(check_id: str, subject: Subject, policy: Policy | None = None) -> Finding:
    """What one check finds, without its prerequisites; a failure must give a reason that the catalogue declares."""
    check = get_check(check_id)
    try:
        finding = check.judge(subject, policy or policy_of())
    except UnjudgeableError as refused:
        return Finding(Status.UNEVALUATED, refused.problem.code, refused.problem.detail)
    if finding.status is Status.FAIL:
        assert finding.reason in check.reasons, f"{check_id} gives the undeclared reason {finding.reason!r}"
    if finding.status is Status.PASS:
        assert finding.reason == ""
    return finding
